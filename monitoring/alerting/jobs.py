"""Freshness of whatever runs on a schedule, monitoring itself included: one that stopped is an alert."""

from higr import metrics as m
from monitoring.alerting.promql import Promql
from monitoring.alerting.rule import Alert, Group
from monitoring.alerting.settings import RuleSettings
from monitoring.alerting.times import MINUTE

OVERDUE = 2.5
"""Periods after which a job is overdue that has not ended well: one run may fail, the next be under way."""


def jobs(settings: RuleSettings) -> Group:
    q = Promql(settings)
    overdue = OVERDUE * settings.drift_period_seconds / settings.time_scale
    matchers = {task: f'task="{task}"' for task in settings.required_tasks}
    missing = tuple(
        Alert(
            "HigrJobMissing",
            f"absent({q.of(m.JOB_SUCCESS, matcher)})",
            severity="watch",
            team="ml",
            cause=f"job-{task}",
            wait=30 * MINUTE,
            summary="A job has never told that it ended well, or the Pushgateway has lost what it told.",
            description=f"Nothing is known of job {task}; its first success clears this.",
            runbook="jobs",
            dashboard="higr-training",
            labels={"task": task},
        )
        for task, matcher in matchers.items()
    )
    return Group(
        "higr-jobs",
        (
            Alert(
                "HigrDriftAbsent",
                f"absent({q.of(m.DRIFT_VERDICT)})",
                severity="watch",
                team="ml",
                cause="drift-data",
                wait=15 * MINUTE,
                summary="There is no drift verdict: the exporter is not scraped, or has no result to show.",
                description=f"{m.DRIFT_VERDICT.name} has been missing for 15 minutes: drift is not watched.",
                runbook="jobs",
                dashboard="higr-oncall",
            ),
            Alert(
                "HigrDriftStale",
                f"time() - max({q.of(m.DRIFT_RUN)}) > {overdue:g}",
                severity="watch",
                team="ml",
                cause="drift-data",
                wait=5 * MINUTE,
                summary="The drift job has stopped: the verdict that is shown is old.",
                description="The drift job last ended {{ $value | humanizeDuration }} ago.",
                runbook="jobs",
                dashboard="higr-oncall",
            ),
            Alert(
                "HigrJobStale",
                f"time() - max by (task) ({q.of(m.JOB_SUCCESS)}) > {OVERDUE} * max by (task) "
                f"({q.of(m.JOB_PERIOD)})",
                severity="watch",
                team="ml",
                cause="job-stale",
                wait=5 * MINUTE,
                summary="A job has not ended well for more than twice its period: what it makes is old.",
                description="Job {{ $labels.task }} last ended well {{ $value | humanizeDuration }} ago.",
                runbook="jobs",
                dashboard="higr-training",
            ),
            Alert(
                "HigrJobFailed",
                f"max by (task) ({q.of(m.JOB_EXIT_CODE)}) != 0",
                severity="watch",
                team="ml",
                cause="job-failed",
                summary="The last run of a job failed; it has not succeeded since.",
                description="Job {{ $labels.task }} ended with exit code {{ $value }}.",
                runbook="jobs",
                dashboard="higr-training",
            ),
            *missing,
            Alert(
                "HigrWatchdog",
                "vector(1)",
                severity="none",
                team="serving",
                cause="watchdog",
                summary="Always fires. Whoever receives it must raise the alarm when it no longer comes.",
                description="Prometheus evaluates rules and reaches Alertmanager.",
                runbook="watchdog",
                dashboard="higr-oncall",
            ),
        ),
    )
