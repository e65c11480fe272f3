"""Training and all that runs on a schedule: when it ended, how, and what is served of it."""

from higr import metrics as m
from monitoring.alerting.promql import Promql
from monitoring.alerting.settings import RuleSettings
from monitoring.alerting.times import MINUTE
from monitoring.grafana.panels import Board, Panel, Query, Row


def training(settings: RuleSettings) -> Board:
    q = Promql(settings)
    return Board(
        "higr-training",
        "HiGR: training and jobs",
        "Jobs as they told the Pushgateway (`python -m monitoring job`), and the bundles that are served.",
        (
            Row(
                "Jobs",
                (
                    Panel(
                        "Since the last success",
                        "Against each job's period: beyond two and a half of them it is overdue.",
                        (
                            Query(f"time() - max by (task) ({q.of(m.JOB_SUCCESS)})", "{{task}}"),
                            Query(f"max by (task) ({q.of(m.JOB_PERIOD)})", "period of {{task}}"),
                        ),
                        unit="s",
                        width=8,
                    ),
                    Panel(
                        "Exit code of the last run",
                        "0: well. 2: bad input. 137: killed, mostly for memory.",
                        (Query(f"max by (task) ({q.of(m.JOB_EXIT_CODE)})", "{{task}}"),),
                        kind="number",
                        width=8,
                        red=1,
                    ),
                    Panel(
                        "How long the last run took",
                        "A job that takes longer than its period runs into itself.",
                        (Query(f"max by (task) ({q.of(m.JOB_SECONDS)})", "{{task}}"),),
                        unit="s",
                        width=8,
                    ),
                ),
            ),
            Row(
                "Figures",
                (
                    Panel(
                        "What jobs printed when they last ended well",
                        "Numbers of the JSON on their last line: losses, rates, counts.",
                        (Query(f"max by (task, figure) ({q.of(m.JOB_FIGURE)})"),),
                        kind="table",
                        width=12,
                    ),
                    Panel(
                        "Rates and shares over runs",
                        "Figures between 0 and 1; a step down after a run is worth a look at its report.",
                        (Query(f"max by (task, figure) ({q.of(m.JOB_FIGURE)}) <= 1", "{{task}} {{figure}}"),),
                        width=12,
                    ),
                ),
            ),
            Row(
                "Bundles",
                (
                    Panel(
                        "Served versions",
                        "Processes by version. Two for long: a stuck roll-out.",
                        (Query(f"sum by (version) ({q.of(m.BUNDLE)}) > 0", "{{version}}"),),
                        kind="states",
                    ),
                    Panel(
                        "Bundles that could not be taken",
                        "Tries of ten minutes; the one before is served.",
                        (Query(q.increase(m.BUNDLE_ERRORS, 10 * MINUTE), "tries"),),
                    ),
                ),
            ),
        ),
    )
