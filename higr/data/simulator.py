"""A world to learn in without any download: users with interests, a logging policy, watch times.

What makes slates matter: an item bores where its topic or category was shown before, in the slate or
lately, so variety pays; and a user goes on to the next position the more gladly the better the last
item was, so order pays. `World.expected_watch` is exact: the log is drawn from the same formulas.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa

from higr.config import DataConfig, SimulatorConfig
from higr.data.policy import LoggingPolicy
from higr.data.population import DAY_MS, START_MS, make_items, make_users
from higr.data.raw import RawTables
from higr.errors import InputError

BATCH = 20_000
PAUSE_MS = 3_600_000
FATIGUE_MS = DAY_MS
HOURS = np.array([2, 1, 1, 1, 1, 2, 4, 6, 6, 5, 5, 6, 8, 7, 5, 5, 6, 8, 10, 12, 13, 12, 9, 5], dtype=float)


def load(config: DataConfig, seed: int) -> RawTables:
    """The log of the world that `config.simulator` and `seed` describe."""
    return World(config.simulator, seed).generate()


class World:
    """Users, items and how the ones watch the others. Equal config and seed give equal worlds."""

    def __init__(self, config: SimulatorConfig, seed: int) -> None:
        people, self._log_seed = np.random.SeedSequence(seed).spawn(2)
        rng = np.random.default_rng(people)
        self.config = config
        self.items = make_items(config, rng)
        self.users = make_users(config, self.items, rng)
        self.policy = LoggingPolicy(self.items, self.users, config.slate_size)

    def expected_watch(self, user_id: str, item_ids: Sequence[str]) -> float:
        """Seconds a rested user is expected to watch of an ordered slate.

        Raises:
            InputError: an id is not of this world.
        """
        return float(self.expected_seconds(self.user_rows([user_id]), self.item_rows(item_ids)[None])[0])

    def expected_seconds(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """`expected_watch` of many slates at once.

        Args:
            users: (R,) int64, see `user_rows`.
            items: (R, M) int64, see `item_rows`; -1 behind the end of a slate.

        Returns:
            (R,) seconds.
        """
        there, items = items >= 0, np.maximum(items, 0)
        interest = self.interest(users, items, np.zeros(items.shape))
        reach = np.cumprod(goes_on(interest), axis=1)
        reach = np.concatenate([np.ones((len(users), 1)), reach[:, :-1]], axis=1)[:, : items.shape[1]]
        return (there * reach * self.mean_seconds(interest, items)).sum(axis=1)

    def user_rows(self, user_ids: Sequence[str]) -> np.ndarray:
        """(U,) int64 rows of the users table.

        Raises:
            InputError: an id is not of this world.
        """
        return np.array([_find(self._user_index, user, "user") for user in user_ids], dtype=np.int64)

    def item_rows(self, item_ids: Sequence[str]) -> np.ndarray:
        """(I,) int64 rows of the items table.

        Raises:
            InputError: an id is not of this world.
        """
        return np.array([_find(self._item_index, item, "item") for item in item_ids], dtype=np.int64)

    def interest(self, users: np.ndarray, items: np.ndarray, fatigue: np.ndarray) -> np.ndarray:
        """(R, M) in (0, 1): how each item of a slate appeals, boredom included.

        users: (R,); items: (R, M); fatigue: (R, M), recent exposures of each item's topic.
        """
        affinity = np.einsum("rc,rmc->rm", self.users.vector[users], self.items.vector[items])
        appeal = 1 / (1 + np.exp(2.1 - 5.5 * affinity - 0.6 * self.items.quality[items]))
        same_topic = _earlier_like_it(self.items.topic[items])
        same_category = _earlier_like_it(self.items.category[items])
        return appeal / (1 + 0.45 * same_topic + 0.15 * same_category + 0.12 * fatigue)

    def mean_seconds(self, interest: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Watch time of an item that is looked at; of long ones a smaller share is watched."""
        duration = self.items.duration[items]
        return 1.3 * interest * (duration / 30) ** -0.25 * duration

    def generate(self) -> RawTables:
        """The log: one row an exposure, `slate_size` rows a request.

        Requests are drawn in turns, the n-th of every user at once: boredom needs their order.
        """
        rng = np.random.default_rng(self._log_seed)
        requests = np.maximum(1, rng.poisson(self.users.activity))
        planned = _request_times(rng, requests, self.config.days)
        first = np.cumsum(requests) - requests
        fatigue = np.zeros((len(requests), len(self.items.topic_vectors)), dtype=np.float32)
        last = np.full(len(requests), START_MS - DAY_MS, dtype=np.int64)
        parts = []
        for turn in range(int(requests.max())):
            active = np.flatnonzero(requests > turn)
            for users in np.array_split(active, -(-len(active) // BATCH)):
                moments = np.maximum(planned[first[users] + turn], last[users] + PAUSE_MS)
                fatigue[users] *= np.exp(-(moments - last[users]) / FATIGUE_MS)[:, None]
                last[users] = moments
                parts.append(self._serve(rng, users, moments, fatigue) | {"request": first[users] + turn})
        return RawTables(
            events=self._event_table(parts),
            items=self.items.table,
            users=self.users.table,
            files={name: f"simulated {name}" for name in ("events", "items", "users")},
        )

    def _serve(
        self, rng: np.random.Generator, users: np.ndarray, moments: np.ndarray, fatigue: np.ndarray
    ) -> dict[str, np.ndarray]:
        """A slate for each of `users` (R,), all (R, M): what was shown and what came of it.

        Adds what was looked at to `fatigue` (U, T).
        """
        items, there = self.policy.show(rng, users, moments)
        topic, owner = self.items.topic[items], np.broadcast_to(users[:, None], items.shape)
        received = self.receive(rng, users, items, fatigue[owner, topic])
        np.add.at(fatigue, (owner, topic), received["clicked"] & there)
        elapsed = np.cumsum(received["watch_seconds"] + 1, axis=1) - (received["watch_seconds"] + 1)
        return {
            "there": there,
            "user": owner,
            "item": items,
            "position": np.broadcast_to(np.arange(items.shape[1]), items.shape),
            "timestamp": moments[:, None] + (1000 * elapsed).astype(np.int64),
            **received,
            "watch_seconds": received["watch_seconds"].round(3),
        }

    def receive(
        self, rng: np.random.Generator, users: np.ndarray, items: np.ndarray, fatigue: np.ndarray
    ) -> dict[str, np.ndarray]:
        """What becomes of slates: draws of watch_seconds, clicked (looked at) and flags, each (R, M).

        users: (R,); items: (R, M); fatigue: (R, M), recent exposures of each item's topic.
        """
        interest = self.interest(users, items, fatigue)
        onward = np.cumprod(rng.random(items.shape) < goes_on(interest), axis=1)
        seen = np.concatenate([np.ones((len(users), 1), bool), onward[:, :-1] > 0], axis=1)
        seen = seen[:, : items.shape[1]]
        seconds = seen * self.mean_seconds(interest, items) * 2 * rng.beta(3.0, 3.0, size=items.shape)
        chance = rng.random((3, *items.shape))
        return {
            "watch_seconds": seconds,
            "clicked": seen,
            "liked": seen & (chance[0] < 0.25 * interest**2),
            "shared": seen & (chance[1] < 0.05 * interest**2),
            "disliked": seen & (chance[2] < 0.06 * (1 - interest) ** 2),
        }

    def _event_table(self, parts: list[dict[str, np.ndarray]]) -> pa.Table:
        there = np.concatenate([part["there"].ravel() for part in parts])
        columns = {
            name: np.concatenate(
                [np.broadcast_to(_column(part[name]), part["there"].shape).ravel() for part in parts]
            )[there]
            for name in parts[0]
            if name != "there"
        }
        user, item, request = (columns.pop(name) for name in ("user", "item", "request"))
        names = pa.array([f"r{i:09d}" for i in range(int(request.max()) + 1)])
        table = pa.table(
            {
                "user_id": self.users.table["user_id"].combine_chunks().take(pa.array(user)),
                "item_id": self.items.table["item_id"].combine_chunks().take(pa.array(item)),
                "request_id": names.take(pa.array(request)),
                "duration_seconds": self.items.duration[item],
                **columns,
            }
        )
        return table.take(pa.array(np.lexsort((columns["position"], request, columns["timestamp"]))))

    @cached_property
    def _user_index(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.users.table["user_id"].to_pylist())}

    @cached_property
    def _item_index(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.items.table["item_id"].to_pylist())}


