"""One directory is one feature store: Parquet offline (read by DuckDB), SQLite online, a registry file."""

from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pyarrow.compute as pc
import yaml

from feature_repo.build import Sources, build
from higr.config import DataConfig
from higr.data.prepared import PreparedData
from higr.errors import InputError
from higr.files import atomic_directory, write_table

SETTINGS = {
    "project": "higr",
    "provider": "local",
    "registry": "registry.db",
    "offline_store": {"type": "duckdb"},
    "online_store": {"type": "sqlite", "path": "online.db"},
    "entity_key_serialization_version": 3,
}
"""Redis and a warehouse take the place of the two stores at scale."""


@dataclass(frozen=True)
class Materialised:
    """Attributes:
    users: users that can be read online.
    rows: point-in-time rows behind them.
    """

    users: int
    rows: int


def materialise(data: Path, store: Path, config: DataConfig) -> Materialised:
    """Build the store of a prepared dataset in place of what is at `store`.

    Args:
        data: directory that `higr data` wrote.
        config: what it was prepared with: how far histories reach.

    Raises:
        InputError: the data cannot be read, or hold no event.
    """
    prepared = PreparedData.load(data)
    if not prepared.events.num_rows:
        raise InputError(f"{data} holds no event, so no user has a context; prepare data that does")
    sources = build(prepared, config)
    with atomic_directory(store) as aside:
        _write(sources, aside, store)
    return Materialised(sources.profile.num_rows, sources.context.num_rows)


def _write(sources: Sources, folder: Path, home: Path) -> None:
    """Sources, settings, online rows and registry into a fresh directory that will be moved to `home`."""
    # Feast takes seconds to import: only what needs it pays.
    from feast import FeatureStore

    from feature_repo.definitions import CONTEXT_FILE, PROFILE_FILE, objects

    write_table(folder / CONTEXT_FILE, sources.context)
    write_table(folder / PROFILE_FILE, sources.profile)
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(SETTINGS, sort_keys=False))
    feast = FeatureStore(repo_path=str(folder))
    feast.apply(objects(folder))
    first = pc.min(sources.profile["event_timestamp"]).as_py()
    last = pc.max(sources.context["event_timestamp"]).as_py()
    # Feast prints its progress to standard output, which belongs to the caller.
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        feast.materialize(first - timedelta(days=1), last + timedelta(days=1))
    # The registry must name the files where they will be, not where they were written.
    feast.apply(objects(home))
