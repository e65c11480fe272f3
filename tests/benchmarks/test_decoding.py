"""The benchmark of decoding at a tiny size; its own figures take minutes (`make bench-decoding`)."""

import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import decoding
from benchmarks.decoding import PRESETS, Clocked
from benchmarks.decoding_clock import Times, in_turns, side_by_side
from benchmarks.decoding_growth import CONSTRAINTS
from benchmarks.decoding_limit import gemm_peak, limit_seconds, stream
from benchmarks.decoding_page import page
from benchmarks.decoding_parity import parities
from benchmarks.decoding_profile import BETWEEN, KERNELS, profile
from benchmarks.decoding_systems import ENGINES, Engine, Name, Subject, System, build, engines
from benchmarks.decoding_t5 import Allowed, Trie, build_t5
from benchmarks.decoding_uncached import without_cache
from benchmarks.decoding_work import Counter, Work, higr_work, linear, onerec_work, t5_work
from benchmarks.decoding_world import Shape, random_catalog, random_users, valid, valid_share
from higr.catalog import Catalog
from higr.config import ModelConfig
from higr.decode.engines.native import library
from higr.errors import HigrError, InputError
from higr.files import read_json
from higr.slate import Slate, UserContext
from tests.tools import require_int8_kernels

TINY = ModelConfig(
    width=16,
    heads=2,
    encoder_layers=1,
    planner_layers=2,
    generator_layers=1,
    feedforward=24,
    history_length=4,
    max_slate_size=10,
)
SHAPE = Shape(items=400, codebook_size=8, depth=3, slate=4, beam=3, history=4)
SYSTEMS: tuple[Name, ...] = (
    "hf_t5_flat",
    "hf_t5_flat_greedy",
    "onerec_kv",
    "onerec_greedy_kv",
    "onerec_nokv",
    "higr_kv",
    "higr_nokv",
)
CATALOG = random_catalog(SHAPE, 0)
USERS = random_users(SHAPE, CATALOG, 12, 0)


def system(name: Name, config: ModelConfig = TINY, shape: Shape = SHAPE) -> System:
    built = build(Subject(name, "reference", config), shape, CATALOG, seed=0)
    model: Any = built.recommender.model  # type: ignore[attr-defined]
    with torch.no_grad():  # so that every part has a say
        for parameter in model.parameters():
            parameter.mul_(10)
    return built


def slates(built: System, users: list[UserContext], size: int = SHAPE.slate) -> list[Slate]:
    return built.recommender.recommend(users, size, [user.item_ids for user in users])


# -- the systems ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SYSTEMS)
def test_slates_are_valid_and_those_of_a_seed_the_same(name: Name) -> None:
    found = slates(system(name), USERS)
    assert valid_share(found, SHAPE.slate, CATALOG, USERS) == 1
    assert len({slate.item_ids for slate in found}) > 1
    assert slates(system(name), USERS) == found


@pytest.mark.parametrize(("name", "cached"), [("onerec_nokv", "onerec_kv"), ("higr_nokv", "higr_kv")])
@pytest.mark.parametrize("changes", [{}, {"kv_heads": 1}, {"shared_generator": False}])
def test_decoding_without_a_cache_gives_the_same(name: Name, cached: Name, changes: dict[str, Any]) -> None:
    config = TINY.model_copy(update=changes)
    for one, other in zip(
        slates(system(name, config), USERS), slates(system(cached, config), USERS), strict=True
    ):
        assert one.item_ids == other.item_ids
        assert one.scores == pytest.approx(other.scores, abs=1e-3)


@pytest.mark.parametrize("rule", ["onerec_greedy_kv"])
def test_the_greedy_rule_without_a_cache_gives_the_same(rule: Name) -> None:
    built = system(rule)
    wanted = slates(built, USERS)
    recommender: Any = built.recommender
    recommender.model = without_cache(recommender.model)
    assert [slate.item_ids for slate in slates(built, USERS)] == [slate.item_ids for slate in wanted]


