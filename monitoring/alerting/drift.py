"""Verdicts of the drift job. One is in force at a time."""

from higr import metrics as m
from monitoring.alerting.promql import Promql
from monitoring.alerting.rule import Alert, Group
from monitoring.alerting.settings import RuleSettings


def drift(settings: RuleSettings) -> Group:
    q = Promql(settings)
    # What moved most, straight from the gauges, so that the message alone says where to look.
    query = "topk(3, " + q.of(m.DRIFT_PSI).replace('"', '\\"') + ")"
    each = '{{ .Labels.column }} ({{ printf "%.2f" .Value }})'
    moved = f'{{{{ range query "{query}" }}}} {each}{{{{ end }}}}'

    def verdict(name: str) -> str:
        series = q.of(m.DRIFT_VERDICT, f'verdict="{name}"')
        return f"max({series}) == 1"

    def failed(action: str) -> str:
        series = q.of(m.DRIFT_ACT_FAILED, f'action="{action}"')
        return f"max({series}) == 1"

    return Group(
        "higr-drift",
        (
            Alert(
                "HigrDriftWatch",
                verdict("watch"),
                severity="watch",
                team="ml",
                cause="drift",
                summary="What is served, or how it is received, has begun to move away from when the model "
                "was released.",
                description=f"The drift job says watch. Columns by PSI:{moved}.",
                runbook="drift",
                dashboard="higr-semantic-ids",
            ),
            Alert(
                "HigrDriftPage",
                verdict("page"),
                severity="page",
                team="ml",
                cause="drift",
                summary="What is served, or how it is received, is clearly different from when the model was "
                "released.",
                description=f"The drift job says page. Columns by PSI:{moved}.",
                runbook="drift",
                dashboard="higr-semantic-ids",
            ),
            Alert(
                "HigrDriftTrip",
                verdict("trip"),
                severity="page",
                team="ml",
                cause="drift",
                summary="Drift harms users: the drift job puts a switch on auto to baseline.",
                description=f"The drift job says trip. Columns by PSI:{moved}.",
                runbook="drift",
                dashboard="higr-oncall",
            ),
            Alert(
                "HigrDriftCannotTrip",
                failed("switch"),
                severity="page",
                team="ml",
                cause="drift-act",
                summary="Drift harms users, and the drift job could not move the switch from the model.",
                description="The last run of the drift job should have moved the switch, and failed.",
                runbook="drift",
                dashboard="higr-oncall",
            ),
            Alert(
                "HigrDriftNoPipeline",
                failed("pipeline"),
                severity="watch",
                team="ml",
                cause="drift-act",
                summary="The pipeline that a trip should start did not start: nothing is being mended.",
                description="The last run of the drift job moved the switch, and its pipeline did not start.",
                runbook="drift",
                dashboard="higr-semantic-ids",
            ),
            Alert(
                "HigrDriftNoData",
                verdict("no-data"),
                severity="watch",
                team="ml",
                cause="drift-data",
                wait=settings.drift_period_seconds,
                summary="Drift is unknown: the logs hold too little to compare. This is no all-clear.",
                description="The drift job has said no-data for longer than one of its periods.",
                runbook="drift",
                dashboard="higr-semantic-ids",
            ),
        ),
    )
