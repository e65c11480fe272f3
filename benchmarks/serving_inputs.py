"""What is sent to a server that ought not to trust it: strategies of hypothesis, and a table of raw bytes."""

import json
from typing import Any

from hypothesis import strategies as st

VALID: dict[str, dict[str, Any]] = {
    "/v1/models/{model}:predict": {
        "instances": [
            {
                "user_id": "u0000000",
                "slate_size": 3,
                "context": {"item_ids": ["v0000001"], "feedback": [2], "profile": {"age": "18-24"}},
                "surface": "home",
                "constraints": {"exclude_items": ["v0000002"], "exclude_seen": True},
                "request_id": "r",
                "explain": True,
            },
            {"user_id": "u0000001"},
        ]
    },
    "/v2/models/{model}/infer": {
        "id": "1",
        "parameters": {"a": 1},
        "inputs": [
            {"name": "user_id", "shape": [2], "datatype": "BYTES", "data": ["u0", "u1"]},
            {"name": "slate_size", "shape": [2, 1], "datatype": "INT32", "data": [3, 4]},
        ],
        "outputs": [{"name": "item_ids", "parameters": {"binary_data": False}}],
    },
    "/v1/feedback": {
        "events": [
            {
                "event_id": "e",
                "user_id": "u",
                "item_id": "v0000001",
                "timestamp": "2026-03-01T12:00:00Z",
                "watch_seconds": 1.5,
                "clicked": True,
                "position": 1,
            }
        ]
    },
}
"""One body of each endpoint that is right, to be spoilt."""

TEXT = st.text(max_size=8) | st.sampled_from(
    ["\ud800", "\x00", "é", "x" * 5000, "NaN", "$ref", "../../etc/passwd"]
)
NUMBERS = (
    st.integers(-3, 60)
    | st.sampled_from([2**31, 2**63, -(2**63) - 1, 10**400, 1e308, -0.0, 1e-320])
    | st.floats(allow_nan=True, allow_infinity=True)
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXT
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(
            [
                "application/json",
                "application/json; charset=latin-1",
                "application/cloudevents+json",
                "application/octet-stream",
                "text/plain",
                "multipart/form-data; boundary=x",
            ]
        ),
        "inference-header-content-length": st.sampled_from(["0", "10", "-1", "x", "1e3", "9" * 30, ""]),
        "content-encoding": st.sampled_from(["gzip", "br"]),
        "ce-id": st.just("1"),
        "ce-specversion": st.sampled_from(["1.0", "9"]),
        "ce-source": st.just("s"),
        "ce-type": st.just("t"),
        "accept": st.sampled_from(["*/*", "application/openmetrics-text", "x"]),
    },
)


@st.composite
def spoilt(draw: st.DrawFn, value: Any) -> Any:
    """A copy of `value` with junk at one to three places: replaced, added, left out or repeated."""
    made = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(1, 3))):
        holder, key = made, None
        while isinstance(holder, dict | list) and holder:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            key = draw(st.sampled_from(keys))
            if not isinstance(holder[key], dict | list) or not holder[key] or draw(st.booleans()):
                break
            holder = holder[key]
        if key is None or not isinstance(holder, dict | list):
            return draw(JUNK)
        change = draw(st.sampled_from(["replace", "replace", "remove", "add", "repeat"]))
        if change == "replace":
            holder[key] = draw(JUNK)
        elif change == "remove":
            del holder[key]
        elif isinstance(holder, list):
            holder.extend([draw(JUNK)] if change == "add" else [holder[key]] * draw(st.integers(1, 600)))
        else:
            holder[draw(TEXT)] = draw(JUNK)
    return made


@st.composite
def bodies(draw: st.DrawFn, valid: Any) -> bytes:
    """JSON that is nearly right; sometimes bytes that are no JSON."""
    value = draw(spoilt(valid) | JUNK | st.just(valid))
    encoded = bytearray(json.dumps(value, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass"))
    damage = draw(st.sampled_from(["none"] * 6 + ["cut", "insert", "twice", "deep"]))
    if damage == "cut":
        del encoded[draw(st.integers(0, len(encoded))) :]
    elif damage == "insert":
        place = draw(st.integers(0, len(encoded)))
        encoded[place:place] = draw(st.binary(min_size=1, max_size=4))
    elif damage == "twice" and encoded.startswith(b"{"):
        encoded[1:1] = draw(st.sampled_from([b'"instances":1,', b'"inputs":[],', b'"events":null,']))
    elif damage == "deep":
        depth = draw(st.sampled_from([100, 2_000, 100_000]))
        encoded = bytearray(b"[" * depth + bytes(encoded) + b"]" * depth)
    return bytes(encoded)


def paths(model: str) -> st.SearchStrategy[str]:
    """Of KServe's routes and of none."""
    name = st.sampled_from([model, "nobody", "%00", "a%2fb", "..", "é", "x" * 3000])
    routes = [
        *(
            "/v1/models/{}",
            "/v1/models/{}:predict",
            "/v1/models/{}:explain",
            "/v2/models/{}",
            "/v2/models/{}/ready",
        ),
        *("/v2/models/{}/infer", "/v2/models/{}/versions/1", "/v2/models/{}/versions/1/infer"),
        *(
            "/v2/models/{}/versions/1/ready",
            "/v2/repository/models/{}/load",
            "/v2/repository/models/{}/unload",
        ),
        *("/v2/health/ready", "/metrics", "/openapi.json", "/docs", "/v1/feedback", "/openai/v1/{}", "/{}"),
    ]
    return st.builds(lambda route, value: route.format(value), st.sampled_from(routes), name)


TENSORS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["user_id", "slate_size", "surface", "request_id", "instance"]) | TEXT,
            "datatype": st.sampled_from(
                ["BYTES", "INT32", "INT64", "FP16", "FP32", "BOOL", "UINT8", "INT", "?", ""]
            ),
            "shape": st.lists(st.integers(-1, 3) | st.sampled_from([2**40, -(2**63)]), max_size=3),
            "data": st.lists(SCALARS | st.lists(SCALARS, max_size=2), max_size=3),
        },
        optional={
            "parameters": st.dictionaries(
                st.sampled_from(["binary_data_size", "binary_data", "a"]), SCALARS, max_size=2
            )
        },
    ),
    max_size=3,
)
"""Of V2 as JSON; over gRPC what a protobuf can hold of it."""


