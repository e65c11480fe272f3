"""Any user's own Parquet in the schema of `higr.data.schemas`."""

from higr.config import DataConfig
from higr.data.raw import RawTables, folder, read_parquet


def load(config: DataConfig, seed: int) -> RawTables:
    """events.parquet, items.parquet and, where present, users.parquet; `seed` has no part in it.

    Raises:
        InputError: the folder or a file is missing or unreadable.
    """
    base = folder(config)
    files = {name: base / f"{name}.parquet" for name in ("events", "items", "users")}
    return RawTables(
        events=read_parquet(files["events"]),
        items=read_parquet(files["items"]),
        users=read_parquet(files["users"]) if files["users"].exists() else None,
        files={name: str(path) for name, path in files.items()},
    )
