"""What a predictor at the other end of a socket can do wrong."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from higr.data.schemas import ITEMS
from higr.decode.sampling import Sampling
from higr.slate import Slate, UserContext
from serving.ask import Ask, Made, Refused
from serving.policy import Policy
from serving.policy_file import Block, PolicyFile
from serving.remote import RemotePredictor, ask_of, instance_of, response_of
from serving.schemas import PredictorRequest

ROWS = {
    **{field.name: pa.nulls(3, field.type) for field in ITEMS},
    "item_id": ["a", "c", "d"],
    "category": ["x", "x", "y"],
}
NOW = datetime(2026, 1, 2, tzinfo=UTC)
RULE = Block(name="no-a", kind="block", items=("a",))
POLICY = Policy(PolicyFile(rules=(RULE,)), pa.table(ROWS, schema=ITEMS), ["c", "a", "d"])
ASK = Ask(
    UserContext("u", ("a",), (2,), {"age": "18"}, {"surface": "feed"}),
    2,
    frozenset({"b"}),
    replace(POLICY.decide({}, NOW), per_category=3),
    {1: "d"},
    sampling=Sampling(0.5, 2.0, seed=7),
)
GOOD = (
    b'{"predictions": [{"item_ids": ["c", "d"], "scores": [1.0, 0.5], "semantic_ids": [[1, 2], [3, 4]]}], '
    b'"model_version": "v"}'
)


def answer(status: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 " + status + b"\r\ncontent-length: " + str(len(body)).encode() + b"\r\n\r\n" + body


async def made(reply: bytes | None) -> tuple[object, bytes]:
    """What the client makes of a reply (none: silence), and the request as it was sent."""
    seen = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        seen.extend(head + await reader.readexactly(length))
        if reply is not None:
            writer.write(reply)
            await writer.drain()
            writer.close()
        else:
            await asyncio.sleep(1)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        return await RemotePredictor(f"127.0.0.1:{port}").make([ASK], 0.3), bytes(seen)
    finally:
        server.close()


def test_a_good_answer_is_read_and_all_that_was_asked_is_sent() -> None:
    answered, sent = asyncio.run(made(answer(b"200 OK", GOOD)))
    assert answered.model_version == "v"  # type: ignore[attr-defined]
    (slate,) = answered.slates  # type: ignore[attr-defined]
    assert (slate.item_ids, slate.scores, slate.semantic_ids) == (("c", "d"), (1.0, 0.5), ((1, 2), (3, 4)))
    assert sent.startswith(b"POST /v1/models/higr-predictor:predict HTTP/1.1")
    for part in (b'"user_id":"u"', b'"slate_size":2', b'"exclude_items":["b"]', b'"deadline_ms":300'):
        assert part in sent
    body = sent.partition(b"\r\n\r\n")[2]
    (instance,) = PredictorRequest.model_validate_json(body).instances
    assert ask_of(instance, POLICY, NOW) == ASK  # the other end sees what was asked


def test_what_is_shown_with_each_request() -> None:
    """Asked for each time: a token may change."""
    tokens = iter(["Bearer first", "Bearer second"])
    remote = RemotePredictor("127.0.0.1:1", lambda: {"authorization": next(tokens)})
    for _ in range(2):
        with pytest.raises(ConnectionError):
            asyncio.run(remote.make([ASK], 1))
    assert list(tokens) == []


def test_a_rule_that_the_other_end_does_not_have() -> None:
    newer = replace(ASK, decision=replace(ASK.decision, rules=("no-a", "newer")))
    assert ask_of(instance_of(newer), POLICY, NOW) is None


def test_a_refusal_arrives_beside_the_slates_of_others() -> None:
    slates = [Slate(("c",), (1.0,), ((1, 2),), (0.5,)), Refused("overloaded")]
    body = response_of(Made(slates, "v")).model_dump_json().encode()
    answered, _ = asyncio.run(made(answer(b"200 OK", body)))
    assert answered.slates == slates  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (None, TimeoutError),
        (answer(b"504 Gateway Timeout", b"{}"), TimeoutError),
        (b"", ConnectionError),
        (b"garbage\r\n\r\n", ConnectionError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", ConnectionError),
        (answer(b"500 Internal Server Error", b"{}"), Exception),
        (answer(b"200 OK", b"{"), ValueError),
        (answer(b"200 OK", b'{"predictions": []}'), ValueError),
        (answer(b"200 OK", GOOD.replace(b"1.0", b'"1"')), ValueError),
        (answer(b"200 OK", GOOD.replace(b"}]", b', "refused": "a reason it made up"}]')), ValueError),
    ],
)
def test_each_bad_answer_is_an_error(reply: bytes | None, error: type[Exception]) -> None:
    with pytest.raises(error):
        asyncio.run(made(reply))


def test_nobody_there() -> None:
    with pytest.raises(ConnectionError):
        asyncio.run(RemotePredictor("127.0.0.1:1").make([ASK], 1))
