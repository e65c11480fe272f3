"""The real thing: KServe's server in processes of its own, over loopback.

embedded     `--role all`, the default: the model in process, features, prediction log
predictor    stopped, killed and started again
transformer  in front of it: its feature store is missing, its switch is moved
"""

import json
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from higr.bundle import Bundle
from higr.catalog_update import Changes, update_bundle
from higr.data.context import HistoryIndex
from higr.data.logs import PREDICTIONS
from higr.data.prepared import PreparedData
from higr.metrics import FEATURE_FAILURES, NOT_DECODED, PUSHED_EVENTS
from serving.__main__ import app
from serving.guard import MAX_BODY_BYTES
from serving.metrics import DECODING, SERVING
from tests.serving.process import PATIENCE, Server, free_port

pytestmark = pytest.mark.slow

DEADLINE_MS = 4000
"""Long enough for a busy machine; what is tested is the order of events."""


@pytest.fixture(scope="module")
def ports() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture(scope="module")
def servers(
    workshop: Path, bundle: Bundle, store: Path, ports: tuple[int, int]
) -> Iterator[dict[str, Server]]:
    """All three, started side by side."""
    (workshop / "switch").write_text("auto")
    (workshop / "policy.yaml").write_text("rules: []")
    (workshop / "current").symlink_to(bundle.path)
    deadline = ["--deadline-ms", str(DEADLINE_MS)]
    made = {
        "embedded": Server(
            workshop,
            "higr",
            [
                *[
                    "--bundle",
                    str(workshop / "current"),
                    *deadline,
                    "--features",
                    str(store),
                    "--log-dir",
                    str(workshop / "log"),
                ],
                *["--feedback-dir", str(workshop / "feedback"), "--grpc-port", str(ports[1])],
            ],
        ),
        "predictor": predictor(workshop, bundle, ports[0]),
        "transformer": Server(
            workshop,
            "higr",
            [
                *["--bundle", str(bundle.path), *deadline],
                *["--role", "transformer", "--model_name", "higr"],
                *["--predictor_host", f"127.0.0.1:{ports[0]}"],
                *["--features", str(workshop / "no-store"), "--switch", str(workshop / "switch")],
                *["--policy", str(workshop / "policy.yaml")],
            ],
        ),
    }
    try:
        for server in made.values():
            server.wait()
        yield made
    finally:
        for server in made.values():
            server.stop()


def predictor(folder: Path, bundle: Bundle, port: int) -> Server:
    arguments = ["--bundle", str(bundle.path), "--role", "predictor", "--policy", str(folder / "policy.yaml")]
    return Server(folder, "higr-predictor", arguments, port)


@pytest.fixture
def embedded(servers: dict[str, Server]) -> Server:
    return servers["embedded"]


@pytest.fixture
def transformer(servers: dict[str, Server]) -> Server:
    return servers["transformer"]


def shown(prediction: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in prediction["items"]]


def test_a_known_user_gets_a_whole_slate_from_stored_features(
    embedded: Server, bundle: Bundle, data: PreparedData, index: HistoryIndex
) -> None:
    user = data.users["user_id"][0].as_py()
    (prediction,) = embedded.predict({"user_id": user, "slate_size": 5, "request_id": "known"})
    assert (prediction["source"], prediction["fallback_reason"]) == ("higr", None)
    assert prediction["degraded"] is False
    assert (prediction["request_id"], prediction["user_id"]) == ("known", user)
    assert prediction["model_version"] == bundle.version
    items = prediction["items"]
    assert [item["position"] for item in items] == [1, 2, 3, 4, 5]
    rows = {row["item_id"]: row for row in bundle.items.to_pylist()}
    for item in items:
        row = rows[item["item_id"]]
        assert (item["title"], item["category"]) == (row["text"], row["category"])
        assert item["duration_seconds"] == round(row["duration_seconds"], 2)
        place = bundle.catalog.position[item["item_id"]]
        assert item["semantic_id"] == bundle.catalog.codes[place].tolist()
    assert not set(shown(prediction)) & set(index.context(user).item_ids)


