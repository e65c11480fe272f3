"""What the counts say of each measure: fine, worse, or still open. Knows neither clock nor cluster.

Every measure has the same form, its excess: how much worse the canary is than the margin allows. Of an excess
the two bounds hold at every look (`higr.evaluation.sequential`). A low bound above 0: worse. A high bound up
to 0: fine.

How the error is shared. A canary within its margins is rolled back if any low bound fails, in any step: these
share alpha (Bonferroni), a rate's part once more over the steps. A canary beyond a margin is promoted only if
the high bound of that very measure fails, for all measures must be fine; so each has alpha for itself (an
intersection-union test: Berger, "Multiparameter hypothesis testing and acceptance sampling", 1982).

Rates are judged on one step's own counts, for a side that is fast at 5 % of the traffic may not be at 50 %.
What users like does not depend on the share, so means are judged over all steps, each a stratum of its own.
"""

import math
from collections.abc import Sequence
from typing import Literal

from higr.evaluation.sequential import Moments, contrast_bounds, rate_difference_bounds
from serving.rollout.config import Mean, RolloutConfig
from serving.rollout.evidence import VIEWS, WATCH, Counted, Figures

Standing = Literal["fine", "open", "worse"]


class Finding(Figures):
    """One measure.

    Attributes:
        stable, canary: rate of the step, or mean over all steps; None: nothing seen.
        low, high: bounds of the excess, in the measure's unit; None: no bound yet.
    """

    measure: str
    margin: float
    stable: float | None
    canary: float | None
    low: float | None
    high: float | None

    @property
    def standing(self) -> Standing:
        if self.low is not None and self.low > 0:
            return "worse"
        return "fine" if self.high is not None and self.high <= 0 else "open"

    def __str__(self) -> str:
        sides = ", ".join(
            f"{side} {'none' if value is None else f'{value:.4g}'}"
            for side, value in (("stable", self.stable), ("canary", self.canary))
        )
        return f"{self.measure} ({sides}, margin {self.margin:g})"


def rate_margins(config: RolloutConfig) -> dict[str, float]:
    """Measure to margin, of the rates that are judged."""
    named = {"errors": config.errors, "fallback": config.fallback}
    margins = {name: rate.margin for name, rate in named.items() if rate is not None}
    return margins | {f"slow_{limit.seconds:g}": limit.margin for limit in config.slow}


def mean_margins(config: RolloutConfig) -> dict[str, float]:
    """Measure to margin, of the means that are judged."""
    if config.outcomes is None:
        return {}
    named: dict[str, Mean | None] = {
        VIEWS: config.outcomes.effective_views,
        WATCH: config.outcomes.watch_seconds,
    }
    return {name: mean.margin for name, mean in named.items() if mean is not None}


def judge(config: RolloutConfig, step: Counted, strata: Sequence[Counted]) -> list[Finding]:
    """All measures, rates first.

    Args:
        step: counts since the step began.
        strata: of outcomes, one a step.
    """
    rates, means = rate_margins(config), mean_margins(config)
    share = config.alpha / (len(rates) + len(means))
    found = [_rate(step, name, margin, config, share) for name, margin in rates.items()]
    return found + [_mean(strata, name, margin, config, share) for name, margin in means.items()]


def _rate(step: Counted, name: str, margin: float, config: RolloutConfig, share: float) -> Finding:
    canary, stable = step.rated("canary", name), step.rated("stable", name)
    counts = (canary.hits, canary.n), (stable.hits, stable.n)
    low, _ = rate_difference_bounds(*counts, share / len(config.steps))
    _, high = rate_difference_bounds(*counts, config.alpha)
    seen = canary.n > 0 and stable.n > 0
    return Finding(
        measure=name,
        margin=margin,
        stable=stable.rate,
        canary=canary.rate,
        low=low - margin if seen else None,
        high=high - margin if seen else None,
    )


def _mean(
    strata: Sequence[Counted], name: str, margin: float, config: RolloutConfig, share: float
) -> Finding:
    pairs = [(s.sums("stable", name).moments, s.sums("canary", name).moments) for s in strata]
    stable, canary = (sum((pair[i] for pair in pairs), start=Moments()) for i in (0, 1))
    least = config.steps[0].least_slates
    low, high = -math.inf, math.inf
    if min(canary.n, stable.n) >= least:  # asymptotic bounds, that few observations do not carry
        low, high = contrast_bounds(
            pairs, scale=1 - margin, alpha_low=share, alpha_high=config.alpha, at=least
        )
    return Finding(
        measure=name,
        margin=margin,
        stable=stable.mean if stable.n else None,
        canary=canary.mean if canary.n else None,
        low=low if math.isfinite(low) else None,
        high=high if math.isfinite(high) else None,
    )
