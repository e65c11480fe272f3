"""What was counted of both sides: numbers that can be added, and that fit into a ConfigMap."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from higr.evaluation.sequential import Moments

Side = Literal["stable", "canary"]
SIDES: tuple[Side, Side] = ("stable", "canary")
VIEWS, WATCH = "effective_views", "watch_seconds"
MEANS = (VIEWS, WATCH)


class Figures(BaseModel):
    """Frozen, and nothing beside what is named."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Rated(Figures):
    """So many of so many."""

    hits: float = 0.0
    n: float = 0.0

    def __add__(self, other: "Rated") -> "Rated":
        return Rated(hits=self.hits + other.hits, n=self.n + other.n)

    @property
    def rate(self) -> float | None:
        return self.hits / self.n if self.n else None


class Sums(Figures):
    """`Moments` as they are kept."""

    n: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(n=self.n + other.n, total=self.total + other.total, squares=self.squares + other.squares)

    @property
    def moments(self) -> Moments:
        return Moments(self.n, self.total, self.squares)


class Counted(Figures):
    """Both sides over some time.

    Attributes:
        rates: side to measure (errors, fallback, slow_0.3) to its counts.
        means: side to measure (`MEANS`) to its sums.
    """

    rates: Mapping[Side, Mapping[str, Rated]] = {}
    means: Mapping[Side, Mapping[str, Sums]] = {}

    def __add__(self, other: "Counted") -> "Counted":
        return Counted(
            rates={s: _added(self.rates.get(s, {}), other.rates.get(s, {}), Rated()) for s in SIDES},
            means={s: _added(self.means.get(s, {}), other.means.get(s, {}), Sums()) for s in SIDES},
        )

    def rated(self, side: Side, measure: str) -> Rated:
        return self.rates.get(side, {}).get(measure, Rated())

    def sums(self, side: Side, measure: str) -> Sums:
        return self.means.get(side, {}).get(measure, Sums())

    def slates(self, side: Side) -> float:
        """Requests of any outcome: the most that any rate was counted over."""
        return max((rated.n for rated in self.rates.get(side, {}).values()), default=0.0)


def _added(a: Mapping, b: Mapping, zero: Rated | Sums) -> dict:
    return {name: a.get(name, zero) + b.get(name, zero) for name in {**a, **b}}