def test_the_same_context_gives_the_same_slate_however_it_comes(
    embedded: Server, data: PreparedData, index: HistoryIndex
) -> None:
    user = data.users["user_id"][1].as_py()
    context = index.context(user)
    given = {
        "item_ids": list(context.item_ids),
        "feedback": [int(level) for level in context.feedback],
        "profile": dict(context.profile),
    }
    (stored,) = embedded.predict({"user_id": user})
    (requested,) = embedded.predict({"user_id": "someone else", "context": given})
    assert shown(stored) == shown(requested)
    assert requested["degraded"] is False


def test_an_unknown_user_is_served_and_marked(embedded: Server) -> None:
    (prediction,) = embedded.predict({"user_id": "stranger"})
    assert (prediction["source"], prediction["degraded"], len(prediction["items"])) == ("higr", True, 5)


def test_excluded_items_and_sizes(embedded: Server) -> None:
    (first,) = embedded.predict({"user_id": "stranger", "slate_size": 10})
    (second,) = embedded.predict(
        {"user_id": "stranger", "slate_size": 10, "constraints": {"exclude_items": shown(first)}}
    )
    assert len(set(shown(first)) | set(shown(second))) == 20


def test_a_batch_is_answered_in_order(embedded: Server) -> None:
    sizes = [3, 1, 10, 3, 1]
    answers = embedded.predict(*({"user_id": f"u{n}", "slate_size": size} for n, size in enumerate(sizes)))
    assert [(a["user_id"], len(a["items"])) for a in answers] == [(f"u{n}", s) for n, s in enumerate(sizes)]
    assert len({a["request_id"] for a in answers}) == len(sizes)


@pytest.mark.parametrize(
    ("body", "content_type", "status", "field"),
    [
        (b"{", "application/json", 400, "body"),
        (b"", "application/json", 400, "body"),
        (b"[]", "application/json", 400, "body"),
        (b"{", "application/json; charset=utf-8", 400, "body"),
        (b"\x00\xff", "application/octet-stream", 400, "body"),
        (b"{}", "application/json", 400, "instances"),
        (b'{"instances": 5}', "application/json", 400, "instances"),
        (b'{"instances": [{}]}', "text/plain", 400, "instances[0].user_id"),
        (b'{"instances": [{"user_id": 5}]}', "application/json", 400, "instances[0].user_id"),
        (
            b'{"instances": [{"user_id": "u", "slate_size": 11}]}',
            "application/json",
            400,
            "instances[0].slate_size",
        ),
        (b'{"instances": [{"user_id": "u", "x": 1}]}', "application/json", 400, "instances[0].x"),
        (b" " * (MAX_BODY_BYTES + 1), "application/json", 413, "body"),
    ],
)
def test_bad_requests_are_4xx_naming_the_field(
    embedded: Server, body: bytes, content_type: str, status: int, field: str
) -> None:
    answer = embedded.client.post(
        "/v1/models/higr:predict", content=body, headers={"content-type": content_type}
    )
    assert (answer.status_code, answer.json()["field"]) == (status, field)
    assert answer.json()["error"].startswith(field)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "text/plain", ""])
def test_good_bodies_are_taken_whatever_their_content_type(embedded: Server, content_type: str) -> None:
    answer = embedded.client.post(
        "/v1/models/higr:predict",
        content=b'{"instances": [{"user_id": "u"}]}',
        headers={"content-type": content_type} if content_type else {},
    )
    assert answer.status_code == 200
    assert len(answer.json()["predictions"][0]["items"]) == 5


def test_answers_are_counted_by_status_and_health_is_not(embedded: Server) -> None:
    def counts() -> dict[str, float]:
        metrics = embedded.metrics()
        return {
            status: metrics[
                "higr_http_responses_total", frozenset({("endpoint", "slates"), ("status", status)})
            ]
            for status in ("2xx", "4xx", "5xx")
        }

    before = counts()
    embedded.predict({"user_id": "u"})
    assert embedded.post({"instances": 5}).status_code == 400
    assert embedded.ready()
    after = counts()
    assert {status: after[status] - before[status] for status in after} == {"2xx": 1, "4xx": 1, "5xx": 0}