@pytest.mark.parametrize("name", ["higr_nokv", "onerec_nokv"])
def test_without_a_cache_no_keys_are_kept(name: Name) -> None:
    model: Any = system(name).recommender.model  # type: ignore[attr-defined]
    decoder = model.planner.decoder if name == "higr_nokv" else model.decoder
    memory = torch.randn(2, 5, TINY.width)
    ((kept, nothing),) = decoder.project(memory)
    assert kept is memory
    x, caches = torch.randn(2, 3, TINY.width), None
    mask = torch.ones(2, 5, dtype=torch.bool)
    for length in range(1, 4):
        _, caches = decoder.step(x, [(kept, nothing)], mask, caches)
        ((tokens, values),) = caches.layers
        assert tokens.shape == (6, length, TINY.width)
        assert values.numel() == 0


def test_t5_with_a_cache_of_its_own_decodes_what_it_decodes_without() -> None:
    built = system("hf_t5_flat", TINY.model_copy(update={"encoder_layers": 1, "planner_layers": 3}))
    wanted = slates(built, USERS[:3])
    recommender: Any = built.recommender
    recommender.model.generation_config.use_cache = False
    recommender._cache = lambda: None
    assert slates(built, USERS[:3]) == wanted


def test_t5_decodes_a_user_as_in_a_batch() -> None:
    built = system("hf_t5_flat")
    assert [slates(built, [user])[0] for user in USERS[:4]] == slates(built, USERS[:4])


def test_a_user_with_a_short_history_is_read_from_the_events_there_are() -> None:
    built = system("hf_t5_flat")
    short = UserContext("short", USERS[0].item_ids[:2], (1, 1))
    events, present = built.recommender._events([short, USERS[0]])  # type: ignore[attr-defined]
    assert present.tolist() == [[0, 0, 1, 1], [1, 1, 1, 1]]
    codes = CATALOG.codes[[CATALOG.position[item] for item in short.item_ids]]
    assert events[0, 2:].tolist() == (codes + 1 + np.arange(3) * SHAPE.codebook_size).tolist()
    assert valid(slates(built, [short])[0], SHAPE.slate, CATALOG, short)


def test_t5_does_not_look_at_padding() -> None:
    """It knows distances alone, so a shorter window of the same events reads the same."""
    built = system("hf_t5_flat")
    recommender: Any = built.recommender
    short = [UserContext(user.user_id, user.item_ids[:2], (1, 1)) for user in USERS]
    wanted = slates(built, short)
    recommender.history = 2
    assert slates(built, short) == wanted
    recommender.history = 1
    assert slates(built, short) != wanted


def test_the_trie_leads_to_eligible_items_alone() -> None:
    """Items 00, 01, 10, 20: excluded 01; after 00 prefix 0 is empty, and after 10 prefix 1."""
    catalog = Catalog.build(list("abcd"), np.array([[0, 0], [0, 1], [1, 0], [2, 0]]), 3)
    allowed = Allowed(Trie(catalog), 2, 3, [[(0, 1)], []])

    def asked(row: int, *tokens: int) -> list[int]:
        return allowed(row, torch.tensor([0, *tokens]))

    assert asked(0) == [1, 2, 3]
    assert asked(0, 1) == [4]
    assert asked(1, 1) == [4, 5]
    assert asked(0, 1, 4) == [2, 3]
    assert asked(1, 1, 4) == [1, 2, 3]
    assert asked(1, 1, 4, 1) == [5]
    assert asked(0, 1, 4, 2, 4) == [3]


def test_t5_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="a tenth of difference is allowed"):
        build_t5(TINY, 3, 8, 1_000_000)


def test_without_transformers_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setattr(decoding, "PRESETS", {"full": SMALLEST})
    monkeypatch.setattr(sys, "argv", ["decoding", "--out", str(tmp_path)])
    assert decoding.main() == 2
    assert "pip install 'higr[text]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_peers_are_of_equal_size() -> None:
    higr = system("higr_kv").parameters
    for name in SYSTEMS:
        assert system(name).parameters == pytest.approx(higr, rel=0.1)


def test_an_unknown_engine_is_named() -> None:
    with pytest.raises(HigrError, match="no engine 'tpu'; there are reference"):
        Subject("higr_kv", "tpu", TINY)


