"""Content vectors: each block by hand, all of them together, saved and loaded."""

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
from higr.tokenizer.cooccurrence import CooccurrenceBlock, cosine_pairs, count_pairs, ppmi
from higr.tokenizer.positives import content_neighbours, cooccurrence_neighbours, mine_positives
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


class TestCooccurrence:
    def test_pairs_by_hand(self, events_table: Events) -> None:
        events = events_table(
            [
                ("u", "a", ENGAGED),
                ("u", "b", EXPOSED),  # not engaged: neither counted nor in between
                ("u", "c", ENGAGED),
                ("u", "a", ENGAGED),  # a beside itself (two apart) is no pair
                ("v", "d", ENGAGED),  # another user
                ("v", "x", ENGAGED),  # not in the catalogue
                ("v", "c", ENGAGED),
            ]
        )
        counts = count_pairs(events, ["a", "b", "c", "d"], window=2).toarray()
        expected = np.zeros((4, 4))
        expected[0, 2] = expected[2, 0] = 2
        expected[2, 3] = expected[3, 2] = 1
        assert np.array_equal(counts, expected)

    def test_window_reaches_no_further(self, events_table: Events) -> None:
        events = events_table([("u", item, ENGAGED) for item in "abcd"])
        assert count_pairs(events, list("abcd"), 1).nnz == 6
        assert count_pairs(events, list("abcd"), 2).nnz == 10

    def test_no_events(self, events_table: Events) -> None:
        assert count_pairs(events_table([]), ["a", "b"], 3).nnz == 0

    def test_ppmi_and_cosine_by_definition(self) -> None:
        dense = np.array([[0, 4, 1], [4, 0, 0], [1, 0, 0]], dtype=float)
        total = dense.sum(axis=1)
        smooth = total**0.75 / (total**0.75).sum()
        with np.errstate(divide="ignore"):
            value = np.log((dense / dense.sum()) / (total[:, None] / dense.sum() * smooth[None]))
        assert np.allclose(ppmi(csr_matrix(dense)).toarray(), np.maximum(value, 0))
        assert np.allclose(cosine_pairs(csr_matrix(dense)).toarray(), dense / np.sqrt(np.outer(total, total)))

    def test_company_makes_likeness_and_the_unseen_are_zero(self) -> None:
        dense = np.zeros((7, 7))
        for group in ([0, 1, 2], [3, 4, 5]):
            for left in group:
                for right in group:
                    dense[left, right] = 5.0 * (left != right)
        block = CooccurrenceBlock.fit(csr_matrix(dense), list("abcdefg"), 3, seed=0)
        rows = normalise(block.transform(["a", "b", "d", "g", "new"]))
        assert rows[0] @ rows[1] > 0.5 > abs(rows[0] @ rows[2])
        assert not rows[3:].any()

    def test_nothing_seen(self) -> None:
        block = CooccurrenceBlock.fit(csr_matrix((3, 3)), list("abc"), 8, seed=0)
        assert block.transform(["a"]).shape == (1, 0)


class TestAttributes:
    def test_labels(self, items_table: Items) -> None:
        items = items_table(
            item_id=["1", "2", "3"], category=["x", "x", "y"], tags=[["x", "t", "t"], ["t"], None]
        )
        block = LabelBlock.fit(items, 10)
        assert block.labels == ["category:x", "tag:t"]  # tag x and category y are of one item only
        assert block.transform(items).tolist() == [[1, 1], [1, 1], [0, 0]]
        assert LabelBlock.fit(items, 1).labels == ["category:x"]

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
        assert GivenBlock.fit(items).transform(items).tolist() == [[1, 2], [0, 0], [3, 4]]
        assert GivenBlock.fit(items.slice(1, 1)).transform(items.slice(1, 1)).shape == (1, 0)

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
            GivenBlock.fit(items).transform(items)
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
        text = rows[:, : -len(embedder.labels.labels)]
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


class TestPositives:
    def test_content_neighbours_against_brute_force(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("higr.tokenizer.positives.BLOCK", 7)
        rows = normalise(np.random.default_rng(0).normal(size=(30, 4)))
        found = content_neighbours(rows, 5)
        for item in range(30):
            score = rows @ rows[item]
            score[item] = -np.inf
            expected = [j for j in np.argsort(-score)[:5].tolist() if score[j] > 0]
            assert found[item][found[item] >= 0].tolist() == expected

    def test_fewer_items_than_neighbours_and_zero_rows(self) -> None:
        rows = np.array([[1.0, 0], [1, 0], [0, 0]], np.float32)
        assert content_neighbours(rows, 4).tolist() == [[1, -1, -1, -1], [0, -1, -1, -1], [-1] * 4]

    def test_cooccurrence_neighbours(self) -> None:
        counts = csr_matrix(np.array([[0, 8, 2, 1], [8, 0, 0, 0], [2, 0, 0, 0], [1, 0, 0, 0]], dtype=float))
        assert cooccurrence_neighbours(counts, 2).tolist() == [[1, 2], [0, -1], [0, -1], [-1, -1]]

    def test_mixed_is_half_and_half(self) -> None:
        rows = normalise(np.random.default_rng(1).normal(size=(6, 3)))
        counts = csr_matrix(np.full((6, 6), 3.0) - 3 * np.eye(6))
        mixed = mine_positives(rows, counts, "mixed", 3)
        assert np.array_equal(mixed[:, :2], mine_positives(rows, counts, "content", 2))
        assert np.array_equal(mixed[:, 2:], mine_positives(rows, counts, "cooccurrence", 1))
        assert not (mixed == np.arange(6)[:, None]).any()
