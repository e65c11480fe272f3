"""Run: pytest tests/test_bundle.py"""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from higr.bundle import Bundle, derive_bundle, write_bundle
from higr.catalog import Catalog
from higr.data.logs import PREDICTIONS
from higr.data.schemas import LABELLED_EVENTS
from higr.decode.recommender import HiGRRecommender
from higr.errors import BundleError
from higr.slate import UserContext


@pytest.fixture
def bundle(nano_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(nano_bundle, tmp_path / "bundle"))


def test_every_part_loads_and_the_parts_fit(nano_bundle: Path) -> None:
    opened = Bundle.open(nano_bundle)
    assert len(opened.catalog) == opened.items.num_rows
    encoding = opened.tokenizer.encode(opened.items)
    assert opened.tokenizer.id == opened.catalog.tokenizer_id == opened.model.tokenizer_id
    assert len(encoding.item_ids) == len(opened.catalog)
    assert opened.reference("predictions").schema.equals(PREDICTIONS)
    assert opened.reference("feedback").schema.equals(LABELLED_EVENTS)
    slate = HiGRRecommender.from_bundle(opened).recommend([UserContext("anyone")], 5)[0]
    fallback = opened.baseline.recommend([UserContext("anyone")], 5)[0]
    assert len(slate.item_ids) == len(fallback.item_ids) == 5


def test_one_flipped_bit_anywhere_does_not_load(bundle: Path) -> None:
    files = sorted(file for file in bundle.rglob("*") if file.is_file())
    assert len(files) > 8
    for file in files:
        content = file.read_bytes()
        for place in (0, len(content) // 2, len(content) - 1):
            file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            with pytest.raises(BundleError):
                Bundle.open(bundle)
        file.write_bytes(content)
    Bundle.open(bundle)


def test_a_missing_and_an_added_file_are_named(bundle: Path) -> None:
    (bundle / "note.txt").write_text("hello")
    with pytest.raises(BundleError, match=r"note\.txt is not in the manifest"):
        Bundle.open(bundle)
    (bundle / "note.txt").unlink()
    (bundle / "model" / "model.safetensors").unlink()
    with pytest.raises(BundleError, match=r"model/model\.safetensors is missing"):
        Bundle.open(bundle)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "has no manifest.json"),
        ("{", "manifest.json is not JSON"),
        ("[]", "schema version None; this version of higr reads 1"),
        ('{"schema_version": 2}', "schema version 2; this version of higr reads 1"),
        ('{"schema_version": 1}', "manifest.json: version: Field required"),
    ],
)
def test_a_bad_manifest_is_named(bundle: Path, text: str | None, message: str) -> None:
    (bundle / "manifest.json").unlink()
    if text is not None:
        (bundle / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=message.replace(".", r"\.")):
        Bundle.open(bundle)


def _rewrite(bundle: Path, out: Path) -> Bundle:
    return write_bundle(
        out,
        items=pq.read_table(bundle / "items.parquet"),
        tokenizer=bundle / "tokenizer",
        catalog=bundle / "catalog.parquet",
        model=bundle / "model",
        baseline=bundle / "baseline",
        reference={},
        data_fingerprint="",
        config={},
        metrics={},
    )


def _another_model(bundle: Path) -> None:
    config = json.loads((bundle / "model" / "config.json").read_text())
    (bundle / "model" / "config.json").write_text(json.dumps({**config, "tokenizer_id": "another"}))


def _another_catalog(bundle: Path) -> None:
    catalog = Catalog.load(bundle / "catalog.parquet")
    replace(catalog, tokenizer_id="another").save(bundle / "catalog.parquet")


def _another_tokenizer(bundle: Path) -> None:
    meta = json.loads((bundle / "tokenizer" / "tokenizer.json").read_text())
    (bundle / "tokenizer" / "tokenizer.json").write_text(json.dumps({**meta, "id": "another"}))


def _fewer_baseline_items(bundle: Path) -> None:
    items = pq.read_table(bundle / "baseline" / "items.parquet")
    pq.write_table(items.slice(1), bundle / "baseline" / "items.parquet")


def _fewer_catalog_items(bundle: Path) -> None:
    whole = Catalog.load(bundle / "catalog.parquet")
    fewer = Catalog.build(whole.item_ids[1:], whole.codes[1:], whole.codebook_size, whole.tokenizer_id)
    fewer.save(bundle / "catalog.parquet")


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (_another_model, "model was built with tokenizer another"),
        (_another_catalog, "catalog was built with tokenizer another"),
        (_another_tokenizer, "catalog was built with tokenizer .*, the bundle holds another"),
        (_fewer_baseline_items, r"baseline and items\.parquet differ in 1 items"),
        (_fewer_catalog_items, r"catalog and items\.parquet differ in 1 items"),
    ],
)
def test_parts_that_do_not_belong_together_make_no_bundle(
    alter: Callable[[Path], None], message: str, bundle: Path, tmp_path: Path
) -> None:
    alter(bundle)
    with pytest.raises(BundleError, match=message):
        _rewrite(bundle, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_could_execute_makes_no_bundle(bundle: Path, tmp_path: Path) -> None:
    (bundle / "model" / "weights.pkl").write_bytes(b"")
    with pytest.raises(BundleError, match=r"model/weights\.pkl is not JSON, Parquet or safetensors"):
        _rewrite(bundle, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_equal_content_has_an_equal_version(nano_bundle: Path, tmp_path: Path) -> None:
    one, two = _rewrite(nano_bundle, tmp_path / "one"), _rewrite(nano_bundle, tmp_path / "two")
    assert one.version == two.version != Bundle.open(nano_bundle).version


def test_whoever_serves_it_can_read_it(nano_bundle: Path) -> None:
    closed = [path for path in nano_bundle.rglob("*") if path.stat().st_mode & 0o044 != 0o044]
    assert closed == []


def test_a_file_is_not_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("{}")
    with pytest.raises(BundleError, match=r"has no manifest\.json"):
        Bundle.open(tmp_path / "file")


def test_a_derived_bundle_may_differ_from_its_baseline_but_not_from_its_catalogue(
    nano_bundle: Path, tmp_path: Path
) -> None:
    old = Bundle.open(nano_bundle)
    fewer = Catalog.build(
        old.catalog.item_ids[1:],
        old.catalog.codes[1:],
        old.catalog.codebook_size,
        old.catalog.tokenizer_id,
        parent=old.catalog.version,
    )
    with pytest.raises(BundleError, match=r"catalog and items\.parquet differ in 1 items"):
        derive_bundle(old, tmp_path / "out", old.items, fewer)
    assert not (tmp_path / "out").exists()
    items = old.items.filter(pc.not_equal(old.items["item_id"], old.catalog.item_ids[0]))
    new = derive_bundle(old, tmp_path / "out", items, fewer)
    assert new.manifest.parents == (old.version,)
    assert (new.manifest.metrics, new.manifest.config) == (old.manifest.metrics, old.manifest.config)
    slate = Bundle.open(tmp_path / "out").baseline.recommend([UserContext("anyone")], len(fewer) + 1)[0]
    assert set(slate.item_ids) == set(fewer.item_ids) - old.disabled
