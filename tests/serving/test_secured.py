"""Processes that ask for a token: all in one, and apart, where the transformer shows one of its own."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from higr.bundle import Bundle
from tests.serving.process import PATIENCE, Server, free_port
from tests.serving.test_tokens import line, replaced

pytestmark = pytest.mark.slow

CLIENT, INSIDE, NEXT = "client-0123456789abcdef", "inside-0123456789abcdef", "next-0123456789abcdef00"
SECRETS = (CLIENT, INSIDE, NEXT)
OURS = {"authorization": f"Bearer {CLIENT}"}
ASKED = {"instances": [{"user_id": "u"}]}
SERVICE = "/inference.GRPCInferenceService"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("secured")
    (made / "clients").write_text(line("client", CLIENT))
    (made / "insiders").write_text(line("transformer", INSIDE))
    (made / "own").write_text(INSIDE)
    for name, auth in {
        "all": {"tokens_file": "clients"},
        "predictor": {"tokens_file": "insiders"},
        "transformer": {"tokens_file": "clients", "predictor_token_file": "own"},
    }.items():
        files = {field: str(made / file) for field, file in auth.items()}
        (made / f"{name}.yaml").write_text(json.dumps({"auth": files}))
    return made


@pytest.fixture(scope="module")
def grpc_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def servers(folder: Path, bundle: Bundle, grpc_port: int) -> Iterator[dict[str, Server]]:
    port = free_port()

    def server(role: str, model: str, *more: str, port: int | None = None) -> Server:
        usual = ["--bundle", str(bundle.path), "--role", role, "--config", str(folder / f"{role}.yaml")]
        return Server(folder, model, [*usual, *more], port)

    made = {
        "all": server(
            "all", "higr", "--feedback-dir", str(folder / "feedback"), "--grpc-port", str(grpc_port)
        ),
        "predictor": server("predictor", "higr-predictor", port=port),
        "transformer": server(
            "transformer", "higr", "--predictor-host", f"127.0.0.1:{port}", "--deadline-ms", "4000"
        ),
    }
    try:
        for started in made.values():
            started.wait()
        yield made
    finally:
        for started in made.values():
            started.stop()


@pytest.fixture
def everything(servers: dict[str, Server]) -> Server:
    return servers["all"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/models/higr:predict"),
        ("POST", "/v1/models/higr:explain"),
        ("POST", "/v2/models/higr/infer"),
        ("POST", "/v1/feedback"),
        ("POST", "/v2/repository/models/higr/unload"),
        ("POST", "/metrics"),
        ("POST", "/v2/models/higr/ready"),
        ("GET", "/v1/models/higr:predict"),
        ("GET", "/v1/models"),
        ("GET", "/v2/models/higr"),
        ("GET", "/v2/models/a/b/ready"),
        ("GET", "/openapi.json"),
        ("GET", "/whatever-comes-later"),
        ("GET", "/metrics/"),
    ],
)
def test_without_a_token_there_is_401(everything: Server, method: str, path: str) -> None:
    for headers in ({}, {"authorization": "Bearer nobody-0123456789abcdef"}):
        answer = everything.client.request(
            method, path, json=ASKED if method == "POST" else None, headers=headers
        )
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="higr"'
        assert answer.json()["field"] == "authorization"


@pytest.mark.parametrize(
    "path",
    ["/", "/metrics", "/v2/health/live", "/v2/health/ready", "/v2/models/higr/ready", "/v1/models/higr"],
)
def test_probes_need_none(everything: Server, path: str) -> None:
    assert everything.client.get(path).status_code == 200


def test_with_a_token_all_is_as_ever(everything: Server) -> None:
    post = everything.client.post
    assert post("/v1/models/higr:predict", json=ASKED, headers=OURS).status_code == 200
    tensor = {"name": "user_id", "shape": [1], "datatype": "BYTES", "data": ["u"]}
    assert post("/v2/models/higr/infer", json={"inputs": [tensor]}, headers=OURS).status_code == 200
    assert post("/v1/feedback", json={"events": []}, headers=OURS).json()["field"] == "events"
    document = everything.client.get("/openapi.json", headers=OURS).json()
    assert document["paths"]["/v1/models/higr:predict"]["post"]["security"] == [{"token": []}]
    refused = "higr_rejected_requests_total", frozenset({("field", "authorization")})
    before = everything.metrics()[refused]
    everything.post(ASKED)
    assert everything.metrics()[refused] == before + 1


@pytest.mark.parametrize(
    ("call", "metadata", "code"),
    [
        ("ModelInfer", {}, "UNAUTHENTICATED"),
        ("ModelInfer", {"authorization": "Bearer nobody-0123456789abcdef"}, "UNAUTHENTICATED"),
        ("ModelInfer", OURS, "NOT_FOUND"),
        ("ModelMetadata", {}, "UNAUTHENTICATED"),
        ("ServerMetadata", {}, "UNAUTHENTICATED"),
        ("ServerMetadata", OURS, "OK"),
        ("RepositoryModelUnload", {}, "UNAUTHENTICATED"),
        ("RepositoryModelUnload", OURS, "INVALID_ARGUMENT"),
        ("ServerLive", {}, "OK"),
        ("ServerReady", {}, "OK"),
    ],
)
def test_calls_of_grpc(
    everything: Server, grpc_port: int, call: str, metadata: dict[str, str], code: str
) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
        future = channel.unary_unary(f"{SERVICE}/{call}").future(
            b"", timeout=30, metadata=tuple(metadata.items())
        )
        assert future.code().name == code
        assert ("token" in (future.details() or "")) is (code == "UNAUTHENTICATED")


def test_the_transformer_shows_a_token_of_its_own(servers: dict[str, Server], folder: Path) -> None:
    """Which is not the client's; both ends change theirs while they serve."""
    predictor, transformer = servers["predictor"], servers["transformer"]
    asked = {"instances": [{"user_id": "u", "slate_size": 3, "context": {}, "exclude_items": []}]}
    assert predictor.post(asked).status_code == predictor.post(asked, headers=OURS).status_code == 401

    def source() -> tuple[str, str | None]:
        answer = transformer.post(ASKED, headers=OURS)
        assert answer.status_code == 200
        (prediction,) = answer.json()["predictions"]
        return prediction["source"], prediction["fallback_reason"]

    assert source() == ("higr", None)
    replaced(folder / "insiders", line("transformer", NEXT))
    assert source() == ("baseline", "predictor_error")
    replaced(folder / "own", NEXT)
    assert source() == ("higr", None)


