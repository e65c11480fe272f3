"""Time is simulated, see `tests.decode.virtual`, but in the last. Run: pytest tests/decode/test_batcher.py"""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.config import BatchConfig
from higr.decode.batcher import MicroBatcher
from higr.decode.request import Constraints, SlateRequest
from higr.decode.slate import decode_slates
from higr.eligibility import Exclusions
from higr.errors import DeadlineExceeded, DecoderClosed, InputError, NotDecoded, Overloaded
from higr.model.inputs import encode_contexts
from higr.slate import Slate, UserContext
from tests.decode.test_slate import random_catalog, random_context, random_model
from tests.decode.virtual import VirtualLoop, simulate

Cost = Callable[[int, int], float]


def ask(name: str, size: int = 10) -> SlateRequest:
    return SlateRequest(UserContext(name), size)


def slate(request: SlateRequest) -> Slate:
    return Slate(tuple(f"{request.context.user_id}-{i}" for i in range(request.slate_size)), ())


class Decoder:
    """Makes slates whose items say for whom they are, in a time that it is told; fails for names in `bad`."""

    def __init__(self, loop: VirtualLoop, cost: Cost, bad: Sequence[str] = ()) -> None:
        self.loop, self.cost, self.bad = loop, cost, bad
        self.began: list[float] = []
        self.batches: list[list[str]] = []

    def __call__(self, requests: Sequence[SlateRequest]) -> list[Slate]:
        self.began.append(self.loop.time())
        self.batches.append([request.context.user_id for request in requests])
        self.loop.busy = self.cost(len(requests), max(request.slate_size for request in requests))
        for name in self.batches[-1]:
            if name in self.bad:
                raise InputError(f"{name} cannot be decoded")
        return [slate(request) for request in requests]


def a_tenth(rows: int, positions: int) -> float:
    return 0.1


def affine(rows: int, positions: int) -> float:
    """Near the reference engine's shape: a batch of 16 takes five times as long as one."""
    return (0.015 + 0.005 * rows) * positions / 10


class Client:
    """Submits, and notes how each request ends and when."""

    def __init__(self, loop: VirtualLoop, batcher: MicroBatcher) -> None:
        self.loop, self.batcher = loop, batcher
        self.ends: dict[str, Slate | BaseException] = {}
        self.at: dict[str, float] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def send(self, name: str, within: float, size: int = 10) -> None:
        self.tasks[name] = self.loop.create_task(self._one(name, self.loop.time() + within, size))

    async def _one(self, name: str, deadline: float, size: int) -> None:
        assert name not in self.ends
        try:
            self.ends[name] = await self.batcher.submit(ask(name, size), deadline)
        except (Exception, asyncio.CancelledError) as error:
            self.ends[name] = error
        self.at[name] = self.loop.time()

    async def all_ended(self) -> None:
        await asyncio.gather(*self.tasks.values())

    def reason(self, name: str) -> str | None:
        end = self.ends[name]
        return end.reason if isinstance(end, NotDecoded) else None

    def answered(self, name: str) -> bool:
        return isinstance(self.ends[name], Slate)


def start(
    loop: VirtualLoop, cost: Cost, config: BatchConfig | None = None, bad: Sequence[str] = ()
) -> tuple[Client, Decoder]:
    decoder = Decoder(loop, cost, bad)
    return Client(loop, MicroBatcher(decoder, config or BatchConfig())), decoder