def test_without_a_folder_there_is_no_feedback(servers: dict[str, Server]) -> None:
    assert servers["transformer"].client.post("/v1/feedback", json={"events": []}).status_code == 404


def test_what_is_not_served_is_4xx(embedded: Server) -> None:
    assert embedded.client.post("/v2/repository/models/higr/unload").status_code == 404
    assert embedded.client.post("/v1/models/nobody:predict", json={"instances": []}).status_code == 404
    assert embedded.ready()


KSERVES_CLIENTS = """
import asyncio, json, sys
http, grpc = sys.argv[1:]; sys.argv = sys.argv[:1]
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

def asked(user, size):
    return InferRequest("higr", [
        InferInput("user_id", [1], "BYTES", [user]), InferInput("slate_size", [1], "INT32", [size])
    ])

def items(answer):
    (found,) = (output.as_numpy() for output in answer.outputs if output.name == "item_ids")
    return [[i.decode() if isinstance(i, bytes) else i for i in row] for row in found.tolist()]

async def ask():
    v1 = InferenceRESTClient(RESTConfig(protocol="v1", retries=0))
    body = {"instances": [{"user_id": "u", "slate_size": 6}]}
    first = await v1.infer(f"http://127.0.0.1:{http}", body, "higr")
    v2 = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    second = await v2.infer(f"http://127.0.0.1:{http}", asked("u", 6), "higr")
    wire = InferenceGRPCClient(f"127.0.0.1:{grpc}")
    third = await wire.infer(asked("u", 6))
    ready = await wire.is_model_ready("higr")
    refused = {}
    for name, request in {
        "size": asked("u", 11),
        "model": InferRequest("nobody", [InferInput("user_id", [1], "BYTES", ["u"])]),
        "tensor": InferRequest("higr", [InferInput("x", [1], "BYTES", ["u"])]),
    }.items():
        try:
            await wire.infer(request)
        except Exception as error:
            refused[name] = [error.code().name, error.details()]
    print(json.dumps({
        "v1": [[item["item_id"] for item in p["items"]] for p in first["predictions"]],
        "v2": items(second), "grpc": items(third), "ready": ready, "refused": refused,
    }))

asyncio.run(ask())
"""


def test_kserves_own_clients_get_the_same_slate_over_every_protocol(
    embedded: Server, ports: tuple[int, int]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KSERVES_CLIENTS, str(embedded.port), str(ports[1])],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["v1"][0]) == 6
    assert found["v1"] == found["v2"] == found["grpc"]
    assert found["ready"]
    code, details = found["refused"]["size"]
    assert code == "INVALID_ARGUMENT"
    assert "slate_size: 11 is more than the 10 items" in details
    assert found["refused"]["model"][0] == "NOT_FOUND"
    assert found["refused"]["tensor"][0] == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"inputs": [{"name": "user_id", "shape": [1], "datatype": "BYTES", "data": ["u"]}]}, 200),
        ({"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "data": ["u"]}]}, 400),
        ({"inputs": [{"name": "user_id", "shape": [2], "datatype": "BYTES", "data": ["u"]}]}, 400),
        ({"inputs": [{"name": "user_id", "shape": [1], "datatype": "BYTES", "data": [""]}]}, 400),
        ({"inputs": [{"name": "user_id", "shape": [1], "datatype": "?", "data": ["u"]}]}, 400),
        ({"inputs": [{"name": "user_id", "shape": [1], "datatype": "BYTES"}]}, 400),
        ({"inputs": []}, 400),
        ({}, 400),
    ],
)
def test_bad_tensors_are_4xx(embedded: Server, body: dict[str, Any], status: int) -> None:
    answer = embedded.client.post("/v2/models/higr/infer", json=body)
    assert answer.status_code == status, answer.text
    if status == 400:
        assert answer.json()["field"].startswith(("inputs", "instances[0].user_id"))


def test_together_the_predictor_is_not_on_the_port(embedded: Server) -> None:
    instance = {"user_id": "u", "slate_size": 5, "context": {}, "exclude_items": []}
    answer = embedded.client.post("/v1/models/higr-predictor:predict", json={"instances": [instance]})
    assert answer.status_code == 404
    assert embedded.client.get("/v1/models").json() == {"models": ["higr"]}
    assert embedded.client.get("/v2/models/higr/ready").status_code == 200


