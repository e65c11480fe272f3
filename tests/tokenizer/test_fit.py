"""Every kind of quantiser behind the one interface: fitted, encoding, decoding, kept and built again."""

from typing import Any

import numpy as np
import pytest
import torch

from higr.config import TokenizerConfig
from higr.errors import InputError
from higr.tokenizer import train
from higr.tokenizer.codebooks import reseed_dead
from higr.tokenizer.fit import build_quantizer, fit_quantizer
from higr.tokenizer.neighbours import content_neighbours
from higr.tokenizer.pcrq_vae import PCRQVAE
from higr.tokenizer.quality import measure
from higr.tokenizer.quantizer import Quantizer
from higr.tokenizer.train import build_vae
from tests.tokenizer.worlds import clusters

KINDS = ("pcrq_vae", "rq_vae", "rq_kmeans", "balanced_kmeans")
SMALL = TokenizerConfig(
    codebook_size=16, hidden=(32,), latent_dim=16, epochs=20, batch_size=64, learning_rate=1e-2
)


def configured(kind: str, **changes: Any) -> TokenizerConfig:
    return TokenizerConfig.model_validate(SMALL.model_dump() | {"kind": kind} | changes)


def fitted(kind: str, rows: np.ndarray, seed: int = 0, **changes: Any) -> Quantizer:
    return fit_quantizer(rows, content_neighbours(rows, 5), configured(kind, **changes), seed)


def same(one: Quantizer, other: Quantizer) -> bool:
    left, right = one.state(), other.state()
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    def test_finds_the_kinds(self, kind: str) -> None:
        rows, kinds = clusters()
        found = fitted(kind, rows).encode(rows)
        quality = measure(found.codes, kinds, 16, found.errors)
        assert quality.prefixes[0].consistency > 0.6  # 0.125 by chance
        assert quality.concentration > 0.9
        assert quality.reconstruction_error < 0.5

    def test_shapes_and_types(self, kind: str) -> None:
        rows, _ = clusters()
        quantizer = fitted(kind, rows, epochs=2)
        found = quantizer.encode(rows)
        width = quantizer.codebooks.shape[2]
        assert (found.codes.shape, found.codes.dtype) == ((256, 3), np.int32)
        assert (found.latents.shape, found.latents.dtype) == ((256, width), np.float32)
        assert (found.errors.shape, found.errors.dtype) == ((256,), np.float32)
        assert quantizer.codebooks.shape == (3, 16, width)
        assert quantizer.codebooks.dtype == np.float32
        assert quantizer.width == 24
        assert found.codes.min() >= 0
        assert found.codes.max() < 16

    def test_errors_are_distances_to_what_is_decoded(self, kind: str) -> None:
        rows, _ = clusters()
        quantizer = fitted(kind, rows, epochs=2)
        found = quantizer.encode(rows)
        decoded = quantizer.decode(found.codes)
        assert decoded.shape == rows.shape
        assert np.allclose(found.errors, ((rows - decoded) ** 2).sum(axis=1), atol=1e-5)

    def test_one_seed_one_state_and_torch_generator_untouched(self, kind: str) -> None:
        rows, _ = clusters(100)
        torch.manual_seed(5)
        before = torch.get_rng_state()
        first, second, other = (fitted(kind, rows, seed, epochs=3) for seed in (0, 0, 1))
        assert same(first, second)
        assert not same(first, other)
        assert torch.equal(torch.get_rng_state(), before)

    def test_built_from_its_state_it_encodes_the_same(self, kind: str) -> None:
        rows, _ = clusters(100)
        quantizer = fitted(kind, rows, epochs=2)
        again = build_quantizer(quantizer.state(), configured(kind))
        one, other = quantizer.encode(rows), again.encode(rows)
        assert np.array_equal(one.codes, other.codes)
        assert np.array_equal(one.errors, other.errors)

    def test_a_state_of_another_size_is_refused(self, kind: str) -> None:
        rows, _ = clusters(100)
        state = fitted(kind, rows, epochs=1).state()
        with pytest.raises(InputError, match=f"weights do not fit a {kind}") as error:
            build_quantizer(state, configured(kind, codebook_size=8))
        assert "\n" not in str(error.value)

    def test_a_state_of_another_kind_is_refused(self, kind: str) -> None:
        rows, _ = clusters(100)
        other = "rq_kmeans" if kind.endswith("vae") else "pcrq_vae"
        with pytest.raises(InputError, match=f"weights do not fit a {other}"):
            build_quantizer(fitted(kind, rows, epochs=1).state(), configured(other))

    def test_vectors_on_file_are_as_good_as_in_memory(self, kind: str, tmp_path: Any) -> None:
        rows, _ = clusters(100)
        np.save(tmp_path / "rows.npy", rows)
        mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
        assert same(fitted(kind, rows, epochs=2), fitted(kind, mapped, epochs=2))

    def test_progress_is_told_up_to_the_end(self, kind: str) -> None:
        rows, _ = clusters(40)
        seen: list[tuple[str, int, int]] = []
        fit_quantizer(
            rows, content_neighbours(rows, 2), configured(kind, epochs=2), 0, lambda *s: seen.append(s)
        )
        total = seen[-1][2]
        assert seen == [("tokenizer", done, total) for done in range(1, total + 1)]

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            (np.full((40, 4), np.nan), "40 of 40 items hold NaN or infinite values, first in row 0"),
            (
                np.where(np.arange(160).reshape(40, 4) == 21, np.inf, 1.0),
                "1 of 40 items .* first in row 5",
            ),
            (np.ones((40, 4)), "all 40 items are alike"),
            (np.zeros((40, 4)), "all 40 items are alike"),
            (np.eye(4), "4 items are fewer than tokenizer.codebook_size 16"),
        ],
    )
    def test_embeddings_nothing_can_be_learnt_from(self, kind: str, rows: np.ndarray, message: str) -> None:
        with pytest.raises(InputError, match=message) as error:
            fit_quantizer(rows.astype(np.float32), np.full((len(rows), 2), -1), configured(kind), 0)
        assert "\n" not in str(error.value)

    def test_fewer_distinct_vectors_than_codewords(self, kind: str) -> None:
        rows = np.tile(np.eye(24, dtype=np.float32)[:3], (20, 1))
        found = fitted(kind, rows, epochs=2).encode(rows)
        assert np.isfinite(found.errors).all()
        assert len(np.unique(found.codes, axis=0)) == 3


