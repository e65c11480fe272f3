"""Feast's online store, as this process reads and writes it.

Rows are read and written by the SDK's own online store, view by view. `get_online_features` and `push` ask
the registry anew each time, and two stores that are open in one process take turns in its only cache: beside
a second reader each read then costs ten times as much.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from higr.errors import InputError
from serving.watched import WatchedFile

if TYPE_CHECKING:
    from feast import FeatureStore

SERVICES = ("user_context_v2", "user_context_v1")
"""Feature services that this version can read, the best first; a store has one that this version knows."""
CONTEXT_VIEW, STATUS_VIEW = "user_context", "item_status"


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of one entity; of an unknown one everything is None.

    Attributes:
        columns: values by feature: lists, texts, numbers.
        moments: by view, up to when all of it was known; whole seconds in SQLite.
    """

    columns: Mapping[str, Any]
    moments: Mapping[str, datetime | None]


class OnlineStore:
    """The store in a folder, opened by the first use and again when another is in its place. For one thread.

    A store whose folder is gone for a moment, as while it is replaced, is read on.

    Args:
        writes: rows are pushed too. SQLite then lets readers and the writer pass each other, for which the
            folder has to be writable.
    """

    def __init__(self, folder: Path, writes: bool = False) -> None:
        self._folder, self._writes = folder, writes
        self._settings = WatchedFile(folder / "feature_store.yaml")
        self._store: Any = None
        self._online: Any = None
        self._views: dict[str, Any] = {}
        self._view_of: dict[str, str] = {}

    def open(self) -> bool:
        """Whether it is another store than before.

        Raises:
            InputError: there is none, or one that this version cannot read.
        """
        changed = self._settings.changed()
        if (changed or self._store is None) and self._settings.path.exists():
            self._store = None  # whatever fails from here on, the next use tries again
            self._store = self._opened()
            return True
        if self._store is None:
            raise InputError(f"{self._folder} is no feature store; run `python -m feature_repo materialise`")
        return False

    def users(self, names: Sequence[str], user_ids: Sequence[str]) -> list[Row]:
        """One row a user.

        Args:
            names: of features of the service.

        Raises:
            InputError: a feature that the service does not have.
        """
        self.open()
        missing = [name for name in names if name not in self._view_of]
        if missing:
            raise InputError(f"{self._folder} has no feature {', '.join(missing)}; materialise it again")
        wanted: dict[str, list[str]] = {}
        for name in names:
            wanted.setdefault(self._view_of[name], []).append(name)
        return self._read(wanted, "user_id", user_ids)

    def statuses(self, item_ids: Sequence[str]) -> list[str | None]:
        """Of each item; None where the store does not know it."""
        self.open()
        rows = self._read({STATUS_VIEW: ["status"]}, "item_id", item_ids)
        return [row.columns["status"] for row in rows]

    def write_contexts(self, rows: Mapping[str, tuple[datetime, Mapping[str, Sequence[Any]]]]) -> None:
        """Rows of the view `user_context` in place of those that are there.

        Args:
            rows: by user, up to when all was known, and all columns. Redis keeps what it has where that is
                as new.
        """
        from feast.type_map import python_values_to_proto_values

        self.open()
        view = self._views[CONTEXT_VIEW]
        types = {feature.name: feature.dtype.to_value_type() for feature in view.features}
        written = [
            (
                key,
                {name: python_values_to_proto_values([columns[name]], types[name])[0] for name in types},
                moment,
                None,
            )
            for key, (moment, columns) in zip(_keys("user_id", rows), rows.values(), strict=True)
        ]
        self._online.online_write_batch(self._store.config, view, written, None)

    def _read(self, wanted: Mapping[str, Sequence[str]], key: str, ids: Sequence[str]) -> list[Row]:
        """wanted: features by view. key: of the views' entity."""
        keys = _keys(key, ids)
        columns: list[dict[str, Any]] = [{} for _ in ids]
        moments: list[dict[str, datetime | None]] = [{} for _ in ids]
        for view, names in wanted.items():
            # The list is the online store's to change.
            found = self._online.online_read(self._store.config, self._views[view], keys, [*names])
            for row, (moment, values) in enumerate(found):
                # Redis's reader says 1970 of whom it does not know.
                moments[row][view] = moment if moment is not None and moment.timestamp() > 0 else None
                columns[row].update({name: _python(values.get(name)) if values else None for name in names})
        return [Row(*row) for row in zip(columns, moments, strict=True)]

    def _opened(self) -> "FeatureStore":
        from feast import FeatureStore
        from feast.infra.online_stores.helpers import get_online_store_from_config

        store = FeatureStore(repo_path=str(self._folder))
        services = {service.name: service for service in store.list_feature_services()}
        known = next((services[name] for name in SERVICES if name in services), None)
        if known is None:
            raise InputError(
                f"{self._folder} has none of the services {', '.join(SERVICES)}; materialise it again"
            )
        self._view_of = {
            feature.name: view.name for view in known.feature_view_projections for feature in view.features
        }
        self._views = {view.name: view for view in store.list_feature_views()}
        if self._writes and store.config.online_store.type == "sqlite":
            with sqlite3.connect(self._folder / store.config.online_store.path) as database:
                database.execute("pragma journal_mode = wal")
        self._online = get_online_store_from_config(store.config.online_store)
        return store


def _keys(name: str, ids: Iterable[str]) -> list[Any]:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    return [EntityKey(join_keys=[name], entity_values=[Value(string_val=given)]) for given in ids]


def _python(value: Any) -> Any:
    """What a message of Feast holds; one that holds nothing is null."""
    kind = None if value is None else value.WhichOneof("val")
    if kind is None:
        return None
    found = getattr(value, kind)
    return list(found.val) if kind.endswith("list_val") else found
