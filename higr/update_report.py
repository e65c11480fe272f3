"""What an update of the catalogue did, and whether the tokenizer still knows the items it is given."""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from higr.tokenizer.collisions import CollisionReport

NAMED = 5
"""Unknown ids that are named; the others are counted."""
PERCENTILES = (50, 90, 99)
WARN_SHARE = 0.05
"""Share of new items beyond the reference's 99th percentile from which on a person should look. By
construction it is 0.01 for items like those of the fit; five times as many is another population, yet
short of the point where most new items are misplaced. Our choice."""
WARN_ITEMS = 3
"""No warning for fewer: of 50 ordinary items three or more are beyond in 1 of 70 updates."""


@dataclass(frozen=True)
class Drift:
    """How far new items are from what the tokenizer knows: squared distances of what their codes
    stand for to their content vectors.

    Attributes:
        new, reference: percentiles `PERCENTILES` of the new items, and of those of the fit.
        beyond: new items farther than the reference's 99th percentile.
        items: new items.
    """

    new: tuple[float, ...]
    reference: tuple[float, ...]
    beyond: int
    items: int

    @classmethod
    def of(cls, errors: np.ndarray, quantiles: np.ndarray) -> Self:
        """errors: (N,) of the new items. quantiles: (101,) percentiles 0..100 of the fit's."""
        return cls(
            tuple(np.percentile(errors, PERCENTILES).tolist()),
            tuple(float(quantiles[p]) for p in PERCENTILES),
            int((errors > quantiles[99]).sum()),
            len(errors),
        )

    @property
    def share(self) -> float:
        return self.beyond / self.items

    @property
    def warning(self) -> str:
        """Empty where there is nothing to warn of."""
        if self.share <= WARN_SHARE or self.beyond < WARN_ITEMS:
            return ""
        return (
            f"{self.share:.1%} of {self.items} new items lie farther from their semantic IDs than 99 % of "
            "the items the tokenizer was fitted on (1 % is usual): their IDs say little about them; check "
            "their content, and fit tokenizer and model again soon"
        )


@dataclass(frozen=True)
class UpdateReport:
    """Attributes:
    version, parent: of the bundle written, and of the one it came from.
    catalog, parent_catalog: versions of their catalogues.
    items: of the catalogue now.
    added: items that have a semantic ID now and had none.
    updated: known items with new attributes.
    removed: items that are gone.
    disabled, enabled: items of both catalogues that are hidden now, or shown again.
    unknown: by list (`remove`, `disable`, `enable`) the ids that no item has.
    quarantined: rows put aside, by reason.
    quarantine: file they were written to; None where there are none.
    collisions, drift: of the new items; None where there are none.
    """

    version: str
    parent: str
    catalog: str
    parent_catalog: str
    items: int
    added: int
    updated: int
    removed: int
    disabled: int
    enabled: int
    unknown: dict[str, tuple[str, ...]] = field(default_factory=dict)
    quarantined: dict[str, int] = field(default_factory=dict)
    quarantine: str | None = None
    collisions: CollisionReport | None = None
    drift: Drift | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """One line each, for a person."""
        lines = []
        for name, ids in self.unknown.items():
            named = ", ".join(ids[:NAMED]) + (", ..." if len(ids) > NAMED else "")
            lines.append(f"--{name}: {len(ids)} ids are not in the catalogue and were ignored: {named}")
        if self.quarantined:
            reasons = ", ".join(f"{reason}: {count}" for reason, count in self.quarantined.items())
            lines.append(f"rows put aside in {self.quarantine}: {reasons}")
        if self.drift is not None and self.drift.warning:
            lines.append(self.drift.warning)
        return tuple(lines)

    def figures(self) -> dict[str, Any]:
        """One flat mapping; what does not apply is left out."""
        names = ("version", "parent", "catalog", "parent_catalog", "items", "added", "updated", "removed")
        flat: dict[str, Any] = {name: getattr(self, name) for name in (*names, "disabled", "enabled")}
        for name in ("remove", "disable", "enable"):
            flat[f"unknown_to_{name}"] = len(self.unknown.get(name, ()))
        flat["quarantined"] = sum(self.quarantined.values())
        if self.collisions is not None:
            flat |= {
                "collision_policy": self.collisions.policy,
                "colliding": self.collisions.colliding,
                "moved": self.collisions.moved,
                "largest_extra_code": self.collisions.largest_extra,
                "shared": self.collisions.shared,
            }
        if self.drift is not None:
            for percentile, new, reference in zip(
                PERCENTILES, self.drift.new, self.drift.reference, strict=True
            ):
                flat[f"error_p{percentile}"], flat[f"error_p{percentile}_reference"] = new, reference
            flat["share_beyond_reference_p99"] = self.drift.share
        return flat
