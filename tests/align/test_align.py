"""Run: pytest tests/align"""

from pathlib import Path

import pytest
import torch

from higr import stages
from higr.align.examples import AlignmentSet
from higr.catalog import Catalog
from higr.config import RunConfig, load_config
from higr.data.context import HistoryIndex
from higr.data.prepared import PreparedData
from higr.errors import InputError
from higr.model.higr import HiGR
from higr.tokenizer.tokenizer import Tokenizer
from higr.training.targets import PADDING
from tests.conftest import NANO


class StopError(Exception):
    """The test has seen enough."""


def align(config: RunConfig, run: Path, out: Path, last: int | None = None) -> None:
    """The stage `align`; `StopError` after step `last`."""

    def progress(label: str, step: int, total: int) -> None:
        if step == last:
            raise StopError

    stages.align(config, run / "data", run / "tokens", run / "pretrained", out, progress)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"align.alpha": 0.5}, r"has align\.alpha 0\.1, this training 0\.5"),
        ({"align.learning_rate": 0.5}, r"has learning_rate 0\.0001, this training 0\.5"),
    ],
)
def test_an_alignment_goes_on_with_its_own_settings_alone(
    nano_run: Path, tmp_path: Path, changes: dict, message: str
) -> None:
    few = {**NANO, "training.save_every_steps": 1, "align.user_share": 0.5, "align.batch_size": 16}
    with pytest.raises(StopError):
        align(load_config("nano", few), nano_run, tmp_path / "aligned", last=2)
    with pytest.raises(InputError, match=message):
        align(load_config("nano", {**few, **changes}), nano_run, tmp_path / "aligned")
    align(load_config("nano", few), nano_run, tmp_path / "aligned")
    assert (tmp_path / "aligned/model/model.safetensors").is_file()


SIGNALS = {
    "align.preference.signals": [
        {"kind": "freshness", "strength": 0.5, "negative": 1.0},
        {"kind": "creator_exposure", "negative": 1.0},
    ],
    "align.preference.on_policy": 1.0,
}


def test_negatives_of_every_kind_come_through_the_stage(nano_run: Path, tmp_path: Path) -> None:
    config = load_config("nano", {**NANO, **SIGNALS, "align.guard.slates": 0})
    figures = stages.align(
        config, nano_run / "data", nano_run / "tokens", nano_run / "pretrained", tmp_path / "aligned"
    )
    kinds = ("ranking", "interest", "diversity", "on_policy", "freshness", "creator_exposure")
    assert all(figures[f"pairs_{kind}"] > 0 for kind in kinds)
    page = (tmp_path / "aligned/pairs.html").read_text()
    assert all(kind.replace("_", " ").capitalize() in page for kind in ("ranking", "freshness"))


def examples(run: Path, changes: dict) -> AlignmentSet:
    config = load_config("nano", {**NANO, **changes})
    data, catalog = PreparedData.load(run / "data"), Catalog.load(run / "tokens/catalog.parquet")
    return AlignmentSet.build(
        data.split("validation"),
        data,
        HistoryIndex.build(data.events, data.users, config.data),
        catalog,
        torch.from_numpy(Tokenizer.load(run / "tokens/tokenizer").codebooks),
        HiGR.load(run / "pretrained/model"),
        config,
    )


def test_f_grpo_has_the_positives_of_the_pairs_and_users_are_those_of_the_slates(nano_run: Path) -> None:
    fresh = {"align.preference.signals": [{"kind": "freshness", "strength": 100.0}]}
    of_pairs = examples(nano_run, fresh)
    drawn = examples(nano_run, {**fresh, "align.objective": "f_grpo"})
    plain = examples(nano_run, {"align.objective": "f_grpo"})
    assert drawn.pairs is None
    assert drawn.counts == {"contexts": len(drawn.examples)}
    positives = dict(
        zip(drawn.examples.targets.rows.tolist(), drawn.examples.targets.items[:, 0].tolist(), strict=True)
    )
    pairs = of_pairs.examples.targets
    assert len(pairs) > 10
    for row, (chosen, _) in zip(pairs.rows.tolist(), pairs.items.tolist(), strict=True):
        assert positives[row] == chosen
    assert not torch.equal(drawn.examples.targets.items, plain.examples.targets.items)  # order by freshness
    owners = drawn.slates["user_id"].to_pylist()
    assert drawn.users == [owners[row] for row in drawn.examples.targets.rows.tolist()]


def test_a_signal_without_data_is_refused_whatever_the_objective(nano_run: Path) -> None:
    for objective in ("orpo", "f_grpo"):
        changes = {
            "align.objective": objective,
            "align.preference.signals": [{"kind": "value", "strength": 1.0}],
        }
        with pytest.raises(InputError, match=r"items\.value is null for all"):
            examples(nano_run, changes)


def test_own_slates_leave_out_what_was_seen(nano_run: Path) -> None:
    changes = {"align.preference": {"ranking": 0, "interest": 0, "diversity": 0, "on_policy": 1}}
    made = examples(nano_run, changes).examples
    seen, own = made.contexts.items.long(), made.targets.items[:, 1]
    again = (own[:, :, None] == seen[:, None]) & (own != PADDING)[:, :, None]
    assert len(own) > 5
    assert not again.any()


def test_the_simulator_rewards_in_the_world_of_the_log(nano_run: Path, tmp_path: Path) -> None:
    changes = {**NANO, "align.objective": "f_grpo", "align.reward": "simulator", "align.rollouts": 2}
    few = {**changes, "align.guard.slates": 0, "align.user_share": 0.2}
    found = [
        stages.align(
            load_config("nano", {**few, "seed": seed}),
            nano_run / "data",
            nano_run / "tokens",
            nano_run / "pretrained",
            tmp_path / str(seed),
        )["validation_loss_at_start"]
        for seed in (0, 7)
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-6)  # drawn with the same noise, from the same weights
    with pytest.raises(InputError, match=r"not of the world that data\.simulator describes"):
        align(load_config("nano", {**few, "data.simulator.items": 77}), nano_run, tmp_path / "other")