# -- validity -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "good"),
    [
        ((1, 2, 3), True),
        ((1, 2), False),
        ((1, 2, 3, 4), False),
        ((1, 2, 2), False),
        ((1, 2, 0), False),
        ((1, 2, None), False),
    ],
    ids=["right", "short", "long", "twice", "seen", "unknown"],
)
def test_what_a_valid_slate_is(items: tuple[int | None, ...], good: bool) -> None:
    ids = tuple("nowhere" if p is None else CATALOG.item_ids[p] for p in items)
    user = UserContext("u", (CATALOG.item_ids[0],), (1,))
    slate = Slate(ids, (0.0,) * len(ids))
    assert valid(slate, 3, CATALOG, user) == good
    assert valid_share([slate, Slate((), ())], 3, CATALOG, [user, user]) == good / 2


# -- counts ---------------------------------------------------------------------------------------


def test_a_matrix_product_by_hand() -> None:
    """(3, 4) by (4, 5): 60 products and sums; 20 weights; 12 numbers in, 15 out."""
    work = linear(3, 4, 5)
    assert work == Work(120, 20, 27)
    assert [work.bytes(kind) for kind in ("fp32", "bf16", "int8")] == [188, 94, 128]


def test_higr_by_hand() -> None:
    """C 8, one head, F 12, a layer each; H 1, so S 2; M 1, D 2, K 3, W 2; B 1."""
    config = ModelConfig(
        width=8,
        heads=1,
        encoder_layers=1,
        planner_layers=1,
        generator_layers=1,
        feedforward=12,
        history_length=1,
    )
    shape = Shape(items=9, codebook_size=3, depth=2, slate=1, beam=2, history=1)
    work = higr_work(config, shape, batch=1)
    encoder = 2 * (4 * 2 * 64 + 3 * 2 * 96) + 2 * 2 * (2 * 2 * 8)  # C x C, C x F, two products of attention
    context = 2 * 2 * (2 * 2 * 64)  # keys and values of two layers
    token = 2 * (6 * 64 + 3 * 96) + 2 * 2 * (2 * 8)  # q, out; q, k, v, out; C x F; two tokens of context
    planner = token + 2 * 2 * (1 * 8) + 2 * 64  # one token to look at; preference
    first = token + 2 * 2 * (1 * 8) + 2 * 8 * 3
    second = 2 * (token + 2 * 2 * (2 * 8) + 2 * 8 * 3)  # two beams, two tokens to look at
    assert work.flops == encoder + context + planner + first + second
    step = 6 * 64 + 3 * 96
    assert work.weights == (4 * 64 + 3 * 96) + 2 * 2 * 64 + (step + 64) + 2 * (step + 24)
    assert work.tree == 8 * 2 + 4 * (3 + 1) + 4 * (2 * 3 + 1)


def test_values_of_a_step_by_hand() -> None:
    """C 8, F 12; a row of 3 tokens of context, two beams, each at its second token."""
    config = ModelConfig(width=8, heads=1, feedforward=12)
    step = Counter(config, Shape(), 1, 3).step(1, 2, 2, cached=True)
    products = 2 * (6 * 16 + 2 * 20 + 20)  # two rows in and out: q, out; q, out, k, v; C x F
    own = 2 * (2 * 8) + 2 * (2 * 2 * 8)  # queries in, output out; keys and values of two sequences of two
    across = 2 * (2 * 8) + 2 * (3 * 8)  # the context's once for both
    assert step.values == products + own + across


def test_a_step_without_a_cache_by_hand() -> None:
    """C 8, F 12; one sequence of three tokens, which see 1, 2 and 3; a context of two, projected anew."""
    config = ModelConfig(width=8, heads=1, feedforward=12)
    step = Counter(config, Shape(), 1, 2).step(1, 1, 3, cached=False)
    assert (
        step.flops
        == 3 * 2 * (6 * 64 + 3 * 96) + 2 * 2 * (1 + 2 + 3) * 8 + 2 * 2 * (3 * 2 * 8) + 2 * 2 * 2 * 64
    )
    assert step.weights == (6 * 64 + 3 * 96) + 2 * 64


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("higr_kv", {}),
        ("higr_kv", {"kv_heads": 1}),
        ("onerec_kv", {}),
        ("onerec_kv", {"kv_heads": 1}),
        ("onerec_greedy_kv", {}),
        ("hf_t5_flat", {}),
        ("hf_t5_flat_greedy", {}),
    ],
)
def test_flops_are_those_that_run(name: Name, batch: int, changes: dict[str, Any]) -> None:
    """Against PyTorch's counter, which sees what decoders do more than they have to."""
    config = TINY.model_copy(update=changes)
    built = build(Subject(name, "reference", config), SHAPE, CATALOG, seed=0)
    assert built.work(batch).flops + _more(name, batch) == _ran(built, USERS[:batch])


