"""The circle: slates are served, users of the simulated world answer, both logs train the next model."""

import asyncio
import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from prometheus_client import CollectorRegistry

from higr import stages
from higr.bundle import Bundle
from higr.config import BatchConfig, RunConfig, load_config
from higr.data.context import HistoryIndex
from higr.data.logs import is_sampled
from higr.data.prepare import prepare
from higr.data.prepared import PreparedData
from higr.data.simulator import World
from serving.config import ExploreConfig, LogsConfig
from serving.features import Known
from serving.feedback_log import FeedbackLog
from serving.live_policy import LivePolicyFile
from serving.logs import open_logs
from serving.metrics import Metrics
from serving.predictor import Predictor
from serving.schemas import FeedbackEvent, Prediction, PredictRequest, parse
from serving.served import Served
from serving.switch import Switch
from serving.transformer import Transformer
from tests.conftest import NANO
from tests.serving.conftest import CONFIG

SIZE, ROUNDS = 4, 6


@dataclass
class Stored:
    """Features as the training data have them."""

    index: HistoryIndex

    async def read(self, user_ids: Sequence[str], seconds: float) -> list[Known]:
        return [Known(self.index.context(user)) for user in user_ids]


def answers(world: World, rng: np.random.Generator, slates: Sequence[Prediction]) -> list[FeedbackEvent]:
    """What the users of the world do with their slates: one event an item that was looked at."""
    items = np.array([world.item_rows([item.item_id for item in slate.items]) for slate in slates])
    users = world.user_rows([slate.user_id for slate in slates])
    received = world.receive(rng, users, items, np.zeros(items.shape))
    events = []
    for row, slate in enumerate(slates):
        for place, item in enumerate(slate.items):
            if not received["clicked"][row, place]:
                continue
            events.append(
                FeedbackEvent(
                    event_id=f"{slate.request_id}/{item.item_id}",
                    user_id=slate.user_id,
                    item_id=item.item_id,
                    timestamp=datetime.now(UTC).isoformat(),
                    request_id=slate.request_id,
                    position=item.position,
                    watch_seconds=float(received["watch_seconds"][row, place]),
                    **{name: bool(received[name][row, place]) for name in ("clicked", "liked", "disliked")},
                )
            )
    return events


def serve(
    folder: Path, bundle: Bundle, index: HistoryIndex, logs: LogsConfig
) -> tuple[list[Prediction], list[FeedbackEvent]]:
    """Every user of the world asks `ROUNDS` times, one surface a round, and says what became of it."""
    world, rng = World(CONFIG.data.simulator, CONFIG.seed), np.random.default_rng(0)
    metrics = Metrics(CollectorRegistry())
    predictor = Predictor.load(bundle, BatchConfig())
    served = Served.of(bundle, predictor, LivePolicyFile(None))
    shown: list[Prediction] = []
    sent: list[FeedbackEvent] = []

    async def live() -> None:
        for turn in range(ROUNDS):
            users = [f"u{n:07d}" for n in range(CONFIG.data.simulator.users)]
            for start in range(0, len(users), 20):
                asked = [
                    {"user_id": user, "slate_size": SIZE, "surface": f"tab-{turn}"}
                    for user in users[start : start + 20]
                ]
                answer = await transformer.answer(parse(PredictRequest, {"instances": asked}))
                events = answers(world, rng, answer.predictions)
                assert opened.feedback is not None
                assert await opened.feedback.add(events) == len(events)
                assert await opened.feedback.add(events[:5]) == 0  # a client that was not sure
                shown.extend(answer.predictions)
                sent.extend(events)

    with ExitStack() as stack:
        stack.callback(served.ladder.close)
        opened = open_logs(stack, logs, "higr", folder / "predictions", folder / "feedback", metrics)
        transformer = Transformer(
            served=lambda: served,
            deadline=30.0,
            crowd=64,
            features=Stored(index),
            switch=Switch(None),
            metrics=metrics,
            log=opened.predictions,
            explore=ExploreConfig(share=0.2),
        )
        asyncio.run(live())
    return shown, sent


def config(folder: Path, bundle: Bundle) -> RunConfig:
    where = {"data.source": "logs", "data.path": str(folder), "data.logs.items": str(bundle.path)}
    return load_config("nano", {**NANO, **where, "data.slate_size": SIZE, "training.epochs": 1})


