"""Micro-batching: concurrent requests decoded together, each by its deadline.

One worker thread decodes, because two decodes at once on the same cores only make both late. While it
is busy requests wait for company, which costs them nothing; while it is idle, for a short window. What
cannot be in time is refused on arrival, when its caller still has time for something else. Order:
`higr.decode.schedule`; refusals: `higr.decode.admission`. Not reported by the paper.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from higr.config import BatchConfig
from higr.decode.admission import Admission
from higr.decode.decode_time import DecodeTime
from higr.decode.request import SlateRequest
from higr.decode.schedule import Turn, cut, enqueue, longest
from higr.errors import DeadlineExceeded, DecoderClosed, InputError, NotDecoded
from higr.slate import Slate

STALE_SECONDS = 1.0
"""With nothing measured for so long, an idle worker tries even what looks impossible, for the measure may be
wrong: of a stall, or of a first batch that paid for what is done once."""


@dataclass(frozen=True, slots=True)
class BatcherStats:
    """Counts since the start, and the present.

    A request is refused or accepted; an accepted one is answered, failed, cancelled, shed or in flight.

    Attributes:
        failed: given the decoder's exception.
        refused: not accepted, by reason: `queue_full`, `no_time`, `fair_share`, `expired`, `closed`.
        shed: accepted and not answered, by reason: `no_time`, `late`, `closed`.
        batches, rows: given to the decoder, and the requests in them; another try counts again.
        in_flight: accepted and not ended.
        waiting: of these, not given to the decoder.
        slate_seconds: expected of one slate as long as the longest of the last batch; 0 before the first.
    """

    accepted: int
    answered: int
    failed: int
    cancelled: int
    refused: Mapping[str, int]
    shed: Mapping[str, int]
    batches: int
    rows: int
    in_flight: int
    waiting: int
    slate_seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class _Ticket(Turn):
    request: SlateRequest
    answer: "asyncio.Future[Slate]"


class MicroBatcher:
    """Decodes what the tasks of one event loop submit; `close` ends its thread.

    Submit one request before traffic comes: until a batch was measured every deadline looks possible.

    Args:
        decode: one slate a request, in order; called in the worker thread, never twice at once.
    """

    def __init__(
        self, decode: Callable[[Sequence[SlateRequest]], Sequence[Slate]], config: BatchConfig
    ) -> None:
        self._decode, self._config = decode, config
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._time = DecodeTime()
        self._admission = Admission(self._time, config)
        self._queue: list[_Ticket] = []
        self._arrived = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._free_at: float | None = None
        self._measured_at, self._last_size = -math.inf, 1
        self._closed = False
        self._counts: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._shed: Counter[str] = Counter()

    async def submit(self, request: SlateRequest, deadline: float) -> Slate:
        """The slate of a request. Cancel the call to withdraw it.

        Args:
            deadline: moment of the event loop's clock, `loop.time()`, in seconds.

        Raises:
            InputError: a deadline that is no finite number.
            Overloaded: refused, for it or others would be late, or the queue is full.
            DeadlineExceeded: at the deadline, or as soon as it cannot be met.
            DecoderClosed: `close` was called.
            Exception: what the decoder raised for this request alone.
        """
        try:
            ticket = self._accept(request, deadline)
        except NotDecoded as error:
            self._refused[error.reason] += 1
            raise
        self._counts["accepted"] += 1
        try:
            async with asyncio.timeout_at(deadline) as limit:
                slate = await ticket.answer
        except asyncio.CancelledError:
            self._counts["cancelled"] += 1
            raise
        except NotDecoded as error:
            self._shed[error.reason] += 1
            raise
        except Exception as error:
            if isinstance(error, TimeoutError) and limit.expired():
                self._shed["late"] += 1
                allowed = (deadline - ticket.arrived) * 1000
                message = (
                    f"not decoded within {allowed:.0f} ms; allow more time, send fewer, or add a replica"
                )
                raise DeadlineExceeded("late", message) from None
            self._counts["failed"] += 1
            raise
        finally:
            if ticket in self._queue:
                self._queue.remove(ticket)
        self._counts["answered"] += 1
        return slate

    async def close(self) -> None:
        """Who waits gets `DecoderClosed`, the running batch is finished, the thread ends."""
        self._closed = True
        for ticket in self._queue:
            _fail(ticket, DecoderClosed("closed", "the decoder was closed; ask another replica"))
        self._queue.clear()
        self._arrived.set()
        if self._worker is not None:
            await asyncio.wait([self._worker])
        self._executor.shutdown()

    @property
    def stats(self) -> BatcherStats:
        counts = self._counts
        ended = counts["answered"] + counts["failed"] + counts["cancelled"] + self._shed.total()
        return BatcherStats(
            accepted=counts["accepted"],
            answered=counts["answered"],
            failed=counts["failed"],
            cancelled=counts["cancelled"],
            refused=dict(self._refused),
            shed=dict(self._shed),
            batches=counts["batches"],
            rows=counts["rows"],
            in_flight=counts["accepted"] - ended,
            waiting=len(self._queue),
            slate_seconds=self._time.expected(1, self._last_size),
        )

    def _accept(self, request: SlateRequest, deadline: float) -> _Ticket:
        loop = asyncio.get_running_loop()
        now, size = loop.time(), request.slate_size
        if not math.isfinite(deadline):
            raise InputError(f"deadline {deadline}: a finite moment of the event loop's clock is due")
        if self._closed:
            raise DecoderClosed("closed", "the decoder is closed; ask another replica")
        if deadline <= now:
            passed = (now - deadline) * 1000
            raise DeadlineExceeded("expired", f"the deadline passed {passed:.0f} ms ago; allow more time")
        start_by = self._admission.start_by(size, deadline, now)
        ticket = _Ticket(size, now, deadline, start_by, request, loop.create_future())
        refusal = self._admission.refusal(ticket, self._queue, now, self._free_at)
        idle = self._free_at is None and not self._queue
        if refusal is not None and not (idle and self._is_stale(now)):
            raise refusal
        enqueue(self._queue, ticket)
        self._arrived.set()
        if self._worker is None:
            self._worker = loop.create_task(self._work())
        return ticket

    def _is_stale(self, now: float) -> bool:
        return now - self._measured_at > STALE_SECONDS

    async def _work(self) -> None:
        """Batch after batch until nobody waits."""
        try:
            while self._queue:
                await self._wait_for_company()
                batch = self._next()
                if batch:
                    await self._serve(batch)
        finally:
            self._worker = None

    async def _wait_for_company(self) -> None:
        """Until the window has passed, the batch is full, or one of it can wait no longer."""
        clock = asyncio.get_running_loop().time
        while self._queue:
            batch, _ = cut(self._queue, clock(), self._time, self._config)
            if len(batch) == self._config.max_batch:
                return
            closes = min(ticket.arrived for ticket in self._queue) + self._config.window_ms / 1000
            needs = self._time.safe(len(batch), longest(batch))
            until = min(closes, min(ticket.deadline for ticket in batch) - needs)
            if until <= clock():
                return
            self._arrived.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._arrived.wait()
            except TimeoutError:
                return

    def _next(self) -> list[_Ticket]:
        """Take the next batch from the queue, and give up those for whom it is too late."""
        now = asyncio.get_running_loop().time()
        waiting = [ticket for ticket in self._queue if not ticket.answer.done()]
        hopeless = [t for t in waiting if now + self._time.expected(1, t.size) > t.deadline]
        if len(hopeless) == len(waiting) and self._is_stale(now):
            hopeless = hopeless[1:]
        for ticket in hopeless:
            _fail(ticket, self._no_time(ticket, now))
        in_time = [ticket for ticket in waiting if not ticket.answer.done()]
        batch, self._queue = cut(in_time, now, self._time, self._config) if in_time else ([], [])
        return batch

    async def _serve(self, batch: list[_Ticket]) -> None:
        """Decode a batch. If that fails decode each request alone, so that the cause fails alone."""
        self._admission.batch_begins()
        error = await self._attempt(batch)
        if error is None:
            return
        if len(batch) == 1:
            _fail(batch[0], error)
            return
        for place, ticket in enumerate(batch):
            now = asyncio.get_running_loop().time()
            if ticket.answer.done():
                continue
            if now + self._time.expected(1, ticket.size) > ticket.deadline:
                too_late = self._no_time(ticket, now)
                too_late.__cause__ = error
                _fail(ticket, too_late)
                continue
            behind = sum(self._time.expected(1, other.size) for other in batch[place + 1 :])
            alone = await self._attempt([ticket], behind)
            if alone is not None:
                _fail(ticket, alone)

    async def _attempt(self, batch: list[_Ticket], behind: float = 0.0) -> Exception | None:
        """Decode and answer.

        Args:
            behind: seconds for which the worker is needed afterwards.

        Returns:
            What the decoder raised.
        """
        loop = asyncio.get_running_loop()
        began, rows, size = loop.time(), len(batch), longest(batch)
        self._free_at = began + self._time.expected(rows, size) + behind
        self._counts["batches"] += 1
        self._counts["rows"] += rows
        try:
            slates = await loop.run_in_executor(self._executor, self._run, [t.request for t in batch])
        except Exception as error:
            return error
        finally:
            self._free_at = None
        self._measure(began, rows, size)
        for ticket, slate in zip(batch, slates, strict=True):
            if not ticket.answer.done():
                ticket.answer.set_result(slate)
        return None

    def _measure(self, began: float, rows: int, size: int) -> None:
        now = asyncio.get_running_loop().time()
        if self._is_stale(began) and now - began < self._time.expected(rows, size) / 2:
            self._time.forget()
        self._time.observe(rows, size, now - began)
        self._measured_at, self._last_size = now, size

    def _run(self, requests: list[SlateRequest]) -> Sequence[Slate]:
        try:
            slates = self._decode(requests)
        except StopIteration as error:  # a future cannot carry it, and the batch would never end
            raise RuntimeError("the decoder raised StopIteration") from error
        if len(slates) != len(requests):
            raise RuntimeError(f"the decoder made {len(slates)} slates of {len(requests)} requests")
        return slates

    def _no_time(self, ticket: _Ticket, now: float) -> DeadlineExceeded:
        needs, left = self._time.expected(1, ticket.size) * 1000, (ticket.deadline - now) * 1000
        return DeadlineExceeded(
            "no_time",
            f"decoding takes {needs:.0f} ms, but the deadline is in {left:.0f} ms; "
            "allow more time, send fewer, or add a replica",
        )


def _fail(ticket: _Ticket, error: Exception) -> None:
    if not ticket.answer.done():
        ticket.answer.set_exception(error)