@pytest.mark.parametrize("name", ["higr_nokv", "onerec_nokv"])
def test_flops_without_a_cache_are_those_that_run_less_what_causality_hides(name: Name) -> None:
    built = build(Subject(name, "reference", TINY), SHAPE, CATALOG, seed=0)
    counted = built.work(2).flops + _more(name, 2)
    assert counted < _ran(built, USERS[:2]) < 1.1 * counted


def _ran(built: System, users: list[UserContext]) -> int:
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # fused: not counted
        slates(built, users)
    return counter.get_total_flops()


def _more(name: Name, batch: int) -> int:
    """What the code multiplies beyond its work: logits behind an item's last code, keys of every beam."""
    c, k = TINY.width, SHAPE.codebook_size
    beams = {"onerec_kv": SHAPE.beam, "onerec_nokv": SHAPE.beam, "onerec_greedy_kv": 1}.get(name, 0)
    heads = (SHAPE.slate - 1) * 2 * batch * beams * c * k
    if name == "hf_t5_flat":
        layers = TINY.planner_layers + TINY.generator_layers
        return (SHAPE.beam - 1) * layers * 2 * 2 * batch * SHAPE.history * c * c
    return heads


def test_flat_decoding_has_the_more_to_do_the_longer_the_slate() -> None:
    base = ModelConfig(size="base", history_length=50)
    shape = Shape()
    flat, ours = onerec_work(base, shape, 1, "session"), higr_work(base, shape, 1)
    assert ours.flops == pytest.approx(2.8e9, rel=0.2)
    assert 3.5 < flat.flops / ours.flops < 5
    anew = onerec_work(base, shape, 1, "session", cached=False).flops
    assert anew / higr_work(base, shape, 1, cached=False).flops > 12
    longer = replace(shape, slate=20)
    assert onerec_work(base, longer, 1, "session").flops > 1.9 * flat.flops
    assert t5_work(base, shape, 1, 1).flops < t5_work(base, shape, 1, 10).flops / 5


def test_a_limit_is_what_takes_longer() -> None:
    compute, memory = Work(flops=gemm_peak("fp32", "cpu")), Work(values=stream(1, "cpu") / 4)
    assert limit_seconds(compute, 250_000, "fp32", "cpu") == (pytest.approx(1), "compute")
    assert limit_seconds(memory, 250_000, "fp32", "cpu") == (pytest.approx(1), "memory")
    assert limit_seconds(compute + memory * 2, 250_000, "fp32", "cpu") == (pytest.approx(2), "memory")


@pytest.mark.parametrize("kind", ["fp32", "int8"])
def test_the_speed_of_products_is_above_that_of_a_loop(kind: str) -> None:
    if kind == "int8":
        require_int8_kernels()
    assert gemm_peak(kind, "cpu") > 1e9


# -- clocks ---------------------------------------------------------------------------------------


class Waits:
    """Gives nothing, and says in which order it was asked for whom."""

    def __init__(self, name: str, log: list[tuple[str, str, int]]) -> None:
        self.name, self.log = name, log

    def recommend(self, contexts: Any, slate_size: int, exclude: Any = None) -> list[Slate]:
        self.log.append((self.name, contexts[0].user_id, len(contexts)))
        assert [set(items) for items in exclude] == [set(user.item_ids) for user in contexts]
        return [Slate((), ())] * len(contexts)


def test_systems_take_turns_over_the_same_users() -> None:
    log: list[tuple[str, str, int]] = []
    subject = Subject("higr_kv", "reference", TINY)
    pair = [System(subject, Waits(name, log), 1, "fp32", lambda batch: Work()) for name in "ab"]
    times = in_turns(pair, SHAPE, CATALOG, USERS[:7], batch=2, warm_up=1)
    assert log == [(name, f"user-{low}", 2) for low in (0, 2, 4) for name in "ab"]
    assert [(len(t.seconds), t.valid) for t in times] == [(2, [False] * 4)] * 2


