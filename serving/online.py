"""Feast's online store, as this process reads and writes it."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from higr.errors import InputError
from serving.watched import WatchedFile

if TYPE_CHECKING:
    from feast import FeatureStore

SERVICES = ("user_context_v2", "user_context_v1")
"""Feature services that this version can read, the best first; a store has one that this version knows."""
STATUS = "item_status:status"


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of one entity; of an unknown one everything is None.

    Attributes:
        columns: values by feature: lists, texts, numbers.
        moments: by feature, up to when all was known; whole seconds.
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
        self._references: dict[str, str] = {}

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
        missing = [name for name in names if name not in self._references]
        if missing:
            raise InputError(f"{self._folder} has no feature {', '.join(missing)}; materialise it again")
        return self.read([self._references[name] for name in names], "user_id", user_ids)

    def read(self, references: Sequence[str], key: str, ids: Sequence[str]) -> list[Row]:
        """One row an id, in one round trip.

        Args:
            references: `view:feature`.
            key: of the views' entity: user_id or item_id.
        """
        self.open()
        columns = self._store.get_online_features(
            features=list(references), entity_rows=[{key: given} for given in ids]
        ).to_dict(include_event_timestamps=True)
        names = [reference.partition(":")[2] for reference in references]
        return [
            Row(
                {name: columns[name][row] for name in names},
                {name: _moment(columns[f"{name}__ts"][row]) for name in names},
            )
            for row in range(len(ids))
        ]

    def push(self, source: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows of the view behind a push source, in place of those that are there."""
        import pandas as pd

        self.open()
        self._store.push(source, pd.DataFrame(rows))

    def _opened(self) -> "FeatureStore":
        from feast import FeatureStore

        store = FeatureStore(repo_path=str(self._folder))
        services = {service.name: service for service in store.list_feature_services()}
        known = next((services[name] for name in SERVICES if name in services), None)
        if known is None:
            raise InputError(
                f"{self._folder} has none of the services {', '.join(SERVICES)}; materialise it again"
            )
        self._references = {
            feature.name: f"{view.name}:{feature.name}"
            for view in known.feature_view_projections
            for feature in view.features
        }
        if self._writes and store.config.online_store.type == "sqlite":
            with sqlite3.connect(self._folder / store.config.online_store.path) as database:
                database.execute("pragma journal_mode = wal")
        return store


def _moment(seconds: int) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
