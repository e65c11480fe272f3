"""The tokenizer as a whole."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from higr.catalog import Catalog
from higr.config import TokenizerConfig
from higr.data.prepared import PreparedData
from higr.errors import InputError
from higr.tokenizer.catalogue import build_catalog
from higr.tokenizer.quality import measure_quality
from higr.tokenizer.tokenizer import Tokenizer

SMALL = TokenizerConfig(codebook_size=16, hidden=(32,), latent_dim=16, epochs=20, batch_size=64)


@pytest.fixture(scope="module")
def tokenizer(prepared: PreparedData) -> Tokenizer:
    return Tokenizer.fit(prepared, SMALL, seed=0)


def test_capacity_is_checked_before_training(prepared: PreparedData) -> None:
    with pytest.raises(InputError, match="200 items do not fit into 125 semantic IDs"):
        Tokenizer.fit(prepared, SMALL.model_copy(update={"codebook_size": 5}), 0)


def test_encoding_and_catalogue(tokenizer: Tokenizer, prepared: PreparedData) -> None:
    encoding = tokenizer.encode(prepared.items)
    assert encoding.codes.shape == (200, 3)
    assert encoding.codes.dtype == np.int32
    assert encoding.errors.shape == (200,)
    assert encoding.item_ids == tuple(prepared.items["item_id"].to_pylist())
    assert tokenizer.codebooks.shape == (3, 16, 16)
    catalog, report = build_catalog(encoding, tokenizer)
    assert set(catalog.item_ids) == set(encoding.item_ids)  # the disabled item v000 as well
    assert catalog.tokenizer_id == tokenizer.id
    kept = [
        tuple(catalog.codes[catalog.position[i]]) == tuple(c) for i, c in zip(*_pairs(encoding), strict=True)
    ]
    assert len(kept) - sum(kept) == report.moved
    quality = measure_quality(encoding, prepared.items, SMALL)
    assert quality.collision == pytest.approx(report.moved / 200)
    assert quality.consistency > 0.5


def _pairs(encoding: object) -> tuple[tuple[str, ...], list[list[int]]]:
    return encoding.item_ids, encoding.codes.tolist()  # type: ignore[attr-defined]


def test_same_seed_same_ids(tokenizer: Tokenizer, prepared: PreparedData) -> None:
    again = Tokenizer.fit(prepared, SMALL, seed=0)
    assert again.id == tokenizer.id
    assert np.array_equal(again.encode(prepared.items).codes, tokenizer.encode(prepared.items).codes)
    assert Tokenizer.fit(prepared, SMALL.model_copy(update={"epochs": 1}), seed=0).id != tokenizer.id


def test_later_events_change_nothing(tokenizer: Tokenizer, prepared: PreparedData) -> None:
    """Behaviour after the training period must not reach the tokenizer."""
    cut = prepared.events["timestamp"][300].as_py()
    report = {"validation_start": cut.isoformat()}
    short = dataclasses.replace(prepared, events=prepared.events.slice(0, 300), report=report)
    long = dataclasses.replace(prepared, report=report)
    config = SMALL.model_copy(update={"epochs": 1})
    assert Tokenizer.fit(short, config, 0).id == Tokenizer.fit(long, config, 0).id


def test_saved_and_loaded_is_the_same(tokenizer: Tokenizer, prepared: PreparedData, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "t")
    assert {p.suffix for p in (tmp_path / "t").iterdir()} == {".json", ".safetensors"}
    loaded = Tokenizer.load(tmp_path / "t")
    assert loaded.id == tokenizer.id
    assert loaded.config == tokenizer.config
    before, after = tokenizer.encode(prepared.items), loaded.encode(prepared.items)
    assert np.array_equal(before.codes, after.codes)
    assert np.array_equal(before.errors, after.errors)


def test_a_new_item_is_placed_by_its_content(
    tokenizer: Tokenizer, prepared: PreparedData, items_table: Callable[..., pa.Table]
) -> None:
    new = items_table(
        item_id=["new"], category=["cooking"], text=["ramen broth noodles recipe"], tags=[["cooking-0"]]
    )
    first = tokenizer.encode(new).codes[0, 0]
    known = tokenizer.encode(prepared.items).codes[:, 0]
    beside = [c for c, k in zip(prepared.items["category"].to_pylist(), known, strict=True) if k == first]
    assert beside.count("cooking") / len(beside) > 0.5


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _narrow(path: Path) -> None:
    meta = json.loads(path.read_text())
    meta["config"]["latent_dim"] = 4
    path.write_text(json.dumps(meta))


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("quantizer.safetensors", _flip, "altered or mixed"),
        ("content.safetensors", _flip, "altered or mixed"),
        ("tokenizer.json", _narrow, "weights do not fit a pcrq_vae as configured"),
        ("tokenizer.json", Path.unlink, "tokenizer.json does not exist"),
        ("quantizer.safetensors", lambda path: path.write_bytes(b"x"), "not a readable safetensors file"),
    ],
)
def test_load_refuses_what_was_altered(
    tokenizer: Tokenizer, tmp_path: Path, name: str, damage: Callable[[Path], None], message: str
) -> None:
    tokenizer.save(tmp_path / "t")
    damage(tmp_path / "t" / name)
    with pytest.raises(InputError, match=message) as error:
        Tokenizer.load(tmp_path / "t")
    assert "\n" not in str(error.value)


def test_catalogue_survives_a_round_trip(
    tokenizer: Tokenizer, prepared: PreparedData, tmp_path: Path
) -> None:
    catalog, _ = build_catalog(tokenizer.encode(prepared.items), tokenizer)
    catalog.save(tmp_path / "catalog.parquet")
    loaded = Catalog.load(tmp_path / "catalog.parquet")
    assert loaded.item_ids == catalog.item_ids
    assert np.array_equal(loaded.codes, catalog.codes)
    assert loaded.tokenizer_id == tokenizer.id


@pytest.mark.parametrize("kind", ["rq_vae", "rq_kmeans", "balanced_kmeans"])
def test_every_kind_is_kept_and_comes_back(kind: str, prepared: PreparedData, tmp_path: Path) -> None:
    config = TokenizerConfig.model_validate(SMALL.model_dump() | {"kind": kind, "epochs": 2})
    fitted = Tokenizer.fit(prepared, config, seed=0)
    fitted.save(tmp_path / "t")
    loaded = Tokenizer.load(tmp_path / "t")
    assert loaded.id == fitted.id
    assert np.array_equal(loaded.encode(prepared.items).codes, fitted.encode(prepared.items).codes)
    catalog, _ = build_catalog(loaded.encode(prepared.items), loaded)
    assert len(catalog) == 200


def test_error_quantiles_are_those_of_the_fit(
    tokenizer: Tokenizer, prepared: PreparedData, tmp_path: Path
) -> None:
    errors = tokenizer.encode(prepared.items).errors
    assert tokenizer.error_quantiles.shape == (101,)
    for percentile in (0, 50, 99, 100):
        assert tokenizer.error_quantiles[percentile] == pytest.approx(
            np.percentile(errors, percentile), abs=1e-5
        )
    tokenizer.save(tmp_path / "t")
    assert np.array_equal(Tokenizer.load(tmp_path / "t").error_quantiles, tokenizer.error_quantiles)


def test_vectors_of_another_width_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(
        InputError, match=f"embeddings have 3 columns, tokenizer {tokenizer.id} knows"
    ) as error:
        tokenizer.encode_content(["a"], np.ones((1, 3), np.float32))
    assert "\n" not in str(error.value)
