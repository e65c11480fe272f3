"""The exit handler of every pipeline."""

from kfp import dsl
from kfp.dsl import PipelineTaskFinalStatus

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def report(
    pipeline: str,
    run: str,
    stages: str,
    webhook: str,
    ui: str,
    api: str,
    status: PipelineTaskFinalStatus,
) -> None:
    """Tell how the run ended: to the log, and to the webhook if there is one.

    stages: names of the pipeline's tasks, comma-separated. webhook: URL; empty: that of the environment
    variable HIGR_WEBHOOK, if any.
    """
    from components.outcome import Outcome, failed_stages, tell

    failed = {}
    if status.state != "SUCCEEDED":
        failed = failed_stages(api, run, stages.split(","), status.error_message or "")
    link = f"{ui.rstrip('/')}/#/runs/details/{run}" if ui else ""
    tell(Outcome(pipeline, run, status.state, failed, link), webhook)