def goes_on(interest: np.ndarray) -> np.ndarray:
    """Chance that the next position is looked at too."""
    return 0.72 + 0.26 * interest


def _earlier_like_it(kinds: np.ndarray) -> np.ndarray:
    """(R, M): how many earlier positions of the slate are of the same kind."""
    earlier = np.tril(np.ones((kinds.shape[1],) * 2, dtype=bool), k=-1)
    return ((kinds[:, :, None] == kinds[:, None, :]) & earlier).sum(axis=2)


def _column(values: np.ndarray) -> np.ndarray:
    return values if values.ndim == 2 else values[:, None]


def _request_times(rng: np.random.Generator, requests: np.ndarray, days: int) -> np.ndarray:
    """(sum of requests,) int64 ms, ascending within each user; evenings are busy."""
    total, owner = int(requests.sum()), np.repeat(np.arange(len(requests)), requests)
    hour = rng.choice(24, size=total, p=HOURS / HOURS.sum()) + rng.random(total)
    moments = START_MS + rng.integers(days, size=total) * DAY_MS + (hour * DAY_MS / 24).astype(np.int64)
    return moments[np.lexsort((moments, owner))]


def _find(index: dict[str, int], name: str, kind: str) -> int:
    if name not in index:
        raise InputError(
            f"simulator: no {kind} {name!r} in this world of {len(index)}; use an id of its tables"
        )
    return index[name]
