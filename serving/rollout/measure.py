"""One look at Prometheus: what each side did since the last, and whether that can be relied on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from higr import metrics as names
from serving.rollout.config import Outcomes, RolloutConfig
from serving.rollout.evidence import SIDES, VIEWS, WATCH, Counted, Rated, Side, Sums
from serving.rollout.judge import mean_margins
from serving.rollout.prometheus import Prometheus, Series, Unavailable, increase

BEHIND = 1.0
"""Seconds: what was scraped just now may not be in Prometheus yet."""
SUMS = {
    VIEWS: (names.OUTCOME_VIEWS, names.OUTCOME_VIEWS_SQUARES),
    WATCH: (names.OUTCOME_WATCH, names.OUTCOME_WATCH_SQUARES),
}


@dataclass(frozen=True)
class Look:
    """Attributes:
    counted: what came since the last look.
    settled: when the newest slate was served whose outcome is counted, Unix seconds; 0 where none is judged,
        or nothing is known of outcomes.
    versions: side to the bundles that its pods serve now.
    lacking: why outcomes cannot be relied on now; empty: they can. Rates can all the same.
    """

    counted: Counted
    settled: float
    versions: Mapping[Side, frozenset[str]]
    lacking: str = ""


class Measure:
    """Reads what the configuration judges."""

    def __init__(self, config: RolloutConfig, prometheus: Prometheus) -> None:
        self._config, self._prometheus = config, prometheus
        # A sample before `since` has to be within the window, or a series would seem to begin in it.
        self._back = 2 * config.prometheus.stale_seconds

    def __call__(self, since: float, until: float) -> Look:
        """Raises:
        Unavailable: Prometheus does not answer, answers nonsense, or has no new samples of a side.
        """
        self._check_switch(until)
        versions = {side: self.versions(side, until) for side in SIDES}
        rates = {side: self._rates(side, since, until) for side in SIDES}
        means: dict[Side, dict[str, Sums]] = {}
        settled, lacking = 0.0, ""
        if self._config.outcomes is not None and mean_margins(self._config):
            settled, lacking = self._settled(self._config.outcomes, until)
        if settled:
            means = {side: self._means(versions[side], since, until) for side in SIDES}
        return Look(Counted(rates=rates, means=means), settled, versions, lacking)

    def versions(self, side: Side, until: float) -> frozenset[str]:
        """Bundles that the pods of a side serve.

        Raises:
            Unavailable: as above.
        """
        own = self._config.selector(side)
        found = self._prometheus.vector(f"{names.BUNDLE.name}{{{own}}} == 1", until)
        return frozenset(labels.get("version", "") for labels, _ in found)

    def _check_switch(self, until: float) -> None:
        """Two baselines are equal, and say nothing of the candidate."""
        for side in SIDES:
            own = f'position="baseline",{self._config.selector(side)}'
            if self._prometheus.vector(f"{names.SWITCH.name}{{{own}}} == 1", until):
                raise Unavailable(f"the switch of the {side} side is on baseline: no model is seen")

    def _rates(self, side: Side, since: float, until: float) -> dict[str, Rated]:
        config, own = self._config, self._config.selector(side)
        responses = self._fresh(
            side, f'{names.RESPONSES.name}_total{{endpoint="slates",{own}}}', since, until
        )
        rose = increase(responses, since)
        of = {status: _sum(responses, rose, "status", {status}) for status in ("2xx", "5xx")}
        rates = {}
        if config.errors is not None:
            rates["errors"] = Rated(hits=of["5xx"], n=of["2xx"] + of["5xx"])
        if config.fallback is not None:
            slates = self._series(f"{names.SLATES.name}_total{{{own}}}", since, until)
            rose = increase(slates, since)
            every = sum(rose.values())
            rates["fallback"] = Rated(hits=every - _sum(slates, rose, "source", {"higr"}), n=every)
        for limit in config.slow:
            bounds = f'le=~"{limit.seconds}|{limit.seconds:g}|\\\\+Inf"'
            buckets = self._series(f"{names.REQUEST_SECONDS.name}_bucket{{{bounds},{own}}}", since, until)
            rose = increase(buckets, since)
            every = _sum(buckets, rose, "le", {"+Inf"})
            quick = sum(rose.values()) - every
            rates[f"slow_{limit.seconds:g}"] = Rated(hits=max(0.0, every - quick), n=every)
        return rates

    def _means(self, versions: frozenset[str], since: float, until: float) -> dict[str, Sums]:
        if len(versions) != 1:  # whose they are will show
            return {}
        own = f'version="{next(iter(versions))}",namespace="{self._config.namespace}"'

        def rise(metric: names.Metric) -> float:
            found = self._series(f"{metric.name}_total{{{own}}}", since, until)
            return sum(increase(found, since).values())

        n = rise(names.OUTCOME_SLATES)
        measures = {measure: SUMS[measure] for measure in mean_margins(self._config)}
        return {
            measure: Sums(n=n, total=rise(total), squares=rise(squares))
            for measure, (total, squares) in measures.items()
        }

    def _settled(self, outcomes: Outcomes, until: float) -> tuple[float, str]:
        """`Look.settled` and `Look.lacking`."""
        own = f'namespace="{self._config.namespace}"'
        found = self._prometheus.vector(f"{names.OUTCOME_SETTLED.name}{{{own}}}", until)
        if not found:
            return 0.0, (
                f"no {names.OUTCOME_SETTLED.name} in Prometheus: does `python -m monitoring outcomes` run, "
                "and is it scraped?"
            )
        settled = max(value for _, value in found)
        behind = until - settled
        if behind > outcomes.settle_seconds + outcomes.late_seconds:
            return settled, (
                f"outcomes are {behind:.0f} seconds old, more than settle_seconds and late_seconds together: "
                "are slates logged, and their logs read?"
            )
        return settled, ""

    def _fresh(self, side: Side, selector: str, since: float, until: float) -> list[Series]:
        found = self._series(selector, since, until)
        stale = self._config.prometheus.stale_seconds
        if not found:
            raise Unavailable(f"no series of the {side} side in Prometheus ({selector})")
        age = until - max(one.newest for one in found)
        if age > stale:
            raise Unavailable(f"newest sample of the {side} side is {age:.0f} seconds old, over {stale:g}")
        return found

    def _series(self, selector: str, since: float, until: float) -> list[Series]:
        return self._prometheus.series(selector, since - self._back, until)


def _sum(series: Sequence[Series], rose: Mapping[int, float], label: str, values: set[str]) -> float:
    return sum(rose[place] for place, one in enumerate(series) if one.labels.get(label) in values)
