"""The whole evaluation on recommenders whose figures are known."""

import math
from pathlib import Path

import pyarrow as pa
import pytest

from higr.config import EvaluationConfig
from higr.errors import HigrError, InputError
from higr.evaluation.compare import Protocol, compare, summary
from higr.evaluation.evaluate import evaluate
from higr.evaluation.measured import Measured
from higr.evaluation.results import Evaluation
from higr.slate import Slate
from tests.evaluation.worlds import IDS, Ordered, catalog, items, slates, training

CONFIG = EvaluationConfig(k=2, bootstrap=100)
FORWARD, BACKWARD = IDS[:19], IDS[18::-1]


def run(config: EvaluationConfig = CONFIG, count: int = 600, **recommenders: Ordered) -> Evaluation:
    test_slates, contexts = slates(count, users=50)
    models = recommenders or {"forward": Ordered(FORWARD), "backward": Ordered(BACKWARD)}
    return evaluate(models, test_slates, contexts, items(), config, seed=0)


def test_known_figures() -> None:
    got = run(first=Ordered(FORWARD), third=Ordered(["i01", "i03", *IDS[4:19]]), none=Ordered(BACKWARD))
    # i00 is in every context, so `first` shows i01, i02
    means = {model: {name: cell.mean for name, cell in row.items()} for model, row in got.values.items()}
    assert means["first"]["impression_hit@2"] == 1
    assert means["first"]["effective_view_hit@2"] == 0
    assert means["third"]["effective_view_hit@2"] == 1
    assert means["third"]["ndcg@2"] == pytest.approx(1 / math.log2(3))
    assert means["third"]["recall@2"] == 1
    assert means["none"]["impression_hit@2"] == 0
    assert got.coverage["first"] == pytest.approx(2 / 19)  # i19 is disabled
    assert got.reference == "first"
    assert set(got.differences) == {"third", "none"}
    assert got.differences["none"]["impression_hit@2"].mean == -1
    assert (got.slates, got.users) == (600, 50)


def test_the_subject_is_compared_with_every_rival() -> None:
    test_slates, contexts = slates(60, users=50)
    models = {"first": Ordered(FORWARD), "third": Ordered(["i03", *FORWARD]), "none": Ordered(BACKWARD)}
    got = evaluate(models, test_slates, contexts, items(), CONFIG, 0, subject="third")
    assert set(got.against) == {"first", "none"}
    gap = got.against["none"]["recall@2"]
    assert (gap.mean, gap.low, gap.high) == (1, 1, 1)
    assert gap.p_value == pytest.approx(1 / (CONFIG.permutations + 1))
    assert gap.p_adjusted == pytest.approx(2 * gap.p_value)
    assert gap.ratio is None  # nothing over nothing found
    assert got.against["first"]["impression_hit@2"].p_value == 1  # both always hit
    assert got.gini["first"] == pytest.approx(1 - 2 / 19)  # two items alike, 17 never


def test_values_a_slate_are_kept(tmp_path: Path) -> None:
    test_slates, contexts = slates(60, users=50)
    models = {"a": Ordered(FORWARD), "b": Ordered(BACKWARD)}
    got = evaluate(
        models,
        test_slates,
        contexts,
        items(),
        CONFIG,
        0,
        training=training(),
        catalog=catalog(),
        keep=tmp_path,
    )
    runs = {name: [Measured.load(tmp_path / f"{name}.parquet")] for name in models}
    protocol = Protocol(CONFIG.bootstrap, CONFIG.permutations, CONFIG.confidence, seed=0)
    for metric, interval in got.values["a"].items():
        assert summary(runs["a"], protocol)[metric] == interval
    assert compare(runs["b"], {"a": runs["a"]}, protocol)["a"]["ndcg@2"] == got.against["a"]["ndcg@2"]
    assert runs["a"][0].totals["coverage"] == got.coverage["a"]


