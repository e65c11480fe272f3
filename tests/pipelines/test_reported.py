"""The shape that a cluster gets, run here: what is refused before the work is told to the webhook."""

import threading

import pytest
from kfp import local

from higr.config import load_config
from pipelines.cluster import Cluster
from pipelines.refresh import refresh_on_cluster
from tests.components.test_outcome import Server
from tests.pipelines.tiny import OVERRIDES

pytestmark = pytest.mark.filterwarnings("ignore:You may be attemping:RuntimeWarning")


def test_a_refused_parameter_ends_the_run_before_any_stage_and_is_told(tmp_path, capfd):
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(tmp_path / "artifacts"),
        workspace_root=str(tmp_path / "workspace"),
    )
    # A local runner would repeat the check, too.
    once = Cluster.model_validate({"default": {"retries": 0}})
    pipeline = refresh_on_cluster(load_config("nano", OVERRIDES), "registry.example/higr/train:1", once)
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with pytest.raises(RuntimeError, match="FAILURE"):
            pipeline(
                store=str(tmp_path / "store"),
                items="new.parquet",
                webhook=server.url,
                ui="https://kfp.example.org",
            )
        server.shutdown()
    (told,) = server.taken
    assert (told["pipeline"], told["state"]) == ("higr-refresh", "FAILED")
    assert told["link"] == f"https://kfp.example.org/#/runs/details/{told['run']}"
    output = capfd.readouterr()
    assert "higr: check: " in output.out + output.err
    assert "nothing is in production" in output.out + output.err
    (run,) = (tmp_path / "artifacts").iterdir()
    assert {folder.name for folder in run.iterdir()} <= {"check", "report"}
