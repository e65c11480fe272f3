"""A few slates of every day with what became of them: what needs both logs at once is measured on these.

The slates of a day with the smallest hashes of their request ids: both logs agree on them, whichever comes
first, and more rows of a day change the sample only as far as they must.
"""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

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
    """Of one day. rows: `SAMPLE`, from before."""

    def __init__(self, rows: pa.Table) -> None:
        self._tables = [rows]
        self._limit = int(np.iinfo(np.uint64).max)
        self._trim()

    @property
    def limit(self) -> np.uint64:
        """Requests with a hash above it are not taken."""
        return np.uint64(self._limit)

    def add(self, rows: pa.Table) -> None:
        """rows: `SAMPLE`, none above `limit`."""
        self._tables.append(rows)
        if sum(map(len, self._tables)) > 40 * SLATES_A_DAY:
            self._trim()

    def table(self) -> pa.Table:
        self._trim()
        return self._tables[0]

    def _trim(self) -> None:
        rows = pa.concat_tables(self._tables)
        request = rows["request"].to_numpy()
        for log in ("predictions", "feedback"):
            requests = np.unique(request[pc.equal(rows["log"], log).to_numpy()])
            if len(requests) > SLATES_A_DAY:
                self._limit = min(self._limit, int(requests[SLATES_A_DAY - 1]))
        self._tables = [rows.filter(pa.array(request <= self.limit)).combine_chunks()]


def joined(table: pa.Table) -> pd.DataFrame:
    """Exposures of HiGR's slates that both logs know: request, hour, block, item_id, position, score,
    effective."""
    rows = table.to_pandas()
    served = rows[(rows["log"] == "predictions") & (rows["source"] == "higr")]
    received = rows.loc[rows["log"] == "feedback", ["request", "item_id", "effective"]]
    served = served.drop(columns=["effective", "log"]).drop_duplicates(["request", "item_id"])
    received = received.drop_duplicates(["request", "item_id"])
    both = served.merge(received, on=["request", "item_id"], validate="one_to_one")
    return both.astype({"effective": bool})
