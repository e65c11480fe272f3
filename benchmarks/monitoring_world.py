"""Traffic for `benchmarks.monitoring`: the simulator's users, day by day, with a weekly rhythm, sound or
broken.

Slates are the simulator's logging policy's, in the place of a trained model's: what is measured here is
whether a change of traffic is seen, not how good the slates are. The catalogue's codes are those of a real
tokenizer,
fitted to the items that were there at the start; the rest come later.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from higr.bundle import Bundle, derive_bundle, write_bundle
from higr.catalog import Catalog
from higr.catalog_update import Changes, update_bundle
from higr.config import RunConfig, SimulatorConfig, load_config
from higr.data.labels import label
from higr.data.logs import FEEDBACK, PREDICTIONS
from higr.data.population import DAY_MS, START_MS
from higr.data.prepare import prepare
from higr.data.prepared import PreparedData
from higr.data.schemas import EVENTS, ITEMS
from higr.data.simulator import HOURS, World, goes_on
from higr.files import write_json, write_table
from higr.progress import no_progress
from higr.tokenizer.catalogue import build_catalog
from higr.tokenizer.tokenizer import Tokenizer

NEVER = 1 << 60
LATE_SHARE = 0.4
"""Of the items that exist, those that are in nobody's catalogue at the start."""
TRICKLE = 0.03
"""Of the items, those that come during the reference period: some new items are usual."""
WEEKEND = 1.5
"""Requests of a Saturday or Sunday over those of another day; its slates are also watched longer."""
SIZE = 8


@dataclass
class Fault:
    """What a day's traffic does differently; the defaults are a sound day.

    Attributes:
        feedback: share of exposures that are reported.
        stale: share of slates made from an old state of the user: short history, and today's items again.
        onward: added to the chance of going on to the next position.
        bad_scores: share of the score that is noise and popularity instead of what users like.
        shifted: (age, category, share): of that age's effective views, the share that moves to the category.
    """

    feedback: float = 1.0
    stale: float = 0.0
    onward: float = 0.0
    bad_scores: float = 0.0
    shifted: tuple[str, int, float] | None = None


