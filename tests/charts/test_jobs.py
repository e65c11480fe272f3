"""What jobs run: command lines our programs take, in pods that have what the command names."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import ConstantBackoff, NoBackoff
from redis.retry import Retry
from typer.main import get_command

from feature_repo.__main__ import app as feature_repo
from higr.bundle import Bundle
from higr.store.store import BundleStore
from monitoring.__main__ import app as monitoring
from tests.charts.rendering import CHART, FULL, Helm, Pods, pods, set_json
from tests.tools import require

PROGRAMS: dict[str, Any] = {"monitoring": monitoring, "feature_repo": feature_repo}
WITHOUT_GATEWAY = set_json(pushgateway__enabled=False)


def jobs(helm: Helm, *arguments: str) -> list[Pods]:
    """Pods of the tools image."""
    return [
        running
        for running in pods(helm.documents(*arguments))
        if "/higr/tools:" in running.spec["containers"][0]["image"]
    ]


def parse(arguments: list[str]) -> None:
    """As `python -m MODULE ARGUMENTS` would take it, without running it; a command behind -- as well.

    Raises:
        Exception: a usage error of typer's: it would not take it.
    """
    assert arguments[:2] == ["python", "-m"]
    module, name, *rest = arguments[2:]
    context = get_command(PROGRAMS[module]).commands[name].make_context(name, list(rest))  # type: ignore[attr-defined]
    if name == "job":
        parse(list(context.params["command"]))


@pytest.mark.parametrize("more", [(), WITHOUT_GATEWAY])
def test_programs_take_their_command_lines(helm: Helm, more: tuple[str, ...]) -> None:
    rollout = pytest.importorskip("serving.rollout.__main__")
    lines = {
        (running.part, *running.spec["containers"][0]["command"]) for running in jobs(helm, *FULL, *more)
    }
    taken = set()
    for part, *line in lines:
        if line[2] == "serving.rollout":
            get_command(rollout.app).make_context("rollout", line[3:])
        else:
            parse(line)
        taken.add(part)

    assert taken == {"features", "drift", "drift-exporter", "outcomes", "rollout"}


def test_an_option_that_is_not_there_would_be_seen() -> None:
    with pytest.raises(Exception, match="No such option: --results"):
        parse(["python", "-m", "monitoring", "export", "--results", "a"])


def test_jobs_find_the_folders_they_name(helm: Helm) -> None:
    for running in jobs(helm, *FULL):
        container = running.spec["containers"][0]
        mounted = [mount["mountPath"] for mount in container["volumeMounts"]]
        named = [part for part in container["command"] if part.startswith(("/mnt", "/var", "/etc"))]
        assert named, running.part
        for path in named:
            assert any(path == folder or path.startswith(f"{folder}/") for folder in mounted), path


def test_only_makers_of_a_store_may_write_to_it(helm: Helm) -> None:
    writable = {
        (running.part, mount["name"])
        for running in pods(helm.documents(*FULL))
        for mount in running.spec["containers"][0].get("volumeMounts", [])
        if not mount.get("readOnly") and mount["name"] not in ("tmp", "run")
    }

    assert writable == {
        ("transformer", "prediction-log"), ("canary-transformer", "prediction-log"),
        ("feedback", "feedback-log"), ("features", "features"), ("drift", "state"), ("redis", "data"),
    }  # fmt: skip


def test_without_a_gateway_jobs_run_as_they_are(helm: Helm) -> None:
    (drift,) = (j for j in jobs(helm, *FULL, *WITHOUT_GATEWAY) if j.part == "drift")

    assert drift.spec["containers"][0]["command"][:4] == ["python", "-m", "monitoring", "watch"]


def test_materialising_follows_redis_and_the_feedback_log(helm: Helm) -> None:
    base: dict[str, object] = {
        "features__claim": "f",
        "features__path": "store",
        "features__data": {"claim": "d", "path": ""},
        "features__materialise__enabled": True,
    }
    given = {
        "alone": base,
        "redis": base | {"redis__url": "rediss://reader@redis.example.org:6380/2"},
        "feedback": base | {"feedback__enabled": True, "feedback__claim": "l"},
    }

    def line(which: str) -> list[str]:
        job = helm.find("Job", *set_json(**given[which]))["spec"]["template"]["spec"]
        return [*job["containers"][0]["command"]]

    assert {"--online", "--feedback"} & set(line("alone")) == set()
    assert line("redis")[line("redis").index("--online") + 1] == "rediss://reader@redis.example.org:6380/2"
    assert line("feedback")[line("feedback").index("--feedback") + 1] == "/var/log/higr-feedback"


def test_applying_is_a_hook_that_may_be_left_to_the_schedule(helm: Helm) -> None:
    hook = helm.find("Job", *FULL)["metadata"]["annotations"]

    assert hook["helm.sh/hook"] == "post-install,post-upgrade"
    later = helm.documents(*FULL, *set_json(features__materialise__onInstall=False))
    assert "Job" not in {document["kind"] for document in later}


def fetch(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run what the init container runs."""
    script = (CHART / "files" / "fetch_bundle.py").read_text()
    path = str(Path(sys.executable).parent)
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True, text=True, check=False, env={"PATH": path}, timeout=120,
    )  # fmt: skip


