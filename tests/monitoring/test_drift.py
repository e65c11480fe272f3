"""The verdict: Evidently's figures against our own, unchanged traffic stays quiet, moved traffic is named."""

import os
import socket
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from higr.bundle import Bundle
from higr.config import MonitoringConfig
from monitoring.cells import Cells, cells
from monitoring.drift import MAX_MOVED, compare, evidently_report
from monitoring.parts import Period
from monitoring.result import ColumnDrift, DriftResult
from monitoring.windows import current_window, reference_window

Judge = Callable[..., tuple[DriftResult, Any]]

COLUMNS = {
    "slates_source",
    *(
        f"{frame}_{name}"
        for frame in ("served", "engaged")
        for name in ("code_1", "code_2", "code_3", "category")
    ),
    "served_score",
    "engaged_strength",
    "exposed_feedback",
    "exposed_effective_view",
}


def by_name(result: DriftResult) -> dict[str, ColumnDrift]:
    return {column.column: column for column in result.columns}


@pytest.mark.parametrize("seed", [2, 3, 4, 5])
def test_unchanged_traffic_is_ok(judge: Judge, traffic: Any, seed: int) -> None:
    result, _ = judge(traffic(seed=seed))
    assert result.verdict == "ok", result.reason
    assert {c.column for c in result.columns} == COLUMNS
    assert {c.verdict for c in result.columns} == {"ok"}


@pytest.mark.parametrize(
    ("change", "paged", "quiet"),
    [
        pytest.param(
            {"taste": (0.1, 0.2, 0.3, 0.4)},
            {"served_code_1", "served_category", "engaged_code_1", "engaged_category"},
            {"served_code_2", "served_code_3", "slates_source", "exposed_effective_view", "served_score"},
            id="taste moves",
        ),
        pytest.param({"fallback": 0.1}, {"slates_source"}, COLUMNS - {"slates_source"}, id="fallback"),
        pytest.param(
            {"watched": 0.3},
            {"exposed_effective_view", "exposed_feedback", "engaged_strength"},
            {"served_code_1", "engaged_code_1", "slates_source"},
            id="people watch less",
        ),
    ],
)
def test_moved_traffic_pages_for_what_moved(
    judge: Judge, traffic: Any, change: dict[str, Any], paged: set[str], quiet: set[str]
) -> None:
    result, _ = judge(traffic(seed=6, **change))
    assert result.verdict == "page"
    columns = by_name(result)
    assert {name for name in paged if columns[name].verdict == "page"} == paged
    assert {name for name in quiet if columns[name].verdict == "ok"} == quiet
    assert result.columns[0].column in result.reason


def test_between_the_thresholds_is_watch(judge: Judge, traffic: Any) -> None:
    result, _ = judge(traffic(seed=7, watched=0.36))
    column = by_name(result)["exposed_effective_view"]
    assert column.verdict == "watch"
    assert column.psi is not None
    assert column.watch is not None
    assert column.page is not None
    assert column.watch <= column.psi < column.page


def test_what_moved_is_named_with_its_shares(judge: Judge, traffic: Any) -> None:
    result, _ = judge(traffic(seed=6, taste=(0.1, 0.2, 0.3, 0.4)))
    column = by_name(result)["served_category"]
    assert {cell.label for cell in column.moved[:2]} == {"cats", "cycling"}
    cycling = next(cell for cell in column.moved if cell.label == "cycling")
    assert (cycling.reference, cycling.current) == pytest.approx((0.1, 0.4), abs=0.03)
    assert sum(cell.psi for cell in column.moved) == pytest.approx(column.psi)


def test_thresholds_are_the_configured_ones_over_the_noise(judge: Judge, traffic: Any) -> None:
    config = MonitoringConfig()
    for column in judge(traffic(seed=2))[0].columns:
        assert column.noise is not None
        assert column.watch == pytest.approx(config.psi_watch + column.noise)
        assert column.page == pytest.approx(config.psi_page + column.noise)


