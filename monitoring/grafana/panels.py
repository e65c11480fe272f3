"""Panels and boards as values, and their form in Grafana's SDK."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Literal

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models.common import StackingMode, VisibilityMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

Kind = Literal["lines", "stack", "number", "states", "table"]
HEIGHT = {"lines": 8, "stack": 8, "number": 4, "states": 6, "table": 8}
TAG = "higr"


@dataclass(frozen=True)
class Query:
    """Attributes:
    legend: with labels as `{{label}}`; empty: the panel says enough.
    """

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """Attributes:
    says: what a person on call reads behind the little i: what is good, what is bad.
    kind: lines; stack, of which the sum matters; number, the last value; states over time; table of now.
    unit: Grafana's: percentunit, s, reqps, short, dateTimeFromNow.
    width: of 24.
    red: from this value on it is bad; below where `low` is true.
    """

    title: str
    says: str
    queries: tuple[Query, ...]
    kind: Kind = "lines"
    unit: str = "short"
    width: int = 12
    red: float | None = None
    low: bool = False
    full: float | None = None


@dataclass(frozen=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Board:
    """Attributes:
    uid: also the name of its file, and the end of alerts' dashboard links.
    """

    uid: str
    title: str
    says: str
    rows: tuple[Row, ...]


SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")


def built(board: Board) -> Any:
    """The board as Grafana's SDK has it."""
    builder = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.says)
        .tags([TAG])
        .readonly()
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .link(
            dashboard.DashboardLink("HiGR").type(DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(True)
        )
    )
    number = 0
    for row in board.rows:
        builder = builder.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            number += 1
            builder = builder.with_panel(_panel(panel, number))
    return builder.build()


def _panel(panel: Panel, number: int) -> Any:
    builder = KINDS[panel.kind]()
    builder = (
        builder.id(number)
        .title(panel.title)
        .description(panel.says)
        .datasource(SOURCE)
        .unit(panel.unit)
        .height(HEIGHT[panel.kind])
        .span(panel.width)
        .thresholds(_thresholds(panel))
    )
    if panel.full is not None:
        builder = builder.min(0).max(panel.full)
    for letter, query in zip(ascii_uppercase, panel.queries, strict=False):
        builder = builder.with_target(_target(query, letter, now=panel.kind in ("number", "table")))
    return builder


def _target(query: Query, letter: str, now: bool) -> prometheus.Dataquery:
    target = prometheus.Dataquery().ref_id(letter).expr(query.expr).datasource(SOURCE)
    target = target.instant() if now else target.range()
    if query.legend:
        return target.legend_format(query.legend)
    return target.format(PromQueryFormat.TABLE) if now else target


def _thresholds(panel: Panel) -> dashboard.ThresholdsConfig:
    first, then = ("red", "green") if panel.low else ("green", "red")
    steps = [Threshold(color=first)]
    if panel.red is not None:
        steps.append(Threshold(value=panel.red, color=then))
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _lines() -> timeseries.Panel:
    return timeseries.Panel().line_width(2).fill_opacity(0).show_points(VisibilityMode.NEVER)


def _stack() -> timeseries.Panel:
    return _lines().fill_opacity(40).stacking(common.StackingConfig().mode(StackingMode.NORMAL))


def _number() -> stat.Panel:
    return stat.Panel().color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))


KINDS: dict[Kind, Callable[[], Any]] = {
    "lines": _lines,
    "stack": _stack,
    "number": _number,
    "states": statetimeline.Panel,
    "table": table.Panel,
}


def queries(boards: Sequence[Board]) -> list[tuple[str, Query]]:
    """Every query with the panel it is of, for those who check them."""
    return [
        (f"{board.uid}: {panel.title}", query)
        for board in boards
        for row in board.rows
        for panel in row.panels
        for query in panel.queries
    ]