def raw_requests(model: str) -> dict[str, bytes]:
    """Bytes as they go over the port: what a client library would not send."""
    predict = f"POST /v1/models/{model}:predict HTTP/1.1\r\nhost: x\r\n".encode()
    body = b'{"instances": [{"user_id": "u"}]}'

    def sized(content: bytes, head: bytes = b"", length: object = None) -> bytes:
        said = len(content) if length is None else length
        return predict + head + f"content-length: {said}\r\n\r\n".encode() + content

    nan = b'{"instances": [{"user_id": "u", "slate_size": %s}]}'
    return {
        "nothing but new lines": b"\r\n" * 50,
        "no http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
        "nuls": b"\x00" * 4096,
        "http 0.9": b"GET /\r\n\r\n",
        "http 2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "unknown method": b"BREW / HTTP/1.1\r\nhost: x\r\n\r\n",
        "connect": b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n",
        "options of all": b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
        "absolute url": b"GET http://[::1/ HTTP/1.1\r\nhost: x\r\n\r\n",
        "path of bytes": b"GET /\xff\xfe%ff%00 HTTP/1.1\r\nhost: x\r\n\r\n",
        "no host": b"GET / HTTP/1.1\r\n\r\n",
        "header without a name": b"GET / HTTP/1.1\r\n: x\r\n\r\n",
        "header with a nul": b"GET / HTTP/1.1\r\na: \x00\r\n\r\n",
        "long header": b"GET / HTTP/1.1\r\na: " + b"x" * 2_000_000 + b"\r\n\r\n",
        "long header without end": b"GET / HTTP/1.1\r\na: " + b"x" * 2_000_000,
        "many headers": b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 100_000 + b"\r\n",
        "long path": b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\n\r\n",
        "websocket": b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "two lengths": sized(body, b"content-length: 1\r\n"),
        "length and chunks": sized(body, b"transfer-encoding: chunked\r\n"),
        "negative length": sized(body, length=-1),
        "length no number": sized(body, length="many"),
        "length beyond every limit": sized(body, length=10**30),
        "length too short": sized(body, length=5),
        "expects, too long": sized(b"", b"expect: 100-continue\r\n", 10**9),
        "bad chunk": predict + b"transfer-encoding: chunked\r\n\r\nZZ\r\n",
        "endless chunk size": predict + b"transfer-encoding: chunked\r\n\r\n" + b"f" * 1000 + b"\r\n",
        "unknown transfer": predict + b"transfer-encoding: gzip\r\n\r\n" + body,
        "gzip said, not sent": sized(body, b"content-encoding: gzip\r\n"),
        "empty": sized(b""),
        "nul body": sized(b"\x00" * 100),
        "utf-16": sized(body.decode().encode("utf-16")),
        "byte order mark": sized(b"\xef\xbb\xbf" + body),
        "invalid utf-8": sized(b'{"instances": [{"user_id": "\xff\xc0\x80"}]}'),
        "lone surrogate": sized(b'{"instances": [{"user_id": "\\ud800"}]}'),
        "nul in a string": sized(b'{"instances": [{"user_id": "\\u0000"}]}'),
        "nan": sized(nan % b"NaN"),
        "infinity": sized(nan % b"-Infinity"),
        "overflow": sized(nan % b"1e999"),
        "huge number": sized(nan % (b"9" * 100_000)),
        "same key twice": sized(b'{"instances": [], "instances": [{"user_id": "u", "user_id": 5}]}'),
        "deep": sized(b'{"instances":' + b"[" * 500_000 + b"]" * 500_000 + b"}"),
        "deep objects": sized(b'{"a":' * 200_000 + b"1" + b"}" * 200_000),
        "many instances": sized(b'{"instances": [' + b'{"user_id": "u"},' * 100_000 + b'{"user_id": "u"}]}'),
        "long string": sized(b'{"instances": [{"user_id": "' + b"u" * 1_900_000 + b'"}]}'),
        "many keys": sized(b"{" + b",".join(b'"%d":1' % n for n in range(150_000)) + b"}"),
    }