def test_too_few_rows_is_no_data_and_never_ok(judge: Judge, traffic: Any) -> None:
    result, snapshot = judge(traffic(slates=30, seed=8))
    assert result.verdict == "no-data"
    assert snapshot is None
    assert "at least 200 rows a window are due" in result.reason
    assert all(c.psi is None and c.rows_current <= 150 for c in result.columns)


def test_some_columns_without_data_are_still_no_data(judge: Judge, traffic: Any) -> None:
    result, snapshot = judge(traffic(slates=150, seed=9))  # 750 positions, but 150 slates
    columns = by_name(result)
    assert columns["slates_source"].verdict == "no-data"
    assert columns["served_code_1"].verdict == "ok"
    assert result.verdict == "no-data"
    assert snapshot is not None
    assert result.columns[0].column == "slates_source"


def test_what_pages_outranks_what_is_missing(judge: Judge, traffic: Any) -> None:
    result, _ = judge(traffic(slates=150, seed=10, taste=(0.02, 0.03, 0.15, 0.8)))
    assert by_name(result)["slates_source"].verdict == "no-data"
    assert result.verdict == "page"


def test_thresholds_come_from_the_configuration(bundle: Bundle) -> None:
    window = reference_window(bundle)
    result, _ = compare(window, window, bundle, MonitoringConfig(min_rows=501))
    assert result.verdict == "no-data"
    result, _ = compare(window, window, bundle, MonitoringConfig(min_rows=500))
    assert result.verdict == "ok"
    assert {c.psi for c in result.columns} == {0.0}


def test_evidently_and_the_formula_agree_on_columns_of_any_length() -> None:
    rng = np.random.default_rng(0)

    def column(size: int, high: int) -> pd.Series:
        return pd.Series(rng.integers(0, high, size).astype(str), dtype=object)

    counted: dict[str, Cells] = {
        "long": cells(column(5000, 30), column(4000, 25)),
        "short": cells(column(300, 3), column(500, 4)),
        "one": cells(column(300, 1), column(300, 1)),
    }
    snapshot = evidently_report(counted, dict.fromkeys(counted, 0.1))
    values = {m["config"]["column"]: m["value"] for m in snapshot.dict()["metrics"]}
    for name, found in counted.items():
        assert values[name] == pytest.approx(found.psi_parts().sum(), abs=1e-12)
    assert values["long"] > 0.1
    assert values["one"] == 0
    failed = {t["metric_config"]["params"]["column"]: t["status"].value for t in snapshot.dict()["tests"]}
    assert (failed["long"], failed["one"]) == ("FAIL", "SUCCESS")


def test_evidently_sends_nothing(monkeypatch: pytest.MonkeyPatch, bundle: Bundle) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError(f"a connection was opened: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    window = reference_window(bundle)
    _, snapshot = compare(window, window, bundle, MonitoringConfig())
    assert snapshot.get_html_str(as_iframe=False)
    assert os.environ["DO_NOT_TRACK"] == "1"


def test_moved_cells_are_bounded(judge: Judge, traffic: Any) -> None:
    for column in judge(traffic(seed=2))[0].columns:
        assert len(column.moved) <= min(MAX_MOVED, column.cells)
        parts = [cell.psi for cell in column.moved]
        assert parts == sorted(parts, reverse=True)


def test_a_window_of_another_bundle_is_no_data_and_says_so(
    bundle: Bundle, write: Callable[..., Any], traffic: Any
) -> None:
    logs = write(traffic(slates=300, watched=0.9), version="another")
    for part in logs.feedback.iterdir():
        table = pq.read_table(part)
        unnamed = pa.nulls(table.num_rows, pa.string())
        pq.write_table(
            table.set_column(table.schema.get_field_index("request_id"), "request_id", unnamed), part
        )
    current = current_window(bundle, logs.predictions, logs.feedback, Period())
    result, _ = compare(reference_window(bundle), current, bundle, MonitoringConfig())
    assert result.verdict == "no-data"
    assert (
        result.reason
        == f"all 300 slates are of another bundle than {bundle.version}; give the one that serves"
    )