def test_throughput_is_slates_over_time() -> None:
    assert Times(2, seconds=[1.0, 3.0], valid=[True] * 4).slates_per_s == 1
    assert Times(2, seconds=[1.0, 3.0], valid=[True] * 4, elapsed=2.0).slates_per_s == 2


def test_two_processes_decode_side_by_side() -> None:
    times = side_by_side(Subject("higr_kv", "reference", TINY), SHAPE, batch=2, calls=3, seed=0)
    assert times.threads == 2
    assert len(times.seconds) == 6
    assert times.valid == [True] * 12
    assert times.elapsed is not None
    assert sum(times.seconds) / 2 <= times.elapsed * 1.01


# -- the whole ------------------------------------------------------------------------------------

LARGER = TINY.model_copy(update={"width": 32})
SMALLEST = replace(
    PRESETS["quick"],
    shape=SHAPE,
    base=TINY,
    large=LARGER,
    calls=2,
    batch={"cpu": 3},
    batches=1,
    axes={"slate": (1, 12), "beam": (1, 4), "batch": (1, 5), "items": (400, 500), "params": (TINY, LARGER)},
    growth_calls=1,
    constraints=(400, 500),
)
COLUMNS = "system engine device threads params batch p50_ms p99_ms slates_per_s valid_share roofline_ratio"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require_int8_kernels()
    out = tmp_path_factory.mktemp("decoding")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "PRESETS", {"full": SMALLEST})
        patch.setattr(sys, "argv", ["decoding", "--out", str(out)])
        assert decoding.main() == 0
    return out


def test_the_document_has_the_layout_of_the_issue(written: Path) -> None:
    document = read_json(written / "decoding.json")
    for row in document["rows"]:
        assert set(row) == set(COLUMNS.split())
        assert row["valid_share"] == 1
        assert 0 < row["p50_ms"] <= row["p99_ms"]
        assert row["slates_per_s"] > 0
        assert row["roofline_ratio"] > 1
    alone = [(row["system"], row["params"]) for row in document["rows"] if row["batch"] == 1]
    assert {name for name, _ in alone} == set(SYSTEMS)
    assert len({params for name, params in alone if name == "higr_kv"}) == 2
    together = [
        (row["system"], row["engine"], row["threads"]) for row in document["rows"] if row["batch"] == 3
    ]
    assert together == [
        ("higr_kv", "reference", 1),
        ("higr_kv", "cpu", 1),
        ("onerec_kv", "cpu", 1),
        ("higr_kv", "cpu", 2),
    ]
    assert set(document["ratios"]) == {
        "hf_t5_flat_over_higr_cpu",
        "onerec_kv_over_higr_kv",
        "onerec_kv_over_higr_kv_100m",
        "onerec_nokv_over_higr_nokv",
    }
    assert document["parity"] == {}
    assert document["machine"]["threads"] == 1


def test_ratios_are_those_of_the_rows(written: Path) -> None:
    document = read_json(written / "decoding.json")
    base = {
        (row["system"], row["engine"]): row["p50_ms"]
        for row in reversed(document["rows"])
        if row["batch"] == 1 and row["params"] < 20_000
    }
    ratios, higr = document["ratios"], base["higr_kv", "cpu"]
    assert ratios["hf_t5_flat_over_higr_cpu"] == pytest.approx(base["hf_t5_flat", "transformers"] / higr)
    assert ratios["onerec_kv_over_higr_kv"] == pytest.approx(base["onerec_kv", "cpu"] / higr)
    uncached = base["onerec_nokv", "reference"] / base["higr_nokv", "reference"]
    assert ratios["onerec_nokv_over_higr_nokv"] == pytest.approx(uncached)


def test_growth_and_constraints_are_measured(written: Path) -> None:
    document = read_json(written / "decoding.json")
    axes = {axis: [row[axis] for row in rows] for axis, rows in document["growth"].items()}
    params = axes.pop("params")
    assert axes == {"slate": [1, 12], "beam": [1, 4], "batch": [1, 5], "items": [400, 500]}
    assert len(set(params)) == 2
    for rows in document["growth"].values():
        for row in rows:
            assert row["higr_kv_ms"] > 0
            assert row["higr_kv_valid_share"] == row.get("onerec_kv_valid_share", 1) == 1
    for row in document["constraints"]:
        assert row["none"]["cost"] == 0
        assert all(row[name]["ms"] > 0 for name in ("none", *CONSTRAINTS))


