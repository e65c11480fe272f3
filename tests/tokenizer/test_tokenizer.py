"""Training and the tokenizer as a whole."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from higr.catalog import Catalog
from higr.config import TokenizerConfig
from higr.data.prepared import PreparedData
from higr.errors import InputError
from higr.tokenizer.content import normalise
from higr.tokenizer.pcrq_vae import PCRQVAE
from higr.tokenizer.positives import content_neighbours
from higr.tokenizer.quality import measure, measure_quality
from higr.tokenizer.report import write_report
from higr.tokenizer.tokenizer import Tokenizer, build_catalog
from higr.tokenizer.train import train_quantizer

SMALL = TokenizerConfig(codebook_size=16, hidden=(32,), latent_dim=16, epochs=20, batch_size=64)


def clusters(count: int = 256, kinds: int = 8, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Content vectors around `kinds` centres and the kind of each."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(kinds, size=count)
    rows = rng.normal(size=(kinds, 24))[kind] + 0.3 * rng.normal(size=(count, 24))
    return normalise(rows), [str(k) for k in kind]


def weights(model: PCRQVAE) -> torch.Tensor:
    return torch.cat([value.flatten() for value in model.state_dict().values()])


@pytest.fixture(scope="module")
def tokenizer(prepared: PreparedData) -> Tokenizer:
    return Tokenizer.fit(prepared, SMALL, seed=0)


def test_training_finds_the_kinds() -> None:
    rows, kinds = clusters()
    model = train_quantizer(rows, content_neighbours(rows, 5), SMALL, seed=0)
    codes, _, errors = model.encode(torch.from_numpy(rows))
    quality = measure(codes.numpy(), kinds, 16, errors.numpy())
    assert quality.prefixes[0].consistency > 0.6  # 0.125 by chance
    assert quality.concentration > 0.9
    assert quality.reconstruction_error < 0.5


@pytest.mark.parametrize("contrast_weight", [0.0, 0.01])
def test_one_seed_one_set_of_weights_and_torch_generator_untouched(contrast_weight: float) -> None:
    rows, _ = clusters(100)
    config = SMALL.model_copy(update={"epochs": 3, "contrast_weight": contrast_weight})
    friends = content_neighbours(rows, 5)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, second, other = (train_quantizer(rows, friends, config, seed) for seed in (0, 0, 1))
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(other))
    assert torch.equal(torch.get_rng_state(), state)


def test_contrast_changes_weights_and_items_without_positives_are_fine() -> None:
    rows, _ = clusters(100)
    config = SMALL.model_copy(update={"epochs": 3})
    none = np.full((100, 4), -1)
    lonely = train_quantizer(rows, none, config, 0)
    off = train_quantizer(rows, none, config.model_copy(update={"contrast_weight": 0.0}), 0)
    assert torch.equal(weights(lonely), weights(off))
    assert not torch.equal(
        weights(lonely), weights(train_quantizer(rows, content_neighbours(rows, 4), config, 0))
    )


def test_progress_is_told_of_each_epoch() -> None:
    rows, _ = clusters(40)
    seen: list[tuple[str, int, int]] = []
    config = SMALL.model_copy(update={"epochs": 2})
    train_quantizer(rows, content_neighbours(rows, 2), config, 0, lambda *step: seen.append(step))
    assert seen == [("tokenizer", 1, 2), ("tokenizer", 2, 2)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.full((40, 4), np.nan), "40 of 40 items hold NaN or infinite values, first in row 0"),
        (np.where(np.arange(160).reshape(40, 4) == 21, np.inf, 1.0), "1 of 40 items .* first in row 5"),
        (np.ones((40, 4)), "all 40 items are alike"),
        (np.zeros((40, 4)), "all 40 items are alike"),
        (np.eye(4), "4 items are fewer than tokenizer.codebook_size 16"),
    ],
)
def test_embeddings_nothing_can_be_learnt_from(rows: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        train_quantizer(rows.astype(np.float32), np.full((len(rows), 2), -1), SMALL, 0)
    assert "\n" not in str(error.value)


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
        ("tokenizer.json", _narrow, "does not fit tokenizer.json"),
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


def test_report_is_one_page_that_needs_nothing_else(
    tokenizer: Tokenizer, prepared: PreparedData, tmp_path: Path
) -> None:
    encoding = tokenizer.encode(prepared.items)
    _, collisions = build_catalog(encoding, tokenizer)
    quality = measure_quality(encoding, prepared.items, SMALL)
    path = tmp_path / "report.html"
    write_report(path, quality, collisions, encoding, prepared.items, SMALL)
    page = path.read_text()
    assert len(page.encode()) < 400_000
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert page.index('<div class="verdict') < page.index("Worst prefixes")
    assert "cooking" in page
    assert "生活" in page
    assert "<script" not in page


def test_report_escapes_what_items_say(
    tokenizer: Tokenizer, prepared: PreparedData, items_table: Callable[..., pa.Table], tmp_path: Path
) -> None:
    encoding = tokenizer.encode(prepared.items)
    _, collisions = build_catalog(encoding, tokenizer)
    hostile = items_table(
        item_id=list(encoding.item_ids),
        category=["<b>", "<i>"] * 100,
        text=["<script>alert(1)</script>"] * 200,
    )
    path = tmp_path / "report.html"
    quality = measure_quality(encoding, hostile, SMALL)
    write_report(path, quality, collisions, encoding, hostile, SMALL)
    assert "<script" not in path.read_text()
    assert "<b>" not in path.read_text()
    assert "&lt;script&gt;" in path.read_text()
    assert "&lt;b&gt;" in path.read_text()


def test_catalogue_survives_a_round_trip(
    tokenizer: Tokenizer, prepared: PreparedData, tmp_path: Path
) -> None:
    catalog, _ = build_catalog(tokenizer.encode(prepared.items), tokenizer)
    catalog.save(tmp_path / "catalog.parquet")
    loaded = Catalog.load(tmp_path / "catalog.parquet")
    assert loaded.item_ids == catalog.item_ids
    assert np.array_equal(loaded.codes, catalog.codes)
    assert loaded.tokenizer_id == tokenizer.id
