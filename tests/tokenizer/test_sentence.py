"""The sentence-embedding block with a tiny BERT built here: vectors, layouts, fingerprints, refusals."""

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy.sparse import csr_matrix

from higr.config import EmbeddingConfig
from higr.errors import InputError
from higr.tokenizer import sentence
from higr.tokenizer.content import ContentEmbedder, normalise
from higr.tokenizer.sentence import ELSEWHERE, SentenceBlock, fingerprint, load_encoder

Items = Callable[..., pa.Table]
WORDS = ["red", "ramen", "bowl", "blue", "boat", "island", "song", "the", "a", "of"]
TEXTS = ["red ramen bowl", "", "blue boat", "the song of the red island of the blue boat", "  ", "ramen"]


def build(folder: Path, seed: int = 0) -> Path:
    """A BERT of width 16, two layers and random weights, with a vocabulary of ten words."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def as_sentence_transformers(folder: Path, pooling: dict[str, object], **settings: object) -> Path:
    """The files sentence-transformers puts around a model."""
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(
            [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
        )
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 16} | pooling))
    (folder / "sentence_bert_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(autouse=True)
def _no_network_no_leftover(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv(ELSEWHERE, raising=False)
    load_encoder.cache_clear()
    yield
    load_encoder.cache_clear()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("model"))


@pytest.fixture
def model(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "model"))


def oracle(folder: Path, text: str, pooling: str = "mean", tokens: int = 64) -> np.ndarray:
    """One text alone, pooled by hand."""
    from transformers import BertModel, BertTokenizerFast

    given = BertTokenizerFast.from_pretrained(folder)(
        text, truncation=True, max_length=tokens, return_tensors="pt"
    )
    with torch.no_grad():
        hidden = BertModel.from_pretrained(folder).eval()(**given).last_hidden_state[0].numpy()
    return hidden[0] if pooling == "cls" else hidden.mean(axis=0)


class TestVectors:
    def test_each_text_as_if_it_were_alone(self, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Sorted by length, padded, two at a time: none of it may show."""
        monkeypatch.setattr(sentence, "BATCH", 2)
        block = SentenceBlock.fit(TEXTS, str(model))
        rows = block.transform(TEXTS)
        assert (rows.shape, rows.dtype) == ((6, 16), np.float32)
        for text, row in zip(TEXTS, rows, strict=True):
            due = oracle(model, text) if text.strip() else np.zeros(16)
            assert np.allclose(row, due, atol=1e-5)
        assert np.array_equal(rows, block.transform(TEXTS))

    @pytest.mark.parametrize(
        ("pooling", "due"),
        [
            ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
            ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
            ({"pooling_mode": "cls"}, "cls"),
        ],
    )
    def test_pooling_is_the_folders(self, model: Path, pooling: dict[str, object], due: str) -> None:
        as_sentence_transformers(model, pooling)
        row = SentenceBlock.fit(TEXTS, str(model)).transform(TEXTS[3:4])[0]
        assert np.allclose(row, oracle(model, TEXTS[3], due), atol=1e-5)
        assert not np.allclose(row, oracle(model, TEXTS[3], "mean" if due == "cls" else "cls"), atol=1e-3)

    def test_long_texts_are_cut(self, model: Path) -> None:
        block = SentenceBlock.fit(TEXTS, str(model))
        assert np.allclose(block.transform(["red " * 500])[0], oracle(model, "red " * 500), atol=1e-5)
        load_encoder.cache_clear()
        as_sentence_transformers(model, {"pooling_mode_mean_tokens": True}, max_seq_length=4)
        block = SentenceBlock.fit(TEXTS, str(model))
        assert np.allclose(block.transform([TEXTS[3]])[0], oracle(model, TEXTS[3], tokens=4), atol=1e-5)

    def test_nothing_to_embed_reads_no_model(self, tmp_path: Path) -> None:
        block = SentenceBlock.fit(["", " "], str(tmp_path / "nowhere"))
        assert block.transform(["a", "b"]).shape == (2, 0)
        fitted = SentenceBlock(str(tmp_path / "nowhere"), "f" * 64, 16)
        assert not fitted.transform(["", " "]).any()