def test_the_predictor_refuses_a_slate_longer_than_its_model_plans(servers: dict[str, Server]) -> None:
    instance = {"user_id": "u", "context": {}, "exclude_items": []}
    for size in (11, 50):
        answer = servers["predictor"].post(
            {"instances": [{**instance, "slate_size": 10}, {**instance, "slate_size": size}]}
        )
        assert (answer.status_code, answer.json()["field"]) == (400, "instances[1].slate_size")
        assert f"{size} is more than the 10 items" in answer.json()["error"]
    assert servers["predictor"].post({"instances": [{**instance, "slate_size": 10}]}).status_code == 200


def test_feedback_is_kept_once_and_bad_feedback_names_its_field(embedded: Server, workshop: Path) -> None:
    (shown,) = embedded.predict({"user_id": "u", "request_id": "with-feedback"})
    event = {
        "event_id": "e1",
        "user_id": "u",
        "item_id": shown["items"][0]["item_id"],
        "clicked": True,
        "request_id": "with-feedback",
        "position": 1,
        "timestamp": "2026-03-01T12:00:00+01:00",
    }
    send = partial(embedded.client.post, "/v1/feedback")
    assert send(json={"events": [event, {**event, "event_id": "e2"}]}).json() == {
        "accepted": 2,
        "repeated": 0,
    }
    assert send(json={"events": [event]}).json() == {"accepted": 0, "repeated": 1}
    for bad, field in [
        ({"events": []}, "events"),
        ({"events": [{**event, "event": 1}]}, "events[0].event"),
        ({"events": [event, {**event, "timestamp": "2026-03-01T12:00:00"}]}, "events[1].timestamp"),
        ({"events": [{**event, "timestamp": 1772366400}]}, "events[0].timestamp"),
        ({"events": [{**event, "timestamp": "2999-01-01T00:00:00Z"}]}, "events[0].timestamp"),
        ({"events": [{**event, "watch_seconds": -1}]}, "events[0].watch_seconds"),
    ]:
        answer = send(json=bad)
        assert (answer.status_code, answer.json()["field"]) == (400, field)
    for body in (b"{", b"\x00", b'{"events": [{"event_id": "e3", "watch_seconds": NaN}]}'):
        assert send(content=body).status_code == 400
    outcomes = {
        dict(k[1])["outcome"]: v
        for k, v in embedded.metrics().items()
        if k[0] == "higr_feedback_events_total"
    }
    assert outcomes == {"accepted": 2, "repeated": 1, "refused": 0}
    assert (workshop / "feedback" / "journal.sqlite").exists()


def test_a_policy_that_changes_holds_at_once_in_both_processes(
    servers: dict[str, Server], workshop: Path, bundle: Bundle
) -> None:
    (before,) = servers["transformer"].predict({"user_id": "u", "slate_size": 8})
    taken = before["items"][0]["category"]
    sold = bundle.items.filter(pc.not_equal(bundle.items["category"], taken))["item_id"][0].as_py()
    rules = [
        {"name": "taken-away", "kind": "block", "categories": [taken], "unless": {"staff": ["yes"]}},
        {"name": "two-each", "kind": "at_most", "items": 2, "per": "category"},
        {"name": "sold", "kind": "sponsored", "position": 2, "items": [sold], "disclosure": "Ad"},
    ]
    try:
        _replace(workshop / "policy.yaml", json.dumps({"rules": rules}))
        (after,) = servers["transformer"].predict({"user_id": "u", "slate_size": 8, "explain": True})
        categories = Counter(item["category"] for item in after["items"])
        assert (after["source"], len(after["items"])) == ("higr", 8)
        assert taken not in categories
        assert max(categories.values()) <= 2
        assert (after["items"][1]["item_id"], after["items"][1]["disclosure"]) == (sold, "Ad")
        assert [rule["rule"] for rule in after["removed"]] == ["taken-away"]
        context = {"profile": {"staff": "yes"}}
        (staff,) = servers["transformer"].predict({"user_id": "u", "slate_size": 8, "context": context})
        assert taken in {item["category"] for item in staff["items"]}
        _replace(workshop / "policy.yaml", "rules: [")
        (kept,) = servers["transformer"].predict({"user_id": "u", "slate_size": 8})
        assert taken not in {item["category"] for item in kept["items"]}
        assert servers["transformer"].metrics()["higr_policy_errors_total", frozenset()] == 1
    finally:
        _replace(workshop / "policy.yaml", "rules: []")


