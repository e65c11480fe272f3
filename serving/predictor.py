"""The predictor: a bundle in, slates out. It decides nothing about users, fallback or policy."""

import asyncio
import logging
from collections.abc import Sequence

from higr.bundle import Bundle
from higr.config import BatchConfig
from higr.decode.batcher import BatcherStats, MicroBatcher
from higr.decode.recommender import HiGRRecommender
from higr.decode.request import Constraints, SlateRequest
from higr.errors import NotDecoded, Overloaded
from higr.slate import Slate, UserContext
from serving.ask import Ask, Made, Refused
from serving.decision import Decision

logger = logging.getLogger("higr.serving")


class Predictor:
    """Decodes what concurrent requests ask together, each by its deadline (`higr.decode.batcher`).

    One worker thread decodes: the event loop never waits for a tensor. Requests of one event loop only.
    """

    def __init__(self, recommender: HiGRRecommender, model_version: str, config: BatchConfig) -> None:
        self._recommender, self._version = recommender, model_version
        self._batcher = MicroBatcher(recommender.decode, config)
        self._registering = asyncio.Lock()
        self._registered: dict[str, tuple[str, ...]] = {}

    @classmethod
    def load(cls, bundle: Bundle, config: BatchConfig) -> "Predictor":
        return cls(HiGRRecommender.from_bundle(bundle), bundle.version, config)

    def warm_up(self, slate_size: int) -> None:
        """Decode for somebody unknown: first-time costs are paid before anyone waits.

        Raises:
            Exception: whatever the decoder raises; a predictor that cannot do this is not ready.
        """
        self._recommender.decode([SlateRequest(UserContext(""), slate_size)])

    async def make(self, asks: Sequence[Ask], seconds: float) -> Made:
        deadline = asyncio.get_running_loop().time() + seconds
        made = await asyncio.gather(*(self._one(ask, deadline) for ask in asks))
        return Made(made, self._version)

    async def _one(self, ask: Ask, deadline: float) -> Slate | Refused:
        if ask.decision.popular == ():
            return Slate((), ())
        try:
            constraints = Constraints(
                exclude=ask.exclude,
                allow=await self._allowed(ask.decision),
                pinned=ask.pinned,
                per_category=ask.decision.per_category,
            )
            size = ask.slate_size + ask.spare
            request = SlateRequest(ask.context, size, constraints, sampling=ask.sampling)
            return await self._batcher.submit(request, deadline)
        except Overloaded:
            return Refused("overloaded")
        except NotDecoded:
            return Refused("deadline")
        except Exception as error:
            # This ask alone failed: those beside it have their slates.
            logger.warning("event=decoder_failed error=%s", type(error).__name__)
            return Refused("predictor_error")

    async def _allowed(self, decision: Decision) -> str | None:
        """Name by which the decoder knows the items that a decision leaves; None: all of them."""
        if not decision.blocked or decision.popular is None:
            return None
        name = ",".join(decision.rules)
        async with self._registering:
            if self._registered.get(name) is not decision.popular:
                await asyncio.to_thread(self._recommender.register, name, decision.popular)
                self._registered[name] = decision.popular
        return name

    @property
    def stats(self) -> BatcherStats:
        return self._batcher.stats
