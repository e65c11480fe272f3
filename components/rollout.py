"""A bundle on its way to all users, by steps."""

from importlib.metadata import version

from kfp import dsl
from kfp.dsl import Artifact, Metrics, Output

TOOLS = f"higr/tools:{version('higr')}"
"""The image that holds the controller: `serving.rollout`."""


@dsl.component(base_image=TOOLS, install_kfp_package=False)
def rollout(rollout: str, candidate: str, looks: Output[Artifact], metrics: Output[Metrics]) -> str:
    """Give the canary a bundle, then let the controller move the traffic until the rollout has ended.

    rollout: rollout.yaml, as text. candidate: URI of the bundle; empty: the one that the canary has.
    `looks` is one JSON line a look. Returns the phase in which it ended: promoted, rolled-back or held; none
    where both sides had the same bundle. A task that is started again goes on where the last one was.
    """
    import json
    import subprocess
    import sys
    import tempfile
    from pathlib import Path

    # A process of its own, as everywhere else: components knows the command, not the room behind it.
    with tempfile.TemporaryDirectory() as folder, Path(looks.path).open("w") as kept:
        config = Path(folder) / "rollout.yaml"
        config.write_text(rollout)
        command = [sys.executable, "-m", "serving.rollout", "--config", str(config)]
        command += ["--candidate", candidate] if candidate else []
        last = ""
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                last = line
                kept.write(line)
                sys.stdout.write(line)
    if process.returncode:
        raise SystemExit(process.returncode)
    end = json.loads(last)
    for name in ("step", "weight"):
        metrics.log_metric(name, end.get(name, 0))
    for side, slates in end.get("slates", {}).items():
        metrics.log_metric(f"slates_{side}", slates)
    for finding in end.get("findings", []):
        for side in ("stable", "canary"):
            if finding[side] is not None:
                metrics.log_metric(f"{finding['measure']}_{side}", finding[side])
    return end["phase"]