Arrival = tuple[float, int, float, float | None, bool]
arrivals = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.001, 0.01, 0.1]),  # seconds since the one before
        st.sampled_from([1, 5, 10, 40]),  # M
        st.floats(0.001, 0.5),  # seconds to the deadline
        st.none() | st.floats(0, 0.3),  # seconds to its cancellation
        st.sampled_from([False, False, False, True]),  # fails in the decoder
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(
    arrivals,
    st.integers(1, 8),
    st.sampled_from([0.0, 2.0, 50.0]),
    st.integers(1, 20),
    st.none() | st.floats(0, 1),
    st.integers(0, 99),
)
def test_every_request_ends_once_in_its_own_slate_an_error_or_a_cancellation(
    requests: list[Arrival], most: int, window: float, room: int, closed_after: float | None, seed: int
) -> None:
    rng = random.Random(seed)

    async def scenario(loop: VirtualLoop) -> None:
        config = BatchConfig(max_batch=most, window_ms=window, max_waiting=room)
        bad = [f"r{i}" for i, request in enumerate(requests) if request[4]]
        client, decoder = start(loop, lambda n, m: affine(n, m) * rng.lognormvariate(0, 0.3), config, bad)
        if closed_after is not None:
            loop.call_later(closed_after, lambda: loop.create_task(client.batcher.close()))
        deadlines, cancelled = {}, set()

        def cancel(name: str) -> None:
            if client.tasks[name].cancel():
                cancelled.add(name)

        for i, (gap, size, within, cancelled_after, _) in enumerate(requests):
            await asyncio.sleep(gap)
            client.send(f"r{i}", within, size)
            deadlines[f"r{i}"] = loop.time() + within
            if cancelled_after is not None:
                loop.call_later(cancelled_after, cancel, f"r{i}")
        await client.all_ended()

        decoded = Counter(name for batch in decoder.batches for name in batch)
        alone = Counter(batch[0] for batch in decoder.batches if len(batch) == 1)
        assert set(client.ends) == set(client.tasks)
        for i, (_, size, *_) in enumerate(requests):
            name = f"r{i}"
            end = client.ends[name]
            if isinstance(end, Slate):
                assert end == slate(ask(name, size))
                assert client.at[name] <= deadlines[name] + 1e-9
                assert name not in bad
            elif isinstance(end, asyncio.CancelledError):
                assert name in cancelled
            elif isinstance(end, InputError):
                assert str(end) == f"{name} cannot be decoded"
                assert name in bad
            else:
                assert isinstance(end, NotDecoded)
                assert client.at[name] <= deadlines[name] + 1e-9
            assert alone[name] <= 1
            assert decoded[name] <= 1 + alone[name]
        stats = client.batcher.stats
        kinds = Counter(type(end).__name__ for end in client.ends.values())
        assert stats.answered == kinds["Slate"]
        assert stats.failed == kinds["InputError"]
        assert sum(stats.shed.values()) + sum(stats.refused.values()) == sum(
            kinds[kind] for kind in ("Overloaded", "DeadlineExceeded", "DecoderClosed")
        )
        accepted = stats.answered + stats.failed + stats.cancelled + sum(stats.shed.values())
        assert (stats.accepted, stats.in_flight, stats.waiting) == (accepted, 0, 0)
        assert (stats.batches, stats.rows) == (len(decoder.batches), decoded.total())
        assert all(len(batch) <= most for batch in decoder.batches)
        await client.batcher.close()

    simulate(scenario)


@pytest.mark.parametrize(
    ("window", "gaps", "within", "batches"),
    [
        (20, [0.01, 0.015], 1.0, [(0.02, "ab"), (0.12, "c")]),  # c came 25 ms after a, while a was decoded
        (20, [0.01, 0.005], 1.0, [(0.02, "abc")]),
        (0, [0.0, 0.0], 1.0, [(0.0, "abc")]),  # what arrives at the same moment
        (0, [0.001, 0.0], 1.0, [(0.0, "a"), (0.1, "bc")]),
        (20, [0.0, 0.0, 0.0], 1.0, [(0.0, "abcd")]),  # full: the window is not waited out
        (500, [0.0, 0.05], 1.0, [(0.5, "abc")]),
        (500, [], 0.3, [(0.2, "a")]),  # the last moment that leaves the 100 ms of decoding
        (500, [0.1, 0.3], 0.301, [(0.201, "ab"), (0.601, "c")]),
    ],
)
def test_the_window(
    window: float, gaps: list[float], within: float, batches: list[tuple[float, str]]
) -> None:
    async def scenario(loop: VirtualLoop) -> None:
        client, decoder = start(loop, a_tenth, BatchConfig(window_ms=window, max_batch=4))
        await learn(client, decoder, rows=4)
        began = loop.time()
        for name, gap in zip("abcd", [0.0, *gaps], strict=False):
            if gap:
                await asyncio.sleep(gap)
            client.send(name, within)
        await client.all_ended()
        assert ["".join(batch) for batch in decoder.batches] == [names for _, names in batches]
        # 10 ms, for the batcher knows the time of decoding from measurements
        assert [at - began for at in decoder.began] == pytest.approx([at for at, _ in batches], abs=0.01)

    simulate(scenario)


