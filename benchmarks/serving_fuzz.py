"""Bad input to a server that runs: whether it ever fails, hangs, or says what is inside it.

    python -m benchmarks.serving_fuzz --port 8080 --grpc-port 8081 --inputs 3000

Nothing here knows what an input should be answered, only what no answer may be: a 5xx (an INTERNAL or
UNKNOWN of gRPC), silence, the text or the type of an exception, a path of the file system, or a 4xx that
does not name the field at fault. The inputs depend on the seed alone.
"""

import argparse
import json
import re
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from rich.console import Console

from benchmarks.serving_inputs import HEADERS, TENSORS, VALID, bodies, paths, raw_requests

PATIENCE = 10.0
"""Seconds without an answer that are a hang; a server's own deadlines are shorter."""
INSIDE = re.compile(
    rb"Traceback|site-packages|File \"|\.py\b|\b[A-Z]\w*(Error|Exception)\b|0x[0-9a-f]{8}|/home/|/tmp/"
)
"""What only somebody inside can know."""
INFER = "/inference.GRPCInferenceService/ModelInfer"
EXAMPLES = 20


@dataclass
class Findings:
    """Counts of answers that must not be, and the first inputs that brought them."""

    inputs: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def add(self, kind: str, sent: object, answer: object = "") -> None:
        self.counts[kind] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(f"{kind}: {str(sent)[:300]} -> {str(answer)[:300]}")

    def judge(self, sent: object, status: int, content_type: str, body: bytes) -> None:
        """An answer over HTTP."""
        self.inputs += 1
        self.answers[str(status)] += 1
        if status >= 500:
            self.add("server_errors", sent, body)
        if status >= 400 and INSIDE.search(body):
            self.add("leaks", sent, body)
        if 400 <= status < 500 and not _names_a_field(content_type, body):
            self.add("unnamed", sent, body)

    def report(self) -> dict[str, Any]:
        kinds = ("server_errors", "hangs", "leaks", "unnamed")
        return {
            "inputs": self.inputs,
            **{kind: self.counts[kind] for kind in kinds},
            "answers": dict(sorted(self.answers.items())),
            "examples": self.examples,
        }


