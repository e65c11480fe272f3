"""New parts of the logs into the state: each is read once, in pieces, and only counts are kept."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from higr.bundle import Bundle
from higr.config import EngagementConfig
from higr.data.conform import EARLIEST_MS
from higr.data.engine import collect, relation
from higr.data.labels import SIGNAL_COLUMN, labelled
from higr.data.logs import FEEDBACK, PREDICTIONS
from higr.data.schemas import EVENTS, LABELLED_EVENTS, Feedback
from higr.errors import InputError
from monitoring.columns import Segments, Whose, milliseconds, tally_feedback, tally_predictions
from monitoring.items import Items
from monitoring.parts import MAX_NOTES, batches, key_hash
from monitoring.sample import SAMPLE
from monitoring.state import State
from monitoring.tally import Places, hours
from monitoring.windows import engagement_of, not_a_length, not_sampled

PIECE_ROWS = 400_000
AHEAD_MS = 3_600_000
"""A row this far in the future comes from a clock that is wrong."""
DAY_MS = 86_400_000
PREDICTION_COLUMNS = frozenset(
    {
        *("request_id", "timestamp", "user_id", "source", "fallback_reason", "model_version", "item_ids"),
        *("scores", "history_length", "degraded", "latency_ms", "features_ms", "sample_share"),
    }
)


@dataclass(frozen=True)
class Folded:
    """What a run read.

    Attributes:
        parts, rows: read, a log; rows before anything was left out.
        skipped: log, a dot and the reason to how many were left out; reason `part` counts files.
        notes: one line a file that has something to be said about it.
    """

    parts: dict[str, int]
    rows: dict[str, int]
    skipped: dict[str, int]
    notes: tuple[str, ...]


class Fold:
    """Reads what is new of both logs into a state; `state.save` is the caller's.

    Args:
        now_ms: rows later than an hour after it are left out as `future`.
    """

    def __init__(self, state: State, bundle: Bundle, segments: Segments, now_ms: int) -> None:
        self.state, self.segments, self.now_ms = state, segments, now_ms
        self.items, self.table = Items.of(bundle), bundle.items
        self.engagement: EngagementConfig = engagement_of(bundle)
        ledger = state.ledger
        ledger.versions = sorted({*ledger.versions, bundle.version, *bundle.manifest.parents})
        self.skipped: Counter[str] = Counter()
        self.notes: list[str] = []
        self.closed_day = state.closed_day

    def __call__(self, predictions: Path, feedback: Path) -> Folded:
        """Raises: InputError: a log directory is missing."""
        parts, rows = {}, {}
        for log, folder, schema, take in (
            ("predictions", predictions, PREDICTIONS, self._predictions),
            ("feedback", feedback, FEEDBACK, self._feedback),
        ):
            if not folder.is_dir():
                raise InputError(
                    f"log directory {folder} does not exist; give the directory that serving "
                    "writes its log to"
                )
            wanted = PREDICTION_COLUMNS if log == "predictions" else None
            before = len(self.state.ledger.parts.get(log, {}))
            rows[log] = 0
            for piece in self._pieces(log, folder, schema, wanted):
                rows[log] += len(piece)
                take(piece)
            parts[log] = len(self.state.ledger.parts.get(log, {})) - before
        return Folded(parts, rows, dict(sorted(self.skipped.items())), tuple(self.notes[:MAX_NOTES]))

    def _pieces(
        self, log: str, folder: Path, schema: pa.Schema, wanted: frozenset[str] | None
    ) -> Iterator[pa.Table]:
        """Rows of the parts that were not read yet, about `PIECE_ROWS` at once."""
        ledger = self.state.ledger.parts.setdefault(log, {})
        waiting: list[pa.Table] = []
        present = set()
        for part in sorted(folder.rglob("*.parquet")):
            name = str(part.relative_to(folder))
            if any(piece.startswith(".") for piece in part.relative_to(folder).parts):
                continue
            present.add(name)
            try:
                found = part.stat()
            except OSError:
                continue  # retention took it between the listing and now
            mark = (found.st_size, found.st_mtime_ns)
            if ledger.get(name) == mark:
                continue
            ledger[name] = mark
            try:
                for batch in batches(part, schema, self.notes, wanted):
                    waiting.append(batch)
                    if sum(map(len, waiting)) >= PIECE_ROWS:
                        yield pa.concat_tables(waiting)
                        waiting = []
            except (pa.ArrowException, OSError, ValueError) as error:
                self.skipped[f"{log}.part"] += 1
                self.notes.append(f"{log}: {name}: left out: {' '.join(str(error).split())[:200]}")
        for gone in ledger.keys() - present:
            del ledger[gone]
        if waiting:
            yield pa.concat_tables(waiting)

    def _predictions(self, table: pa.Table) -> None:
        table = self._whole("predictions", table, PREDICTIONS)
        stamps = milliseconds(table)
        keys = key_hash(table["request_id"], 0)
        other = pc.invert(pc.is_in(table["model_version"], pa.array(self.state.ledger.versions))).to_numpy()
        if other.any():
            self.state.seen["foreign"].repeats(stamps[other] // DAY_MS, keys[other])
        ledger = self.state.ledger
        share = pc.min(pc.fill_null(table["sample_share"], 1.0)).as_py()
        ledger.sample_share = min(ledger.sample_share, 1.0 if share is None else share)
        lengths = [pc.list_value_length(table[name]) for name in ("item_ids", "scores")]
        table, stamps, keys = self._kept(
            "predictions",
            table,
            stamps,
            keys,
            {"malformed": pc.not_equal(*lengths).to_numpy(), "other-version": other},
        )
        if not len(table):
            return
        repeated = self._shown_again(table, stamps)
        tally_predictions(self.state.adding(), table, self.items, self.segments, repeated)
        lists = table["item_ids"].combine_chunks()
        count = np.diff(lists.offsets.to_numpy()).astype(np.int64)
        owner = np.repeat(np.arange(len(table)), count)
        self._sample(
            "predictions",
            table,
            stamps,
            keys,
            owner,
            {
                "item_id": lists.flatten(),
                "position": pa.array(np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)),
                "score": table["scores"].combine_chunks().flatten(),
            },
            {"source": table["source"]},
        )

    def _feedback(self, table: pa.Table) -> None:
        table = self._whole("feedback", table, FEEDBACK)
        lengths = not_a_length(table["watch_seconds"]) | not_a_length(table["duration_seconds"])
        other = self.state.seen["foreign"].has(key_hash(table["request_id"], 0))
        table, _, _ = self._kept(
            "feedback",
            table,
            milliseconds(table),
            key_hash(table["event_id"], 0),
            {
                "malformed": lengths,
                "other-version": other,
                "not-sampled": not_sampled(table["request_id"], self.state.ledger.sample_share),
            },
        )
        if not len(table):
            return
        signal = SIGNAL_COLUMN.get(self.engagement.effective_view, self.engagement.effective_view)
        if table[signal].null_count == len(table):
            self.notes.append(f"feedback: none of {len(table)} rows has {signal}")
        durations = self.table.select(["item_id", "duration_seconds"])
        expression = labelled(relation(table.select(EVENTS.names)), relation(durations), self.engagement)
        known = collect(expression, LABELLED_EVENTS)
        tally_feedback(self.state.adding(), known, self.items, self.segments)
        self._sample(
            "feedback",
            known,
            milliseconds(known),
            key_hash(known["request_id"], 0),
            np.arange(len(known)),
            {
                "item_id": known["item_id"],
                "position": pc.fill_null(known["position"], -1),
                "effective": pc.greater_equal(known["feedback"], int(Feedback.ENGAGED)),
            },
            {},
        )

    def _whole(self, log: str, table: pa.Table, schema: pa.Schema) -> pa.Table:
        """Without the rows that lack what is required."""
        null = np.zeros(len(table), dtype=bool)
        for field in schema:
            if not field.nullable and field.name in table.column_names:
                null |= table[field.name].is_null().to_numpy()
        if null.any():
            self.skipped[f"{log}.malformed"] += int(null.sum())
            table = table.filter(pa.array(~null))
        return table

    def _kept(
        self, log: str, table: pa.Table, stamps: np.ndarray, keys: np.ndarray, reasons: dict[str, np.ndarray]
    ) -> tuple[pa.Table, np.ndarray, np.ndarray]:
        """Rows that count, once; a row's first reason against it is counted, and at its hour where it has
        one."""
        timed = {
            "outside": stamps < EARLIEST_MS,
            "future": stamps > self.now_ms + AHEAD_MS,
            "late": stamps // DAY_MS < self.closed_day,
        }
        keep = np.ones(len(table), dtype=bool)
        for reason, rows in (timed | reasons).items():
            self._skip(log, reason, keep & rows, stamps)
            keep &= ~rows
        place = np.flatnonzero(keep)
        repeated = self.state.seen[log].repeats(stamps[place] // DAY_MS, keys[place])
        again = np.zeros(len(table), dtype=bool)
        again[place[repeated]] = True
        self._skip(log, "duplicate", again, stamps)
        keep &= ~again
        if keep.any():
            newest = int(hours(stamps[keep]).max())
            self.state.ledger.newest_hour = max(self.state.ledger.newest_hour, newest)
        return table.filter(pa.array(keep)), stamps[keep], keys[keep]

    def _skip(self, log: str, reason: str, rows: np.ndarray, stamps: np.ndarray) -> None:
        if not rows.any():
            return
        self.skipped[f"{log}.{reason}"] += int(rows.sum())
        if reason not in ("outside", "future", "late"):
            places = Places(hours(stamps[rows]), np.zeros(int(rows.sum()), np.int64))
            self.state.adding().add(
                "skipped", places, np.zeros(int(rows.sum()), np.int64), [f"{log}.{reason}"]
            )

    def _shown_again(self, table: pa.Table, stamps: np.ndarray) -> np.ndarray:
        """(positions,) bool: the user was served the item earlier on the same day."""
        lists = table["item_ids"].combine_chunks()
        owner = np.repeat(np.arange(len(table)), np.diff(lists.offsets.to_numpy()))
        user = _hashes(table["user_id"].combine_chunks())[owner]
        item = _hashes(lists.flatten())
        key = user * np.uint64(0x9E3779B97F4A7C15) + item
        return self.state.seen["shown"].repeats(stamps[owner] // DAY_MS, key)

    def _sample(
        self,
        log: str,
        table: pa.Table,
        stamps: np.ndarray,
        keys: np.ndarray,
        owner: np.ndarray,
        of_items: dict[str, pa.Array],
        of_rows: dict[str, pa.Array],
    ) -> None:
        """Items of the requests with the smallest hashes of their day.

        owner: the row of `table` that each item belongs to. of_items, of_rows: columns of `SAMPLE`, one
        value an item, or one a row.
        """
        days = stamps // DAY_MS
        block = Whose.of(table["user_id"], Segments()).block
        for day in np.unique(days).tolist():
            sample = self.state.sampling(day)
            taken = np.flatnonzero(((days == day) & (keys <= sample.limit))[owner])
            row = owner[taken]
            columns = {
                "request": keys[row],
                "log": pa.repeat(pa.scalar(log), len(row)),
                "hour": hours(stamps[row]),
                "block": block[row],
                **{name: values.take(pa.array(taken)) for name, values in of_items.items()},
                **{name: values.take(pa.array(row)) for name, values in of_rows.items()},
            }
            sample.add(
                pa.table(
                    [
                        pa.table({name: columns[name]})[name].cast(field.type)
                        if (name := field.name) in columns
                        else pa.nulls(len(row), field.type)
                        for field in SAMPLE
                    ],
                    schema=SAMPLE,
                )
            )


def _hashes(column: pa.Array) -> np.ndarray:
    """(rows,) uint64."""
    encoded = column.dictionary_encode()
    own = key_hash(pa.chunked_array([encoded.dictionary]), 0)
    return own[encoded.indices.to_numpy(zero_copy_only=False)]