class Traffic:
    """One world, and the logs of its days."""

    def __init__(self, users: int, items: int, slates: int, seed: int = 0) -> None:
        config = SimulatorConfig(users=users, items=items, slate_size=SIZE)
        self.world = World(config, seed)
        self.seed, self.slates = seed, slates
        rng = np.random.default_rng([seed, 1])
        order = rng.permutation(items)
        self.late = np.sort(order[: int(LATE_SHARE * items)])
        self.trickle = order[int(LATE_SHARE * items) : int((LATE_SHARE + TRICKLE) * items)]
        created = self.world.items.created
        created[:] = START_MS - 10 * DAY_MS
        created[self.late] = NEVER
        self.ids = np.array(self.world.items.table["item_id"].to_pylist(), dtype=object)
        self.users = np.array(self.world.users.table["user_id"].to_pylist(), dtype=object)
        self.ages = np.array(self.world.users.table["age"].to_pylist(), dtype=object)

    def day(
        self, day: int, version: str, codes: dict[str, list[int]], fault: Fault | None = None
    ) -> tuple[pa.Table, pa.Table]:
        """Both logs of a day, by its number since the start."""
        fault = fault or Fault()
        rng = np.random.default_rng([self.seed, 2, day + 1])
        world, weekend = self.world, (day + 3) % 7 >= 5  # the start is a Thursday
        count = int(rng.normal(1, 0.04) * self.slates * (WEEKEND if weekend else 1.0))
        chance = world.users.activity * np.where(weekend & (np.arange(len(self.users)) % 3 == 0), 2.0, 1.0)
        users = rng.choice(len(self.users), size=count, p=chance / chance.sum())
        hour = rng.choice(24, size=count, p=HOURS / HOURS.sum()) + rng.random(count)
        moments = START_MS + day * DAY_MS + (hour * DAY_MS / 24).astype(np.int64)
        items, there = world.policy.show(rng, users, moments)
        affinity = np.einsum("rc,rmc->rm", world.users.vector[users], world.items.vector[items])
        liking = (1 - fault.bad_scores) * affinity + fault.bad_scores * rng.normal(0, 0.35, affinity.shape)
        scores = -9 + 4 * liking + rng.normal(0, 0.3, affinity.shape)
        if fault.bad_scores:  # the model decodes what it now believes in
            pool = rng.choice(self._there(moments[0]), size=items.shape)
            swap = rng.random(items.shape) < 0.7 * fault.bad_scores
            items = np.where(swap, pool, items)
        scores[~there] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")
        items, scores, there = (np.take_along_axis(a, order, axis=1) for a in (items, scores, there))
        there &= _first(items)
        stale = rng.random(count) < fault.stale
        if fault.stale:
            items = self._again(users, items, stale)
            there &= _first(items)
        watched = self._watch(rng, users, items, there, fault, 1.05 if weekend else 1.0)
        names = np.array([f"d{day:03d}-{i:07d}" for i in range(count)], dtype=object)
        history = np.maximum(rng.poisson(30, count) - np.where(stale, 18, 0), 0)
        history[rng.random(count) < 0.03] = 0
        lengths = there.sum(axis=1)
        flat = self.ids[items[there]]
        predictions = pa.table(
            {
                "request_id": names,
                "timestamp": moments,
                "user_id": self.users[users],
                "source": np.where(rng.random(count) < 0.003, "baseline", "higr"),
                "fallback_reason": pa.nulls(count, pa.string()),
                "model_version": np.full(count, version, dtype=object),
                "item_ids": _lists(pa.array(flat), lengths),
                "scores": _lists(pa.array(scores[there].astype(np.float32)), lengths),
                "semantic_ids": _lists(_lists(_flat_codes(flat, codes), np.full(len(flat), 3)), lengths),
                "history_length": history.astype(np.int32),
                "degraded": rng.random(count) < 0.002,
                "latency_ms": rng.gamma(4, 5, count).astype(np.float32),
                "propensities": pa.nulls(count, pa.list_(pa.float32())),
            }
        )
        return _as(predictions, PREDICTIONS), self._feedback(
            rng, users, items, there, moments, names, watched, fault
        )

    def _watch(
        self,
        rng: np.random.Generator,
        users: np.ndarray,
        items: np.ndarray,
        there: np.ndarray,
        fault: Fault,
        more: float,
    ) -> np.ndarray:
        """(R, M) seconds, as the simulator draws them."""
        world = self.world
        interest = np.clip(world.interest(users, items, np.zeros(items.shape)) * more, 0, 1)
        onward = rng.random(items.shape) < np.clip(goes_on(interest) + fault.onward, 0, 1)
        seen = np.concatenate(
            [np.ones((len(users), 1), bool), np.cumprod(onward, axis=1)[:, :-1] > 0], axis=1
        )
        seconds = seen * world.mean_seconds(interest, items) * 2 * rng.beta(3.0, 3.0, size=items.shape)
        if fault.shifted:
            age, category, share = fault.shifted
            mine = (self.ages[users] == age)[:, None] & there
            duration = world.items.duration[items]
            engaged = mine & (seconds >= 0.5 * duration)
            wanted = mine & (world.items.category[items] == category)
            lose = engaged & ~wanted & (rng.random(items.shape) < share)
            idle = wanted & ~engaged
            gain = idle & (rng.random(items.shape) < min(lose.sum() / max(idle.sum(), 1), 1.0))
            seconds = np.where(lose, 0.1 * duration, np.where(gain, 0.8 * duration, seconds))
        return seconds

    def _feedback(
        self,
        rng: np.random.Generator,
        users: np.ndarray,
        items: np.ndarray,
        there: np.ndarray,
        moments: np.ndarray,
        names: np.ndarray,
        seconds: np.ndarray,
        fault: Fault,
    ) -> pa.Table:
        kept = there & (rng.random((len(users), 1)) < fault.feedback)
        row, place = np.nonzero(kept)
        elapsed = np.cumsum(seconds + 1, axis=1)[row, place] * 10  # milliseconds, hurried: a day stays a day
        table = pa.table(
            {
                "event_id": np.array(
                    [f"{names[r]}-{p}" for r, p in zip(row, place, strict=True)], dtype=object
                ),
                "user_id": self.users[users[row]],
                "item_id": self.ids[items[row, place]],
                "timestamp": np.minimum(
                    moments[row] + elapsed.astype(np.int64), moments[row] // DAY_MS * DAY_MS + DAY_MS - 1
                ),
                "request_id": names[row],
                "position": (place + 1).astype(np.int16),
                "watch_seconds": seconds[row, place].astype(np.float32),
                "duration_seconds": self.world.items.duration[items[row, place]].astype(np.float32),
            }
        )
        return _as(table, FEEDBACK)

    def _there(self, moment: int) -> np.ndarray:
        return np.flatnonzero(self.world.items.created <= moment)

    def _again(self, users: np.ndarray, items: np.ndarray, stale: np.ndarray) -> np.ndarray:
        """A user whose features are old gets the items of his day's first slate again."""
        first: dict[int, int] = {}
        found = items.copy()
        for row, user in enumerate(users.tolist()):
            if stale[row] and user in first:
                found[row] = items[first[user]]
            first.setdefault(user, row)
        return found


