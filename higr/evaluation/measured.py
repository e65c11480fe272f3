"""Per-slate values of one model: what intervals, paired tests and slices are made of."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from higr.errors import InputError
from higr.files import read_table, write_table

IDS = ("slate_id", "user_id")
SLICE = "slice:"
"""What the Parquet columns of slices begin with."""
TOTALS = b"higr.totals"


@dataclass(frozen=True)
class Measured:
    """One model on S test slates.

    Attributes:
        slates: (S,) slate ids, in the order of the test set.
        users: (S,) who each slate was for.
        values: metric to (S,) float64, NaN where it is not defined.
        slices: slice of users to (S,) bool: the slates in it.
        totals: what only all slates together have: `coverage` and `gini`.
    """

    slates: np.ndarray
    users: np.ndarray
    values: Mapping[str, np.ndarray]
    slices: Mapping[str, np.ndarray]
    totals: Mapping[str, float]

    def within(self, name: str) -> "Measured":
        """The slates of one slice.

        Raises:
            InputError: no such slice, or no slate in it.
        """
        if name not in self.slices:
            raise InputError(f"evaluation: no slice {name!r}; there are {list(self.slices)}")
        rows = self.slices[name]
        if not rows.any():
            raise InputError(f"evaluation: slice {name!r} holds none of {len(rows)} slates; leave it out")
        return self.part(rows, list(self.values))

    def part(self, rows: np.ndarray, metrics: Sequence[str]) -> "Measured":
        """Some slates, given as (S,) bool, and some metrics; without totals, which are of all slates."""
        return Measured(
            self.slates[rows],
            self.users[rows],
            {metric: self.values[metric][rows] for metric in metrics},
            {name: inside[rows] for name, inside in self.slices.items()},
            {},
        )

    def save(self, path: Path) -> None:
        """Write one Parquet file: a row a slate, a column a metric or slice."""
        columns = {
            **dict(zip(IDS, (pa.array(self.slates.tolist()), pa.array(self.users.tolist())), strict=True)),
            **{metric: pa.array(values) for metric, values in self.values.items()},
            **{f"{SLICE}{name}": pa.array(inside) for name, inside in self.slices.items()},
        }
        totals = json.dumps(dict(self.totals)).encode()
        write_table(path, pa.table(columns).replace_schema_metadata({TOTALS: totals}))

    @classmethod
    def load(cls, path: Path) -> "Measured":
        """Read what `save` wrote.

        Raises:
            InputError: missing, not Parquet, or not written by `save`.
        """
        table = read_table(path)
        metadata = table.schema.metadata or {}
        if TOTALS not in metadata or tuple(table.column_names[:2]) != IDS:
            raise InputError(f"{path} does not hold values a slate; evaluate again")
        rest = {name: table[name].to_numpy() for name in table.column_names[2:]}
        slates, users = (np.array(table[name].to_pylist(), dtype=str) for name in IDS)
        return cls(
            slates,
            users,
            {name: column for name, column in rest.items() if not name.startswith(SLICE)},
            {name.removeprefix(SLICE): column for name, column in rest.items() if name.startswith(SLICE)},
            json.loads(metadata[TOTALS]),
        )
