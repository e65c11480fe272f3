"""Amazon reviews as purchase sequences (McAuley lab, UCSD; research only, not redistributable).

`data.path` is a folder and the name of a set in it: <path>.inter.parquet holds user_id, item_id and
timestamp (seconds, to the day; rows of a user in the order of purchase), <path>.items.parquet item_id
and title. There are no exposures: every event is a purchase, which counts as clicked. Purchases of one
user on one day are put a millisecond apart, in their order.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from higr.config import DataConfig
from higr.data.raw import RawTables, read_parquet

EVENTS = {"user_id": pa.int64(), "item_id": pa.int64(), "timestamp": pa.int64()}
ITEMS = {"item_id": pa.int64(), "title": pa.string()}


def load(config: DataConfig, seed: int) -> RawTables:
    """Read both files; `seed` has no part in it.

    Raises:
        InputError: a file is missing, unreadable or lacks a column.
    """
    events, items = (Path(f"{config.path}.{name}.parquet") for name in ("inter", "items"))
    return RawTables(
        events=_events(read_parquet(events, EVENTS)),
        items=_items(read_parquet(items, ITEMS)),
        users=None,
        files={"events": str(events), "items": str(items)},
    )


def _events(log: pa.Table) -> pa.Table:
    moments = pc.multiply(log["timestamp"], 1000)
    return pa.table(
        {
            "user_id": log["user_id"],
            "item_id": log["item_id"],
            "timestamp": pc.add(moments, pa.array(_place(log))),
            "clicked": pa.array(np.ones(log.num_rows, dtype=bool)),
        }
    )


def _place(log: pa.Table) -> np.ndarray:
    """(rows,) int64 of each row among those of its user and moment, from 0; missing values are one user's."""
    keys = [pc.fill_null(log[name], -1).to_numpy() for name in ("timestamp", "user_id")]
    order = np.lexsort(keys)
    new = np.ones(len(order), dtype=bool)
    new[1:] = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
    start = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order)) - start
    return place


def _items(products: pa.Table) -> pa.Table:
    return pa.table(
        {
            "item_id": products["item_id"],
            "category": pa.array(["unknown"] * products.num_rows),
            "text": products["title"],
        }
    )