@dataclass
class Setting:
    """A folder with a bundle and where its logs go. `codes`: item to semantic ID, as the log repeats it."""

    folder: Path
    bundle: Bundle
    traffic: Traffic

    @property
    def codes(self) -> dict[str, list[int]]:
        return dict(zip(self.bundle.catalog.item_ids, self.bundle.catalog.codes.tolist(), strict=True))

    def write(self, day: int, folder: Path, fault: Fault | None = None) -> None:
        """One part a log."""
        tables = self.traffic.day(day, self.bundle.version, self.codes, fault)
        for log, table in zip(("predictions", "feedback"), tables, strict=True):
            (folder / log).mkdir(parents=True, exist_ok=True)
            pq.write_table(table, folder / log / f"day-{day:03d}.parquet", compression="zstd")


def make_setting(folder: Path, users: int, items: int, slates: int, seed: int = 0) -> Setting:
    """A bundle with a real tokenizer and catalogue; model and baseline are bare: nobody asks them here."""
    traffic = Traffic(users, items, slates, seed)
    config = load_config(
        "nano",
        {
            "data.simulator.users": 60,
            "data.simulator.items": items,
            "seed": seed,
            "tokenizer.kind": "rq_kmeans",
            "tokenizer.codebook_size": 32,
            "monitoring.min_rows": 200,
        },
    )
    present = np.setdiff1d(np.arange(items), np.union1d(traffic.late, traffic.trickle))
    table = _items(traffic, np.union1d(present, traffic.trickle))
    data = prepare(config.data, config.seed)
    fitted = replace(data, items=_items(traffic, present))
    tokenizer = Tokenizer.fit(_only_known(fitted), config.tokenizer, config.seed)
    old = _items(traffic, present)
    catalog, _ = build_catalog(tokenizer.encode(old), tokenizer, np.zeros(len(old)))
    first = _seal(folder / "first", traffic, tokenizer, catalog, old, config)
    bundle = _updated(first, folder / "bundle", table)
    return Setting(folder, bundle, traffic)


def _only_known(data: PreparedData) -> PreparedData:
    known = pa.array(data.items["item_id"].to_pylist())
    keep = pa.compute.is_in(data.events["item_id"], known)
    return replace(data, events=data.events.filter(keep))


def _seal(
    path: Path, traffic: Traffic, tokenizer: Tokenizer, catalog: Catalog, items: pa.Table, config: RunConfig
) -> Bundle:
    parts = path.with_name("parts")
    tokenizer.save(parts / "tokenizer")
    catalog.save(parts / "catalog.parquet")
    write_json(parts / "model" / "config.json", {"tokenizer_id": tokenizer.id})
    write_table(parts / "baseline" / "items.parquet", items.select(["item_id"]))
    codes = dict(zip(catalog.item_ids, catalog.codes.tolist(), strict=True))
    predictions, feedback = traffic.day(-1, "reference", codes)
    bundle = write_bundle(
        path,
        items=items,
        tokenizer=parts / "tokenizer",
        catalog=parts / "catalog.parquet",
        model=parts / "model",
        baseline=parts / "baseline",
        reference={
            "predictions": predictions,
            "feedback": label(feedback.select(EVENTS.names), items, config.data.engagement),
        },
        data_fingerprint="",
        config=config.model_dump(mode="json"),
        metrics={},
    )
    shutil.rmtree(parts)
    return bundle


def _items(
    traffic: Traffic, rows: np.ndarray, change: Callable[[list[dict[str, Any]]], None] | None = None
) -> pa.Table:
    table = traffic.world.items.table.take(pa.array(rows)).to_pylist()
    for row in table:
        row["created_at"] = datetime.fromtimestamp(START_MS / 1000, UTC)
    if change:
        change(table)
    return pa.Table.from_pylist([{n: row.get(n) for n in ITEMS.names} for row in table], ITEMS)


def _updated(bundle: Bundle, path: Path, items: pa.Table) -> Bundle:
    file = path.with_name(f"{path.name}-new.parquet")
    known = pa.array(bundle.catalog.item_ids)
    write_table(file, items.filter(pa.compute.invert(pa.compute.is_in(items["item_id"], known))))
    update_bundle(bundle.path, path, Changes(items=file), no_progress)
    return Bundle.open(path)


