"""Contexts of users at given moments, read off arrays: nothing at or after the moment gets in."""

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from higr.config import DataConfig
from higr.data.recent import EXPOSED_ITEMS, NO_POSITION, Recent, Seen, Shown
from higr.data.schemas import Feedback
from higr.data.situation import situations_of
from higr.data.splits import milliseconds
from higr.slate import UserContext


@dataclass(frozen=True)
class HistoryIndex:
    """All events of all users, grouped by user and in time order within each.

    Attributes:
        users: position of each user id, U of them; users without events are among them.
        bounds: (U + 1,) int64; user u's events are bounds[u] .. bounds[u + 1] - 1.
        times: (E,) int64 milliseconds.
        items: (E,) item ids.
        feedback: (E,) `Feedback` levels.
        positions: (E,) places in their slates, `NO_POSITION` where there is none.
        engaged: positions of the engaged events, ascending.
        engaged_before: (E + 1,) int64, number of engaged events before each position.
        profiles: one mapping a user, null fields left out.
    """

    users: dict[str, int]
    bounds: np.ndarray
    times: np.ndarray
    items: np.ndarray
    feedback: np.ndarray
    positions: np.ndarray
    engaged: np.ndarray
    engaged_before: np.ndarray
    profiles: list[dict[str, str]]
    reach_engaged: int
    reach_exposed: int

    @classmethod
    def build(cls, events: pa.Table, users: pa.Table, config: DataConfig) -> "HistoryIndex":
        """events: `LABELLED_EVENTS`, those of one moment in order of exposure; users: profiles."""
        ids = pa.chunked_array([*users["user_id"].chunks, *events["user_id"].chunks], pa.string()).unique()
        owner = pc.index_in(events["user_id"], value_set=ids).to_numpy()
        times = events["timestamp"].cast(pa.int64()).to_numpy()
        order = np.lexsort((times, owner))
        feedback = events["feedback"].to_numpy()[order]
        is_engaged = feedback >= Feedback.ENGAGED
        return cls(
            users={user: i for i, user in enumerate(ids.to_pylist())},
            bounds=np.searchsorted(owner[order], np.arange(len(ids) + 1)),
            times=times[order],
            items=np.array(events["item_id"].to_pylist(), dtype=object)[order],
            feedback=feedback,
            positions=pc.fill_null(events["position"], NO_POSITION).to_numpy()[order],
            engaged=np.flatnonzero(is_engaged),
            engaged_before=np.concatenate([[0], np.cumsum(is_engaged)]),
            profiles=_profiles(users, len(ids)),
            reach_engaged=config.history_engaged,
            reach_exposed=config.history_exposed,
        )

    def context(self, user_id: str, before: datetime | None = None) -> UserContext:
        """Context of one user strictly before a moment (UTC if it names no zone); None: all there is."""
        user = self.users.get(user_id)
        if user is None:
            return UserContext(user_id)
        start, end = self.bounds[user], self.bounds[user + 1]
        if before is not None:
            end = start + np.searchsorted(self.times[start:end], milliseconds(before))
        return self._context(user_id, user, int(end))

    def contexts(self, slates: pa.Table) -> list[UserContext]:
        """One context a row of `SLATES`, as of its history_cutoff, with its situation."""
        owners, ends = self._places(slates)
        return [
            replace(
                self._context(user_id, user, end) if user >= 0 else UserContext(user_id), situation=situation
            )
            for user_id, user, end, situation in zip(
                slates["user_id"].to_pylist(), owners, ends, situations_of(slates), strict=True
            )
        ]

    def recent(self, moments: pa.Table) -> list[Recent]:
        """What is kept of each user as of a moment. moments: (user_id, history_cutoff)."""
        return [
            self._recent(user, end) if user >= 0 else Recent()
            for user, end in zip(*self._places(moments), strict=True)
        ]

    def _places(self, moments: pa.Table) -> tuple[list[int], list[int]]:
        """Of each row the user, -1 for one that is not known, and the position after its last event."""
        owners = [self.users.get(user, -1) for user in moments["user_id"].to_pylist()]
        cutoffs = moments["history_cutoff"].cast(pa.int64()).to_numpy()
        return owners, self._ends(np.array(owners, dtype=np.int64), cutoffs).tolist()

    def _ends(self, users: np.ndarray, cutoffs: np.ndarray) -> np.ndarray:
        """Position after each user's last event before the cutoff: one search over (user, rank of time)."""
        moments = np.unique(self.times)
        width = len(moments) + 1
        owner = np.repeat(np.arange(len(self.bounds) - 1), np.diff(self.bounds))
        keys = owner * width + np.searchsorted(moments, self.times)
        return np.searchsorted(keys, users * width + np.searchsorted(moments, cutoffs))

    def _context(self, user_id: str, user: int, end: int) -> UserContext:
        earlier, recent = self._reach(user, end)
        items, feedback = self.items[recent:end].tolist(), self.feedback[recent:end].tolist()
        if len(earlier):
            items, feedback = self.items[earlier].tolist() + items, self.feedback[earlier].tolist() + feedback
        return UserContext(user_id, tuple(items), tuple(feedback), self.profiles[user])

    def _reach(self, user: int, end: int) -> tuple[np.ndarray, int]:
        """Engaged events before the recent ones, and where these begin."""
        start = int(self.bounds[user])
        recent = max(start, end - self.reach_exposed)
        count = self.engaged_before
        return self.engaged[max(count[start], count[end] - self.reach_engaged) : count[recent]], recent

    def _recent(self, user: int, end: int) -> Recent:
        earlier, recent = self._reach(user, end)
        places = np.concatenate([earlier, np.arange(recent, end)])
        columns = (self.times, self.positions, self.items, self.feedback)
        events = map(Seen, *(column[places].tolist() for column in columns))
        return Recent(tuple(events), self._exposed(int(self.bounds[user]), end))

    def _exposed(self, start: int, end: int) -> tuple[Shown, ...]:
        latest: dict[str, int] = {}
        oldest = 0
        for place in range(end - 1, start - 1, -1):
            time, item_id = int(self.times[place]), self.items[place]
            # Those of one moment are looked at together: which of them are the last is decided by their ids.
            if len(latest) >= EXPOSED_ITEMS and time < oldest:
                break
            if item_id not in latest:
                latest[item_id] = oldest = time
        return tuple(sorted(Shown(time, item_id) for item_id, time in latest.items())[-EXPOSED_ITEMS:])


def _profiles(users: pa.Table, count: int) -> list[dict[str, str]]:
    profiles: list[dict[str, str]] = [{} for _ in range(count)]
    for name in users.column_names:
        if name == "user_id":
            continue
        for profile, value in zip(profiles, users[name].to_pylist(), strict=False):
            if value is not None:
                profile[name] = value
    return profiles