class TestFingerprint:
    def test_names_contents_and_folders_count_and_hidden_files_do_not(self, tmp_path: Path) -> None:
        (tmp_path / "a" / "sub").mkdir(parents=True)
        (tmp_path / "a" / "x").write_text("1")
        (tmp_path / "a" / "sub" / "y").write_text("2")
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        first = fingerprint(tmp_path / "a")
        assert fingerprint(tmp_path / "b") == first
        (tmp_path / "b" / ".cache").mkdir()
        (tmp_path / "b" / ".cache" / "z").write_text("3")
        assert fingerprint(tmp_path / "b") == first
        (tmp_path / "b" / "x").rename(tmp_path / "b" / "w")
        assert fingerprint(tmp_path / "b") != first
        (tmp_path / "a" / "x").write_text("2")
        assert fingerprint(tmp_path / "a") != first

    def test_a_model_that_was_changed_or_moved(
        self, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        block = SentenceBlock.fit(TEXTS, str(model))
        rows = block.transform(TEXTS)
        state = json.loads(json.dumps(block.state()[0]))
        assert set(state) == {"directory", "fingerprint", "width"}
        load_encoder.cache_clear()
        elsewhere = model.rename(tmp_path / "elsewhere")
        loaded = SentenceBlock.from_state(state, {})
        assert loaded == block
        with pytest.raises(InputError, match=f"{model} is not a folder.*{ELSEWHERE}"):
            loaded.transform(TEXTS)
        monkeypatch.setenv(ELSEWHERE, str(elsewhere))
        assert np.array_equal(loaded.transform(TEXTS), rows)
        assert loaded.state()[0] == state  # where it was found changes nothing that was learnt
        load_encoder.cache_clear()
        build(elsewhere, seed=1)
        with pytest.raises(
            InputError, match=f"has fingerprint .*fitted with {block.fingerprint[:12]}"
        ) as error:
            loaded.transform(TEXTS)
        assert "\n" not in str(error.value)


def _pickled(model: Path) -> None:
    (model / "model.safetensors").unlink()
    torch.save({}, model / "pytorch_model.bin")


def _own_code(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoModel": "mine.Model", "AutoConfig": "mine.Config"}}
    (model / "config.json").write_text(json.dumps(config))
    (model / "mine.py").write_text("raise SystemExit('code of the folder was run')")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "is not a folder; put the model there"),
        (lambda m: (m / "config.json").unlink(), "cannot be loaded"),
        (lambda m: (m / "model.safetensors").write_bytes(b"x" * 20), "cannot be loaded"),
        (_pickled, "cannot be loaded .*give a folder with config.json, a tokenizer and model.safetensors"),
        (_own_code, "cannot be loaded"),
        (
            lambda m: as_sentence_transformers(m, {"pooling_mode_max_tokens": True}),
            "max_tokens.* is not known",
        ),
        (
            lambda m: as_sentence_transformers(
                m, {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}
            ),
            "is not known; use a model pooled by mean or by cls alone",
        ),
        (
            lambda m: (m / "modules.json").write_text('[{"type": "sentence_transformers.models.Dense"}]'),
            "module Dense is not known",
        ),
        (lambda m: (m / "modules.json").write_text("{"), "modules.json is not JSON"),
    ],
)
def test_folders_that_cannot_be_used(model: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(model)
    with pytest.raises(InputError, match=message) as error:
        SentenceBlock.fit(TEXTS, str(model))
    assert "\n" not in str(error.value)


def test_text_and_enrichment_of_an_embedder(model: Path, items_table: Items, tmp_path: Path) -> None:
    """One model for both; the bundle's files name it and do not hold it."""
    items = items_table(
        item_id=list("abc"), text=["red ramen", None, "blue"], enrichment=[None, "a boat", "a"]
    )
    config = EmbeddingConfig(
        text_model=str(model),
        enrichment_weight=0.5,
        category_weight=0,
        cooccurrence_weight=0,
        numeric_weight=0,
    )
    embedder = ContentEmbedder.fit(items, csr_matrix((3, 3)), config, seed=0)
    rows = embedder.transform(items)
    due = normalise(np.stack([oracle(model, text) for text in ("red ramen", "a boat")]))
    assert np.allclose(rows[0], [*due[0], *np.zeros(16)], atol=1e-5)
    assert np.allclose(rows[1], [*np.zeros(16), *due[1]], atol=1e-5)
    assert np.linalg.norm(rows[2, :16]) == pytest.approx(2 * np.linalg.norm(rows[2, 16:]), rel=1e-5)
    assert load_encoder.cache_info().misses == 1
    embedder.save(tmp_path / "saved")
    assert sum(path.stat().st_size for path in (tmp_path / "saved").iterdir()) < 20_000
    load_encoder.cache_clear()
    loaded = ContentEmbedder.load(tmp_path / "saved")
    assert load_encoder.cache_info().misses == 0
    assert np.array_equal(loaded.transform(items), rows)
    assert loaded.state()[0] == embedder.state()[0]
