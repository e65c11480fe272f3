"""Items that come after training: a Parquet file, checked row by row as it streams past.

The checks are those of any items table (`higr.data.validate`), with two differences. The embedding
must be as wide as the tokenizer's, not as most rows'. And a null status stays null: who sends new
attributes of an item does not say by omission that it may be shown again.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from higr.data.conform import conform
from higr.data.faults import item_faults
from higr.data.schemas import ITEMS
from higr.data.validate import QUARANTINE, _record
from higr.errors import InputError

BATCH = 8192
"""Rows in memory at once, but for those that were put aside."""
FEW = 10
"""Faulty rows that never stop an update, whatever their share: hourly files are small."""


@dataclass
class Arrivals:
    """One file of items. Iterate once; the counts are complete when the iteration ends.

    Attributes:
        width: of embeddings that the tokenizer takes; None: it does not look at them.
        max_bad_share: a larger share of faulty rows stops the update, unless they are `FEW`.
        total: rows of the file; 0 before it was opened.
        rows: read so far.
        reasons: rows put aside, by reason.
    """

    path: Path
    width: int | None
    max_bad_share: float
    total: int = 0
    rows: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    _aside: list[pa.Table] = field(default_factory=list)

    def __iter__(self) -> Iterator[pa.Table]:
        """Sound rows as `ITEMS`, batch after batch; the status may be null.

        Raises:
            InputError: not a readable Parquet file, no rows, a fault of a whole column, an item
                twice, or too many faulty rows.
        """
        seen: set[str] = set()
        for given in self._batches():
            sound = self._sift(given)
            self.rows += given.num_rows
            ids = sound["item_id"].to_pylist()
            for item in ids:
                if item in seen:
                    raise InputError(
                        f"{self.path}: item_id {item!r} appears more than once; keep one row an item"
                    )
                seen.add(item)
            if ids:
                yield sound
        self._judge()

    @property
    def quarantine(self) -> pa.Table:
        """`higr.data.validate.QUARANTINE` of the rows put aside."""
        return pa.concat_tables([QUARANTINE.empty_table(), *self._aside])

    def _batches(self) -> Iterator[pa.Table]:
        if not self.path.is_file():
            raise InputError(f"{self.path} does not exist; give a Parquet file of items")
        try:
            with pq.ParquetFile(self.path) as file:
                self.total = file.metadata.num_rows
                names = [name for name in file.schema_arrow.names if name in ITEMS.names]
                for batch in file.iter_batches(BATCH, columns=names):
                    yield pa.Table.from_batches([batch])
        except (pa.ArrowException, OSError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(f"{self.path} is not readable Parquet ({reason}); write it again") from None

    def _sift(self, given: pa.Table) -> pa.Table:
        table = conform(given, ITEMS, str(self.path))
        lengths = pc.fill_null(pc.list_value_length(table["embedding"]), -1).to_numpy()
        misfit = np.zeros(len(lengths), dtype=bool)
        if self.width is not None:
            misfit = (lengths >= 0) & (lengths != self.width)
        place = table.schema.get_field_index("embedding")
        kept = pc.if_else(
            pa.array(misfit), pa.scalar(None, ITEMS.field("embedding").type), table["embedding"]
        )
        found = [
            *item_faults(table.set_column(place, table.schema.field(place), kept)),
            (
                f"embedding has not the tokenizer's length {self.width}"
                if self.width
                else "the tokenizer was fitted without embeddings",
                misfit,
            ),
        ]
        code = np.zeros(table.num_rows, dtype=np.int8)
        for number, (_, mask) in reversed(list(enumerate(found, start=1))):
            code[mask] = number
        bad = np.flatnonzero(code)
        if len(bad):
            why = [found[number - 1][0] for number in code[bad]]
            self.reasons.update(why)
            records = [json.dumps(_record(given, row), ensure_ascii=False) for row in bad.tolist()]
            columns = {
                "table": ["items"] * len(bad),
                "row": bad + self.rows,
                "reason": why,
                "record": records,
            }
            self._aside.append(pa.table(columns, schema=QUARANTINE))
        return table.filter(pa.array(code == 0)).cast(ITEMS)

    def _judge(self) -> None:
        if not self.rows:
            raise InputError(f"{self.path}: 0 rows; supply at least one")
        bad = self.reasons.total()
        if bad == self.rows or (bad > FEW and bad > self.max_bad_share * self.rows):
            listed = ", ".join(f"{reason}: {count}" for reason, count in self.reasons.most_common())
            raise InputError(
                f"{self.path}: {bad} of {self.rows} rows cannot be used ({listed}); mend the file"
            )
