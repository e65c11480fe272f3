"""A few slates of every day with what became of them: what needs both logs at once is measured on these.

The slates of a day with the smallest hashes of their request ids: both logs agree on them, whichever comes
first, and more rows of a day change the sample only as far as they must.
"""

import numpy as np
import pandas as pd
import pyarrow as pa

SLATES_A_DAY = 2_000

SAMPLE = pa.schema(
    [
        pa.field("request", pa.uint64(), nullable=False),
        pa.field("log", pa.string(), nullable=False),
        pa.field("hour", pa.int32(), nullable=False),
        pa.field("block", pa.int8(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("position", pa.int16(), nullable=False),
        pa.field("score", pa.float32()),
        pa.field("source", pa.string()),
        pa.field("effective", pa.bool_()),
    ]
)
"""One row an item of a slate (`log` predictions) or an exposure (`log` feedback)."""


class Sample:
    """Of one day."""

    def __init__(self, rows: pd.DataFrame | None = None) -> None:
        self._rows = [] if rows is None else [rows]
        self._limit = np.iinfo(np.uint64).max
        self._trim()

    @property
    def limit(self) -> np.uint64:
        """Requests with a hash above it are not taken."""
        return np.uint64(self._limit)

    def add(self, rows: pd.DataFrame) -> None:
        """rows: `SAMPLE`, none above `limit`."""
        self._rows.append(rows.astype({"score": np.float32, "source": object, "effective": object}))
        if sum(map(len, self._rows)) > 40 * SLATES_A_DAY:
            self._trim()

    def table(self) -> pa.Table:
        self._trim()
        if not self._rows:
            return SAMPLE.empty_table()
        return pa.Table.from_pandas(self._rows[0], SAMPLE, preserve_index=False)

    def _trim(self) -> None:
        if not self._rows:
            return
        full = [rows for rows in self._rows if len(rows)] or self._rows[:1]
        rows = full[0] if len(full) == 1 else pd.concat(full, ignore_index=True)
        for log in ("predictions", "feedback"):
            requests = np.unique(rows.loc[rows["log"] == log, "request"].to_numpy())
            if len(requests) > SLATES_A_DAY:
                self._limit = min(self._limit, int(requests[SLATES_A_DAY - 1]))
        self._rows = [rows[rows["request"] <= np.uint64(self._limit)]]


def joined(table: pa.Table) -> pd.DataFrame:
    """Exposures of HiGR's slates that both logs know: request, hour, block, item_id, position, score, effective."""
    rows = table.to_pandas()
    served = rows[(rows["log"] == "predictions") & (rows["source"] == "higr")]
    received = rows.loc[rows["log"] == "feedback", ["request", "item_id", "effective"]]
    served = served.drop(columns=["effective", "log"]).drop_duplicates(["request", "item_id"])
    received = received.drop_duplicates(["request", "item_id"])
    both = served.merge(received, on=["request", "item_id"], validate="one_to_one")
    return both.astype({"effective": bool})
