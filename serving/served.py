"""A bundle as it is served: everything that a request takes from it, replaced as one."""

from dataclasses import dataclass

from higr.bundle import Bundle
from higr.errors import BundleError
from serving.ask import SlateMaker
from serving.display import Shelf
from serving.fallback import Ladder, popular_first
from serving.live_policy import LivePolicy, LivePolicyFile


@dataclass(frozen=True, slots=True)
class Served:
    """Attributes:
    version: of the bundle.
    slate_size: when a request names none.
    max_slate_size: longest slate the bundle's planner can plan.
    shelf: its catalogue, ready to be shown.
    ladder: the rungs below HiGR.
    policy: the rules in force, read against its items.
    predictor: HiGR, in this process or another.
    bundle: where all this comes from; None: unknown.
    """

    version: str
    slate_size: int
    max_slate_size: int
    shelf: Shelf
    ladder: Ladder
    policy: LivePolicy
    predictor: SlateMaker
    bundle: Bundle | None = None

    @classmethod
    def of(cls, bundle: Bundle, predictor: SlateMaker, rules: LivePolicyFile) -> "Served":
        """Raises:
        BundleError: its configuration does not say how long slates are.
        """
        config = bundle.manifest.config
        try:
            sizes = config["decode"]["slate_size"], config["model"]["max_slate_size"]
        except KeyError as missing:
            raise BundleError(
                f"bundle {bundle.path}: its configuration lacks {missing}; build it again"
            ) from None
        shelf = Shelf.of(bundle)
        popular = popular_first(shelf.eligible, bundle.baseline.popularity.item_ids)
        ladder = Ladder(bundle.baseline, popular)
        policy = LivePolicy(rules, bundle.items, popular)
        return cls(bundle.version, *sizes, shelf, ladder, policy, predictor, bundle)
