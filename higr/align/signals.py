"""What items are worth beside what users say of them: freshness, exposure of creators, value.

None of it is in the paper. Signals are policy: `align.preference.signals` names them.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from higr.catalog import Catalog
from higr.config import PreferenceConfig
from higr.data.prepared import PreparedData
from higr.errors import InputError
from higr.training.exposures import PADDING

DAY_MS = 86_400_000


@dataclass(frozen=True)
class Signals:
    """The configured signals of a table of S slates and a catalogue of N items.

    Attributes:
        moments: (S,) float64, when each slate was shown, days since 1970.
        levels: for each kind of signal (N,) float64, by which items are compared: for freshness the day
            they were made, -inf where nobody knows; for the others the signal itself, in [0, 1].
        half_life_days: of freshness.
    """

    moments: np.ndarray
    levels: dict[str, np.ndarray]
    half_life_days: float

    @classmethod
    def build(cls, data: PreparedData, slates: pa.Table, catalog: Catalog, config: PreferenceConfig) -> Self:
        """Of `config.signals`.

        Raises:
            InputError: a signal whose column is null for every item of the catalogue, or, for
                creator_exposure, no events in the training period.
        """
        kinds = {signal.kind: signal for signal in config.signals}
        places = pc.index_in(pa.array(catalog.item_ids, pa.string()), value_set=data.items["item_id"])
        columns = data.items.select(["item_id", "creator_id", "created_at", "value"])
        items = columns.take(places)  # (N), a null row for an item that the table lacks
        measures = {
            "freshness": lambda: _days(_column(items, "created_at", "freshness")),
            "creator_exposure": lambda: _creator_exposure(items, data.train_events),
            "value": lambda: _value(_column(items, "value", "value")),
        }
        return cls(
            _days(slates["timestamp"]),
            {kind: measures[kind]() for kind in kinds},
            kinds["freshness"].half_life_days if "freshness" in kinds else 1.0,
        )

    def values(self, kind: str, rows: np.ndarray, items: np.ndarray) -> np.ndarray:
        """(R, L) the signal of every item at its slate's moment, in [0, 1]; 0 for PADDING.

        Args:
            rows: (R,) of the slates.
            items: (R, L) catalogue positions.
        """
        values = self.levels[kind][items]
        if kind == "freshness":
            age = np.maximum(self.moments[rows, None] - values, 0.0)
            values = np.exp2(-age / self.half_life_days)
        return np.where(items == PADDING, 0.0, values)


def scaled_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0, the lowest, to 1, the highest; equal values share their mean rank; all equal: 0."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts + 1) / 2
    span = ranks[-1] - ranks[0]
    return ((ranks - ranks[0]) / span if span else np.zeros(len(ranks)))[which]


def _creator_exposure(items: pa.Table, events: pa.Table) -> np.ndarray:
    """1 for the creators exposed least, 0 for the one exposed most, and for items without a creator."""
    creator = _column(items, "creator_id", "creator_exposure").combine_chunks().dictionary_encode()
    if not events.num_rows:
        raise InputError(
            "events: there are none in the training period, but align.preference.signals names "
            "creator_exposure; let data.validation_start be later, or remove the signal"
        )
    places = pc.index_in(events["item_id"], value_set=items["item_id"])
    shown = creator.indices.take(places.combine_chunks()).drop_null().to_numpy()
    ranks = scaled_ranks(np.bincount(shown, minlength=len(creator.dictionary)))
    owner = pc.fill_null(creator.indices, 0).to_numpy()
    return np.where(_known(creator), 1 - ranks[owner], 0.0)


def _value(column: pa.ChunkedArray) -> np.ndarray:
    """By rank among the items that have a value; 0 for those that have none."""
    known = _known(column)
    levels = np.zeros(len(known))
    levels[known] = scaled_ranks(column.drop_null().to_numpy())
    return levels


def _days(moments: pa.ChunkedArray) -> np.ndarray:
    stamps = pc.fill_null(moments.cast(pa.int64()).cast(pa.float64()), -np.inf).to_numpy()
    return np.asarray(stamps / DAY_MS)


def _known(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    return np.asarray(pc.is_valid(column).to_numpy(zero_copy_only=False))


def _column(items: pa.Table, column: str, kind: str) -> pa.ChunkedArray:
    values = items[column]
    if values.null_count == len(values):
        raise InputError(
            f"items.{column} is null for all {len(values)} items of the catalogue, but "
            f"align.preference.signals names {kind}; supply the column, or remove the signal"
        )
    return values
