"""The network policies allow exactly the arrows that docs/chart.md draws: derived from what is rendered."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.charts.rendering import CHART, FULL, Document, Helm, pods, set_json
from tests.tools import REPOSITORY

Edge = tuple[str, str, str]
"""From, to, port and protocol. A name with a capital is outside of the chart."""

# Every peer outside has selectors of its own, so that a rule says whom it means.
OUTSIDE = {
    "Clients": ("clients", []), "Prometheus": ("prometheus", [9090]), "Storage": ("storage", [443]),
    "Redis": ("redis", [6379]), "Pushgateway": ("pushgateway", [9091]), "API": ("apiServer", [443, 6443]),
    "Events": ("events", [80, 8080]), "DNS": ("dns", [53]),
}  # fmt: skip
PEERS = {
    f"networkPolicy__peers__{key}": {
        "selectors": [{"namespaceSelector": {"matchLabels": {"who": key.lower()}}}],
        "ports": ports,
    }
    for key, ports in OUTSIDE.values()
}
OWN = set_json(**PEERS)
ELSEWHERE = set_json(
    redis__enabled=False,
    redis__url="redis://redis.example.org:6379/0",
    pushgateway__enabled=False,
    pushgateway__address="pushgateway.example.org:9091",
    **PEERS,
)
BASELINE = (
    "--values", str(CHART / "values-baseline-only.yaml"), *set_json(networkPolicy__enabled=True, **PEERS),
)  # fmt: skip


def policies(documents: list[Document]) -> list[dict[str, Any]]:
    return [document["spec"] for document in documents if document["kind"] == "NetworkPolicy"]


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}
    return selector.get("matchLabels", {}).items() <= labels.items()


def named(peer: dict[str, Any]) -> str | None:
    """Who a peer outside is."""
    key = peer.get("namespaceSelector", {}).get("matchLabels", {}).get("who")
    return next((name for name, (other, _) in OUTSIDE.items() if other.lower() == key), None)


def reached(peers: list[dict[str, Any]], parts: dict[str, dict[str, str]]) -> Iterator[str]:
    """Parts of the chart and names outside that a list of peers means."""
    assert peers, "no peers: everybody"
    for peer in peers:
        outside = named(peer)
        if outside is not None:
            yield outside
        else:
            assert set(peer) == {"podSelector"}
            yield from (part for part, labels in parts.items() if selects(peer["podSelector"], labels))


def allowed(documents: list[Document]) -> set[Edge]:
    """What may be connected: the sender's policies allow it to leave, the receiver's to arrive."""
    parts = {running.part: running.labels for running in pods(documents)}
    leaves: set[Edge] = set()
    arrives: set[Edge] = set()
    for policy in policies(documents):
        (part,) = (part for part, labels in parts.items() if selects(policy["podSelector"], labels))
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        for rules, peers, edges in (("egress", "to", leaves), ("ingress", "from", arrives)):
            for rule in policy[rules]:
                for other in reached(rule[peers], parts):
                    for port in rule["ports"]:
                        name = f"{port['port']}/{port['protocol']}"
                        edges.add((part, other, name) if rules == "egress" else (other, part, name))
    within = {edge for edge in leaves & arrives if {edge[0], edge[1]} <= set(parts)}
    # What one side allows and the other does not is an arrow that somebody forgot half of.
    assert {edge for edge in leaves if edge[1] in parts} == {edge for edge in arrives if edge[0] in parts}
    return (
        within
        | {edge for edge in leaves if edge[1] in OUTSIDE}
        | {edge for edge in arrives if edge[0] in OUTSIDE}
    )


def drawn() -> set[Edge]:
    """The table of docs/chart.md; a line may name several senders or receivers, and several ports."""
    page = (REPOSITORY / "docs" / "chart.md").read_text()
    table = page[page.index("| from | to | port |") :].split("\n\n")[0].splitlines()[2:]
    edges = set()
    for line in table:
        senders, receivers, ports, _ = (cell.strip() for cell in line.strip("|").split(" | ", 3))
        for sender in re.split(r",\s*", senders):
            for receiver in re.split(r",\s*", receivers):
                for port in re.split(r",\s*", ports):
                    edges.add((sender, receiver, port if "/" in port else f"{port}/TCP"))
    return edges


def test_exactly_the_drawn_arrows_are_allowed(helm: Helm) -> None:
    found: set[Edge] = set()
    for arguments in ((*FULL, *OWN), (*FULL, *ELSEWHERE), BASELINE):
        found |= allowed(helm.documents(*arguments))

    assert found == drawn()


@pytest.mark.parametrize("arguments", [(*FULL, *OWN), (*FULL, *ELSEWHERE), BASELINE])
def test_every_pod_is_under_one_policy(helm: Helm, arguments: tuple[str, ...]) -> None:
    documents = helm.documents(*arguments)
    for running in pods(documents):
        over = [policy for policy in policies(documents) if selects(policy["podSelector"], running.labels)]
        assert len(over) == 1, running.part


def test_a_rule_too_many_would_be_seen(helm: Helm) -> None:
    documents = helm.documents(*FULL, *OWN)
    policy = next(p for p in policies(documents) if "redis" in json.dumps(p["podSelector"]))
    policy["ingress"].append(
        {**policy["ingress"][0], "from": PEERS["networkPolicy__peers__clients"]["selectors"]}
    )

    assert ("Clients", "redis", "6379/TCP") in allowed(yaml.safe_load(json.dumps(documents)))


CANARY = {"canary-transformer", "canary-predictor"}
STABLE = {"transformer", "predictor", "feedback", "drift", "outcomes"}


@pytest.mark.parametrize(
    ("stable", "canary", "rollout", "reach"),
    [
        ("pvc://bundles/7", "pvc://bundles/8", True, {"rollout"}),
        ("pvc://bundles/7", "s3://models/8", False, CANARY),
        ("s3://models/7", "pvc://bundles/8", False, STABLE),
        # What a rollout promotes, the other side loads, and the next candidate is from anywhere.
        ("pvc://bundles/7", "s3://models/8", True, STABLE | CANARY | {"rollout"}),
        ("s3://models/7", "pvc://bundles/8", True, STABLE | CANARY | {"rollout"}),
    ],
)
def test_a_bundle_on_a_claim_needs_no_way_to_a_store(
    helm: Helm, stable: str, canary: str, rollout: bool, reach: set[str]
) -> None:
    uris = {"bundle__storageUri": stable, "canary__storageUri": canary, "rollout__enabled": rollout}
    documents = helm.documents(*FULL, *OWN, *set_json(**uris))

    assert {edge[0] for edge in allowed(documents) if edge[1] == "Storage"} == reach


def test_nobody_outside_is_reached_by_accident(helm: Helm) -> None:
    finished = helm.template(
        *FULL, *set_json(networkPolicy__peers__storage={"selectors": [], "ports": [443]})
    )

    assert finished.returncode != 0
    assert "networkPolicy.peers.storage.selectors is empty" in finished.stderr
