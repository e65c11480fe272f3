"""One directory is one feature store: Parquet offline (read by DuckDB), a registry file, and SQLite online or
the address of a Redis."""

from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from feature_repo.build import Sources, build, log_end
from feature_repo.online import LOAD_SECONDS, READ_SECONDS, Redis, Sqlite, online_of, reaching
from feature_repo.push import push_into
from higr.config import DataConfig
from higr.data.logs import FEEDBACK, with_added
from higr.data.prepared import PreparedData
from higr.errors import InputError
from higr.files import atomic_directory, read_table, write_table

if TYPE_CHECKING:
    from feast import FeatureStore

SETTINGS = {
    "project": "higr",
    "provider": "local",
    "registry": "registry.db",
    "offline_store": {"type": "duckdb"},
    "entity_key_serialization_version": 3,
}
"""A warehouse takes the place of the offline store at scale."""


@dataclass(frozen=True)
class Materialised:
    """Attributes:
    users: users that can be read online.
    rows: point-in-time rows behind them.
    pushed: events of the feedback log that were added to their contexts.
    """

    users: int
    rows: int
    pushed: int = 0


def materialise(
    data: Path, store: Path, config: DataConfig, online: str | None = None, feedback: Path | None = None
) -> Materialised:
    """Build the store of a prepared dataset in place of what is at `store`.

    Args:
        data: directory that `higr data` wrote.
        config: what it was prepared with: how far histories reach.
        online: `redis://HOST:PORT/DATABASE`; None: SQLite in the store. Rows of Redis are replaced one by
            one, a newer one (of a push) stays.
        feedback: folder of a feedback log, whose events after the end of the prepared log are pushed.

    Raises:
        InputError: the data cannot be read or hold no event; or Redis does not answer.
    """
    where = online_of(online)
    prepared = PreparedData.load(data)
    if not prepared.events.num_rows:
        raise InputError(f"{data} holds no event, so no user has a context; prepare data that does")
    events = FEEDBACK.empty_table() if feedback is None else feedback_since(feedback, prepared)
    sources = build(prepared, config)
    with atomic_directory(store) as aside, reaching():
        pushed = _write(sources, aside, store, where, events, prepared.items, config)
    return Materialised(prepared.users.num_rows, sources.context.num_rows, pushed)


def _write(
    sources: Sources,
    folder: Path,
    home: Path,
    online: Sqlite | Redis,
    events: pa.Table,
    items: pa.Table,
    config: DataConfig,
) -> int:
    """Sources, settings, online rows and registry into a fresh directory that will be moved to `home`."""
    # Feast takes seconds to import: only what needs it pays.
    from feast import FeatureStore

    from feature_repo import definitions

    for name, table in (
        (definitions.CONTEXT_FILE, sources.context),
        (definitions.INTERESTS_FILE, sources.interests),
        (definitions.PROFILE_FILE, sources.profile),
        (definitions.STATUS_FILE, sources.status),
    ):
        write_table(folder / name, table)
    _settings(folder, online, LOAD_SECONDS)
    feast = FeatureStore(repo_path=str(folder))
    feast.apply(definitions.objects(folder, sources.profile_columns))
    _load(feast, sources)
    pushed = push_into(feast, folder, events, items, config)
    # The registry must name the files where they will be, not where they were written.
    feast.apply(definitions.objects(home, sources.profile_columns))
    _settings(folder, online, READ_SECONDS)
    return pushed


def _settings(folder: Path, online: Sqlite | Redis, seconds: float) -> None:
    settings = {**SETTINGS, "online_store": online.settings(seconds)}
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(settings, sort_keys=False, width=1000))


def _load(feast: "FeatureStore", sources: Sources) -> None:
    first = pc.min(sources.profile["event_timestamp"]).as_py()
    last = pc.max(sources.context["event_timestamp"]).as_py()
    # Feast prints its progress to standard output, which belongs to the caller.
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        feast.materialize(first - timedelta(days=1), last + timedelta(days=1))


def feedback_since(feedback: Path, data: PreparedData) -> pa.Table:
    """Events of a feedback log that come after those of `data`, in time order.

    Raises:
        InputError: there is no such folder, or a part of it cannot be read.
    """
    if not feedback.is_dir():
        raise InputError(f"{feedback} is no folder; give the --feedback-dir of a serving process")
    parts = sorted(feedback.glob("part-*.parquet"))
    tables = [with_added(read_table(part), FEEDBACK).select(FEEDBACK.names).cast(FEEDBACK) for part in parts]
    events = pa.concat_tables([FEEDBACK.empty_table(), *tables])
    return events.filter(pc.greater_equal(events["timestamp"], log_end(data))).sort_by("timestamp")
