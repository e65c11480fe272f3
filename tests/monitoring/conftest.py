"""A small world with a known distribution: 64 items in 4 categories, shown to 200 users."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from higr.bundle import Bundle, write_bundle
from higr.catalog import Catalog
from higr.config import MonitoringConfig, RunConfig
from higr.data.labels import label
from higr.data.logs import FEEDBACK, PREDICTIONS
from higr.data.schemas import EVENTS, ITEMS
from higr.files import write_json, write_table
from monitoring.drift import compare
from monitoring.parts import Period
from monitoring.result import DriftResult
from monitoring.windows import current_window, reference_window
from tests.monitoring.month import DAYS, Month

ITEM_IDS = [f"item-{i:02d}" for i in range(64)]
CODES = np.array([[i // 16, i // 4 % 4, i % 4] for i in range(64)])
CATEGORIES = ["cats", "cooking", "chess", "cycling"]
START = datetime(2026, 3, 1, tzinfo=UTC)
SLATE = 5


def table(schema: pa.Schema, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(
        [{name: row.get(name) for name in schema.names} for row in rows], schema=schema
    )


@dataclass(frozen=True)
class Traffic:
    """Slates and their reception.

    Attributes:
        taste: weight of each category.
        fallback: share of slates that HiGR did not make.
        watched: mean share of an item that is watched; half of it makes an effective view.
    """

    slates: int = 500
    taste: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1)
    fallback: float = 0.0
    watched: float = 0.5
    seed: int = 1
    start: datetime = START

    def logs(self, version: str) -> tuple[pa.Table, pa.Table]:
        """A prediction log and a feedback log."""
        rng = np.random.default_rng(self.seed)
        weights = np.repeat(self.taste, 16) / 16
        predictions, feedback = [], []
        for s in range(self.slates):
            picked = rng.choice(64, SLATE, replace=False, p=weights / weights.sum())
            request, user = f"{self.seed}-{s}", f"user-{rng.integers(200)}"
            moment = self.start + timedelta(minutes=s)
            predictions.append(
                {
                    "request_id": request,
                    "timestamp": moment,
                    "user_id": user,
                    "source": "baseline" if rng.random() < self.fallback else "higr",
                    "model_version": version,
                    "item_ids": [ITEM_IDS[i] for i in picked],
                    "scores": rng.normal(-2, 1, SLATE).tolist(),
                    "semantic_ids": CODES[picked].tolist(),
                    "history_length": 3,
                    "degraded": False,
                    "latency_ms": 12.0,
                }
            )
            feedback += [
                {
                    "event_id": f"{request}-{position}",
                    "user_id": user,
                    "item_id": ITEM_IDS[item],
                    "timestamp": moment + timedelta(seconds=position),
                    "request_id": request,
                    "position": position,
                    "watch_seconds": float(rng.uniform(0, 2 * self.watched) * 60),
                    "duration_seconds": 60.0,
                }
                for position, item in enumerate(picked)
            ]
        return table(PREDICTIONS, predictions), table(FEEDBACK, feedback)


@pytest.fixture(scope="session")
def items() -> pa.Table:
    return table(
        ITEMS, [{"item_id": item, "category": CATEGORIES[i // 16]} for i, item in enumerate(ITEM_IDS)]
    )


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory, items: pa.Table) -> Bundle:
    """A sealed bundle whose reference is 500 slates; parts that monitoring never loads are bare."""
    parts = tmp_path_factory.mktemp("parts")
    Catalog.build(ITEM_IDS, CODES, 4, "tok").save(parts / "catalog.parquet")
    write_json(parts / "tokenizer" / "tokenizer.json", {"id": "tok"})
    write_json(parts / "model" / "config.json", {"tokenizer_id": "tok"})
    write_table(parts / "baseline" / "items.parquet", items.select(["item_id"]))
    config = RunConfig()
    predictions, feedback = Traffic(start=START - timedelta(days=7), seed=99).logs("")
    return write_bundle(
        tmp_path_factory.mktemp("bundles") / "one",
        items=items,
        tokenizer=parts / "tokenizer",
        catalog=parts / "catalog.parquet",
        model=parts / "model",
        baseline=parts / "baseline",
        reference={
            "predictions": predictions,
            "feedback": label(feedback.select(EVENTS.names), items, config.data.engagement),
        },
        data_fingerprint="",
        config=config.model_dump(mode="json"),
        metrics={},
    )


@dataclass(frozen=True)
class Logs:
    """Where `write` put a traffic's two logs."""

    predictions: Path
    feedback: Path


@pytest.fixture
def write(tmp_path: Path, bundle: Bundle) -> Callable[..., Logs]:
    """Write a traffic as two logs of `parts` files each."""

    def write(traffic: Traffic, parts: int = 2, version: str | None = None) -> Logs:
        logs = Logs(tmp_path / "predictions", tmp_path / "feedback")
        tables = traffic.logs(bundle.version if version is None else version)
        for directory, rows in zip((logs.predictions, logs.feedback), tables, strict=True):
            directory.mkdir(exist_ok=True)
            size = -(-len(rows) // parts) or 1
            for part in range(parts):
                pq.write_table(
                    rows.slice(part * size, size), directory / f"part-{traffic.seed}-{part}.parquet"
                )
        return logs

    return write


@pytest.fixture(scope="session")
def traffic() -> type[Traffic]:
    return Traffic


@pytest.fixture(scope="session")
def judge(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[DriftResult, Any]]:
    """Compare a traffic with the bundle's reference: result and Evidently snapshot, each traffic once."""
    done: dict[Traffic, tuple[DriftResult, Any]] = {}

    def judge(traffic: Traffic) -> tuple[DriftResult, Any]:
        if traffic not in done:
            logs = [tmp_path_factory.mktemp("predictions"), tmp_path_factory.mktemp("feedback")]
            for directory, rows in zip(logs, traffic.logs(bundle.version), strict=True):
                pq.write_table(rows, directory / "part.parquet")
            current = current_window(bundle, *logs, Period())
            done[traffic] = compare(reference_window(bundle), current, bundle, MonitoringConfig())
        return done[traffic]

    return judge


@pytest.fixture(scope="session")
def month(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle, traffic: Any) -> Month:
    """Nine quiet days, read."""
    logs = Month(tmp_path_factory.mktemp("month"), bundle, traffic)
    for day in range(DAYS):
        logs.write(day)
    logs.run(DAYS - 1)
    return logs


@pytest.fixture
def logs(tmp_path: Path, month: Month) -> Month:
    """A copy of the month, to break."""
    shutil.copytree(month.folder, tmp_path / "month")
    return Month(tmp_path / "month", month.bundle, month.traffic)