def fuzz(
    port: int,
    inputs: int,
    *,
    grpc_port: int | None = None,
    model: str = "higr",
    feedback: bool = True,
    random_seed: int = 0,
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Send about `inputs` inputs to the server on loopback, and the raw table once.

    Args:
        feedback: the server has `/v1/feedback`.
        headers: sent with each, as a token.

    Returns:
        `inputs` sent; how many were answered by `server_errors`, `hangs` (silence), `leaks`, `unnamed`;
        counts of `answers` by status; `examples` of what was wrong.
    """
    found = Findings()
    own = headers or {}
    endpoints = {path.format(model=model): valid for path, valid in VALID.items()}
    if not feedback:
        del endpoints["/v1/feedback"]
    share = max(1, inputs // (len(endpoints) + 3))
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, trust_env=False) as client:
        for path, valid in endpoints.items():
            _each(st.tuples(bodies(valid), HEADERS), share, random_seed, _poster(client, found, path, own))
        tensors = st.builds(lambda tensors: json.dumps({"inputs": tensors}).encode(), TENSORS)
        post = _poster(client, found, f"/v2/models/{model}/infer", own)
        _each(st.tuples(tensors, st.just({})), share, random_seed, post)
        methods = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
        _each(st.tuples(methods, paths(model)), share, random_seed, _asker(client, found, own))
    for name, sent in raw_requests(model).items():
        _raw(port, name, sent, found)
    if grpc_port is not None:
        _over_grpc(grpc_port, model, share, random_seed, own, found)
    return found.report()


def _each(strategy: st.SearchStrategy[Any], count: int, random_seed: int, send: Any) -> None:
    @seed(random_seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(value: Any) -> None:
        send(*value)

    run()


def _poster(client: httpx.Client, found: Findings, path: str, own: dict[str, str]) -> Any:
    def post(body: bytes, headers: dict[str, str]) -> None:
        _send(client, found, "POST", path, body, {"content-type": "application/json", **headers, **own})

    return post


def _asker(client: httpx.Client, found: Findings, own: dict[str, str]) -> Any:
    def ask(method: str, path: str) -> None:
        _send(client, found, method, path, b"{}" if method == "POST" else b"", own)

    return ask


def _send(
    client: httpx.Client, found: Findings, method: str, path: str, body: bytes, headers: dict[str, str]
) -> None:
    sent = (method, path[:80], headers, body[:300])
    try:
        answer = client.request(method, path, content=body, headers=headers)
    except httpx.TimeoutException:
        found.inputs += 1
        found.add("hangs", sent)
    except httpx.TransportError as error:
        found.inputs += 1
        found.add("server_errors", sent, type(error).__name__)
    else:
        named = b"" if method == "HEAD" else answer.content
        content_type = "" if method == "HEAD" else answer.headers.get("content-type", "")
        found.judge(sent, answer.status_code, content_type, named or b'{"field": "no body"}')


def _raw(port: int, name: str, sent: bytes, found: Findings) -> None:
    """One connection: what is sent, then its end is closed when the other is silent for a while."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as wire:
        started = time.monotonic()
        try:
            wire.sendall(sent)
            answer = _read_answer(wire)
        except TimeoutError:
            found.inputs += 1
            # Waiting for the rest of what was begun is right; the server has to end it by itself.
            found.add("hangs", name, f"{time.monotonic() - started:.0f} s")
            return
        except OSError:
            answer = b""  # the server has closed: it does not owe an answer to what is not HTTP
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ")[1]) if head.startswith(b"HTTP/1.1 ") else 400
    found.judge(name, status, "application/json", body or b'{"field": "no body"}')


def _read_answer(wire: socket.socket) -> bytes:
    """Until the connection is closed or the body is as long as its head says."""
    answer = b""
    while chunk := wire.recv(65536):
        answer += chunk
        head, ended, body = answer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if head.startswith(b"HTTP/1.1 100"):
            answer = body
        elif ended and length and len(body) >= int(length[1]):
            return answer
    return answer


def _names_a_field(content_type: str, body: bytes) -> bool:
    if not content_type.startswith("application/json"):
        return body == b'{"field": "no body"}'
    try:
        return bool(json.loads(body).get("field"))
    except (ValueError, AttributeError):
        return False


def _over_grpc(
    port: int, model: str, count: int, random_seed: int, own: dict[str, str], found: Findings
) -> None:
    arguments, sys.argv = sys.argv, sys.argv[:1]  # kserve reads it when it is imported
    try:
        from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
    finally:
        sys.argv = arguments
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(INFER)
        metadata = tuple(own.items())

        def send(message: bytes) -> None:
            found.inputs += 1
            try:
                call(message, timeout=PATIENCE, metadata=metadata)
                found.answers["OK"] += 1
            except grpc.RpcError as error:
                code, details = error.code().name, str(error.details())
                found.answers[code] += 1
                if code == "DEADLINE_EXCEEDED":
                    found.add("hangs", message)
                elif code in ("INTERNAL", "UNKNOWN", "UNIMPLEMENTED", "UNAVAILABLE", "DATA_LOSS"):
                    found.add("server_errors", message, f"{code} {details}")
                if INSIDE.search(details.encode()):
                    found.add("leaks", message, details)
                if code == "INVALID_ARGUMENT" and ": " not in details:
                    found.add("unnamed", message, details)

        protos = st.builds(lambda tensors, raw: _proto(pb, model, tensors, raw), TENSORS, st.booleans())
        _each(st.tuples(protos), count, random_seed, send)
        _each(st.tuples(st.binary(max_size=40)), max(1, count // 10), random_seed, send)


def _proto(pb: Any, model: str, tensors: list[dict[str, Any]], raw: bool) -> bytes:
    request = pb.ModelInferRequest(model_name=model)
    for tensor in tensors:
        made = request.inputs.add(
            name=_utf8(tensor["name"]), datatype=tensor["datatype"], shape=[int(n) for n in tensor["shape"]]
        )
        flat = [value for value in tensor["data"] if not isinstance(value, list)]
        texts = [_utf8(value).encode() for value in flat if isinstance(value, str)]
        if raw:
            request.raw_input_contents.append(b"".join(len(t).to_bytes(4, "little") + t for t in texts)[:-1])
        else:
            made.contents.bytes_contents.extend(texts)
            made.contents.int_contents.extend(
                v for v in flat if isinstance(v, int) and not isinstance(v, bool) and abs(v) < 2**31
            )
        for name, value in tensor.get("parameters", {}).items():
            if isinstance(value, bool):
                made.parameters[name].bool_param = value
            elif isinstance(value, int) and abs(value) < 2**63:
                made.parameters[name].int64_param = value
            else:
                made.parameters[name].string_param = _utf8(str(value))
    return bytes(request.SerializeToString())


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--grpc-port", type=int)
    parser.add_argument("--inputs", type=int, default=3000)
    parser.add_argument("--model", default="higr")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    report = fuzz(
        arguments.port,
        arguments.inputs,
        grpc_port=arguments.grpc_port,
        model=arguments.model,
        random_seed=arguments.seed,
    )
    Console().print_json(json.dumps(report))


if __name__ == "__main__":
    main()
