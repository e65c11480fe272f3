"""Rows of the logs as counts: which columns there are, and what each counts.

| column | cell | n, total |
|---|---|---|
| source, reason | who made the slate, why not HiGR (but for the switch) | slates |
| switched | | slates, those that the switch sent to the baseline |
| degraded, no_history | | slates, how many of them |
| history_length, latency_ms, features_ms | | slates, sum |
| diversity, prefix_repetition | | slates, sum of shares |
| served_code_1.., served_category | code, category | positions |
| served_prefix, served_item | first two codes, item; by day | positions |
| served_new, served_unknown, popularity, repeated | | positions, sum |
| score | | positions of HiGR, sum |
| feedback | level | exposures |
| effective_view, watch_ratio, no_signal | | exposures, sum |
| effective_at, strength_at | position | exposures, sum |
| effective_in | segment | exposures, sum |
| exposed_code_1, exposed_category | code, category | exposures |
| engaged_code_1.., engaged_category | code, category | effective views |
| engaged_in | segment, tab, category | effective views |
| strength | | effective views, sum |
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from higr.data.schemas import Feedback
from higr.errors import InputError
from monitoring.items import UNKNOWN, Items
from monitoring.parts import key_hash
from monitoring.tally import BLOCKS, Places, Tally, hours

FEEDBACK_LABELS = np.array([level.name.lower() for level in Feedback], dtype=object)
MAX_POSITIONS = 32
SEPARATOR = "\t"
SWITCH = "switch"
"""Reason of a fallback that the switch asked for."""


@dataclass(frozen=True)
class Segments:
    """Users by one field of their profile.

    Attributes:
        name: of the field; empty: everybody is in one segment.
        users: user id to segment.
    """

    name: str = ""
    users: "pd.Series[str]" = field(default_factory=lambda: pd.Series(dtype=object))

    @classmethod
    def of(cls, users: pa.Table, name: str) -> "Segments":
        """Raises: InputError: the users have no such field."""
        if name not in users.column_names or name == "user_id":
            known = ", ".join(other for other in users.column_names if other != "user_id")
            raise InputError(f"segment {name!r} is no field of the users' profiles; they have {known}")
        values = users[name].cast(pa.string()).fill_null(UNKNOWN).to_pylist()
        table = pd.Series(values, index=users["user_id"].to_pylist(), dtype=object)
        return cls(name, table[~table.index.duplicated()])

    def __call__(self, user_ids: list[str]) -> np.ndarray:
        if not self.name:
            return np.full(len(user_ids), "all", dtype=object)
        return self.users.reindex(user_ids).fillna(UNKNOWN).to_numpy(dtype=object)


@dataclass(frozen=True)
class Whose:
    """The users of a batch: (rows,) block, and (rows,) position in the labels of their segments."""

    block: np.ndarray
    segment: np.ndarray
    segments: np.ndarray

    @classmethod
    def of(cls, user_ids: pa.ChunkedArray, segments: Segments) -> "Whose":
        encoded = user_ids.combine_chunks().dictionary_encode()
        names: list[str] = encoded.dictionary.to_pylist()
        rows = encoded.indices.to_numpy(zero_copy_only=False)
        block = (key_hash(pa.chunked_array([encoded.dictionary]), 0) % BLOCKS).astype(np.int64)
        segment, labels = pd.factorize(segments(names))
        return cls(block[rows], segment[rows].astype(np.int64), np.asarray(labels, dtype=object))


def milliseconds(table: pa.Table) -> np.ndarray:
    """(rows,) int64 since 1970."""
    return table["timestamp"].cast(pa.int64()).to_numpy()


def tally_predictions(
    tally: Tally, table: pa.Table, items: Items, segments: Segments, repeated: np.ndarray
) -> None:
    """table: checked rows of the prediction log. repeated: (positions,) bool, this user has had it today."""
    whose = Whose.of(table["user_id"], segments)
    slates = Places(hours(milliseconds(table)), whose.block)
    reason = table["fallback_reason"].fill_null("none")
    switched = pc.equal(reason, SWITCH)  # somebody's will, or this job's: no trouble of HiGR's
    tally.add("source", slates, *_labelled(table["source"]))
    tally.add("reason", slates, *_labelled(pc.if_else(switched, "none", reason)))
    tally.add("switched", slates, values=switched.to_numpy().astype(float))
    history = _floats(table["history_length"])
    for column, values in (
        ("degraded", _floats(table["degraded"])),
        ("no_history", (history == 0).astype(float)),
        ("history_length", history),
        ("latency_ms", _floats(table["latency_ms"])),
    ):
        tally.add(column, slates, values=values)
    if "features_ms" in table.column_names:
        tally.add("features_ms", slates, values=_floats(table["features_ms"]))

    lists = table["item_ids"].combine_chunks()
    lengths = np.diff(lists.offsets.to_numpy()).astype(np.int64)
    owner = np.repeat(np.arange(len(table)), lengths)
    item = items.rows(lists.flatten())
    tally.add("diversity", slates, values=_pairs_apart(items.category[item], owner, lengths))
    tally.add("prefix_repetition", slates, values=_largest(items.codes[item, 0], owner, lengths))
    served = slates.taken(owner)
    _describe(tally, "served", served, item, items)
    cells, labels = items.prefixes
    tally.add("served_prefix", served, cells[item], labels, coarse=True)
    tally.add("served_item", served, item, np.append(items.ids.to_numpy(dtype=object), UNKNOWN), coarse=True)
    from_higr = pc.equal(table["source"], "higr").to_numpy()[owner]
    scores = table["scores"].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(float)
    for column, values in (
        ("served_new", items.new[item].astype(float)),
        ("served_unknown", (item == len(items.ids)).astype(float)),
        ("popularity", items.popularity[item]),
        ("repeated", repeated.astype(float)),
        ("score", np.where(from_higr & np.isfinite(scores), scores, np.nan)),
    ):
        tally.add(column, served, values=values)


def tally_feedback(tally: Tally, table: pa.Table, items: Items, segments: Segments) -> None:
    """table: `higr.data.schemas.LABELLED_EVENTS`."""
    whose = Whose.of(table["user_id"], segments)
    places = Places(hours(milliseconds(table)), whose.block)
    level = table["feedback"].to_numpy()
    engaged = level >= Feedback.ENGAGED
    strength = table["strength"].to_numpy().astype(float)
    item = items.rows(table["item_id"])
    tally.add("feedback", places, level.astype(np.int64), FEEDBACK_LABELS)
    watched, duration = _floats(table["watch_seconds"]), _floats(table["duration_seconds"])
    ratio = np.divide(watched, duration, out=np.full(len(watched), np.nan), where=duration > 0)
    tally.add("effective_view", places, values=engaged.astype(float))
    tally.add("watch_ratio", places, values=np.minimum(ratio, 5.0))
    tally.add("no_signal", places, values=np.isnan(watched).astype(float))
    position = _floats(table["position"])
    known = np.isfinite(position)
    spot = np.clip(position[known], 0, MAX_POSITIONS - 1).astype(np.int64)
    labels = [str(p + 1) for p in range(MAX_POSITIONS)]
    tally.add("effective_at", places.taken(known), spot, labels, engaged[known].astype(float))
    tally.add("strength_at", places.taken(known), spot, labels, strength[known])
    tally.add("effective_in", places, whose.segment, whose.segments, engaged.astype(float))
    tally.add("exposed_category", places, items.category[item], items.categories)
    tally.add("exposed_code_1", places, items.codes[item, 0] % len(items.code_labels), items.code_labels)
    views = places.taken(engaged)
    _describe(tally, "engaged", views, item[engaged], items)
    width = len(items.categories)
    both = [f"{s}{SEPARATOR}{c}" for s in whose.segments for c in items.categories]
    tally.add("engaged_in", views, whose.segment[engaged] * width + items.category[item[engaged]], both)
    tally.add("strength", views, values=strength[engaged])


def _describe(tally: Tally, frame: str, places: Places, item: np.ndarray, items: Items) -> None:
    for level in range(items.depth):
        code = items.codes[item, level] % len(items.code_labels)  # -1, unknown, is the last label
        tally.add(f"{frame}_code_{level + 1}", places, code, items.code_labels)
    tally.add(f"{frame}_category", places, items.category[item], items.categories)


def _labelled(column: pa.ChunkedArray) -> tuple[np.ndarray, list[str]]:
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary.to_pylist()


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    """(rows,) float64, NaN for null."""
    return column.cast(pa.float64()).to_numpy().astype(np.float64)


def _pairs_apart(category: np.ndarray, owner: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """(slates,) share of a slate's pairs of items that are of different categories; NaN for fewer than
    two."""
    slate, count = _counts(category, owner)
    same = np.bincount(slate, count * (count - 1), minlength=len(lengths))
    pairs = lengths * (lengths - 1.0)
    return 1 - np.divide(same, pairs, out=np.full(len(lengths), np.nan), where=pairs > 0)


def _largest(code: np.ndarray, owner: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """(slates,) share of a slate's items that have its most frequent first code; NaN for an empty slate."""
    most = np.zeros(len(lengths))
    slate, count = _counts(code, owner)
    np.maximum.at(most, slate, count)
    return np.divide(most, lengths, out=np.full(len(lengths), np.nan), where=lengths > 0)


def _counts(kind: np.ndarray, owner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of every owner and kind that occur together: the owner, and how often. kind: from -1."""
    width = int(kind.max(initial=0)) + 2
    key, count = np.unique(owner * width + kind + 1, return_counts=True)
    return key // width, count