def test_a_bad_change_leaves_the_tokens_as_they_were(everything: Server, folder: Path) -> None:
    for number, bad in enumerate(("", CLIENT, line("client", CLIENT)[:30]), 1):
        replaced(folder / "clients", bad)
        assert everything.post(ASKED, headers=OURS).status_code == 200
        assert everything.metrics()["higr_token_errors_total", frozenset()] == number
    replaced(folder / "clients", line("client", NEXT))
    assert everything.post(ASKED, headers=OURS).status_code == 401
    replaced(folder / "clients", line("client", CLIENT))
    assert everything.post(ASKED, headers=OURS).status_code == 200


def test_no_log_has_a_secret(servers: dict[str, Server]) -> None:
    """Last: of all that was sent above."""
    for server in servers.values():
        log = server.log.read_text()
        for secret in SECRETS:
            assert secret not in log
            assert hashlib.sha256(secret.encode()).hexdigest()[:16] not in log
        assert "Traceback" not in log


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("tokens_file", None, "No such file or directory"),
        ("tokens_file", "s3cret-token-as-it-is", "line 1 is not NAME:SHA256"),
        ("predictor_token_file", "s3cret", "16 to 1024 printable characters"),
    ],
)
def test_a_process_does_not_start_with_bad_tokens(
    tmp_path: Path, bundle: Bundle, field: str, text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / "tokens").write_text(text)
    (tmp_path / "serving.yaml").write_text(json.dumps({"auth": {field: str(tmp_path / "tokens")}}))
    arguments = ["--bundle", str(bundle.path), "--role", "transformer", "--predictor-host", "127.0.0.1:1"]
    started = Server(tmp_path, "higr", [*arguments, "--config", str(tmp_path / "serving.yaml")])
    assert started.process.wait(PATIENCE) == 2
    said = started.log.read_text()
    assert said.startswith("error: ")
    assert message in said
    assert "s3cret" not in said
    assert said.count("\n") == 1