def test_exclusions_follow_the_configuration() -> None:
    seen = run(EvaluationConfig(k=1, bootstrap=100, exclude_seen=False), first=Ordered(FORWARD))
    assert seen.examples[0].generated["first"][0].item_id == "i00"
    assert run(first=Ordered(FORWARD)).examples[0].generated["first"][0].item_id == "i01"
    assert "intra_list_diversity@1" not in seen.metrics  # no pair, no value


def test_contexts_are_asked_for_in_batches_with_progress() -> None:
    test_slates, contexts = slates(600, users=50)
    model, seen = Ordered(FORWARD), []
    evaluate(
        {"m": model}, test_slates, contexts, items(), CONFIG, 0, progress=lambda *step: seen.append(step)
    )
    assert model.batches == [256, 256, 88]
    assert seen == [("m", 256, 600), ("m", 512, 600), ("m", 600, 600)]


def test_slates_are_drawn_up_to_the_limit_and_by_seed() -> None:
    config = EvaluationConfig(k=2, bootstrap=100, max_slates=100)
    assert run(config).slates == 100
    assert run(config) == run(config)


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    got = run()
    got.save(tmp_path)
    assert Evaluation.load(tmp_path) == got
    assert Evaluation.from_json(got.to_json()) == got
    with pytest.raises(InputError, match="evaluation: slates"):
        Evaluation.from_json(got.to_json() | {"slates": "many"})


def test_examples_show_titles_and_what_happened_and_no_user() -> None:
    got = run()
    example = got.examples[0]
    assert [item.item_id for item in example.history] == ["i00"]
    assert [(item.exposed, item.engaged) for item in example.logged] == [
        (True, False),
        (True, True),
        (True, False),
    ]
    assert [item.title for item in example.logged] == [None, "<b>Title</b> of i03", None]
    assert [(item.item_id, item.exposed) for item in example.generated["forward"]] == [
        ("i01", False),
        ("i02", True),
    ]
    assert "u1" not in str(got.to_json())


class Broken(Ordered):
    def recommend(self, contexts, slate_size, exclude=None):  # type: ignore[no-untyped-def]
        return [Slate(tuple(self.order), (0.0,) * len(self.order)) for _ in contexts]


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (["i01", "i01"], "an item twice"),
        (["i00"], "item 'i00', which is excluded"),
        (["i19"], "item 'i19', which is excluded, disabled or unknown"),
        (["nonsense"], "item 'nonsense'"),
    ],
)
def test_a_recommender_that_breaks_its_contract_is_not_measured(order: list[str], message: str) -> None:
    with pytest.raises(HigrError, match=message):
        run(broken=Broken(order))


def test_bad_input_is_named() -> None:
    test_slates, contexts = slates(10, users=2)
    models = {"m": Ordered(FORWARD)}
    with pytest.raises(InputError, match="9 contexts for 10 test slates"):
        evaluate(models, test_slates, contexts[1:], items(), CONFIG, 0)
    with pytest.raises(InputError, match="0 contexts for 0 test slates"):
        evaluate(models, test_slates.slice(0, 0), [], items(), CONFIG, 0)
    with pytest.raises(InputError, match="reference 'higr' is not among"):
        evaluate(models, test_slates, contexts, items(), CONFIG, 0, reference="higr")
    with pytest.raises(InputError, match="subject 'tiger' is not among"):
        evaluate(models, test_slates, contexts, items(), CONFIG, 0, subject="tiger")
    with pytest.raises(InputError, match="no model"):
        evaluate({}, test_slates, contexts, items(), CONFIG, 0)


def test_slates_without_engagement_stop_the_evaluation() -> None:
    test_slates, contexts = slates(10, users=2)
    at = test_slates.column_names.index("feedback")
    nothing = test_slates.set_column(
        at, test_slates.schema.field(at), pa.array([[1, 1, 1]] * 10, pa.list_(pa.int8()))
    )
    with pytest.raises(InputError, match="none of 10 test slates has an engaged item"):
        evaluate({"m": Ordered(FORWARD)}, nothing, contexts, items(), CONFIG, 0)