def _replace(path: Path, text: str) -> None:
    """As Kubernetes does: never half a file."""
    aside = path.with_suffix(".new")
    aside.write_text(text)
    aside.replace(path)


@pytest.mark.parametrize("name", ["embedded", "predictor"])
def test_explanations_are_refused_in_our_own_words(servers: dict[str, Server], name: str) -> None:
    server = servers[name]
    instance: dict[str, Any] = {"user_id": "u"}
    if name == "predictor":
        instance |= {"slate_size": 5, "context": {}, "exclude_items": []}
    answer = server.client.post(f"/v1/models/{server.model}:explain", json={"instances": [instance]})
    assert (answer.status_code, answer.json()["field"]) == (400, "path")
    assert (
        answer.json()["error"]
        == f"path: explanations are not served; POST to /v1/models/{server.model}:predict"
    )


def test_metrics_have_the_names_of_the_contract(embedded: Server, bundle: Bundle) -> None:
    samples = embedded.metrics()
    unseen = {NOT_DECODED.name, FEATURE_FAILURES.name, PUSHED_EVENTS.name}  # by reason, and there was none
    families = {metric.name for metric in (*SERVING, *DECODING)} - unseen
    bare = {name.removesuffix(s) for name, _ in samples for s in ("_total", "_bucket", "_sum", "_count")}
    assert families <= bare
    assert samples["higr_bundle_info", frozenset({("version", bundle.version)})] == 1
    assert samples["higr_switch_position", frozenset({("position", "auto")})] == 1
    assert samples["higr_rejected_requests_total", frozenset({("field", "slate_size")})] >= 1
    assert samples["higr_slates_total", frozenset({("source", "higr"), ("reason", "")})] >= 1


def test_apart_the_transformer_serves_what_the_predictor_makes(
    servers: dict[str, Server], bundle: Bundle
) -> None:
    """And without its feature store it goes on, degraded; with a context it needs none."""
    failed = "higr_degraded_requests_total", frozenset({("reason", "store_failed")})
    before = servers["transformer"].metrics().get(failed, 0)
    asked = {"user_id": "u", "slate_size": 7, "constraints": {"exclude_items": ["v0000000"]}}
    (apart,) = servers["transformer"].predict(asked)
    (together,) = servers["embedded"].predict(asked)
    assert (apart["source"], apart["degraded"]) == ("higr", True)
    assert apart["items"] == together["items"]
    (given,) = servers["transformer"].predict({**asked, "context": {"profile": {"age": "18"}}})
    assert (given["source"], given["degraded"]) == ("higr", False)
    assert servers["transformer"].metrics()[failed] == before + 1


def test_the_switch_decides_from_the_next_request_on(transformer: Server, workshop: Path) -> None:
    for word, source, reason in (
        ("baseline", "baseline", "switch"),
        ("nonsense", "baseline", "switch"),
        ("higr", "higr", None),
    ):
        aside = workshop / "switch.new"
        aside.write_text(word)
        aside.replace(workshop / "switch")
        (prediction,) = transformer.predict({"user_id": "u"})
        assert (prediction["source"], prediction["fallback_reason"]) == (source, reason)
    samples = transformer.metrics()
    assert samples["higr_switch_position", frozenset({("position", "higr")})] == 1
    assert samples["higr_switch_errors_total", frozenset()] == 1


