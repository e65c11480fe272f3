"""Run: pytest tests/test_catalog_update.py

A bundle whose items come, change, go and are hidden: what the next bundle holds, and what is shown.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from higr.bundle import Bundle, write_bundle
from higr.catalog_update import Changes, read_ids, update_bundle
from higr.config import RunConfig
from higr.data.prepared import PreparedData
from higr.decode.recommender import HiGRRecommender
from higr.errors import BundleError, InputError
from higr.model.higr import HiGR
from higr.model.inputs import ProfileVocabulary
from higr.slate import UserContext
from higr.stand_ins import find_stand_ins
from higr.tokenizer.catalogue import build_catalog, engagement
from higr.tokenizer.tokenizer import Tokenizer
from higr.update_report import UpdateReport

Rows = list[dict[str, Any]]


def update(bundle: Path, out: Path, **changes: Any) -> UpdateReport:
    return update_bundle(bundle, out, Changes(**changes), lambda *_: None)


def items_file(path: Path, rows: Rows) -> Path:
    pq.write_table(pa.Table.from_pylist([{"status": None} | row for row in rows]), path)
    return path


@pytest.fixture
def arrive(nano_bundle: Path, tmp_path: Path) -> Callable[..., Path]:
    """A file of items with the content of the bundle's, under the given ids."""
    like = [
        {name: value for name, value in row.items() if name not in ("item_id", "status", "embedding")}
        for row in Bundle.open(nano_bundle).items.to_pylist()
    ]

    def make(*ids: str, **every: Any) -> Path:
        rows = [like[n % len(like)] | {"item_id": item} | every for n, item in enumerate(ids)]
        return items_file(tmp_path / f"{'-'.join(ids)[:40]}.parquet", rows)

    return make


def codes_of(bundle: Bundle) -> dict[str, tuple[int, ...]]:
    catalog = bundle.catalog
    return {item: tuple(codes) for item, codes in zip(catalog.item_ids, catalog.codes.tolist(), strict=True)}


def shown_alone(bundle: Bundle, item: str) -> tuple[str, ...]:
    """A slate of one where everything else is excluded."""
    others = frozenset(bundle.catalog.item_ids) - {item}
    return HiGRRecommender.from_bundle(bundle).recommend([UserContext("u")], 1, [others])[0].item_ids


def test_new_items_are_generable_at_once_and_nothing_else_changed(
    nano_bundle: Path, arrive: Callable[..., Path], tmp_path: Path
) -> None:
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in nano_bundle.rglob("*.*")}
    report = update(nano_bundle, tmp_path / "out", items=arrive("new-1", "new-2"))
    old, new = Bundle.open(nano_bundle), Bundle.open(tmp_path / "out")
    assert (report.added, report.updated, report.removed, report.items) == (2, 0, 0, len(old.catalog) + 2)
    assert (report.parent, report.version) == (old.version, new.version)
    assert (report.parent_catalog, report.catalog) == (old.catalog.version, new.catalog.version)
    assert new.manifest.parents == (old.version,)
    assert new.catalog.parent == old.catalog.version
    assert codes_of(old).items() <= codes_of(new).items()
    assert len(set(codes_of(new).values())) == report.items
    for item in ("new-1", "new-2"):
        assert shown_alone(new, item) == (item,)
    everything = HiGRRecommender.from_bundle(new).recommend([UserContext("u")], 10)[0]
    assert len(everything.item_ids) == 10
    # What was not replaced is the same file where the file system allows it.
    for name in set(new.manifest.files) - {"items.parquet", "catalog.parquet"}:
        source = "catalog.parquet" if name == "trained.parquet" else name
        assert (tmp_path / "out" / name).samefile(nano_bundle / source)
        assert new.manifest.files[name] == old.manifest.files[source]
    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in before} == before