async def learn(client: Client, decoder: Decoder, rows: int = 1) -> None:
    """Let the batcher measure its decoder by batches of 1 and of `rows`, then forget them here."""
    for count in [1, rows] * 20:
        for place in range(count):
            client.send(f"learnt-{place}", 100.0)
        await client.all_ended()
        for notes in (client.tasks, client.ends, client.at):
            notes.clear()
    decoder.batches.clear()
    decoder.began.clear()


def test_the_earliest_deadline_is_decoded_first() -> None:
    async def scenario(loop: VirtualLoop) -> None:
        client, decoder = start(loop, a_tenth, BatchConfig(max_batch=1, window_ms=0))
        for name, within in [("first", 9.0), ("c", 3.0), ("a", 1.0), ("e", 3.0), ("b", 2.0)]:
            client.send(name, within)
            await asyncio.sleep(0.001)
        await client.all_ended()
        assert decoder.batches == [["first"], ["a"], ["b"], ["c"], ["e"]]

    simulate(scenario)


def test_short_slates_do_not_wait_for_long_ones_in_their_batch() -> None:
    async def scenario(loop: VirtualLoop) -> None:
        client, decoder = start(loop, affine, BatchConfig(window_ms=0))
        client.send("first", 9.0)
        await asyncio.sleep(0.001)
        for name, size in [("s1", 5), ("l1", 40), ("s2", 5), ("l2", 40), ("s3", 8)]:
            client.send(name, 5.0, size)
        await client.all_ended()
        assert decoder.batches[1:] == [["l1", "l2"], ["s1", "s2", "s3"]] or decoder.batches[1:] == [
            ["s1", "s2", "s3"],
            ["l1", "l2"],
        ]

    simulate(scenario)


def test_one_that_cannot_be_in_time_is_refused_with_the_numbers_and_those_before_it_are_kept() -> None:
    async def scenario(loop: VirtualLoop) -> None:
        client, decoder = start(loop, a_tenth, BatchConfig(max_batch=1, max_waiting=3))
        await learn(client, decoder)
        client.send("running", 1.0)
        await asyncio.sleep(0.05)
        for name, within in [("a", 0.5), ("b", 0.5), ("too late", 0.12), ("c", 0.5), ("one too many", 9.0)]:
            client.send(name, within)
        await asyncio.sleep(0.001)
        assert client.reason("too late") == "no_time"
        assert isinstance(client.ends["too late"], Overloaded)
        assert str(client.ends["too late"]).startswith(
            "with 2 waiting this takes 150 ms, but the deadline is in 120 ms;"
        )
        assert client.reason("one too many") == "queue_full"
        await client.all_ended()
        assert all(client.answered(name) for name in ("running", "a", "b", "c"))
        assert client.batcher.stats.refused == {"no_time": 1, "queue_full": 1}

    simulate(scenario)


def test_one_for_whom_it_became_too_late_is_not_decoded() -> None:
    async def scenario(loop: VirtualLoop) -> None:
        times = iter([*[0.1] * 40, 0.35])
        client, decoder = start(loop, lambda n, m: next(times, 0.1), BatchConfig(max_batch=1, window_ms=0))
        await learn(client, decoder)
        client.send("slow", 1.0)
        await asyncio.sleep(0.001)
        client.send("waiting", 0.42)
        client.send("patient", 1.0)
        await client.all_ended()
        assert client.reason("waiting") == "no_time"
        assert decoder.batches == [["slow"], ["patient"]]
        assert client.batcher.stats.shed == {"no_time": 1}

    simulate(scenario)


def test_nobody_waits_beyond_the_deadline_for_a_decoder_that_hangs() -> None:
    async def scenario(loop: VirtualLoop) -> None:
        times = iter([*[0.1] * 40, 100.0])
        client, decoder = start(loop, lambda n, m: next(times, 0.1), BatchConfig(max_batch=1, window_ms=0))
        await learn(client, decoder)
        began = loop.time()
        client.send("running", 0.5)
        await asyncio.sleep(0.01)
        client.send("waiting", 0.5)
        await client.all_ended()
        assert client.reason("running") == client.reason("waiting") == "late"
        assert client.at == pytest.approx({"running": began + 0.5, "waiting": began + 0.51})
        assert str(client.ends["waiting"]).startswith("not decoded within 500 ms; allow more time")

    simulate(scenario)