def _first(items: np.ndarray) -> np.ndarray:
    """(R, M) bool: the item's first place in its slate."""
    earlier = np.tril(np.ones((items.shape[1],) * 2, dtype=bool), k=-1)
    return ~((items[:, :, None] == items[:, None, :]) & earlier).any(axis=2)


def _lists(flat: pa.Array, lengths: np.ndarray) -> pa.ListArray:
    return pa.ListArray.from_arrays(
        pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)), flat
    )


def _flat_codes(ids: np.ndarray, codes: dict[str, list[int]]) -> pa.Array:
    return pa.array(np.array([codes.get(item, [0, 0, 0])[:3] for item in ids], dtype=np.int32).ravel())


def _as(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        table[f.name].cast(pa.int64()).cast(f.type)
        if f.name == "timestamp"
        else table[f.name].cast(f.type)
        if f.name in table.column_names
        else pa.nulls(len(table), f.type)
        for f in schema
    ]
    return pa.table(columns, schema=schema)


# Faults: each prepares the world or the bundle, and says what its days do differently.


def broken_embeddings(s: Setting) -> Fault:
    """A batch of new items comes with content that is noise."""
    rng = np.random.default_rng(5)
    rows = s.traffic.late[: len(s.traffic.late) // 3]

    def garble(table: list[dict[str, Any]]) -> None:
        for row in table:
            row["text"] = "".join(rng.choice(list("qxzjkvw "), size=40))
            row["tags"] = ["".join(rng.choice(list("qxzjkvw"), size=9))]

    s.bundle = _updated(s.bundle, s.folder / "broken", _items(s.traffic, rows, garble))
    s.traffic.world.items.created[rows] = START_MS
    return Fault()


def codebook_collapse(s: Setting) -> Fault:
    """A new catalogue crowds most items under two first codes."""
    old = s.bundle.catalog
    codes = old.codes.copy()
    taken = {tuple(c) for c in codes[::7].tolist()}
    for i in range(len(codes)):
        if i % 7:
            for k in range(old.codebook_size**2):
                new = (
                    i % 2,
                    (i + k) % old.codebook_size,
                    (i // old.codebook_size + k // old.codebook_size) % old.codebook_size,
                )
                if new not in taken:
                    taken.add(new)
                    codes[i, :3] = new
                    break
    catalog = Catalog.build(old.item_ids, codes, old.codebook_size, old.tokenizer_id, parent=old.version)
    s.bundle = derive_bundle(s.bundle, s.folder / "collapsed", s.bundle.items, catalog)
    return Fault(bad_scores=0.8)


def category_vanishing(s: Setting) -> Fault:
    """Nothing of the third most served category is shown any more."""
    counts = np.bincount(s.traffic.world.items.category)
    gone = int(np.argsort(-counts)[2])
    s.traffic.world.items.created[s.traffic.world.items.category == gone] = NEVER
    return Fault()


def new_item_flood(s: Setting) -> Fault:
    """Two thirds more items than there were, sound ones, all at once."""
    rows = s.traffic.late
    s.bundle = _updated(s.bundle, s.folder / "flooded", _items(s.traffic, rows))
    s.traffic.world.items.created[rows] = START_MS
    return Fault()


def preference_shift(s: Setting) -> Fault:
    """Every fifth effective view of one age band moves to one category."""
    counts = np.bincount(s.traffic.world.items.category)
    return Fault(shifted=("25-39", int(np.argsort(-counts)[1]), 0.2))


def _plain(fault: Fault, s: Setting) -> Fault:
    return fault


FAULTS: dict[str, tuple[str, Callable[[Setting], Fault]]] = {
    "broken embedding job": ("broken-embeddings", broken_embeddings),
    "codebook collapse": ("codebook-collapse", codebook_collapse),
    "category vanishing": ("category-vanished", category_vanishing),
    "flood of new items": ("new-item-flood", new_item_flood),
    "preference shift of 20 % in one segment": ("preference-shift", preference_shift),
    "position bias change": ("position-bias", partial(_plain, Fault(onward=-0.2))),
    "feedback outage": ("feedback-outage", partial(_plain, Fault(feedback=0.0))),
    "stale features": ("stale-features", partial(_plain, Fault(stale=0.8))),
    "bad alignment": ("bad-alignment", partial(_plain, Fault(bad_scores=0.9))),
}
"""Fault to the cause that the job must name, and how it is made."""
