"""Content vectors: each block by hand, all of them together, saved and loaded."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from higr.config import EmbeddingConfig
from higr.data.prepared import PreparedData
from higr.data.schemas import Feedback
from higr.errors import InputError
from higr.tokenizer.attributes import GivenBlock, LabelBlock, NumericBlock
from higr.tokenizer.content import ContentEmbedder, normalise
from higr.tokenizer.cooccurrence import count_pairs
from higr.tokenizer.text import ANALYZERS, TextBlock

Items = Callable[..., pa.Table]
Events = Callable[[list[tuple[str, str, int]]], pa.Table]
ENGAGED, EXPOSED = int(Feedback.ENGAGED), int(Feedback.EXPOSED)


def counts_of(data: PreparedData) -> csr_matrix:
    return count_pairs(data.train_events, data.items["item_id"].to_pylist(), 5)


class TestText:
    TEXTS = ("red ramen bowl", "red ramen noodles", "今天天气真好", "今天天气不好", "", "red bowl noodles")

    def test_likeness_follows_shared_words_in_any_language(self) -> None:
        rows = normalise(TextBlock.fit(self.TEXTS, 8, 1000, seed=0).transform(self.TEXTS))
        likeness = rows @ rows.T
        assert likeness[0, 1] > 0.3 > likeness[0, 2]
        assert likeness[2, 3] > 0.3
        assert not rows[4].any()

    def test_projection_keeps_the_geometry_of_tfidf(self) -> None:
        block = TextBlock.fit(self.TEXTS, 5, 1000, seed=0)
        tfidf = block._tfidf(self.TEXTS).toarray()
        assert np.allclose(np.linalg.norm(tfidf[0]), np.sqrt(2))  # one length a kind of n-gram
        assert np.allclose(block.components @ block.components.T, np.eye(len(block.components)), atol=1e-5)

    def test_weights_are_those_of_the_vectorizer_that_was_fitted(self) -> None:
        parts = [
            TfidfVectorizer(**options, sublinear_tf=True, min_df=2).fit_transform(self.TEXTS).toarray()
            for options in ANALYZERS.values()
        ]
        assert np.allclose(
            TextBlock.fit(self.TEXTS, 5, 1000, seed=0)._tfidf(self.TEXTS).toarray(), np.hstack(parts)
        )

    @pytest.mark.parametrize("texts", [["", ""], ["one", "two"], ["alone"]])
    def test_no_shared_ngram_gives_no_width(self, texts: list[str]) -> None:
        assert TextBlock.fit(texts, 8, 1000, seed=0).transform(texts).shape == (len(texts), 0)

    def test_off(self) -> None:
        assert TextBlock.fit(self.TEXTS, 0, 1000, seed=0).transform(["red"]).shape == (1, 0)


class TestAttributes:
    def test_labels(self, items_table: Items) -> None:
        items = items_table(
            item_id=["1", "2", "3"], category=["x", "x", "y"], tags=[["x", "t", "t"], ["t"], None]
        )
        block = LabelBlock.fit(items, 10)
        assert block.labels == ["category:x", "tag:t"]  # tag x and category y are of one item only
        assert block.transform(items).tolist() == [[1, 1], [1, 1], [0, 0]]
        assert LabelBlock.fit(items, 1).labels == ["category:x"]
        assert block.transform(items.slice(1, 2)).tolist() == [[1, 1], [0, 0]]
        assert LabelBlock.fit(items, 0).transform(items).shape == (3, 0)

    def test_null_tags_and_tags_named_as_categories(self, items_table: Items) -> None:
        items = items_table(item_id=list("12"), category=["x", "x"], tags=[["x", None], [None, "x"]])
        assert LabelBlock.fit(items, 10).labels == ["category:x", "tag:x"]

    def test_numbers(self, items_table: Items) -> None:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        seconds = [float(np.e - 1), float(np.e**3 - 1), None]
        items = items_table(
            item_id=["1", "2", "3"], duration_seconds=seconds, created_at=[now, now - timedelta(days=9), None]
        )
        rows = NumericBlock.fit(items).transform(items)
        assert np.allclose(rows[:, 0], [-1 / 3, 1 / 3, 0], atol=1e-5)  # logs 1 and 3: one deviation from 2
        assert np.allclose(rows[:, 1], [-1 / 3, 1 / 3, 0], atol=1e-5)

    def test_numbers_are_bounded_and_future_items_have_age_zero(self, items_table: Items) -> None:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        known = items_table(item_id=list("12"), duration_seconds=[10.0, 11.0], created_at=[now, now])
        new = items_table(item_id=["3"], duration_seconds=[1e9], created_at=[now + timedelta(days=50)])
        assert NumericBlock.fit(known).transform(new).tolist() == [[1.0, 0.0]]

    def test_given(self, items_table: Items) -> None:
        items = items_table(item_id=list("123"), embedding=[[1.0, 2.0], None, [3.0, 4.0]])
        assert GivenBlock.fit([items]).transform(items).tolist() == [[1, 2], [0, 0], [3, 4]]
        assert GivenBlock.fit([items.slice(1, 1)]).transform(items.slice(1, 1)).shape == (1, 0)

    @pytest.mark.parametrize(
        ("embedding", "message"),
        [
            ([[1.0, 2.0], [1.0]], "item 'b' has 1 values, the tokenizer knows 2"),
            ([[1.0, 2.0], [1.0, float("nan")]], "item 'b' holds NaN or infinite values"),
            ([[1.0, float("inf")], [1.0, 1.0]], "item 'a' holds NaN or infinite values"),
            ([[1.0, None], [1.0, 1.0]], "item 'a' holds NaN or infinite values"),
        ],
    )
    def test_bad_embeddings_name_the_item(
        self, items_table: Items, embedding: list[object], message: str
    ) -> None:
        items = items_table(item_id=["a", "b"], embedding=embedding)
        with pytest.raises(InputError, match=message) as error:
            GivenBlock.fit([items]).transform(items)
        assert "\n" not in str(error.value)


class TestEmbedder:
    def test_rows_have_length_one_and_blocks_their_weight(self, prepared: PreparedData) -> None:
        config = EmbeddingConfig(
            text_weight=2.0, category_weight=1.0, cooccurrence_weight=0, numeric_weight=0, given_weight=0
        )
        embedder = ContentEmbedder.fit(prepared.items, counts_of(prepared), config, seed=0)
        rows = embedder.transform(prepared.items)
        assert rows.dtype == np.float32
        assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
        text = rows[:, embedder.spans["text"]]
        assert np.allclose(np.linalg.norm(text, axis=1), 2 / np.sqrt(5), atol=1e-5)

    def test_an_item_nothing_is_known_of_is_zero(self, prepared: PreparedData, items_table: Items) -> None:
        config = EmbeddingConfig(numeric_weight=0)
        embedder = ContentEmbedder.fit(prepared.items, counts_of(prepared), config, seed=0)
        assert not embedder.transform(items_table(item_id=["new"], category=["unheard of"])).any()

    def test_same_seed_same_vectors_and_after_load(self, prepared: PreparedData, tmp_path: Path) -> None:
        first, second = (
            ContentEmbedder.fit(prepared.items, counts_of(prepared), EmbeddingConfig(), seed=3)
            for _ in range(2)
        )
        rows = first.transform(prepared.items)
        assert np.array_equal(rows, second.transform(prepared.items))
        first.save(tmp_path)
        assert {p.suffix for p in tmp_path.iterdir()} == {".json", ".safetensors"}
        assert np.array_equal(rows, ContentEmbedder.load(tmp_path).transform(prepared.items))
        assert np.array_equal(rows[5:9], first.transform(prepared.items.slice(5, 4)))

    def test_blocks_stand_where_the_spans_say(self, prepared: PreparedData) -> None:
        embedder = ContentEmbedder.fit(prepared.items, counts_of(prepared), EmbeddingConfig(), seed=0)
        rows = embedder.transform(prepared.items)
        assert rows.shape[1] == embedder.width == 64 + 0 + len(embedder.labels.labels) + 64 + 2 + 0
        assert list(embedder.spans) == ["text", "enrichment", "labels", "cooccurrence", "numeric", "given"]
        own = embedder.labels.transform(prepared.items)
        length = np.linalg.norm(rows[:, embedder.spans["text"]], axis=1, keepdims=True)
        assert np.allclose(rows[:, embedder.spans["labels"]], 0.5 * length * normalise(own), atol=1e-5)

    def test_enrichment_has_a_vocabulary_and_a_weight_of_its_own(self, items_table: Items) -> None:
        items = items_table(
            item_id=list("abcd"),
            text=["red ramen", "red bowl", "blue ramen", "blue bowl"],
            enrichment=["two cats", "one dog", "two cats", "one dog"],
        )
        off = {"category_weight": 0, "cooccurrence_weight": 0, "numeric_weight": 0, "given_weight": 0}
        embedder, plain = (
            ContentEmbedder.fit(
                items, csr_matrix((4, 4)), EmbeddingConfig(enrichment_weight=weight, **off), seed=0
            )
            for weight in (2.0, 0.0)
        )
        rows = embedder.transform(items)
        assert np.allclose(np.linalg.norm(rows[:, embedder.spans["enrichment"]], axis=1), 2 / np.sqrt(5))
        assert not set(embedder.enrichment.vocabulary["word"]) & set(embedder.text.vocabulary["word"])
        assert rows[0] @ rows[2] > 0.8 > rows[0] @ rows[1]
        assert np.allclose(normalise(rows[:, embedder.spans["text"]]), plain.transform(items), atol=1e-6)

    def test_without_enrichment_vectors_are_as_if_there_were_no_such_block(
        self, prepared: PreparedData
    ) -> None:
        rows = [
            ContentEmbedder.fit(
                prepared.items, counts_of(prepared), EmbeddingConfig(enrichment_weight=weight), seed=0
            ).transform(prepared.items)
            for weight in (0.5, 0.0)
        ]
        assert np.array_equal(*rows)

    def test_a_sample_is_enough_for_the_vocabulary(
        self, prepared: PreparedData, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of 200 items 50, evenly spaced: the vocabulary is theirs, and all items are embedded."""
        monkeypatch.setattr("higr.tokenizer.content.SAMPLE", 50)
        embedder = ContentEmbedder.fit(prepared.items, counts_of(prepared), EmbeddingConfig(), seed=0)
        every = prepared.items["text"].to_pylist()
        assert embedder.text.vocabulary == TextBlock.fit(every[::4], 64, 20_000, seed=0).vocabulary
        assert embedder.transform(prepared.items)[:, embedder.spans["text"]].any(axis=1).all()

    def test_items_of_one_kind_and_nothing_else(self, items_table: Items) -> None:
        """One category, no text: every item is alike, which training refuses in words."""
        items = items_table(item_id=list("abc"), category=["x"] * 3)
        rows = ContentEmbedder.fit(items, csr_matrix((3, 3)), EmbeddingConfig(), seed=0).transform(items)
        assert rows.any()
        assert (rows == rows[0]).all()

    def test_refuses_an_item_twice(self, items_table: Items) -> None:
        items = items_table(item_id=["a", "b", "a", "c", "c"])
        with pytest.raises(InputError, match="item_id 'a' and 1 more stand in several of 5 rows"):
            ContentEmbedder.fit(items, csr_matrix((5, 5)), EmbeddingConfig(), seed=0)

    def test_refuses_another_versions_state(self, prepared: PreparedData, tmp_path: Path) -> None:
        ContentEmbedder.fit(prepared.items, counts_of(prepared), EmbeddingConfig(), 0).save(tmp_path)
        meta = json.loads((tmp_path / "content.json").read_text())
        del meta["enrichment"]
        (tmp_path / "content.json").write_text(json.dumps(meta))
        with pytest.raises(
            InputError, match=r"lacks enrichment: another version wrote it; run `higr tokenize`"
        ):
            ContentEmbedder.load(tmp_path)

    def test_refuses_other_tables(self, prepared: PreparedData) -> None:
        with pytest.raises(InputError, match="empty"):
            ContentEmbedder.fit(prepared.items.slice(0, 0), csr_matrix((0, 0)), EmbeddingConfig(), 0)
        with pytest.raises(InputError, match="columns are"):
            ContentEmbedder.fit(prepared.items.drop(["text"]), counts_of(prepared), EmbeddingConfig(), 0)

    @pytest.mark.parametrize("name", ["content.json", "content.safetensors"])
    def test_load_refuses_missing_and_damaged_files(
        self, prepared: PreparedData, tmp_path: Path, name: str
    ) -> None:
        ContentEmbedder.fit(prepared.items, counts_of(prepared), EmbeddingConfig(), 0).save(tmp_path)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:40])
        with pytest.raises(InputError, match=name):
            ContentEmbedder.load(tmp_path)
        (tmp_path / name).unlink()
        with pytest.raises(InputError, match="does not exist"):
            ContentEmbedder.load(tmp_path)


@pytest.mark.parametrize("module", ["content", "store", "positives", "neighbours", "sentence"])
def test_heavy_libraries_wait_until_they_are_used(module: str) -> None:
    """scikit-learn, transformers and faiss cost seconds in every process that reads a bundle."""
    code = f"import sys, higr.tokenizer.{module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert not {"sklearn", "transformers", "faiss", "torch"} & set(loaded.split())
