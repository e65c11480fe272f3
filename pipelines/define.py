"""What every pipeline is made with: names, images and caching of tasks, and its shape on a cluster."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kfp import compiler, dsl

from components.check import check
from components.gate import gate
from components.image import IMAGE
from components.parameters import PARAMETERS
from components.publish import publish
from components.report import report
from higr.config import RunConfig
from higr.errors import InputError
from higr.files import atomic_file
from pipelines.cluster import Cluster
from pipelines.graph import GRAPHS


def config_text(config: RunConfig) -> str:
    """The whole configuration, defaults filled in: what a pipeline takes as `config`.

    One line of JSON: KFP writes defaults of parameters into a comment at the head of the YAML, and a
    default of several lines breaks out of it.
    """
    return config.model_dump_json()


class Wiring:
    """Makes the tasks of one pipeline ready.

    Args:
        keys: cache key of each stage, for local runs. Without them a cluster's own key holds: image, command
            and arguments; hence the image's tag must name the code, and `data_version` the state of the
            source's files.
        cluster: what tasks ask of a cluster; None: a local run, which has neither a check before it nor a
            report behind it: the command line does both.
    """

    def __init__(
        self,
        pipeline: str,
        image: str = IMAGE,
        keys: Mapping[str, str] | None = None,
        cluster: Cluster | None = None,
    ) -> None:
        self.pipeline, self.image, self.cluster = pipeline, image, cluster
        self._graph, self._keys = GRAPHS[pipeline], keys
        self._checked: dsl.PipelineTask | None = None

    def __call__(self, name: str, task: dsl.PipelineTask) -> dsl.PipelineTask:
        """A stage of the graph."""
        stage = self._graph[name]
        task.set_caching_options(
            stage.cached, cache_key=self._keys[name] if self._keys and stage.cached else None
        )
        if self._checked is not None and not stage.after:
            task.after(self._checked)
        return self._named(name, stage.title, task)

    @contextmanager
    def reported(self, parameters: Mapping[str, Any]) -> Iterator[None]:
        """Around the stages of a run on a cluster: parameters are checked before, and its end is told."""
        run = dsl.PIPELINE_JOB_ID_PLACEHOLDER
        common = {name: parameters[name] for name in ("webhook", "ui", "api")}
        stages = ",".join(name.replace("_", "-") for name in ("check", *self._graph))
        if self.cluster is not None and self.cluster.trainjob is not None:
            stages = stages.replace("pretrain", "pretrain-job")
        told = report(pipeline=f"higr-{self.pipeline}", run=run, stages=stages, **common)
        self._named("report", "Tell how it ended", told).set_caching_options(False)
        with dsl.ExitHandler(told, name=self.pipeline):
            self._checked = check(pipeline=self.pipeline, **parameters)
            self._named("check", "Check what was given", self._checked).set_caching_options(False)
            yield
        self._checked = None

    def latest(self, prepare: Callable[..., dsl.PipelineTask], config: Any) -> dsl.PipelineTask:
        """The stage that reads the logs, as they are at this run: its id is their version.

        A local run has the content of the files in its key instead.
        """
        return self("prepare", prepare(config=config, data_version=dsl.PIPELINE_JOB_ID_PLACEHOLDER))

    def publish(self, store: Any, bundle: Any, *after: dsl.PipelineTask) -> dsl.PipelineTask:
        """The stage that puts a bundle in the store."""
        by = f"higr-{self.pipeline} {dsl.PIPELINE_JOB_ID_PLACEHOLDER}"
        return self("publish", publish(store=store, by=by, bundle=bundle).after(*after))

    def gate(self, config: Any, store: Any, data: Any, bundle: Any) -> dsl.PipelineTask:
        """The stage that compares a bundle with the one in production."""
        return self("gate", gate(config=config, store=store, data=data, bundle=bundle))

    def _named(self, name: str, title: str, task: dsl.PipelineTask) -> dsl.PipelineTask:
        task.set_display_name(title)
        task.set_container_image(self.image)
        if self.cluster is not None:
            self.cluster.apply(name, task)
        return task


def described(pipeline: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Gives a pipeline's function the description of its parameters, which the UI shows."""

    def write(function: Callable[..., Any]) -> Callable[..., Any]:
        fields = PARAMETERS[pipeline].model_fields
        lines = "".join(f"    {name}: {field.description}\n" for name, field in fields.items())
        function.__doc__ = f"{PARAMETERS[pipeline].__doc__}\n\nArgs:\n{lines}"
        return function

    return write


def compile_to(pipeline: Callable[..., Any], out: Path) -> None:
    """Write a pipeline for a cluster; the same pipeline gives the same bytes.

    Raises:
        InputError: `out` is not named as Kubeflow wants it.
    """
    if out.suffix not in {".yaml", ".yml"}:
        raise InputError(f"{out}: Kubeflow takes .yaml; name the file so")
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(written))
        text = written.read_text()
    with atomic_file(out) as aside:
        aside.write_text(text)
        aside.chmod(0o644)
