"""Requests to the endpoint at a given rate, and what became of each.

The load is open: requests leave at the times of a Poisson process whether or not earlier ones were answered,
and a latency is counted from the time a request was due, so that a stall costs all who come during it.
"""

import asyncio
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import numpy as np

PATIENCE_SECONDS = 5.0
"""A request without an answer for so long has failed."""

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """Attributes:
    due: seconds from the beginning of the run at which it was due.
    seconds: from then to its answer.
    status: of HTTP; 0 where there was none.
    short: fewer items than were asked for.
    source, reason: who made the slate, and why it was not HiGR.
    version: of the bundle.
    degraded: without fresh features.
    request_id: as it was sent.
    """

    due: float
    seconds: float
    status: int
    short: bool = True
    source: str = "none"
    reason: str | None = None
    version: str = ""
    degraded: bool = False
    request_id: str = ""

    @property
    def failed(self) -> bool:
        return self.status != 200


class Load:
    """One client of one or more replicas; who finds one gone tries the next, as an ingress does.

    Args:
        urls: of the replicas' `:predict`.
        size: items asked for.
        users: drawn from at random.
    """

    def __init__(self, urls: Sequence[str], size: int, users: Sequence[str], seed: int) -> None:
        self._urls, self._size, self._users = list(urls), size, users
        self._random = random.Random(seed)
        self._run, self._asked, self._next = uuid.uuid4().hex[:8], 0, 0

    async def open(
        self, rps: float, seconds: float, at: Sequence[tuple[float, Callable[[], Any]]] = ()
    ) -> list[Answer]:
        """Poisson arrivals at `rps` for `seconds`.

        Args:
            at: (seconds from the beginning, what to do then in a thread); ends before the answers are given.
        """
        arrivals, moment = [], 0.0
        while (moment := moment + self._random.expovariate(rps)) < seconds:
            arrivals.append(moment)
        async with _session() as session:
            begun = time.perf_counter()
            events = [asyncio.create_task(_do(begun, moment, act)) for moment, act in at]
            tasks = []
            for moment in arrivals:
                await asyncio.sleep(max(0.0, begun + moment - time.perf_counter()))
                tasks.append(asyncio.create_task(self._ask(session, begun, moment)))
            answers = await asyncio.gather(*tasks)
            await asyncio.gather(*events)
        return answers

    async def closed(self, connections: int, seconds: float) -> tuple[list[Answer], float]:
        """Each connection asks again as soon as it was answered; the answers, and the seconds it took."""
        async with _session() as session:
            begun = time.perf_counter()

            async def one() -> list[Answer]:
                made = []
                while (now := time.perf_counter() - begun) < seconds:
                    made.append(await self._ask(session, begun, now))
                return made

            rows = await asyncio.gather(*(one() for _ in range(connections)))
            return [answer for row in rows for answer in row], time.perf_counter() - begun

    async def _ask(self, session: aiohttp.ClientSession, begun: float, due: float) -> Answer:
        self._asked += 1
        request_id = f"{self._run}-{self._asked}"
        instance = {"user_id": self._random.choice(self._users), "slate_size": self._size}
        body = {"instances": [instance | {"request_id": request_id}]}
        status, answer = 0, None
        for _ in self._urls:
            self._next += 1
            try:
                async with session.post(self._urls[self._next % len(self._urls)], json=body) as response:
                    status, answer = response.status, await response.json()
                break
            except (aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError):
                continue  # nobody listens there, or it closed the connection unasked: the next replica
            except (aiohttp.ClientError, TimeoutError, ValueError):
                break
        seconds = time.perf_counter() - begun - due
        if status != 200 or not isinstance(answer, dict):
            return Answer(due, seconds, status)
        (prediction,) = answer["predictions"]
        return Answer(
            due,
            seconds,
            status,
            len(prediction["items"]) < self._size,
            prediction["source"],
            prediction["fallback_reason"],
            prediction["model_version"],
            prediction["degraded"],
            request_id,
        )


def summary(answers: Sequence[Answer]) -> dict[str, Any]:
    """Percentiles over what was answered at all."""
    answered = [answer.seconds * 1000 for answer in answers if not answer.failed]
    p50, p99 = np.percentile(answered, [50, 99]) if answered else (float("nan"),) * 2
    return {
        "requests": len(answers),
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "max_ms": float(max(answered, default=float("nan"))),
        "errors": sum(answer.failed for answer in answers),
        "empty_or_short": sum(answer.short and not answer.failed for answer in answers),
        "sources": dict(Counter(answer.source for answer in answers if not answer.failed)),
        "reasons": dict(Counter(answer.reason for answer in answers if answer.reason)),
    }


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(PATIENCE_SECONDS)
    )


async def _do(begun: float, moment: float, act: Callable[[], Any]) -> None:
    await asyncio.sleep(max(0.0, begun + moment - time.perf_counter()))
    await asyncio.to_thread(act)
