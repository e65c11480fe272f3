"""Run: pytest tests/align"""

import json
import math
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from higr import stages
from higr.align.guard import Guard, _Measured, guard_figures, judge
from higr.catalog import Catalog
from higr.config import EvaluationConfig, GuardConfig, RunConfig, load_config
from higr.data.context import HistoryIndex
from higr.data.prepared import PreparedData
from higr.data.schemas import Feedback
from higr.decode.recommender import HiGRRecommender
from higr.errors import InputError
from higr.evaluation.held_out import HeldOut
from higr.model.higr import HiGR
from higr.training.curves import read_curve, read_guard, read_steps
from higr.training.examples import build_examples
from tests.conftest import NANO
from tests.training import tiny

ROOT = Path(__file__).resolve().parents[2]
TAUGHT = {
    **NANO,
    "training.epochs": 25,
    "training.patience": 25,
    "training.learning_rate": 0.004,
    "training.weight_decay": 0.1,
}
COLLAPSE = {
    **TAUGHT,
    "align.alpha": 1000.0,
    "align.learning_rate": 0.01,
    "align.epochs": 3,
    "align.preference": {"ranking": 0, "diversity": 0},
}
"""All weight on interest pairs, in large steps: more and more pairs are won, by unlearning the slates."""


@pytest.fixture(scope="module")
def taught(nano_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The nano world with a model that has learnt something which can be lost."""
    run = tmp_path_factory.mktemp("taught")
    for name in ("data", "tokens"):
        shutil.copytree(nano_run / name, run / name)
    stages.pretrain(load_config("nano", TAUGHT), run / "data", run / "tokens", run / "pretrained")
    return run


def align(run: Path, out: Path, changes: Mapping[str, object]) -> stages.Figures:
    config = load_config("nano", dict(changes))
    return stages.align(config, run / "data", run / "tokens", run / "pretrained", out)


def guard_of(run: Path, model: HiGR, config: RunConfig, data: PreparedData | None = None) -> Guard:
    data = data or PreparedData.load(run / "data")
    history = HistoryIndex.build(data.events, data.users, config.data)
    return Guard(model, data, history, Catalog.load(run / "tokens/catalog.parquet"), config)


def likelihood_and_hit(run: Path, model: Path) -> tuple[float, float]:
    """Of the saved model on the validation slates, by the code of training and of evaluation."""
    config = load_config("nano", TAUGHT)
    data, catalog = PreparedData.load(run / "data"), Catalog.load(run / "tokens/catalog.parquet")
    history = HistoryIndex.build(data.events, data.users, config.data)
    loaded, slates = HiGR.load(model / "model"), data.split("validation")
    examples = build_examples(slates, history, catalog, loaded.profiles, config)
    with torch.no_grad():
        total, count = loaded.losses(examples.contexts, examples.targets.items, catalog.code_tensor)
    held_out = HeldOut.draw(
        slates, history.contexts(slates), data.items, EvaluationConfig(k=5, max_slates=10_000), 0
    )
    recommender = HiGRRecommender(loaded, catalog, 4)
    values = held_out.measure(held_out.generate("higr", recommender, 5), 5).values
    return float(total / count), float(np.nanmean(values["effective_view_hit@5"]))


def test_what_it_measures_is_what_training_and_evaluation_measure(taught: Path) -> None:
    model = HiGR.load(taught / "pretrained/model")
    guard = guard_of(taught, model, load_config("nano", TAUGHT))
    figures = guard.start().figures
    loss, hit = likelihood_and_hit(taught, taught / "pretrained")
    assert figures["loss"] == pytest.approx(loss, rel=1e-5)
    assert figures["hit@5"] == pytest.approx(hit)
    assert 0 < figures["diversity@5"] <= 1
    assert figures["distance"] == pytest.approx(0, abs=1e-6)
    assert guard.look().breach is None
    assert guard.look().figures == figures
    assert 0 < guard.start_bytes < sum(p.numel() * 4 for p in model.parameters()) * 10


def test_the_distance_is_that_of_a_second_model(taught: Path) -> None:
    """K is 8, so nothing is merged."""
    config = load_config("nano", TAUGHT)
    model, before = HiGR.load(taught / "pretrained/model"), HiGR.load(taught / "pretrained/model")
    guard = guard_of(taught, model, config)
    guard.start()
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    data, catalog = PreparedData.load(taught / "data"), Catalog.load(taught / "tokens/catalog.parquet")
    history = HistoryIndex.build(data.events, data.users, config.data)
    examples = build_examples(data.split("validation"), history, catalog, model.profiles, config)
    items = examples.targets.items
    slates = catalog.code_tensor[items.clamp(min=0)]
    with torch.no_grad():
        p, q = (
            m(examples.contexts, catalog.code_tensor, slates)[items >= 0].log_softmax(-1)
            for m in (before, model)
        )
    expected = (p.exp() * (p - q)).sum(-1).mean().item()
    assert expected > 0.01
    assert guard.look().figures["distance"] == pytest.approx(expected, rel=1e-4)


def test_without_the_guard_it_collapses_and_with_it_the_model_is_as_good_as_the_start(
    taught: Path, tmp_path: Path
) -> None:
    loss, hit = likelihood_and_hit(taught, taught / "pretrained")
    unguarded = align(taught, tmp_path / "unguarded", {**COLLAPSE, "align.guard.slates": 0})
    # Its own validation loss sees nothing: it falls all the time.
    assert unguarded["validation_loss"] < 0.6 * unguarded["validation_loss_at_start"]
    assert not any(name.startswith("guard_") for name in unguarded)
    worse, fewer = likelihood_and_hit(taught, tmp_path / "unguarded")
    assert worse > 0.95 * math.log(8) > 1.4 * loss  # no better than guessing among the 8 codewords
    assert fewer <= hit  # of 68 slates: too few hits to say how much

    guarded = align(taught, tmp_path / "guarded", COLLAPSE)
    assert guarded["guard_breached"] == 1
    assert guarded["guard_step"] == 0
    assert likelihood_and_hit(taught, tmp_path / "guarded") == (loss, hit)
    assert tiny.equal(HiGR.load(tmp_path / "guarded/model"), HiGR.load(taught / "pretrained/model"))
    message = guarded["guard_message"]
    assert message.startswith("alignment was stopped at step 2: loss rose from 1.2")
    assert "(align.guard.max_loss_rise 5%)" in message
    assert "lower the learning rate" in message
    assert message.endswith("the weights are those it started from")
    (start, seen) = read_guard(tmp_path / "guarded")
    assert (start["step"], start["breach"]) == (0, None)
    assert seen["breach"] in message
    assert seen["loss"] > 1.05 * start["loss"]
    assert {"margin", "won"} <= read_steps(tmp_path / "guarded")[-1].keys()


def test_weights_that_passed_before_the_breach_are_kept(taught: Path, tmp_path: Path) -> None:
    changes = {**COLLAPSE, "align.learning_rate": 0.003, "align.guard.max_loss_rise": 0.3}
    figures = align(taught, tmp_path / "out", {**changes, "align.guard.max_distance": 10})
    curve = read_curve(tmp_path / "out")
    kept = [record for record in curve if record["best"]][-1]
    assert figures["guard_breached"] == 1
    assert 0 < kept["steps"] == figures["guard_step"] < curve[-1]["steps"]
    assert kept["validation_loss"] == figures["validation_loss"] < curve[0]["validation_loss"]
    loss, hit = likelihood_and_hit(taught, tmp_path / "out")
    assert loss == pytest.approx(kept["guard"]["loss"], rel=1e-5)
    assert hit == pytest.approx(kept["guard"]["hit@5"])
    assert loss <= 1.3 * curve[0]["guard"]["loss"]


@pytest.mark.parametrize("before", [1, 0])
def test_a_killed_alignment_goes_on_to_the_same_breach_bit_for_bit(
    taught: Path, tmp_path: Path, before: int
) -> None:
    """Killed a step before the breach, and in the very step."""
    changes = {
        **COLLAPSE,
        "align.learning_rate": 0.003,
        "align.guard.max_loss_rise": 0.3,
        "align.guard.max_distance": 10,
        "training.save_every_steps": 2,
    }
    whole = align(taught, tmp_path / "whole", changes)
    assert whole["guard_breached"] == 1
    last = read_curve(tmp_path / "whole")[-1]["steps"] - before
    command = [sys.executable, "-m", "tests.align.killed", str(taught), str(tmp_path / "cut"), str(last)]
    died = subprocess.run([*command, json.dumps(changes)], cwd=ROOT, check=False, timeout=120)
    assert died.returncode == -signal.SIGKILL
    assert not (tmp_path / "cut").exists()
    assert align(taught, tmp_path / "cut", changes) == whole
    assert read_guard(tmp_path / "cut") == read_guard(tmp_path / "whole")
    assert read_curve(tmp_path / "cut") == read_curve(tmp_path / "whole")
    assert tiny.equal(HiGR.load(tmp_path / "cut/model"), HiGR.load(tmp_path / "whole/model"))


HITS = np.array([1.0] * 40 + [0.0] * 60)
START = _Measured(1.0, 0.0, HITS, np.full(100, 0.8))


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (START, None),
        (replace(START, loss=1.04), None),
        (replace(START, loss=1.06), "loss rose from 1 to 1.06 nats a code, by 6%"),
        (replace(START, distance=0.5), None),
        (replace(START, distance=0.51), "distance from the start is 0.51 nats a code"),
        # 8 of 100 slates lost, deviation .2727, two errors .0545: less than 0.3 * 0.4 = 0.12 for sure
        (replace(START, hits=np.array([1.0] * 32 + [0.0] * 68)), None),
        # 16 lost, two errors .0737: .0863 for sure, although 40 % are gone
        (replace(START, hits=np.array([1.0] * 24 + [0.0] * 76)), None),
        # 21 lost, two errors .0819: .1281 for sure
        (
            replace(START, hits=np.array([1.0] * 19 + [0.0] * 81)),
            "hit@5 fell from 0.4000 to 0.1900, by 52% (align.guard.max_hit_drop 30%)",
        ),
        (replace(START, diversity=np.full(100, 0.65)), None),
        (replace(START, diversity=np.full(100, 0.63)), "diversity@5 fell from 0.8000 to 0.6300, by 21%"),
        (replace(START, hits=np.ones(100), diversity=np.ones(100), loss=0.5), None),
        (replace(START, loss=math.nan, distance=math.nan), "loss is nan nats a code"),
        (replace(START, loss=2.0, distance=3.0), "; distance from the start is 3 nats a code"),
    ],
)
def test_the_verdict_by_hand(now: _Measured, expected: str | None) -> None:
    found = judge(START, now, GuardConfig(), 5)
    assert found is None if expected is None else expected in (found or "")


def test_slates_without_a_value_count_on_neither_side() -> None:
    unknown = np.where(np.arange(100) < 50, np.nan, 1.0)
    lost = np.where(np.arange(100) < 50, np.nan, 0.0)
    assert judge(replace(START, hits=unknown), replace(START, hits=unknown), GuardConfig(), 5) is None
    found = judge(replace(START, hits=unknown), replace(START, hits=lost), GuardConfig(), 5)
    assert "hit@5 fell from 1.0000 to 0.0000, by 100%" in (found or "")
    nothing = np.full(100, np.nan)
    assert (
        judge(replace(START, diversity=nothing), replace(START, diversity=nothing), GuardConfig(), 5) is None
    )


def test_no_guard_no_figures() -> None:
    assert guard_figures([{"epoch": 0, "steps": 0, "best": True}]) == {}


def test_validation_slates_without_engagement_are_an_error_that_says_what_to_do(taught: Path) -> None:
    config, data = load_config("nano", TAUGHT), PreparedData.load(taught / "data")
    feedback = data.slates["feedback"].to_pylist()
    exposed = pa.array([[int(Feedback.EXPOSED)] * len(levels) for levels in feedback], pa.list_(pa.int8()))
    place = data.slates.schema.get_field_index("feedback")
    for slates in (
        data.slates.set_column(place, data.slates.schema.field("feedback"), exposed),
        data.split("train"),
    ):
        with pytest.raises(InputError, match=r"none of \d+ validation slates .* align\.guard\.slates to 0"):
            guard_of(taught, HiGR.load(taught / "pretrained/model"), config, replace(data, slates=slates))


def test_at_most_so_many_slates_drawn_by_seed(taught: Path) -> None:
    model = HiGR.load(taught / "pretrained/model")
    config = load_config("nano", {**TAUGHT, "align.guard.slates": 40})
    one, two = (guard_of(taught, model, config).start().figures for _ in range(2))
    other = guard_of(taught, model, config.model_copy(update={"seed": 1})).start().figures
    assert one == two != other


def test_a_model_of_another_tokenizer_is_refused(nano_run: Path, tmp_path: Path) -> None:
    shutil.copytree(nano_run / "pretrained", tmp_path / "pretrained")
    file = tmp_path / "pretrained/model/config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"tokenizer_id": "another"}))
    with pytest.raises(InputError, match="model speaks codes of tokenizer another, the catalogue is of"):
        stages.align(
            load_config("nano", NANO),
            nano_run / "data",
            nano_run / "tokens",
            tmp_path / "pretrained",
            tmp_path / "out",
        )
    assert [path.name for path in tmp_path.iterdir()] == ["pretrained"]
