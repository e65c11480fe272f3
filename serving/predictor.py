"""The predictor: a bundle in, slates out. It decides nothing about users, fallback or policy."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from higr.bundle import Bundle
from higr.decode.recommender import HiGRRecommender
from higr.slate import Recommender, UserContext
from serving.ask import Ask, Made, recommend


class Predictor:
    """Decodes in one worker thread: the event loop never waits for a tensor.

    One worker, because two decodes at once on the same cores only make both late. Work whose
    deadline passes while it waits for the worker is dropped, so a backlog cannot outlive its askers.
    """

    def __init__(self, recommender: Recommender, model_version: str) -> None:
        self._recommender = recommender
        self._version = model_version
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="decode")

    @classmethod
    def load(cls, bundle: Bundle) -> "Predictor":
        return cls(HiGRRecommender.from_bundle(bundle), bundle.version)

    def warm_up(self, slate_size: int) -> None:
        """Decode once for somebody unknown: first-time costs are paid before anyone waits.

        Raises:
            Exception: whatever the decoder raises; a predictor that cannot do this is not ready.
        """
        self._executor.submit(self._recommender.recommend, [UserContext("")], slate_size).result()

    async def make(self, asks: Sequence[Ask], seconds: float) -> Made:
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._executor, recommend, self._recommender, list(asks))
        return Made(await asyncio.wait_for(work, seconds), self._version)

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
