"""The rollout moves what the chart makes, with the configuration the chart writes, and an upgrade keeps it.

Against an emulated API server; what the rollout decides is tested where it lives.
"""

from pathlib import Path

import pytest

from tests.charts.rendering import CHART, Helm, set_json
from tests.charts.test_lifecycle import bundles, cluster_with, weights

STABLE, CANDIDATE = "s3://models/higr/versions/1", "s3://models/higr/versions/2"
GIVEN = set_json(
    bundle__storageUri=STABLE,
    canary={"enabled": True, "storageUri": CANDIDATE, "replicas": {"min": 1, "max": 1}, "weight": ""},
    route__enabled=True,
    monitoring__enabled=True,
    rollout={"enabled": True, "store": "", "config": {"steps": [{"weight": 25}], "outcomes": None}},
)


def test_it_moves_what_the_chart_makes(helm: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    controls = pytest.importorskip("serving.rollout.cluster")
    reader = pytest.importorskip("serving.rollout.config")
    with cluster_with(helm, tmp_path) as release:
        monkeypatch.setenv("KUBECONFIG", release.environment["KUBECONFIG"])

        def upgrade() -> None:
            done = release.release("upgrade", "--install", "higr", str(CHART), *GIVEN)
            assert done.returncode == 0, done.stderr

        upgrade()
        written = tmp_path / "rollout.yaml"
        written.write_text(release.get("configmap/higr-rollout-config")["data"]["rollout.yaml"])
        rollout = controls.Cluster(reader.read_rollout(written))

        # A step up, with what is written about it; somebody upgrades meanwhile.
        assert rollout.weight() == 0
        rollout.set_weight(25, 0)
        rollout.write(rollout.record(), {"state": "step 1"})
        rollout.event("StepUp", "25 per cent", False)
        upgrade()
        assert (rollout.weight(), weights(release)) == (25, [75, 25])
        assert rollout.record().data["state"] == "step 1"

        # The promotion: bundle first, then all of the traffic; the next upgrade finds nothing to change.
        assert rollout.bundle("higr-canary") == CANDIDATE
        rollout.set_bundle("higr", CANDIDATE)
        rollout.remember_bundle("stable", CANDIDATE)
        assert rollout.ready("higr")
        rollout.set_weight(0, 25)
        upgrade()
        assert bundles(release) == {CANDIDATE}
        assert release.get("configmap/higr-bundle")["data"]["stable"] == CANDIDATE
        assert weights(release) == [100, 0]