def test_the_pod_runs_the_file_with_the_bundle_in_production(helm: Helm) -> None:
    (drift,) = (running for running in jobs(helm, *FULL) if running.part == "drift")
    (init,) = drift.spec["initContainers"]

    assert init["args"] == [
        (CHART / "files" / "fetch_bundle.py").read_text(), "$(BUNDLE_URI)", "/mnt/bundle/current",
    ]  # fmt: skip
    assert init["env"][0]["valueFrom"]["configMapKeyRef"] == {"name": "higr-bundle", "key": "stable"}


def test_a_version_of_a_store_is_fetched_and_verified(nano_bundle: Path, tmp_path: Path) -> None:
    store = BundleStore(str(tmp_path / "store"))
    version, _ = store.publish(nano_bundle, by="test")
    finished = fetch(f"{tmp_path}/store/versions/{version}", tmp_path / "current")

    assert finished.returncode == 0, finished.stderr
    assert Bundle.open(tmp_path / "current").version == version


def test_a_bundle_on_a_claim_is_linked(tmp_path: Path) -> None:
    script = (CHART / "files" / "fetch_bundle.py").read_text().replace("/mnt/claims", str(tmp_path))
    (tmp_path / "bundles" / "7").mkdir(parents=True)
    (tmp_path / "bundles" / "7" / "manifest.json").write_text("{}")
    out = tmp_path / "current"

    def run(uri: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script, uri, str(out)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    gone = run("pvc://bundles/8")
    assert (gone.returncode, "no bundle at pvc://bundles/8" in gone.stderr) == (1, True)
    assert run("pvc://bundles/7").returncode == 0
    assert out.resolve() == tmp_path / "bundles" / "7"


def test_what_is_no_version_of_a_store_is_refused(tmp_path: Path) -> None:
    finished = fetch("s3://models/higr/current", tmp_path / "current")

    assert finished.returncode == 1
    assert "s3://models/higr/current is no version of a store" in finished.stderr


def test_the_claim_of_a_bundle_is_mounted_where_it_is_looked_for(helm: Helm) -> None:
    (drift,) = (
        running
        for running in jobs(helm, *FULL, *set_json(bundle__storageUri="pvc://bundles/7"))
        if running.part == "drift"
    )
    for container in (drift.spec["initContainers"][0], drift.spec["containers"][0]):
        assert {"name": "bundles", "mountPath": "/mnt/claims/bundles", "readOnly": True} in container[
            "volumeMounts"
        ]


def test_redis_starts_with_its_password_and_shows_it_to_nobody(helm: Helm, tmp_path: Path) -> None:
    """The container's own command and probe, with a real server, in folders of the test's."""
    container = helm.find("StatefulSet", *FULL)["spec"]["template"]["spec"]["containers"][0]
    binary = require("redis-server")
    (tmp_path / "data").mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (script,) = container["args"]
    script = script.replace("/run/redis", str(tmp_path)).replace("/data", f"{tmp_path}/data").rstrip()
    environment = {"HIGR_REDIS_PASSWORD": "hush-hush", "PATH": f"{binary.parent}:/usr/bin:/bin"}
    server = subprocess.Popen(
        [*container["command"], f"{script} --port {port} --bind 127.0.0.1"],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        client = redis.Redis(port=port, password="hush-hush", retry=Retry(ConstantBackoff(0.1), 100))
        assert client.ping()
        at_once = Retry(NoBackoff(), 0)
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=port, retry=at_once).ping()
        assert "hush-hush" not in Path(f"/proc/{server.pid}/cmdline").read_text()
        assert (tmp_path / "password.conf").stat().st_mode & 0o077 == 0
        ready = container["readinessProbe"]["exec"]["command"]
        ready = [part.replace("redis-cli", f"redis-cli -p {port}") for part in ready]
        assert subprocess.run(ready, env=environment, check=False).returncode == 0
        with pytest.raises(redis.ConnectionError):  # it is gone before it can answer
            redis.Redis(port=port, password="hush-hush", retry=at_once).execute_command("SHUTDOWN", "SAVE")
        assert server.wait(30) == 0
        assert (tmp_path / "data" / "dump.rdb").exists()
        assert subprocess.run(ready, env=environment, check=False, capture_output=True).returncode != 0
    finally:
        server.kill()
        server.wait()
