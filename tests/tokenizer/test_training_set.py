"""What quantisers are fitted to: streamed from Parquet, blind to the yardstick, mined once."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from higr.config import EmbeddingConfig, TokenizerConfig
from higr.data.prepared import PreparedData
from higr.data.schemas import ITEMS
from higr.errors import InputError
from higr.tokenizer import training_set
from higr.tokenizer.training_set import TrainingSet

SMALL = TokenizerConfig(codebook_size=16)


def with_embeddings(data: PreparedData) -> PreparedData:
    place = ITEMS.get_field_index("embedding")
    values = np.random.default_rng(0).normal(size=(data.items.num_rows, 5)).tolist()
    items = data.items.set_column(place, ITEMS.field(place), pa.array(values, ITEMS.field(place).type))
    return dataclasses.replace(data, items=items)


def test_streamed_from_parquet_it_is_the_same_as_from_memory(prepared: PreparedData, tmp_path: Path) -> None:
    data = with_embeddings(prepared)
    pq.write_table(data.items, tmp_path / "items.parquet", row_group_size=50)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    whole = TrainingSet.build(data, SMALL, 0, tmp_path / "one")
    lean = dataclasses.replace(data, items=prepared.items)  # as loaded without embeddings
    streamed = TrainingSet.build(lean, SMALL, 0, tmp_path / "two", items=tmp_path / "items.parquet")
    assert np.array_equal(whole.embeddings, streamed.embeddings)
    assert np.array_equal(whole.positives, streamed.positives)
    assert whole.embedder.given.width == streamed.embedder.given.width == 5
    assert isinstance(streamed.embeddings, np.memmap)


def test_prepared_data_is_loaded_without_its_embeddings(prepared: PreparedData, tmp_path: Path) -> None:
    data = with_embeddings(prepared)
    data.save(tmp_path / "data")
    lean, whole = (PreparedData.load(tmp_path / "data", embeddings=kept) for kept in (False, True))
    assert lean.items.schema == whole.items.schema == ITEMS
    assert lean.items["embedding"].null_count == lean.items.num_rows
    assert whole.items["embedding"].null_count == 0
    assert lean.items.drop_columns("embedding").equals(whole.items.drop_columns("embedding"))


def test_positives_do_not_know_the_category(prepared: PreparedData, tmp_path: Path) -> None:
    """Other categories and tags, everything else the same: the same positives."""
    config = SMALL.model_copy(update={"positives": "content"})
    names = prepared.items["category"].to_pylist()
    place, tags = ITEMS.get_field_index("category"), ITEMS.get_field_index("tags")
    other = prepared.items.set_column(place, ITEMS.field(place), pa.array(names[::-1]))
    other = other.set_column(
        tags, ITEMS.field(tags), prepared.items["tags"].take(pa.array(range(199, -1, -1)))
    )
    found = []
    for number, items in enumerate((prepared.items, other)):
        (tmp_path / str(number)).mkdir()
        data = dataclasses.replace(prepared, items=items)
        found.append(TrainingSet.build(data, config, 0, tmp_path / str(number)))
    assert not np.array_equal(found[0].embeddings, found[1].embeddings)
    assert np.array_equal(found[0].positives, found[1].positives)


def test_positives_are_mined_once(
    prepared: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(name: str) -> TrainingSet:
        (tmp_path / name).mkdir()
        return TrainingSet.build(prepared, SMALL, 0, tmp_path / name, cache=tmp_path / "cache")

    first = build("one")
    kept = list((tmp_path / "cache").iterdir())
    assert len(kept) == 1
    monkeypatch.setattr("higr.tokenizer.positives._mine", lambda *_: pytest.fail("mined again"))
    assert np.array_equal(build("two").positives, first.positives)


@pytest.mark.parametrize(
    "change",
    [{"kind": "rq_vae"}, {"kind": "rq_kmeans"}, {"kind": "balanced_kmeans"}, {"contrast_weight": 0.0}],
)
def test_nothing_is_mined_where_nobody_asks(
    prepared: PreparedData, tmp_path: Path, change: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_set, "mine_positives", lambda *_: pytest.fail("mined"))
    built = TrainingSet.build(prepared, SMALL.model_copy(update=change), 0, tmp_path)
    assert built.positives.shape == (200, 0)


def test_nothing_but_labels_gives_no_positives_from_content(prepared: PreparedData, tmp_path: Path) -> None:
    weights = dict.fromkeys(
        ("text_weight", "cooccurrence_weight", "numeric_weight", "given_weight", "enrichment_weight"), 0.0
    )
    config = SMALL.model_copy(update={"embedding": EmbeddingConfig.model_validate(weights)})
    with pytest.raises(InputError, match="nothing but category and tags"):
        TrainingSet.build(prepared, config, 0, tmp_path)