def test_a_hung_predictor_costs_the_deadline_and_no_more(servers: dict[str, Server]) -> None:
    servers["predictor"].send(signal.SIGSTOP)
    started = time.monotonic()
    (prediction,) = servers["transformer"].predict({"user_id": "u"})
    took = time.monotonic() - started
    servers["predictor"].send(signal.SIGCONT)
    assert (prediction["source"], prediction["fallback_reason"]) == ("baseline", "deadline")
    assert len(prediction["items"]) == 5
    assert 0.75 * DEADLINE_MS / 1000 <= took < 2 * DEADLINE_MS / 1000
    (prediction,) = servers["transformer"].predict({"user_id": "u"})
    assert prediction["source"] == "higr"


def test_a_killed_predictor_is_replaced_by_the_baseline_until_it_is_back(
    servers: dict[str, Server], workshop: Path, bundle: Bundle
) -> None:
    old = servers["predictor"]
    old.stop(signal.SIGKILL)
    answers = [servers["transformer"].predict({"user_id": "u"})[0] for _ in range(5)]
    assert {answer["source"] for answer in answers} == {"baseline"}
    assert {answer["fallback_reason"] for answer in answers} == {"unreachable"}
    assert all(len(set(shown(answer))) == 5 for answer in answers)
    servers["predictor"] = predictor(workshop, bundle, old.port).wait()
    (prediction,) = servers["transformer"].predict({"user_id": "u"})
    assert prediction["source"] == "higr"


def test_a_bundle_is_swapped_while_requests_come(embedded: Server, workshop: Path, bundle: Bundle) -> None:
    """There and back, so that whatever comes next meets the same bundle."""
    out = workshop / "another" / "bundle"
    update_bundle(bundle.path, out, Changes(remove=bundle.catalog.item_ids[:1]), lambda *_: None)
    other = Bundle.open(out)
    seen: Counter[str] = Counter()
    for target in (other, bundle):
        (workshop / "aside").symlink_to(target.path)
        (workshop / "aside").replace(workshop / "current")
        end = time.monotonic() + PATIENCE
        served = None
        while served != target.version:
            assert time.monotonic() < end
            (prediction,) = embedded.predict({"user_id": "somebody", "slate_size": 5})
            assert (prediction["source"], len(shown(prediction))) == ("higr", 5)
            served = prediction["model_version"]
            seen[served] += 1
    assert set(seen) == {other.version, bundle.version}
    samples = embedded.metrics()
    shown_as = {key: value for key, value in samples.items() if key[0] == "higr_bundle_info"}
    assert shown_as == {
        ("higr_bundle_info", frozenset({("version", version)})): float(version == bundle.version)
        for version in seen
    }
    assert samples["higr_bundle_errors_total", frozenset()] == 0


def test_a_stopped_server_has_logged_every_answer(embedded: Server, workshop: Path) -> None:
    """Last: it ends the embedded server."""
    embedded.predict(*({"user_id": "u", "request_id": f"last-{n}"} for n in range(8)))
    samples = embedded.metrics()
    answered = sum(value for (name, _), value in samples.items() if name == "higr_slates_total")
    assert embedded.stop() == 0
    tables = [pq.read_table(part) for part in (workshop / "log").iterdir()]
    assert all(table.schema.equals(PREDICTIONS) for table in tables)
    ids = [value for table in tables for value in table["request_id"].to_pylist()]
    assert len(ids) == len(set(ids)) == answered
    assert {f"last-{n}" for n in range(8)} <= set(ids)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{embedded.port}/", trust_env=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bundle", "nowhere"], "error: nowhere is not a bundle: it has no manifest.json"),
        (["--bundle", "nowhere", "--role", "transformer"], "error: role transformer has no predictor"),
        (["--bundle", "nowhere", "--predictor-host", "h"], "error: --predictor-host is for role transformer"),
    ],
)
def test_a_start_that_cannot_be_is_one_line_and_status_2(arguments: list[str], message: str) -> None:
    ended = CliRunner().invoke(app, [*arguments, "--http-port", str(free_port())])
    assert ended.exit_code == 2
    assert ended.stderr.startswith(message)
    assert ended.stderr.count("\n") == 1


def test_a_taken_port_is_said_before_anything_is_loaded() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        ended = CliRunner().invoke(app, ["--bundle", "nowhere", "--http-port", str(port)])
    assert ended.exit_code == 2
    assert ended.stderr == f"error: port {port}: Address already in use; give another --http-port\n"