@pytest.mark.parametrize("within", [0.0, -1.0])
def test_a_deadline_in_the_past_is_expired(within: float) -> None:
    async def scenario(loop: VirtualLoop) -> None:
        client, decoder = start(loop, a_tenth)
        client.send("a", within)
        await client.all_ended()
        assert client.reason("a") == "expired"
        assert isinstance(client.ends["a"], DeadlineExceeded)
        assert decoder.batches == []

    simulate(scenario)


@pytest.mark.parametrize("deadline", [float("nan"), float("inf")])
def test_a_deadline_must_be_finite(deadline: float) -> None:
    async def scenario(loop: VirtualLoop) -> None:
        client, _ = start(loop, a_tenth)
        with pytest.raises(InputError, match=f"deadline {deadline}: a finite moment"):
            await client.batcher.submit(ask("a"), deadline)

    simulate(scenario)


def test_a_measure_that_was_wrong_does_not_refuse_everyone_for_ever() -> None:
    async def scenario(loop: VirtualLoop) -> None:
        times = iter([5.0])
        client, _ = start(loop, lambda n, m: next(times, 0.01), BatchConfig(window_ms=0))
        client.send("cold start", 9.0)
        await client.all_ended()
        for i in range(50):
            client.send(f"r{i}", 0.1)
            await asyncio.sleep(0.1)
        assert client.reason("r0") == "no_time"
        tried = client.batcher.stats.refused["no_time"]
        assert 5 < tried < 15  # nobody is tried for a second
        assert all(client.answered(f"r{i}") for i in range(tried, 50))

    simulate(scenario)


def test_a_request_that_fails_fails_alone() -> None:
    async def scenario(loop: VirtualLoop) -> None:
        client, decoder = start(loop, a_tenth, bad=["b", "d"])
        for name in "abcde":
            client.send(name, 9.0)
        await client.all_ended()
        assert decoder.batches == [list("abcde"), *map(list, "abcde")]
        for name in "abcde":
            if name in "bd":
                assert str(client.ends[name]) == f"{name} cannot be decoded"
            else:
                assert client.ends[name] == slate(ask(name))
        assert (client.batcher.stats.failed, client.batcher.stats.answered) == (2, 3)

    simulate(scenario)


def test_the_second_try_respects_deadlines_and_skips_the_cancelled() -> None:
    async def scenario(loop: VirtualLoop) -> None:
        client, decoder = start(loop, a_tenth, BatchConfig(max_batch=4), bad=["a"])
        await learn(client, decoder, rows=4)
        for name, within in [("a", 1.0), ("b", 1.1), ("c", 0.25), ("d", 1.2)]:
            client.send(name, within)
        await asyncio.sleep(0.05)
        client.tasks["b"].cancel()
        await client.all_ended()
        assert decoder.batches == [["c", "a", "b", "d"], ["c"], ["a"], ["d"]]
        assert client.answered("c")
        assert isinstance(client.ends["b"], asyncio.CancelledError)
        assert client.answered("d")

        decoder.batches.clear()
        for name, within in [("a2", 0.15), ("b2", 0.15), ("c2", 0.9)]:
            client.send(name, within)
        decoder.bad = ["c2"]
        await client.all_ended()
        assert decoder.batches == [["a2", "b2", "c2"], ["c2"]]
        assert client.reason("a2") == client.reason("b2") == "no_time"
        assert isinstance(client.ends["a2"].__cause__, InputError)

    simulate(scenario)


@pytest.mark.parametrize("count", [1, 3])
def test_a_decoder_that_makes_too_few_slates_is_told_so(count: int) -> None:
    async def scenario(loop: VirtualLoop) -> None:
        client = Client(loop, MicroBatcher(lambda requests: [], BatchConfig()))
        for i in range(count):
            client.send(f"r{i}", 1.0)
        await client.all_ended()
        assert {str(end) for end in client.ends.values()} == {"the decoder made 0 slates of 1 requests"}

    simulate(scenario)


