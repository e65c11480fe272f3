"""Positives: the mixture, what labels have to do with it, and the cache."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix

from higr.config import EmbeddingConfig
from higr.errors import InputError
from higr.tokenizer import positives as module
from higr.tokenizer.content import ContentEmbedder, normalise
from higr.tokenizer.neighbours import content_neighbours, cooccurrence_neighbours
from higr.tokenizer.positives import mine_positives
from higr.tokenizer.store import without_labels

Items = Callable[..., pa.Table]
ROWS = normalise(np.random.default_rng(1).normal(size=(30, 3)))
COUNTS = csr_matrix(np.full((30, 30), 3.0) - 3 * np.eye(30))


def test_mixed_is_half_and_half() -> None:
    mixed = mine_positives(ROWS, COUNTS, "mixed", 3)
    assert np.array_equal(mixed[:, :2], mine_positives(ROWS, COUNTS, "content", 2))
    assert np.array_equal(mixed[:, 2:], mine_positives(ROWS, COUNTS, "cooccurrence", 1))
    assert np.array_equal(mixed[:, :2], content_neighbours(ROWS, 2))
    assert np.array_equal(mixed[:, 2:], cooccurrence_neighbours(COUNTS, 1))
    assert not (mixed == np.arange(30)[:, None]).any()


class TestCache:
    @pytest.mark.parametrize("kind", ["content", "cooccurrence", "mixed"])
    def test_mined_once(self, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first = mine_positives(ROWS, COUNTS, kind, 4, tmp_path / "cache")
        assert np.array_equal(first, mine_positives(ROWS, COUNTS, kind, 4))
        monkeypatch.setattr(module, "_mine", lambda *_: pytest.fail("mined again"))
        again = mine_positives(ROWS, COUNTS, kind, 4, tmp_path / "cache")
        assert np.array_equal(first, again)
        assert again.dtype == np.int64
        assert again.flags.writeable  # torch warns of arrays it cannot write to
        backwards = COUNTS.indptr[:-1].repeat(29) + np.tile(np.arange(29)[::-1], 30)  # within each row
        same = csr_matrix((COUNTS.data[backwards], COUNTS.indices[backwards], COUNTS.indptr), COUNTS.shape)
        assert not same.has_sorted_indices
        assert np.array_equal(
            first, mine_positives(ROWS.astype(np.float64), same, kind, 4, tmp_path / "cache")
        )

    def test_every_input_has_a_part_in_the_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        moved, more = ROWS.copy(), COUNTS.copy()
        moved[29, 2] += 1e-6
        more.data[0] += 1
        for rows, counts, kind, neighbours in (
            (ROWS, COUNTS, "mixed", 4),
            (moved, COUNTS, "mixed", 4),
            (ROWS, more, "mixed", 4),
            (ROWS, COUNTS, "content", 4),
            (ROWS, COUNTS, "mixed", 5),
        ):
            mine_positives(rows, counts, kind, neighbours, tmp_path)
        assert len(list(tmp_path.iterdir())) == 5
        monkeypatch.setattr(module, "VERSION", 2)
        mine_positives(ROWS, COUNTS, "mixed", 4, tmp_path)
        assert len(list(tmp_path.iterdir())) == 6

    @pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "narrow", "short"])
    def test_a_damaged_file_is_mined_again(self, damage: str, tmp_path: Path) -> None:
        first = mine_positives(ROWS, COUNTS, "mixed", 4, tmp_path)
        path = next(tmp_path.iterdir())
        whole = path.read_bytes()
        if damage == "flipped":
            place = 60  # inside the page of row numbers
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        elif damage in ("narrow", "short"):
            module._write(path, first[:, :2] if damage == "narrow" else first[:20])
        else:
            path.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"")
        assert np.array_equal(first, mine_positives(ROWS, COUNTS, "mixed", 4, tmp_path))
        assert path.read_bytes() == whole


class TestWithoutLabels:
    @pytest.fixture
    def items(self, items_table: Items) -> pa.Table:
        """Category says a-b and c-d, text says a-c and b-d."""
        texts = ["red ramen", "blue boat", "red ramen", "blue boat"]
        return items_table(item_id=list("abcd"), category=["x", "x", "y", "y"], text=texts)

    def embedder(self, items: pa.Table, **weights: float) -> ContentEmbedder:
        config = EmbeddingConfig(**({"category_weight": 9.0, "numeric_weight": 0.0} | weights))
        return ContentEmbedder.fit(items, csr_matrix((4, 4)), config, seed=0)

    def test_labels_decide_the_neighbours_until_they_are_left_out(
        self, items: pa.Table, tmp_path: Path
    ) -> None:
        embedder = self.embedder(items)
        rows = embedder.transform(items)
        assert content_neighbours(rows, 1).tolist() == [[1], [0], [3], [2]]
        for path in (None, tmp_path / "free.npy"):
            free = without_labels(embedder, rows, path)
            assert content_neighbours(free, 1).tolist() == [[2], [3], [0], [1]]
            assert np.allclose(free, self.embedder(items, category_weight=0.0).transform(items), atol=1e-6)

    def test_without_a_weight_of_labels_nothing_changes(self, items: pa.Table) -> None:
        embedder = self.embedder(items, category_weight=0.0)
        rows = embedder.transform(items)
        assert np.allclose(without_labels(embedder, rows), rows, atol=1e-6)

    def test_nothing_but_labels_and_vectors_of_another_width(self, items: pa.Table) -> None:
        only = self.embedder(items, text_weight=0.0)
        with pytest.raises(InputError, match="nothing but category and tags"):
            without_labels(only, only.transform(items))
        with pytest.raises(InputError, match=r"have 3 columns, the embedder makes \d"):
            without_labels(self.embedder(items), ROWS)