@pytest.mark.parametrize(
    "term",
    [
        {"contrast_weight": 0.0},
        {"global_weight": 0.0},
        {"reconstruction_weight": 0.0},
        {"layer_weight": 1.0},
        {"contrast_levels": "all"},
        {"contrast_gradient": "codebooks"},
        {"refit": False},
        {"latent": "free"},
        {"temperature": 0.5},
        {"commitment": 0.5},
    ],
)
def test_every_term_can_be_changed_by_itself(term: dict[str, Any]) -> None:
    rows, _ = clusters(100)
    assert not same(fitted("pcrq_vae", rows, epochs=5), fitted("pcrq_vae", rows, epochs=5, **term))


def test_rq_vae_has_its_own_losses_whatever_is_set_for_pcrq_vae() -> None:
    rows, _ = clusters(100)
    plain = fitted("rq_vae", rows, epochs=3)
    assert same(
        plain,
        fitted(
            "rq_vae",
            rows,
            epochs=3,
            contrast_weight=9.0,
            global_weight=5.0,
            layer_weight=3.0,
            commitment=0.9,
            contrast_levels="all",
        ),
    )


def test_items_without_positives_are_no_part_of_the_contrast() -> None:
    rows, _ = clusters(100)
    nobody = np.full((100, 4), -1)
    lonely = fit_quantizer(rows, nobody, configured("pcrq_vae", epochs=3), 0)
    off = fit_quantizer(rows, nobody, configured("pcrq_vae", epochs=3, contrast_weight=0.0), 0)
    assert same(lonely, off)


@pytest.mark.parametrize("kind", ["pcrq_vae", "rq_vae"])
@pytest.mark.parametrize("epochs", [2, 3, 4, 5])
def test_codebooks_are_refitted_however_few_epochs_there_are(kind: str, epochs: int) -> None:
    rows, _ = clusters(100)
    assert fitted(kind, rows, epochs=epochs).state()["prices"].any()
    assert not fitted(kind, rows, epochs=epochs, refit=False).state()["prices"].any()


def test_dead_codewords_find_enough_items_although_the_last_batch_is_of_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[int] = []

    def counted(model: PCRQVAE, residuals: torch.Tensor, *rest: Any) -> int:
        given.append(len(residuals))
        return reseed_dead(model, residuals, *rest)

    monkeypatch.setattr(train, "reseed_dead", counted)
    rows, _ = clusters(129)
    fitted("rq_vae", rows, epochs=5, batch_size=8)
    assert given == [16, 16, 16]  # a codebook's size: the epochs 1 to 3 of 5
    given.clear()
    fitted("rq_vae", rows, epochs=5, batch_size=64)
    assert given == [64, 64, 64]


def test_without_reconstruction_the_decoder_learns_nothing() -> None:
    rows, _ = clusters(100)
    config = configured("pcrq_vae", epochs=5, reconstruction_weight=0.0)
    before = build_vae(rows.shape[1], config, seed=0).decoder.state_dict()
    after = fit_quantizer(rows, content_neighbours(rows, 5), config, 0).state()
    for name, value in before.items():
        assert np.array_equal(after[f"decoder.{name}"], value.numpy())


def test_a_contrast_without_positives_is_refused() -> None:
    rows, _ = clusters(100)
    with pytest.raises(InputError, match=r"contrast_weight is 0\.01 but no positives were mined"):
        fit_quantizer(rows, np.empty((100, 0), np.int64), configured("pcrq_vae"), 0)
