"""The prepared dataset: what `higr data` writes and every later stage reads."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from higr.data.schemas import ITEMS, LABELLED_EVENTS, SLATES, TIMESTAMP
from higr.errors import InputError
from higr.files import atomic_directory, read_json, read_table, write_json, write_table

TABLES = ("events", "items", "users", "slates", "quarantine")


@dataclass(frozen=True)
class PreparedData:
    """Checked tables and what was found while checking.

    Attributes:
        events: `LABELLED_EVENTS`, sorted by user and time.
        items: `ITEMS`, sorted by item_id, ids unique.
        users: `user_id` and string profile columns, sorted, ids unique.
        slates: `SLATES`, sorted by (timestamp, slate_id).
        quarantine: rows refused: table, row (index in its file), reason, record (JSON).
        report: counts, `validation_start` and `test_start` (ISO, UTC), source, fingerprint.
    """

    events: pa.Table
    items: pa.Table
    users: pa.Table
    slates: pa.Table
    quarantine: pa.Table
    report: dict[str, Any]

    def split(self, name: str) -> pa.Table:
        """The slates of `train`, `validation` or `test`."""
        return self.slates.filter(pc.equal(self.slates["split"], name))

    @cached_property
    def train_events(self) -> pa.Table:
        """Events before the validation period: all that fitting may look at."""
        start = pa.scalar(datetime.fromisoformat(self.report["validation_start"]), TIMESTAMP)
        return self.events.filter(pc.less(self.events["timestamp"], start))

    @cached_property
    def disabled(self) -> frozenset[str]:
        """Items that must never be shown."""
        ids = self.items["item_id"].filter(pc.equal(self.items["status"], "disabled"))
        return frozenset(ids.to_pylist())

    def save(self, path: Path) -> None:
        with atomic_directory(path) as aside:
            for name in TABLES:
                write_table(aside / f"{name}.parquet", getattr(self, name))
            write_json(aside / "report.json", self.report)

    @classmethod
    def load(cls, path: Path, *, embeddings: bool = True) -> "PreparedData":
        """Read what `save` wrote.

        embeddings: read those of the items table, too; else they are null. They are the one column
            that can outgrow memory: whoever needs them may stream them from items.parquet.

        Raises:
            InputError: a file is missing, unreadable or has another schema.
        """
        tables = {name: read_table(path / f"{name}.parquet") for name in TABLES if name != "items"}
        tables["items"] = _read_items(path / "items.parquet", embeddings)
        for name, schema in (("events", LABELLED_EVENTS), ("items", ITEMS), ("slates", SLATES)):
            if not tables[name].schema.equals(schema):
                raise InputError(
                    f"{path / name}.parquet has another schema than this version writes; "
                    "run `higr data` again"
                )
        return cls(**tables, report=read_json(path / "report.json"))


def _read_items(path: Path, embeddings: bool) -> pa.Table:
    if embeddings:
        return read_table(path)
    place = ITEMS.get_field_index("embedding")
    items = read_table(path, [name for name in ITEMS.names if name != "embedding"])
    return items.add_column(place, ITEMS.field(place), pa.nulls(items.num_rows, ITEMS.field(place).type))
