"""The Deployments that podman runs are the chart's, as KServe makes them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.charts.conftest import helm, strict_errors  # noqa: F401
from tests.charts.rendering import Document, Helm, set_json
from tests.images.pods import ROLES, deployments

PORTS = {"transformer": 8080, "predictor": 8081}
BUNDLE, LOG = Path("/srv/bundle"), Path("/srv/log")


@pytest.fixture
def service(helm: Helm) -> Document:  # noqa: F811
    return helm.find("InferenceService", *set_json(predictionLog__claim="log"))


@pytest.fixture
def made(service: Document) -> dict[str, Document]:
    found = deployments(service, BUNDLE, PORTS, {"log": LOG})
    return dict(zip(ROLES, found, strict=True))


def mounts(deployment: Document) -> dict[str, Document]:
    """Volume behind each path of the container."""
    pod = deployment["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    return {mount["mountPath"]: volumes[mount["name"]] for mount in pod["containers"][0]["volumeMounts"]}


@pytest.mark.parametrize("role", ROLES)
def test_a_cluster_would_take_them(
    made: dict[str, Document],
    role: str,
    strict_errors: Callable[[Document], list[str]],  # noqa: F811
) -> None:
    assert strict_errors(made[role]) == []
    made[role]["spec"]["template"]["spec"]["minReplicas"] = 1
    assert strict_errors(made[role]) != []


@pytest.mark.parametrize("role", ROLES)
def test_what_keeps_a_pod_in_is_untouched(service: Document, made: dict[str, Document], role: str) -> None:
    pod = made[role]["spec"]["template"]["spec"]
    (before,), (after,) = service["spec"][role]["containers"], pod["containers"]

    assert pod["securityContext"] == service["spec"][role]["securityContext"]
    for field in ("image", "command", "securityContext", "resources"):
        assert after[field] == before[field]


@pytest.mark.parametrize("role", ROLES)
def test_the_bundle_lies_where_the_storage_initializer_puts_it(made: dict[str, Document], role: str) -> None:
    container = made[role]["spec"]["template"]["spec"]["containers"][0]
    (mount,) = (mount for mount in container["volumeMounts"] if mount["mountPath"] == "/mnt/models")

    assert mounts(made[role])["/mnt/models"]["hostPath"]["path"] == str(BUNDLE)
    assert mount["readOnly"] is True
    assert "STORAGE_URI" not in {variable["name"] for variable in container["env"]}
    assert "--bundle=/mnt/models" in container["args"]


def test_roles_meet_on_the_host_and_share_nothing_else(made: dict[str, Document]) -> None:
    arguments = {role: made[role]["spec"]["template"]["spec"]["containers"][0]["args"] for role in ROLES}
    names = {role: {volume["name"] for volume in mounts(made[role]).values()} for role in ROLES}

    assert "--http_port=8081" in arguments["predictor"]
    assert {"--http_port=8080", "--predictor_host=127.0.0.1:8081"} <= set(arguments["transformer"])
    assert names["transformer"] & names["predictor"] == set()


def test_a_claim_becomes_its_folder_and_the_rest_of_an_invocation_stays(
    service: Document, made: dict[str, Document]
) -> None:
    (before,) = service["spec"]["transformer"]["containers"]
    after = made["transformer"]["spec"]["template"]["spec"]["containers"][0]

    assert mounts(made["transformer"])["/var/log/higr"]["hostPath"]["path"] == str(LOG)
    assert mounts(made["transformer"])["/etc/higr/switch"]["configMap"] == {"name": "higr-switch"}
    changed = set(before["args"]) ^ set(after["args"])
    assert {argument.split("=")[0] for argument in changed} == {"--http_port", "--predictor_host"} - (
        {"--http_port"} if PORTS["transformer"] == 8080 else set()
    )
