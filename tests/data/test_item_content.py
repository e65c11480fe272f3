"""What describes an item, from a user's file to its vector: enrichment, embeddings of any type."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix

from higr.config import DataConfig, EmbeddingConfig, SimulatorConfig
from higr.data.prepare import prepare
from higr.data.prepared import PreparedData
from higr.data.schemas import ITEMS
from higr.tokenizer.content import ContentEmbedder

Tables = dict[str, pa.Table]
ONLY_GIVEN = EmbeddingConfig(
    text_weight=0, category_weight=0, cooccurrence_weight=0, numeric_weight=0, enrichment_weight=0
)


def vectors(data: PreparedData) -> np.ndarray:
    size = data.items.num_rows
    return ContentEmbedder.fit(data.items, csr_matrix((size, size)), ONLY_GIVEN, 0).transform(data.items)


@pytest.mark.parametrize("number", [pa.float32(), pa.float64(), pa.float16(), pa.int32()])
@pytest.mark.parametrize(
    "lists", [pa.list_, pa.large_list, lambda number: pa.list_(number, 3)], ids=["list", "large", "fixed"]
)
def test_embeddings_of_any_list_type(
    lists: Callable[[pa.DataType], pa.DataType],
    number: pa.DataType,
    good: Tables,
    write: Callable,
    stage: Callable,
    tmp_path: Path,
) -> None:
    """Small integers are exact in each type; one item has none."""
    values: list[Any] = [[1 + i, -2, i] for i in range(12)]
    values[4] = None
    if pa.types.is_float16(number):
        values = [value if value is None else [np.float16(each) for each in value] for value in values]
    items = good["items"].append_column("embedding", pa.array(values, lists(number)))
    data = stage(write(good | {"items": items}))
    assert data.items.schema.equals(ITEMS)
    rows = np.array([[1.0 + i, -2, i] for i in range(12)])
    rows[4] = 0
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    assert np.allclose(vectors(data), rows / np.where(length > 0, length, 1), atol=1e-6)
    loaded = PreparedData.load(tmp_path / "out")
    assert np.array_equal(vectors(loaded), vectors(data))


def test_enrichment_goes_through(good: Tables, write: Callable, stage: Callable) -> None:
    said = [None, "a cat on a roof", *[""] * 10]
    items = good["items"].append_column("enrichment", pa.array(said, pa.large_string()))
    data = stage(write(good | {"items": items}))
    assert data.items["enrichment"].to_pylist() == said
    assert data.items.schema.equals(ITEMS)


def test_enrichment_is_optional_and_the_simulator_has_none(
    good: Tables, write: Callable, stage: Callable
) -> None:
    assert stage(write(good)).items["enrichment"].null_count == 12
    world = DataConfig(simulator=SimulatorConfig(users=20, items=60, slates_per_user=5, days=7))
    assert prepare(world, 0).items["enrichment"].null_count == 60