def test_a_file_system_without_hard_links_gets_copies(
    nano_bundle: Path, arrive: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked = update(nano_bundle, tmp_path / "linked", items=arrive("new-1"))

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("higr.bundle.os.link", refuse)
    copied = update(nano_bundle, tmp_path / "copied", items=arrive("new-1"))
    assert copied.version == linked.version
    model = Path("model/model.safetensors")
    assert not (tmp_path / "copied" / model).samefile(nano_bundle / model)


def test_known_items_get_new_attributes_but_no_new_id(
    nano_bundle: Path, arrive: Callable[..., Path], tmp_path: Path
) -> None:
    old = Bundle.open(nano_bundle)
    item = old.catalog.item_ids[0]
    report = update(
        nano_bundle, tmp_path / "out", items=arrive(item, text="quite another thing", category="z")
    )
    new = Bundle.open(tmp_path / "out")
    assert (report.added, report.updated, report.disabled, report.drift) == (0, 1, 0, None)
    assert codes_of(new) == codes_of(old)
    row = new.items.filter(pa.compute.equal(new.items["item_id"], item)).to_pylist()[0]
    assert (row["text"], row["category"], row["status"]) == ("quite another thing", "z", "active")


def test_removed_items_are_gone_everywhere_and_histories_may_still_name_them(
    nano_bundle: Path, tmp_path: Path
) -> None:
    old = Bundle.open(nano_bundle)
    favourites = old.baseline.popularity.item_ids[:20]
    report = update(nano_bundle, tmp_path / "out", remove=favourites)
    new = Bundle.open(tmp_path / "out")
    assert (report.removed, report.items) == (20, len(old.catalog) - 20)
    assert not set(favourites) & ({*new.catalog.item_ids} | {*new.items["item_id"].to_pylist()})
    contexts = [UserContext("u"), UserContext("u", favourites[:5], (2,) * 5)]
    recommenders = (HiGRRecommender.from_bundle(new), new.baseline, new.baseline.popularity)
    for recommender in recommenders:
        for slate in recommender.recommend(contexts, 10):
            assert len(slate.item_ids) == 10
            assert not set(slate.item_ids) & set(favourites)
    ghost = UserContext("u", (favourites[0], new.catalog.item_ids[0]), (2, 2))
    plain = UserContext("u", (new.catalog.item_ids[0],), (2,))
    model = recommenders[0]
    assert model.recommend([ghost], 5) == model.recommend([plain], 5)


def test_disabled_items_keep_their_id_and_are_not_shown_until_enabled(
    nano_bundle: Path, tmp_path: Path
) -> None:
    old = Bundle.open(nano_bundle)
    item = old.baseline.popularity.item_ids[0]
    report = update(nano_bundle, tmp_path / "hidden", disable=(item,))
    hidden = Bundle.open(tmp_path / "hidden")
    assert (report.disabled, report.enabled, report.items) == (1, 0, len(old.catalog))
    assert hidden.disabled == old.disabled | {item}
    assert codes_of(hidden) == codes_of(old)
    assert shown_alone(hidden, item) == ()
    assert hidden.baseline.recommend([UserContext("u")], 1)[0].item_ids != (item,)
    assert item not in hidden.baseline.popularity.item_ids
    report = update(tmp_path / "hidden", tmp_path / "back", enable=(item,))
    back = Bundle.open(tmp_path / "back")
    assert (report.disabled, report.enabled) == (0, 1)
    assert shown_alone(back, item) == (item,)
    assert back.baseline.popularity.item_ids == old.baseline.popularity.item_ids
    again = update(tmp_path / "back", tmp_path / "idle", enable=(item,))
    assert (again.disabled, again.enabled) == (0, 0)


@pytest.mark.parametrize(("status", "hidden"), [(None, True), ("active", False), ("disabled", True)])
def test_silence_about_the_status_leaves_it_as_it_was(
    status: str | None, hidden: bool, nano_bundle: Path, arrive: Callable[..., Path], tmp_path: Path
) -> None:
    item = Bundle.open(nano_bundle).catalog.item_ids[3]
    update(nano_bundle, tmp_path / "hidden", disable=(item,))
    report = update(tmp_path / "hidden", tmp_path / "out", items=arrive(item, "new-1", status=status))
    after = Bundle.open(tmp_path / "out").disabled
    assert (item in after) == hidden
    assert ("new-1" in after) == (status == "disabled")
    assert report.enabled == (not hidden)
    assert report.disabled == 0


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000))
def test_updates_of_updates_keep_every_id_and_name_their_parents(
    seed: int, nano_bundle: Path, arrive: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng, folder = np.random.default_rng(seed), tmp_path_factory.mktemp("chain")
    current, lineage, ids = nano_bundle, [], codes_of(Bundle.open(nano_bundle))
    for step in range(3):
        there = list(ids)
        gone = rng.choice(there, 8, replace=False).tolist()
        told = [item for item in rng.choice(there, 3, replace=False).tolist() if item not in gone]
        new = [f"{seed}-{step}-{n}" for n in range(rng.integers(0, 12))]
        out = folder / str(step)
        report = update(current, out, items=arrive(*told, *new) if told or new else None, remove=tuple(gone))
        bundle = Bundle.open(out)
        after = codes_of(bundle)
        assert after.keys() == (ids.keys() - set(gone)) | set(new)
        assert all(after[item] == ids[item] for item in after.keys() & ids.keys())
        assert len(set(after.values())) == len(after)
        trained, books = Bundle.open(nano_bundle).catalog.codes, bundle.tokenizer.codebooks
        expected = find_stand_ins(bundle.catalog.codes, trained, books)
        found = bundle.catalog.codes if bundle.catalog.stand_ins is None else bundle.catalog.stand_ins
        assert np.array_equal(found, expected)
        assert (report.added, report.updated, report.removed) == (len(new), len(told), len(gone))
        lineage.append((report.parent, report.version))
        current, ids = out, after
    assert lineage[0][1] == lineage[1][0]
    assert lineage[1][1] == lineage[2][0]


def test_one_update_or_two_make_the_same_items_table(
    nano_bundle: Path, arrive: Callable[..., Path], tmp_path: Path
) -> None:
    update(nano_bundle, tmp_path / "both", items=arrive("a-1", "z-1"))
    update(nano_bundle, tmp_path / "first", items=arrive("z-1"))
    like = Bundle.open(tmp_path / "both").items
    rest = like.filter(pa.compute.equal(like["item_id"], "a-1"))
    pq.write_table(rest, tmp_path / "rest.parquet")
    update(tmp_path / "first", tmp_path / "second", items=tmp_path / "rest.parquet")
    ids = Bundle.open(tmp_path / "second").items["item_id"].to_pylist()
    assert ids == like["item_id"].to_pylist() == sorted(ids)


def test_unknown_ids_and_faulty_rows_are_counted_named_and_kept(nano_bundle: Path, tmp_path: Path) -> None:
    rows = [{"item_id": "new-1", "category": "c"}, {"item_id": "new-2", "category": ""}]
    report = update(
        nano_bundle,
        tmp_path / "out",
        items=items_file(tmp_path / "new.parquet", rows),
        remove=tuple(f"no-{n}" for n in range(7)),
        disable=("nobody",),
    )
    assert report.added == 1
    assert report.figures()["unknown_to_remove"] == 7
    assert report.figures()["unknown_to_disable"] == 1
    removal, hiding, quarantine = report.warnings[:3]
    assert removal.startswith("--remove: 7 ids are not in the catalogue and were ignored: no-0, no-1, no-2")
    assert removal.endswith("no-4, ...")
    assert hiding.endswith("ignored: nobody")
    assert "category is null or empty: 1" in quarantine
    aside = pq.read_table(tmp_path / "out.quarantine.parquet")
    assert aside["row"].to_pylist() == [1]


def policy_bundle(config: RunConfig, run: Path, folder: Path, policy: str) -> Path:
    """A bundle under a collision policy, from the data of a run; its model is untrained."""
    section = config.tokenizer.model_copy(update={"collisions": policy, "epochs": 20, "codebook_size": 16})
    config = config.model_copy(update={"tokenizer": section})
    data = PreparedData.load(run / "data")
    tokenizer = Tokenizer.fit(data, section, 0)
    tokenizer.save(folder / "tokenizer")
    encoding = tokenizer.encode(data.items)
    catalog, _ = build_catalog(encoding, tokenizer, engagement(data, encoding.item_ids))
    catalog.save(folder / "catalog.parquet")
    torch.manual_seed(0)
    HiGR(config.model, catalog.depth, catalog.codebook_size, ProfileVocabulary({}), tokenizer.id).save(
        folder / "model"
    )
    write_bundle(
        folder / "bundle",
        items=data.items,
        tokenizer=folder / "tokenizer",
        catalog=folder / "catalog.parquet",
        model=folder / "model",
        baseline=run / "baseline",
        reference={},
        data_fingerprint="",
        config=config.model_dump(mode="json"),
        metrics={},
    )
    return folder / "bundle"


@pytest.mark.parametrize("policy", ["reassign", "extend", "share"])
def test_every_policy_takes_twins_of_known_items(
    policy: str,
    nano_config: RunConfig,
    nano_run: Path,
    arrive: Callable[..., Path],
    tmp_path: Path,
) -> None:
    bundle = policy_bundle(nano_config, nano_run, tmp_path, policy)
    twins = [f"twin-{n}" for n in range(10)]
    report = update(bundle, tmp_path / "out", items=arrive(*twins))
    old, new = codes_of(Bundle.open(bundle)), codes_of(opened := Bundle.open(tmp_path / "out"))
    assert old.items() <= new.items()
    assert report.collisions is not None
    assert report.collisions.policy == policy
    assert report.collisions.colliding > 0
    assert len(next(iter(new.values()))) == 3 + (policy == "extend")
    assert (len(set(new.values())) == len(new)) == (policy != "share")
    assert report.figures()["collision_policy"] == policy
    for twin in twins[:3]:
        assert shown_alone(opened, twin) == (twin,)


def score_alone(recommender: HiGRRecommender, user: UserContext, item: str) -> float:
    """Of a slate of one where everything else is excluded."""
    others = frozenset(recommender.catalog.item_ids) - {item}
    return recommender.recommend([user], 1, [others])[0].scores[0]


@pytest.mark.parametrize("policy", [None, "reassign", "extend", "share"])
def test_a_new_item_has_the_score_of_the_known_one_it_resembles_less_the_discount(
    policy: str | None, nano_config: RunConfig, nano_run: Path, arrive: Callable[..., Path], tmp_path: Path
) -> None:
    """The trained bundle (None), and an untrained one under each policy with another discount."""
    decode = nano_config.decode.model_copy(update={"cold_discount": 0.25})
    config = nano_config.model_copy(update={"decode": decode})
    old = Bundle.open(policy_bundle(config, nano_run, tmp_path, policy) if policy else nano_run / "bundle")
    due = 0.25 if policy else 0.5
    known, twins = codes_of(old), [f"twin-{n}" for n in range(20)]
    update(old.path, tmp_path / "out", items=arrive(*twins))
    new = Bundle.open(tmp_path / "out")
    lent = codes_of(new) if new.catalog.stand_ins is None else stand_ins_of(new)
    recommender = HiGRRecommender.from_bundle(new)
    user = UserContext("u", old.catalog.item_ids[:5], (2,) * 5)
    for item, codes in known.items():
        assert lent[item] == codes
    for twin in twins:
        own = codes_of(new)[twin]
        sibling = next(item for item, codes in known.items() if codes == lent[twin])
        discount = due * (own != lent[twin])
        assert (own in known.values()) == (discount == 0)
        assert score_alone(recommender, user, twin) == pytest.approx(
            score_alone(recommender, user, sibling) - discount, abs=1e-5
        )
        if policy == "extend":  # a number alone makes no other item of it
            assert (own[:3] == lent[twin][:3]) == (own[:3] in {codes[:3] for codes in known.values()})


def stand_ins_of(bundle: Bundle) -> dict[str, tuple[int, ...]]:
    catalog = bundle.catalog
    assert catalog.stand_ins is not None
    return {item: tuple(row) for item, row in zip(catalog.item_ids, catalog.stand_ins.tolist(), strict=True)}


def test_known_items_decode_as_before_where_new_ones_are_excluded(
    nano_bundle: Path, arrive: Callable[..., Path], tmp_path: Path
) -> None:
    twins = [f"twin-{n}" for n in range(15)]
    update(nano_bundle, tmp_path / "out", items=arrive(*twins))
    old, new = Bundle.open(nano_bundle), Bundle.open(tmp_path / "out")
    assert old.catalog.stand_ins is None
    assert new.catalog.stand_ins is not None
    contexts = [UserContext("u"), UserContext("v", old.catalog.item_ids[:7], (2,) * 7)]
    before = HiGRRecommender.from_bundle(old).recommend(contexts, 10)
    after = HiGRRecommender.from_bundle(new).recommend(contexts, 10, [twins, twins])
    assert after == before


def test_who_takes_the_semantic_id_of_a_removed_item_is_known_to_the_model(
    nano_bundle: Path, arrive: Callable[..., Path], tmp_path: Path
) -> None:
    """Its codes were trained, whoever has them; removing it first, or an update between, changes nothing."""
    old = Bundle.open(nano_bundle)
    (first, *_), many = old.items["item_id"].to_pylist(), tuple(old.items["item_id"].to_pylist()[:40])
    update(nano_bundle, tmp_path / "gone", remove=many)
    update(tmp_path / "gone", tmp_path / "idle", disable=(old.catalog.item_ids[-1],))
    update(tmp_path / "idle", tmp_path / "back", items=arrive(*(f"heir-{n}" for n in range(40))))
    back = Bundle.open(tmp_path / "back")
    trained, lent = set(codes_of(old).values()), codes_of(back)
    if back.catalog.stand_ins is not None:
        lent = stand_ins_of(back)
    assert np.array_equal(back.trained_codes, old.catalog.codes)
    heirs = {item: codes for item, codes in codes_of(back).items() if item.startswith("heir")}
    assert any(codes == codes_of(old)[item] for codes in heirs.values() for item in (first, *many))
    for item, codes in heirs.items():
        assert (lent[item] == codes) == (codes in trained)


def taken(folder: Path) -> dict[str, Any]:
    (folder / "out").mkdir()
    return {"remove": ("x",)}


def inside(folder: Path) -> dict[str, Any]:
    return {"remove": ("x",), "out": folder / "bundle" / "next"}


def everything(folder: Path) -> dict[str, Any]:
    return {"remove": Bundle.open(folder / "bundle").catalog.item_ids}


def both(folder: Path) -> dict[str, Any]:
    item = Bundle.open(folder / "bundle").catalog.item_ids[0]
    return {
        "remove": (item,),
        "items": items_file(folder / "n.parquet", [{"item_id": item, "category": "c"}]),
    }


def wide(folder: Path) -> dict[str, Any]:
    rows = [{"item_id": f"n{n}", "category": "c", "embedding": [1.0] * 7} for n in range(3)]
    return {"items": items_file(folder / "n.parquet", rows)}


def missing_bundle(folder: Path) -> dict[str, Any]:
    shutil.rmtree(folder / "bundle")
    return {"remove": ("x",)}


def damaged_bundle(folder: Path) -> dict[str, Any]:
    (folder / "bundle" / "catalog.parquet").write_bytes(b"PAR1")
    return {"remove": ("x",)}


def unwritable(folder: Path) -> dict[str, Any]:
    (folder / "file").write_text("")
    return {"disable": ("x",), "out": folder / "file" / "out"}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda _: {}, InputError, "nothing to change; give --items"),
        (
            lambda _: {"remove": ("a",), "disable": ("a",)},
            InputError,
            "'a' is to be both removed and disabled",
        ),
        (
            lambda _: {"enable": ("a",), "disable": ("a",)},
            InputError,
            "'a' is to be both disabled and enabled",
        ),
        (taken, InputError, "exists; give --out a new directory"),
        (inside, InputError, "is inside the bundle"),
        (everything, InputError, "all 80 items would be removed and none added"),
        (both, InputError, "is to be removed but is in"),
        (wide, InputError, r"3 of 3 rows cannot be used \(the tokenizer was fitted without embeddings: 3\)"),
        (missing_bundle, BundleError, "is not a bundle: it has no manifest"),
        (damaged_bundle, BundleError, "catalog.parquet does not match its checksum"),
        (unwritable, InputError, "cannot be written"),
    ],
)
def test_what_cannot_be_done_leaves_nothing(
    make: Callable[[Path], dict[str, Any]],
    error: type[Exception],
    message: str,
    nano_bundle: Path,
    tmp_path: Path,
) -> None:
    shutil.copytree(nano_bundle, tmp_path / "bundle")
    changes = make(tmp_path)
    out = changes.pop("out", tmp_path / "out")
    there = {str(file) for file in tmp_path.rglob("*")}
    with pytest.raises(error, match=message) as raised:
        update(tmp_path / "bundle", out, **changes)
    assert "\n" not in str(raised.value)
    assert {str(file) for file in tmp_path.rglob("*")} == there


def test_ids_come_from_the_line_or_from_a_file(tmp_path: Path) -> None:
    assert read_ids("a, b,,c", "--remove") == ("a", "b", "c")
    assert read_ids("", "--remove") == ()
    (tmp_path / "ids.txt").write_text("a\n\n b \nc,d\n", encoding="utf-8")
    assert read_ids(str(tmp_path / "ids.txt"), "--remove") == ("a", "b", "c,d")
    (tmp_path / "odd.txt").write_bytes(b"\xff\xfe")
    for name, reason in (("gone.txt", "No such file"), ("odd.txt", "not UTF-8 text")):
        with pytest.raises(InputError, match=f"--remove .*{name} cannot be read \\({reason}"):
            read_ids(str(tmp_path / name), "--remove")