@pytest.fixture(scope="module")
def logged(
    workshop: Path, bundle: Bundle, index: HistoryIndex
) -> tuple[Path, list[Prediction], list[FeedbackEvent]]:
    folder = workshop / "circle"
    return folder, *serve(folder, bundle, index, LogsConfig(part_rows=50))


def test_served_slates_are_training_slates_with_what_became_of_them(
    logged: tuple[Path, list[Prediction], list[FeedbackEvent]], bundle: Bundle, data: PreparedData
) -> None:
    folder, shown, sent = logged
    made = prepare(config(folder, bundle).data, 0)
    by_request = {row["slate_id"].split("/")[2][1:]: row for row in made.slates.to_pylist()}
    assert {p.request_id: [item.item_id for item in p.items] for p in shown} == {
        request: row["item_ids"] for request, row in by_request.items()
    }
    assert {p.request_id: p.user_id for p in shown} == {
        request: row["user_id"] for request, row in by_request.items()
    }
    assert {row["surface"] for row in by_request.values()} == {f"tab-{turn}" for turn in range(ROUNDS)}
    watched = {(event.request_id, event.item_id): event.watch_seconds for event in sent}
    for event in made.events.to_pylist():
        assert event["watch_seconds"] == pytest.approx(watched.get((event["request_id"], event["item_id"])))
    counts = made.report["rows"]
    assert counts["feedback"] == {
        **dict.fromkeys(("repeats", "not_sampled", "quarantined"), 0),
        **dict.fromkeys(("in", "kept"), len(sent)),
        "reasons": {},
    }
    assert counts["predictions"]["exposures"] == len(shown) * SIZE == made.events.num_rows
    assert counts["predictions"]["exposures_without_feedback"] == len(shown) * SIZE - len(sent) > 0
    assert made.quarantine.num_rows == 0


@pytest.mark.slow
def test_a_model_trains_on_what_was_served(
    logged: tuple[Path, list[Prediction], list[FeedbackEvent]], bundle: Bundle, tmp_path: Path
) -> None:
    folder, shown, _ = logged
    run, figures = config(folder, bundle), {}
    for name in ("data", "tokenize", "baseline", "pretrain"):
        figures[name] = stages.STAGES[name](run, tmp_path, lambda *_: None)
    assert figures["data"]["events"] == len(shown) * SIZE
    losses = [value for name, value in figures["pretrain"].items() if "loss" in name]
    assert losses
    assert all(math.isfinite(loss) for loss in losses)


def test_a_share_without_user_ids_still_joins(bundle: Bundle, index: HistoryIndex, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k" * 32)
    redacted = LogsConfig(sample=0.5, redact=("user_id", "surface"), key_file=tmp_path / "key")
    shown, sent = serve(tmp_path, bundle, index, redacted)
    made = prepare(config(tmp_path, bundle).data, 0)
    kept = {p.request_id for p in shown if is_sampled(p.request_id, 0.5)}
    assert set(made.events["request_id"].to_pylist()) == kept
    assert made.report["rows"]["feedback"]["kept"] == sum(event.request_id in kept for event in sent)
    assert made.report["rows"]["feedback"]["quarantined"] == 0
    owner = {p.request_id: p.user_id for p in shown}
    pairs = set(zip(*(made.events[name].to_pylist() for name in ("request_id", "user_id")), strict=True))
    assert len({(owner[request], hashed) for request, hashed in pairs}) == len({owner[r] for r in kept})
    assert not {hashed for _, hashed in pairs} & set(owner.values())
    tables = [pq.read_table(part) for part in (tmp_path / "predictions").glob("*.parquet")]
    assert {share for table in tables for share in table["sample_share"].to_pylist()} == {0.5}


def test_what_was_served_within_the_window_waits_for_its_feedback(
    logged: tuple[Path, list[Prediction], list[FeedbackEvent]], bundle: Bundle, tmp_path: Path
) -> None:
    folder, _, sent = logged
    late = sent[-1].timestamp + timedelta(minutes=30)
    event = sent[0].model_copy(update={"event_id": "late", "timestamp": late})
    log = FeedbackLog(tmp_path)  # another replica's
    asyncio.run(log.add([event]))
    log.close()
    where: dict[str, Any] = {"feedback": [str(folder / "feedback"), str(tmp_path)], "settle_minutes": 20}
    section = config(folder, bundle).data
    made = prepare(section.model_copy(update={"logs": section.logs.model_copy(update=where)}), 0)
    assert made.report["rows"]["predictions"]["unsettled"] == 0
    assert made.report["rows"]["feedback"]["kept"] == len(sent) + 1