def test_a_profile_accounts_for_the_whole_slate_and_leaves_the_kernels_as_they_were(written: Path) -> None:
    before = dict(vars(library()))
    found = profile(TINY, SHAPE, CATALOG, calls=2, seed=0)
    assert {name: vars(library())[name] for name in before} == before
    parts = {part["part"]: part for part in found["parts"]}
    searched = parts.pop(KERNELS["higr_search"])
    assert searched["steps"] == 0
    assert searched["search"] > 0
    assert all(part[name] > 0 for part in parts.values() for name in ("steps", "search"))
    for rows in (row["parts"] for row in read_json(written / "decoding.json")["profile"]):
        assert [row["part"] for row in rows] == [*KERNELS.values(), BETWEEN]
    assert len(read_json(written / "decoding.json")["profile"]) == 2


def test_the_page_shows_rows_and_ratios(written: Path) -> None:
    text = (written / "decoding.md").read_text()
    document = read_json(written / "decoding.json")
    assert text == page(document)
    assert f"| `hf_t5_flat_over_higr_cpu` | {document['ratios']['hf_t5_flat_over_higr_cpu']:.1f} |" in text
    assert "Made by `make bench-decoding`" in text
    document["parity"] = {
        "cpu": {
            "identical": 0.875,
            "overlap@10": 0.99,
            "ndcg@5_delta": {"mean": -0.0001, "low": -0.0002, "high": 0.00005},
        }
    }
    assert "| cpu | 87.5% | 99.0% | -0.00010 (-0.00020 to +0.00005) |" in page(document)


def test_ratios_of_an_engine_are_over_its_own_rows_and_the_reference_without_caches() -> None:
    def clocked(name: Name, engine: str, config: ModelConfig, p50: float, batch: int = 1) -> Clocked:
        built = System(Subject(name, engine, config), Waits("", []), 1, "fp32", lambda batch: Work())
        return built, Times(batch, seconds=[p50])

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENGINES, "cpu", Engine("cpu", "int8", rounded))
        rows = [
            clocked("hf_t5_flat", "reference", TINY, 60),
            clocked("higr_kv", "reference", TINY, 10),
            clocked("higr_kv", "cpu", TINY, 3),
            clocked("higr_kv", "cpu", TINY, 99, batch=64),
            clocked("onerec_kv", "cpu", TINY, 12),
            clocked("higr_kv", "cpu", LARGER, 5),
            clocked("onerec_kv", "cpu", LARGER, 35),
            clocked("higr_nokv", "reference", TINY, 20),
            clocked("onerec_nokv", "reference", TINY, 260),
        ]
        assert decoding.ratios(rows, SMALLEST, "cpu") == {
            "hf_t5_flat_over_higr_cpu": 20,
            "onerec_kv_over_higr_kv": 4,
            "onerec_kv_over_higr_kv_100m": 7,
            "onerec_nokv_over_higr_nokv": 13,
        }
        by_reference = decoding.ratios(rows, SMALLEST, "reference")
        assert by_reference["hf_t5_flat_over_higr_cpu"] == 6
        assert by_reference["onerec_kv_over_higr_kv"] is None


def test_one_more_engine_is_measured_everywhere(nano_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The int8 engine, and one of a machine that is not this."""
    require_int8_kernels()
    monkeypatch.setitem(ENGINES, "cuda", Engine("cuda", "bf16", rounded))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert engines("cpu") == ["reference", "cpu"]
    assert engines("cuda") == []
    built = build(Subject("onerec_kv", "cpu", TINY), SHAPE, CATALOG, seed=0)
    assert valid_share(slates(built, USERS), SHAPE.slate, CATALOG, USERS) == 1
    found = parities(nano_run, ["reference", "cpu"], most=40, seed=0)
    assert list(found) == ["cpu"]
    assert 0.5 < found["cpu"]["identical"] <= 1
    assert 0.9 < found["cpu"]["overlap@10"] <= 1
    delta = found["cpu"]["ndcg@5_delta"]
    assert -0.1 < delta["low"] <= delta["mean"] <= delta["high"] < 0.1


def rounded(model: Any) -> Any:
    """Weights in eight bits of mantissa."""
    model = deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16().float())
    return model
