"""Residual assignment against faiss and by hand."""

import faiss
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.tokenizer.residual import kmeans, nearest, residual_codes, sum_codewords


@settings(max_examples=40, deadline=None)
@given(depth=st.integers(1, 4), bits=st.integers(1, 6), width=st.integers(1, 20), seed=st.integers(0, 10_000))
def test_codes_are_those_of_faiss(depth: int, bits: int, width: int, seed: int) -> None:
    """faiss.ResidualQuantizer with a beam of one does the same, given the same codebooks."""
    rng = np.random.default_rng(seed)
    books = rng.normal(size=(depth, 2**bits, width)).astype(np.float32)
    points = rng.normal(size=(50, width)).astype(np.float32)
    oracle = faiss.ResidualQuantizer(width, depth, bits)
    oracle.max_beam_size = 1
    faiss.copy_array_to_vector(books.ravel(), oracle.codebooks)
    oracle.is_trained = True
    packed = torch.from_numpy(oracle.compute_codes(points))
    theirs = faiss.unpack_bitstrings(packed.numpy(), depth, bits)
    ours, total = residual_codes(torch.from_numpy(points), torch.from_numpy(books))
    assert np.array_equal(ours.numpy(), theirs)
    assert np.allclose(total.numpy(), oracle.decode(packed.numpy()), atol=1e-4)


def test_ties_go_to_the_lower_code() -> None:
    assert nearest(torch.zeros(1, 2), torch.tensor([[1.0, 0.0], [0.0, 1.0]])).tolist() == [0]


def test_a_price_makes_a_codeword_farther() -> None:
    points, books = torch.tensor([[0.4], [0.9]]), torch.tensor([[0.0], [1.0]])
    assert nearest(points, books).tolist() == [0, 1]
    # Squared distances are .16 and .36, .81 and .01.
    assert nearest(points, books, torch.tensor([0.21, 0.0])).tolist() == [1, 1]
    assert nearest(points, books, torch.tensor([0.19, 0.0])).tolist() == [0, 1]


def test_what_codes_stand_for_is_the_sum_of_their_codewords() -> None:
    books = torch.tensor([[[1.0, 0.0], [2.0, 0.0]], [[0.0, 3.0], [0.0, 5.0]]])
    assert sum_codewords(torch.tensor([[0, 1], [1, 0]]), books).tolist() == [[1.0, 5.0], [2.0, 3.0]]


def test_kmeans_finds_separate_clusters_and_repeats_itself() -> None:
    rng = np.random.default_rng(0)
    centres = 10 * rng.normal(size=(6, 4))
    points = (centres[:, None] + 0.01 * rng.normal(size=(6, 50, 4))).reshape(-1, 4)
    found = kmeans(points, 6, seed=3)
    near = np.linalg.norm(found[:, None] - centres[None], axis=2).min(axis=1)
    assert (near < 0.01).sum() >= 4  # one run may merge a pair of clusters
    assert np.array_equal(found, kmeans(points, 6, seed=3))
    assert not np.array_equal(found, kmeans(points, 6, seed=4))
