"""The rollout pipeline: a published bundle to all users, by steps, or not.

rollout -> promoted
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler, dsl

from components.promoted import promoted
from components.rollout import TOOLS, rollout
from higr.errors import InputError
from higr.files import atomic_file
from pipelines.cluster import Cluster

NAME = "higr-rollout"


def rollout_pipeline(
    config: str = "", image: str = TOOLS, cluster: Cluster | None = None
) -> Callable[..., Any]:
    """The pipeline. A task of it that dies goes on where it was: what it knows lies in the cluster.

    Args:
        config: rollout.yaml as text: the default of the parameter `rollout`.
        cluster: what the tasks ask for; None: to run here.
    """

    @dsl.pipeline(
        name=NAME,
        display_name="HiGR rollout",
        description="A canary's traffic by steps, judged on live metrics; promoted or rolled back.",
    )
    def roll(candidate: str = "", rollout_yaml: str = config) -> str:
        """Run it as the service account of the rollout.

        Args:
            candidate: URI of the bundle, as `higr bundle list` gives it; empty: the one the canary has.
            rollout_yaml: the configuration; see docs/rollout.md.
        """
        moved = rollout(rollout=rollout_yaml, candidate=candidate)
        moved.set_display_name("Move the traffic")
        ended = promoted(phase=moved.outputs["Output"])
        ended.set_display_name("Is it promoted?")
        for task in (moved, ended):
            task.set_container_image(image)
            task.set_caching_options(False)  # the same bundle may fare differently tomorrow
        if cluster is not None:
            cluster.apply("rollout", moved)
            cluster.apply("promoted", ended)
        return moved.outputs["Output"]

    return roll


def compile_rollout(config: Path, out: Path, image: str, cluster: Cluster) -> None:
    """Write the pipeline for a cluster.

    Raises:
        InputError: `config` cannot be read, or `out` is not named as Kubeflow wants it.
    """
    if out.suffix not in {".yaml", ".yml"}:
        raise InputError(f"{out}: Kubeflow takes .yaml; name the file so")
    try:
        # One line: KFP writes defaults into a comment at the head of the YAML, out of which more would break.
        text = _one_line(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{config} cannot be read ({error}); give a rollout.yaml") from None
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(rollout_pipeline(text, image, cluster), str(written))
        compiled = written.read_text()
    with atomic_file(out) as aside:
        aside.write_text(compiled)


def _one_line(text: str) -> str:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        raise InputError("the configuration is not YAML; see docs/rollout.md") from None
    if not isinstance(document, dict):
        raise InputError("the configuration is not a YAML mapping; see docs/rollout.md")
    return json.dumps(document)
