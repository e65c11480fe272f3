"""The controller's own metrics: shown, replaced, and taken by a real Pushgateway."""

from pathlib import Path

import httpx
import pytest

from higr.errors import HigrError
from serving.rollout.config import RolloutConfig
from serving.rollout.evidence import Counted, Rated
from serving.rollout.gauges import Gauges
from serving.rollout.judge import Finding
from serving.rollout.state import State
from tests.monitoring.alerting.processes import pushgateway

CONFIG = RolloutConfig(name="higr", namespace="models")
FINDING = Finding(measure="errors", margin=0.01, stable=0.001, canary=0.002, low=-0.02, high=-0.001)
STATE = State(
    phase="progressing",
    stable_uri="old",
    candidate_uri="new",
    began=1.0,
    phase_began=1.0,
    step=1,
    counted=Counted(rates={"canary": {"errors": Rated(hits=1, n=500)}}),
    findings=(FINDING, FINDING.model_copy(update={"measure": "watch_seconds", "low": None, "high": None})),
)


def test_what_is_shown_is_the_last_look() -> None:
    gauges = Gauges()
    gauges.show(STATE, CONFIG)
    value = gauges.registry.get_sample_value
    assert value("higr_rollout_phase", {"phase": "progressing"}) == 1
    assert value("higr_rollout_phase", {"phase": "promoted"}) == 0
    assert value("higr_rollout_decision", {"decision": "hold"}) == 1
    assert value("higr_rollout_canary_weight") == 20
    assert value("higr_rollout_slates", {"side": "canary"}) == 500
    assert value("higr_rollout_excess", {"measure": "errors", "bound": "high"}) == -0.001
    assert value("higr_rollout_excess", {"measure": "watch_seconds", "bound": "low"}) is None
    gauges.show(STATE.model_copy(update={"phase": "rolled-back", "findings": ()}), CONFIG)
    assert value("higr_rollout_canary_weight") == 0
    assert value("higr_rollout_excess", {"measure": "errors", "bound": "high"}) is None


def test_a_pushgateway_takes_them(tmp_path: Path) -> None:
    gauges = Gauges()
    gauges.show(STATE, CONFIG)
    with pushgateway(tmp_path) as server:
        gauges.push(server.address, "models")
        text = httpx.get(f"{server.url}/metrics", trust_env=False).text
    assert 'higr_rollout_canary_weight{instance="",job="higr_rollout",namespace="models"} 20' in text
    assert (
        'higr_rollout_phase_began_timestamp_seconds{instance="",job="higr_rollout",namespace="models"} 1'
        in text
    )
    with pytest.raises(HigrError, match="did not take the metrics"):
        gauges.push(server.address, "models")
