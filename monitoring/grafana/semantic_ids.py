"""Semantic IDs: what codes are served and liked, against when the model was released."""

from higr import metrics as m
from monitoring.alerting.promql import Promql
from monitoring.alerting.settings import RuleSettings
from monitoring.alerting.times import HOUR
from monitoring.grafana.panels import Board, Panel, Query, Row


def semantic_ids(settings: RuleSettings) -> Board:
    q = Promql(settings)

    def psi(pattern: str) -> Query:
        return Query(q.of(m.DRIFT_PSI, f'column=~"{pattern}"'), "{{column}}")

    return Board(
        "higr-semantic-ids",
        "HiGR: semantic IDs",
        "Codes of served and liked items against the reference in the bundle. Code 1 is the coarsest.",
        (
            Row(
                "Verdict",
                (
                    Panel(
                        "Drift verdict",
                        "The one that is 1 is in force. no-data is no all-clear.",
                        (Query(f"max by (verdict) ({q.of(m.DRIFT_VERDICT)})", "{{verdict}}"),),
                        kind="states",
                        width=16,
                    ),
                    Panel(
                        "Rows compared",
                        "Few rows in the current window: no-data, and only large shifts show.",
                        (Query(q.of(m.DRIFT_ROWS), "{{window}} {{table}}"),),
                        kind="number",
                        width=8,
                    ),
                ),
            ),
            Row(
                "The running job",
                (
                    Panel(
                        "What it looks like",
                        "The cause that the job names; none while nothing moved.",
                        (Query(f"max by (cause) ({q.of(m.DRIFT_CAUSE)})", "{{cause}}"),),
                        kind="states",
                    ),
                    Panel(
                        "Figures by how far they moved",
                        "1 and above pages, if it is no chance. Codes begin with sid_.",
                        (Query(f"topk(12, {q.of(m.DRIFT_SIGNAL_SHIFT)})", "{{signal}}"),),
                        red=1,
                    ),
                    Panel(
                        "Figures now and as expected",
                        "Over the window that was judged last, and over the reference.",
                        (
                            Query(q.of(m.DRIFT_SIGNAL), "{{signal}}"),
                            Query(q.of(m.DRIFT_SIGNAL_EXPECTED), "{{signal}}, expected"),
                        ),
                        kind="table",
                    ),
                    Panel(
                        "Rows left out",
                        "By log and reason. Many of one: the logs are not what the job takes them for.",
                        (Query(q.of(m.DRIFT_SKIPPED), "{{reason}}"),),
                        kind="table",
                    ),
                    Panel(
                        "End of the window judged last",
                        "Older than a period and the time to settle: the job or the logs have stopped.",
                        (Query(f"max({q.of(m.DRIFT_WINDOW_END)}) * 1000"),),
                        kind="number",
                        unit="dateTimeFromNow",
                        width=8,
                    ),
                ),
            ),
            Row(
                "What the job did",
                (
                    Panel(
                        "Moves of the switch",
                        "In the job's record, by position moved to; a person's moves are there too.",
                        (Query(f"max by (position) ({q.of(m.DRIFT_SWITCH_MOVES)})", "{{position}}"),),
                        kind="number",
                        width=8,
                    ),
                    Panel(
                        "Last moves, last pipeline",
                        "When the job last moved the switch to a position, and a trip started a pipeline.",
                        (
                            Query(
                                f"max by (position) ({q.of(m.DRIFT_SWITCH_MOVED)}) * 1000", "to {{position}}"
                            ),
                            Query(f"max({q.of(m.DRIFT_PIPELINE_STARTED)}) * 1000", "pipeline"),
                        ),
                        kind="number",
                        unit="dateTimeFromNow",
                        width=8,
                    ),
                    Panel(
                        "Could not act",
                        "1: the last run should have moved the switch or started a pipeline and could "
                        "not. Move it by hand; see the runbook of drift.",
                        (Query(f"max by (action) ({q.of(m.DRIFT_ACT_FAILED)})", "{{action}}"),),
                        kind="number",
                        red=1,
                        width=8,
                    ),
                ),
            ),
            Row(
                "Codes",
                (
                    Panel(
                        "Served codes: PSI",
                        "The model favours other regions of the catalogue than when it was released. "
                        "Thresholds are in the report, for each column.",
                        (psi("served_code_.+"),),
                    ),
                    Panel(
                        "Liked codes: PSI",
                        "People like other regions. With effective views steady: tastes or the catalogue "
                        "changed.",
                        (psi("engaged_code_.+"),),
                    ),
                    Panel(
                        "Served and liked categories: PSI",
                        "The same in words: what fills slates, and what of it is liked.",
                        (psi("(served|engaged)_category"),),
                    ),
                    Panel(
                        "Who makes the slates, and how sure the model is: PSI",
                        "slates_source moves with fallbacks, served_score with the model's confidence.",
                        (psi("slates_source|served_score"),),
                    ),
                ),
            ),
            Row(
                "Within a slate",
                (
                    Panel(
                        "Items that share the most frequent first code",
                        "Mean share. Near 1: slates all of one kind, as after a codebook collapse.",
                        (Query(q.average(m.PREFIX_SHARE, HOUR, by="source"), "{{source}}"),),
                        unit="percentunit",
                        full=1,
                    ),
                    Panel(
                        "Most uniform twentieth of slates",
                        "Share of items with one first code, in the slates where it is highest.",
                        (Query(q.quantile(0.95, m.PREFIX_SHARE, HOUR, by="source"), "{{source}}"),),
                        unit="percentunit",
                        full=1,
                    ),
                ),
            ),
        ),
    )