def test_cancelling_in_the_window_while_waiting_and_in_decoding() -> None:
    async def scenario(loop: VirtualLoop) -> None:
        client, decoder = start(loop, a_tenth, BatchConfig(window_ms=10))
        client.send("in window", 9.0)
        await asyncio.sleep(0.005)
        client.tasks["in window"].cancel()
        await asyncio.sleep(0.1)
        assert decoder.batches == []

        for name in ("in decoding", "beside"):
            client.send(name, 9.0)
        await asyncio.sleep(0.05)
        for name in ("waiting", "behind"):
            client.send(name, 9.0)
        await asyncio.sleep(0.01)
        for name in ("in decoding", "waiting"):
            client.tasks[name].cancel()
        await asyncio.sleep(0)
        assert client.batcher.stats.waiting == 1
        await client.all_ended()
        assert decoder.batches == [["in decoding", "beside"], ["behind"]]
        assert client.answered("beside")
        assert client.answered("behind")
        stats = client.batcher.stats
        assert (stats.cancelled, stats.answered, stats.in_flight) == (3, 2, 0)

    simulate(scenario)


def test_closing_in_the_window_in_decoding_and_in_the_second_try() -> None:
    async def scenario(loop: VirtualLoop) -> None:
        client, decoder = start(loop, a_tenth, BatchConfig(window_ms=10))
        client.send("in window", 9.0)
        await asyncio.sleep(0.005)
        await asyncio.gather(client.batcher.close(), client.batcher.close())
        await client.all_ended()
        assert client.reason("in window") == "closed"
        assert decoder.batches == []

        client, decoder = start(loop, a_tenth, bad=["a"])
        for name in "ab":
            client.send(name, 9.0)
        await asyncio.sleep(0.15)  # the first try took 100 ms
        client.send("waiting", 9.0)
        await asyncio.sleep(0)
        await client.batcher.close()
        await client.all_ended()
        assert isinstance(client.ends["a"], InputError)
        assert client.answered("b")
        assert isinstance(client.ends["waiting"], DecoderClosed)
        client.send("after", 9.0)
        await client.all_ended()
        assert client.reason("after") == "closed"
        await client.batcher.close()
        assert client.batcher.stats.shed == {"closed": 1}
        assert client.batcher.stats.refused == {"closed": 1}

    simulate(scenario)


def crowd(
    rate: float, seconds: float, kinds: Sequence[tuple[float, int]], cost: Cost = affine, seed: int = 0
) -> tuple[Client, dict[tuple[float, int], list[str]]]:
    """Random arrivals at so many a second, each of a random kind (seconds to its deadline, M)."""
    rng = random.Random(seed)

    async def scenario(loop: VirtualLoop) -> tuple[Client, dict[tuple[float, int], list[str]]]:
        client, _ = start(loop, lambda n, m: cost(n, m) * rng.lognormvariate(0, 0.1))
        client.send("first", 9.0)
        await client.all_ended()
        names: dict[tuple[float, int], list[str]] = {kind: [] for kind in kinds}
        for i in range(int(rate * seconds)):
            kind = rng.choice(kinds)
            names[kind].append(f"r{i}")
            client.send(f"r{i}", *kind)
            await asyncio.sleep(rng.expovariate(rate))
        await client.all_ended()
        return client, names

    return simulate(scenario)


def share_answered(client: Client, names: list[str]) -> float:
    return sum(map(client.answered, names)) / len(names)


@pytest.mark.parametrize("rate", [20, 100])
def test_without_overload_everyone_is_answered(rate: float) -> None:
    client, names = crowd(rate, 5, [(0.3, 10)])
    assert share_answered(client, names[0.3, 10]) > 0.99


@pytest.mark.parametrize("rate", [300, 1000])
def test_under_overload_the_decoder_is_used_to_the_full_and_the_accepted_are_in_time(rate: float) -> None:
    client, _ = crowd(rate, 5, [(0.3, 10)])
    stats = client.batcher.stats
    most = 16 / affine(16, 10)  # slates a second
    assert stats.answered / 5 > 0.85 * most
    assert sum(stats.shed.values()) < 0.03 * stats.accepted
    assert set(stats.refused) == {"no_time"}


def test_a_deadline_barely_above_a_full_batch_does_not_end_in_batches_of_one() -> None:
    client, _ = crowd(1000, 4, [(0.15, 10)])
    assert client.batcher.stats.answered / 4 > 0.75 * 16 / affine(16, 10)


