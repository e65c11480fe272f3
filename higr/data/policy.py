"""The logging policy of the simulated world: what its users were shown before HiGR came."""

from functools import cached_property

import numpy as np

from higr.data.population import Items, Users

POPULAR, PERSONAL, RANDOM = 16, 20, 4
"""Candidates a request, by where they come from."""

RELEVANCE, NOISE, POPULARITY, EXPLORATION = 3.5, 0.15, 0.25, 0.5


class LoggingPolicy:
    """Popular, personal and random candidates, ranked by a noisy relevance, best first."""

    def __init__(self, items: Items, users: Users, slate_size: int) -> None:
        self.items = items
        self.users = users
        self.slate_size = slate_size

    def show(
        self, rng: np.random.Generator, users: np.ndarray, moments: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """One slate a user and moment (R,): (R, M) distinct items, and which of them are really there.

        Items that do not exist yet at the moment are not there; what is there comes first.
        """
        items = np.sort(self._candidates(rng, users), axis=1)  # (R, candidates)
        affinity = np.einsum("rc,rmc->rm", self.users.vector[users], self.items.vector[items])
        score = RELEVANCE * (affinity + NOISE * rng.standard_normal(items.shape))
        score += POPULARITY * np.log(self.items.weight[items]) + EXPLORATION * rng.gumbel(size=items.shape)
        again = np.concatenate([np.zeros((len(users), 1), bool), items[:, 1:] == items[:, :-1]], axis=1)
        score[again | (self.items.created[items] > moments[:, None])] = -np.inf
        best = np.argsort(-score, axis=1, kind="stable")[:, : self.slate_size]
        return np.take_along_axis(items, best, axis=1), np.isfinite(np.take_along_axis(score, best, axis=1))

    def _candidates(self, rng: np.random.Generator, users: np.ndarray) -> np.ndarray:
        count = len(users)
        popular = _draw(self._cumulative, rng.random((count, POPULAR)))
        return np.concatenate(
            [
                np.arange(len(self.items.topic))[popular],
                self._personal(rng, users),
                rng.integers(len(self.items.topic), size=(count, RANDOM)),
            ],
            axis=1,
        )

    def _personal(self, rng: np.random.Generator, users: np.ndarray) -> np.ndarray:
        """An interest by its share, then one of its items by popularity."""
        edges = np.cumsum(self.users.share[users], axis=1)[:, None, :-1]
        interest = (rng.random((len(users), PERSONAL, 1)) > edges).sum(axis=2)
        topic = self.users.interests[users[:, None], interest]
        low, high = self._topic_edges[topic], self._topic_edges[topic + 1]
        place = _draw(self._topic_cumulative, low + rng.random(topic.shape) * (high - low))
        return self._by_topic[place]

    @cached_property
    def _cumulative(self) -> np.ndarray:
        return np.cumsum(self.items.weight)

    @cached_property
    def _by_topic(self) -> np.ndarray:
        return np.argsort(self.items.topic, kind="stable")

    @cached_property
    def _topic_cumulative(self) -> np.ndarray:
        return np.cumsum(self.items.weight[self._by_topic])

    @cached_property
    def _topic_edges(self) -> np.ndarray:
        """(T + 1,) cumulative weight at which each topic's items begin."""
        topics = np.arange(len(self.items.topic_vectors) + 1)
        begin = np.searchsorted(self.items.topic[self._by_topic], topics)
        return np.concatenate([[0.0], self._topic_cumulative])[begin]


def _draw(cumulative: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Positions of `uniform` in a cumulative weight; rounding may put the last one a step too far."""
    return np.minimum(np.searchsorted(cumulative, uniform, side="right"), len(cumulative) - 1)
