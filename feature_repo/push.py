"""Rows that are newer than the last materialisation: online at once, and in the Parquet sources.

Feast's own push to an offline store fails on columns of lists, so the sources are appended to here.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from feature_repo.online import be_patient
from higr.config import DataConfig
from higr.data.recent import Recent, Seen
from higr.errors import InputError
from higr.files import read_table, write_table

if TYPE_CHECKING:
    from feast import FeatureStore

BATCH = 1000
"""Users that are read and written at once."""


def push(store: Path, events: pa.Table, items: pa.Table, config: DataConfig) -> int:
    """Add feedback to the contexts of its users: old history and events, in time order, bounded in length.

    Args:
        events: `higr.data.logs.FEEDBACK`. Again the same ones change nothing.
        items: `ITEMS`; an event of any other item is passed over, as preparation puts it aside.
        config: what the store was materialised with.

    Returns:
        events that were not passed over.

    Raises:
        InputError: there is no store.
    """
    return push_into(opened(store), store, events, items, config)


def push_into(
    feast: "FeatureStore", folder: Path, events: pa.Table, items: pa.Table, config: DataConfig
) -> int:
    """The same, into a store that is open; `folder` has its sources."""
    from feature_repo.build import CONTEXT_ROWS
    from feature_repo.definitions import CONTEXT_FILE

    durations = dict(zip(items["item_id"].to_pylist(), items["duration_seconds"].to_pylist(), strict=True))
    by_user: dict[str, list[Seen]] = defaultdict(list)
    for event in events.to_pylist():
        seen = Seen.of(event, durations, config)
        if seen is not None:
            by_user[event["user_id"]].append(seen)
    users = sorted(by_user)
    rows: list[dict[str, Any]] = []
    for start in range(0, len(users), BATCH):
        batch = users[start : start + BATCH]
        for user, (stored, moment) in zip(batch, _stored(feast, batch), strict=True):
            recent = stored.extended(by_user[user], config)
            # Strictly after all that it knows, and after the row that it replaces: Redis keeps the newest.
            last = datetime.fromtimestamp(recent.events[-1].time / 1000, UTC)
            after = max(moment + _SECOND, last + _TICK)
            rows.append({"user_id": user, "event_timestamp": after, **recent.columns()})
    _add(feast, "user_context_push", folder / CONTEXT_FILE, rows, CONTEXT_ROWS)
    return sum(map(len, by_user.values()))


def set_status(store: Path, item_ids: Sequence[str], status: str) -> None:
    """Say of items whether they may be shown: `active` or `disabled`.

    Raises:
        InputError: there is no store, or no such item in it.
    """
    from feature_repo.build import STATUS_ROWS
    from feature_repo.definitions import STATUS_FILE

    feast = opened(store)
    known = set(read_table(store / STATUS_FILE, ["item_id"])["item_id"].to_pylist())
    for item in item_ids:
        if item not in known:
            raise InputError(f"item {item!r} is not in {store}; give one of its {len(known)} items")
    now = datetime.now(UTC)
    rows = [{"item_id": item, "event_timestamp": now, "status": status} for item in dict.fromkeys(item_ids)]
    _add(feast, "item_status_push", store / STATUS_FILE, rows, STATUS_ROWS)


_TICK = timedelta(milliseconds=1)
_SECOND = timedelta(seconds=1)  # Feast tells moments in whole seconds
_PAST = datetime(1970, 1, 1, tzinfo=UTC)


def opened(store: Path) -> "FeatureStore":
    """A store for work that may take its time.

    Raises:
        InputError: there is none.
    """
    if not (store / "feature_store.yaml").exists():
        raise InputError(f"{store} is no feature store; run `python -m feature_repo materialise`")
    from feast import FeatureStore

    feast = FeatureStore(repo_path=str(store))
    be_patient(feast.config.online_store)
    return feast


def _stored(feast: "FeatureStore", users: Sequence[str]) -> list[tuple[Recent, datetime]]:
    """What is known online of each user, and since when."""
    names = list(Recent().columns())
    found = feast.get_online_features(
        features=[f"user_context:{name}" for name in names],
        entity_rows=[{"user_id": user} for user in users],
    ).to_dict(include_event_timestamps=True)
    stored: list[tuple[Recent, datetime]] = []
    for row in range(len(users)):
        if found["context_item_ids"][row] is None:
            stored.append((Recent(), _PAST))
        else:
            moment = datetime.fromtimestamp(found["context_item_ids__ts"][row], UTC)
            stored.append((Recent.of({name: found[name][row] for name in names}), moment))
    return stored


def _add(
    feast: "FeatureStore", source: str, path: Path, rows: Sequence[dict[str, Any]], schema: pa.Schema
) -> None:
    """Offline first: what is online must be found again."""
    if rows:
        table = pa.Table.from_pylist(list(rows), schema)
        write_table(path, pa.concat_tables([read_table(path), table]))
        feast.push(source, table.to_pandas())
