"""The switch as a ConfigMap: moved as a file is, through the real client against an emulated API server."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kubernetes
import pytest

from higr.errors import InputError
from monitoring.act import Record, Rules, act, lever, override, read_switch
from tests.kube import emulated
from tests.monitoring.test_act import NOW, result

ADDRESS = "configmap:models/higr-switch"


def point(monkeypatch: pytest.MonkeyPatch, kubeconfig: object) -> None:
    """The client looks into the environment when it is imported, and a test process imports it once."""
    for module in ("kubernetes.config", "kubernetes.config.kube_config"):
        monkeypatch.setattr(f"{module}.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))


@pytest.fixture
def core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with emulated(tmp_path) as environment:
        point(monkeypatch, environment["KUBECONFIG"])
        kubernetes.config.load_kube_config(environment["KUBECONFIG"])
        core = kubernetes.client.CoreV1Api()
        core.create_namespaced_config_map(
            "models", {"metadata": {"name": "higr-switch", "labels": {"a": "b"}}}
        )
        yield core


def words(core: Any) -> dict[str, str] | None:
    return core.read_namespaced_config_map("higr-switch", "models").data


def test_a_trip_moves_it_and_a_person_moves_it_back(core: Any, tmp_path: Path) -> None:
    record = Record(tmp_path / "switch.jsonl")
    assert read_switch(lever(ADDRESS)) == "auto"  # as serving takes a switch without a word

    entry = act(result("trip"), lever(ADDRESS), record, Rules(), ["trip"], NOW)

    assert entry is not None
    assert (entry.action, entry.was, entry.to) == ("moved", "auto", "baseline")
    assert words(core) == {"mode": "baseline"}
    override(lever(ADDRESS), record, "auto", "maria", "mended", datetime.now(UTC))
    assert words(core) == {"mode": "auto"}
    assert core.read_namespaced_config_map("higr-switch", "models").metadata.labels == {"a": "b"}


def test_a_persons_word_is_left_alone(core: Any, tmp_path: Path) -> None:
    core.patch_namespaced_config_map("higr-switch", "models", {"data": {"mode": "higr"}})

    entry = act(result("trip"), lever(ADDRESS), Record(tmp_path / "r"), Rules(), ["trip"], NOW)

    assert entry is not None
    assert entry.action == "held"
    assert words(core) == {"mode": "higr"}


def test_who_moved_it_meanwhile_wins(core: Any) -> None:
    switch = lever(ADDRESS)
    read_switch(switch)
    core.patch_namespaced_config_map("higr-switch", "models", {"data": {"mode": "higr"}})

    with pytest.raises(InputError, match="somebody moved it meanwhile"):
        switch.write("baseline")  # type: ignore[union-attr]
    assert words(core) == {"mode": "higr"}


@pytest.mark.parametrize(
    ("word", "address", "said"),
    [
        ("on", ADDRESS, "holds 'on'; it must be one of auto, higr, baseline"),
        ("auto", "configmap:models/other", "cannot read switch configmap:models/other: it is not there"),
        ("auto", "configmap:higr-switch", "give it as configmap:NAMESPACE/NAME"),
        ("auto", "configmap:a/b/c", "give it as configmap:NAMESPACE/NAME"),
    ],
)
def test_what_cannot_be_read_is_one_line(core: Any, word: str, address: str, said: str) -> None:
    core.patch_namespaced_config_map("higr-switch", "models", {"data": {"mode": word}})

    with pytest.raises(InputError, match=said):
        read_switch(lever(address))


def test_no_way_to_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point(monkeypatch, tmp_path / "none")

    with pytest.raises(InputError, match="no way to the cluster"):
        lever(ADDRESS)


def test_a_server_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with emulated(tmp_path) as environment:
        point(monkeypatch, environment["KUBECONFIG"])
    with pytest.raises(InputError, match="out of reach"):
        read_switch(lever(ADDRESS))
