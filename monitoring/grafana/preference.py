"""Preference: how slates are received, and how varied they are."""

from higr import metrics as m
from monitoring.alerting import recording
from monitoring.alerting.promql import Promql
from monitoring.alerting.settings import RuleSettings
from monitoring.alerting.times import HOUR, MINUTE
from monitoring.grafana.panels import Board, Panel, Query, Row


def preference(settings: RuleSettings) -> Board:
    q = Promql(settings)

    def psi(pattern: str) -> Query:
        return Query(q.of(m.DRIFT_PSI, f'column=~"{pattern}"'), "{{column}}")

    return Board(
        "higr-preference",
        "HiGR: preference",
        "How people receive slates, against when the model was released; and whether feedback comes at all.",
        (
            Row(
                "Reception",
                (
                    Panel(
                        "How exposures are received: PSI",
                        "Feedback levels and effective views. The report says in which direction they moved.",
                        (psi("exposed_.+"),),
                    ),
                    Panel(
                        "What is liked, and how much: PSI",
                        "engaged_strength and engaged_category; codes are on the board of semantic IDs.",
                        (psi("engaged_(strength|category)"),),
                    ),
                ),
            ),
            Row(
                "Feedback",
                (
                    Panel(
                        "Feedback a slate",
                        "Events accepted for each slate, over an hour. A fall to zero is an outage, not a "
                        "mood.",
                        (Query(q.of(recording.FEEDBACK_PER_SLATE), "events"),),
                    ),
                    Panel(
                        "Events by outcome",
                        "refused: the disk does not take them. repeated: clients send again, which is fine.",
                        (Query(q.rate(m.FEEDBACK_EVENTS, 5 * MINUTE, by="outcome"), "{{outcome}}"),),
                        kind="stack",
                        unit="reqps",
                    ),
                ),
            ),
            Row(
                "Variety of slates as served",
                (
                    Panel(
                        "Category diversity",
                        "Share of pairs of items that differ in category, mean of an hour. Near 0: "
                        "monotonous.",
                        (Query(q.average(m.CATEGORY_DIVERSITY, HOUR, by="source"), "{{source}}"),),
                        unit="percentunit",
                        full=1,
                    ),
                    Panel(
                        "Least varied twentieth of slates",
                        "The same, in the slates where it is lowest.",
                        (Query(q.quantile(0.05, m.CATEGORY_DIVERSITY, HOUR, by="source"), "{{source}}"),),
                        unit="percentunit",
                        full=1,
                    ),
                ),
            ),
        ),
    )
