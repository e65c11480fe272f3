"""A server among people who mean it no good: fuzzed, and held to its own OpenAPI document.

`HIGR_FUZZ_INPUTS=20000 pytest tests/serving/test_hostile.py` sends more than the suite does.
"""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from benchmarks.serving_fuzz import fuzz
from benchmarks.serving_inputs import VALID
from higr.bundle import Bundle
from tests.serving.process import Server, free_port

pytestmark = pytest.mark.slow

INPUTS = int(os.environ.get("HIGR_FUZZ_INPUTS", "1500"))


@pytest.fixture(scope="module")
def grpc_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory, grpc_port: int) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "serving.yaml").write_text("limits: {request_seconds: 3}")
    arguments = ["--bundle", str(bundle.path), "--config", str(folder / "serving.yaml")]
    arguments += ["--log-dir", str(folder / "log"), "--feedback-dir", str(folder / "feedback")]
    made = Server(folder, "higr", [*arguments, "--grpc-port", str(grpc_port), "--deadline-ms", "4000"])
    try:
        yield made.wait()
    finally:
        made.stop()


@pytest.fixture(scope="module")
def document(server: Server) -> dict[str, Any]:
    return dict(server.client.get("/openapi.json").json())


def validator(document: dict[str, Any], model: str) -> Draft202012Validator:
    return Draft202012Validator({**document, "$ref": f"#/components/schemas/{model}"})


@pytest.mark.parametrize(
    ("path", "request_model", "response_model"),
    [
        ("/v1/models/{model}:predict", "PredictRequest", "PredictResponse"),
        ("/v2/models/{model}/infer", "TensorRequest", "TensorResponse"),
        ("/v1/feedback", "FeedbackRequest", "FeedbackResponse"),
    ],
)
def test_what_is_asked_and_answered_is_as_the_document_says(
    server: Server, document: dict[str, Any], path: str, request_model: str, response_model: str
) -> None:
    at = path.format(model="higr")
    operation = document["paths"][at]["post"]
    for content, model in (
        (operation["requestBody"]["content"], request_model),
        (operation["responses"]["200"]["content"], response_model),
    ):
        assert content["application/json"]["schema"]["$ref"] == f"#/components/schemas/{model}"
    validator(document, request_model).validate(VALID[path])
    answer = server.client.post(at, json=VALID[path])
    assert answer.status_code == 200, answer.text
    validator(document, response_model).validate(answer.json())
    bad = server.client.post(at, json={**VALID[path], "no_field_of_ours": 1})
    assert (bad.status_code, bad.json()["field"]) == (400, "no_field_of_ours")
    assert not validator(document, request_model).is_valid({**VALID[path], "no_field_of_ours": 1})
    validator(document, "Problem").validate(bad.json())


def test_the_document_has_what_is_served_and_no_more(server: Server, document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        if "get" in operations:
            assert server.client.get(path).status_code == 200
    assert not [path for path in document["paths"] if "repository" in path or "explain" in path]


def test_nothing_that_is_sent_breaks_it(server: Server, grpc_port: int) -> None:
    report = fuzz(server.port, INPUTS, grpc_port=grpc_port)
    wrong = {kind: report[kind] for kind in ("server_errors", "hangs", "leaks", "unnamed")}
    assert wrong == dict.fromkeys(wrong, 0), "\n".join(report["examples"])
    assert report["inputs"] > 0.8 * INPUTS
    # It was not all refused at the door, nor all let in.
    assert report["answers"]["200"] > INPUTS / 100
    assert report["answers"]["INVALID_ARGUMENT"] > INPUTS / 100
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "request_failed" not in log
    assert server.post({"instances": [{"user_id": "u"}]}).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v2/models/higr/infer", {"inputs": [{"name": "user_id"}]}, "inputs[0].shape"),
        ("/v2/models/higr/infer", {"inputs": 5}, "inputs"),
        ("/v2/models/higr/versions/1/infer", {"inputs": []}, "path"),
        ("/v2/models/nobody/infer", VALID["/v2/models/{model}/infer"], "path"),
        ("/v1/models/higr/predict", {}, "path"),
        ("/v1/models/higr:predict", {str(n): 1 for n in range(5000)}, "body"),
    ],
)
def test_the_field_at_fault_is_named(server: Server, path: str, body: Any, field: str) -> None:
    answer = server.client.post(path, content=json.dumps(body))
    assert 400 <= answer.status_code < 500
    assert answer.json()["field"] == field


@pytest.mark.parametrize("length", ["", "x", "-1", "0", "9" * 40, "10"])
def test_a_binary_length_that_is_none(server: Server, length: str) -> None:
    content = json.dumps(VALID["/v2/models/{model}/infer"]).encode()
    headers = {"inference-header-content-length": length}
    answer = server.client.post("/v2/models/higr/infer", content=content, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["field"] in ("inference-header-content-length", "body")


def test_a_cloud_event_is_no_other_thing(server: Server) -> None:
    headers = {"ce-id": "1", "ce-source": "s", "ce-type": "t", "ce-specversion": "1.0"}
    answer = server.post({"instances": [{"user_id": "u"}]}, headers=headers)
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("ce-")]