def test_under_overload_neither_the_hasty_nor_the_patient_starve() -> None:
    client, names = crowd(600, 10, [(0.2, 10), (2.0, 10)])
    shares = [share_answered(client, of_kind) for of_kind in names.values()]
    assert min(shares) > 0.25 * max(shares)
    assert client.batcher.stats.refused["fair_share"] > 0


def test_under_overload_neither_short_nor_long_slates_starve() -> None:
    client, names = crowd(300, 10, [(0.6, 5), (0.6, 40)])
    assert all(share_answered(client, of_kind) > 0.05 for of_kind in names.values())


def test_clients_of_one_kind_are_served_alike() -> None:
    client, _ = crowd(600, 10, [(0.3, 10)])
    shares = [share_answered(client, [f"r{i}" for i in range(place, 6000, 3)]) for place in range(3)]
    assert max(shares) - min(shares) < 0.05


# From here on in real time, with the real worker thread.


def worker_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("decode")]


def test_close_ends_the_thread_after_the_running_batch() -> None:
    began, go_on = threading.Event(), threading.Event()

    def decode(requests: Sequence[SlateRequest]) -> list[Slate]:
        began.set()
        assert go_on.wait(60)
        return [slate(request) for request in requests]

    async def scenario() -> None:
        batcher = MicroBatcher(decode, BatchConfig())
        await MicroBatcher(decode, BatchConfig()).close()
        deadline = asyncio.get_running_loop().time() + 60
        running = asyncio.create_task(batcher.submit(ask("running"), deadline))
        await asyncio.to_thread(began.wait, 60)
        waiting = asyncio.create_task(batcher.submit(ask("waiting"), deadline))
        await asyncio.sleep(0)
        closing = asyncio.create_task(batcher.close())
        with pytest.raises(DecoderClosed):
            await waiting
        assert not closing.done()
        go_on.set()
        assert await running == slate(ask("running"))
        await closing

    before = worker_threads()
    asyncio.run(scenario())
    assert worker_threads() == before


def test_a_decoder_that_raises_stop_iteration_ends_the_request() -> None:
    async def scenario() -> None:
        batcher = MicroBatcher(lambda requests: [next(iter([]))], BatchConfig())
        with pytest.raises(RuntimeError, match="StopIteration"):
            await batcher.submit(ask("a"), asyncio.get_running_loop().time() + 60)
        await batcher.close()

    asyncio.run(scenario())


def test_a_model_decodes_what_many_ask_at_once_as_it_decodes_each_alone() -> None:
    catalog = random_catalog(0, 40, 3, 4)
    model = random_model(0, catalog)

    def decode(requests: Sequence[SlateRequest]) -> list[Slate]:
        for request in requests:
            if request.slate_size > model.config.max_slate_size:
                raise InputError(f"slate size {request.slate_size} is too long")
        batch = encode_contexts([r.context for r in requests], catalog, model.profiles, model.config)
        excluded = [[catalog.position[item] for item in r.constraints.exclude] for r in requests]
        sizes = [request.slate_size for request in requests]
        decoded = decode_slates(
            model, catalog, batch, sizes, Exclusions(catalog.tree, excluded, strikes=max(sizes)), 5
        )
        return [
            Slate(tuple(catalog.item_ids[p] for p in items.tolist() if p >= 0), ()) for items in decoded.items
        ]

    requests = [
        SlateRequest(
            random_context(seed, catalog), 1 + seed % 10, Constraints(exclude=catalog.item_ids[:seed])
        )
        for seed in range(30)
    ]
    too_long = SlateRequest(random_context(0, catalog), 11)

    async def scenario() -> tuple[list[Slate | BaseException], MicroBatcher]:
        batcher = MicroBatcher(decode, BatchConfig(max_batch=8))
        deadline = asyncio.get_running_loop().time() + 60
        answers = await asyncio.gather(
            *(batcher.submit(request, deadline) for request in [*requests[:5], too_long, *requests[5:]]),
            return_exceptions=True,
        )
        await batcher.close()
        return answers, batcher

    answers, batcher = asyncio.run(scenario())
    assert isinstance(answers.pop(5), InputError)
    assert answers == [decode([request])[0] for request in requests]
    assert batcher.stats.rows > batcher.stats.batches
    assert (batcher.stats.answered, batcher.stats.failed) == (30, 1)
