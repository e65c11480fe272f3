"""How fast semantic IDs are made, beside faiss and vector-quantize-pytorch; training, update, tree.

Encoding is measured on random mixtures of the content vectors of KuaiRec, on one thread a core as it
is and on all cores of the machine, the three in turns. faiss and vector-quantize-pytorch quantise
what PCRQ-VAE's encoder gives: they are given no encoder to run and no errors to compute.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from vector_quantize_pytorch import ResidualVQ

from benchmarks import catalogue, prefix_tree
from benchmarks.prefix_tree import Case
from benchmarks.tokenizer_data import DataSet
from higr.config import TokenizerConfig
from higr.tokenizer.fit import fit_quantizer
from higr.tokenizer.neighbours import content_neighbours
from higr.tokenizer.pcrq_vae import PCRQVAE

ITEMS = 200_000
ROUNDS = 5
SIZE, DEPTH = 256, 3
CASES = (Case(100_000, 256, 3), Case(10_000_000, 256, 3))


def measure(data: DataSet, cores: int) -> dict[str, Any]:
    """All speed figures."""
    with tempfile.TemporaryDirectory() as folder:
        updated = catalogue.measure(Path(folder), 1_000_000, 10_000)
    return {
        "encode": encode_rates(data, cores),
        "train_kuairec_seconds": train_seconds(data),
        "catalogue_1M": updated,
        "prefix_tree": [asdict(prefix_tree.measure(case)) for case in CASES],
    }


def train_seconds(data: DataSet) -> dict[str, float]:
    """Training of each kind on as many items as KuaiRec has, mining included, one thread."""
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    rng = np.random.default_rng(0)
    extra = rng.integers(len(data.embeddings), size=data.left_out)
    embeddings = np.concatenate([data.embeddings, data.embeddings[extra]])
    seconds = {}
    for kind in ("pcrq_vae", "rq_vae", "balanced_kmeans", "rq_kmeans"):
        config = TokenizerConfig.model_validate({"kind": kind, "codebook_size": SIZE})
        started = time.perf_counter()
        positives = content_neighbours(embeddings, config.neighbours)
        fit_quantizer(embeddings, positives, config, 0)
        seconds[kind] = time.perf_counter() - started
    return seconds


def encode_rates(data: DataSet, cores: int) -> dict[str, Any]:
    """Items a second by threads and implementation, medians of rounds in turns."""
    rng = np.random.default_rng(0)
    left, right = rng.integers(len(data.embeddings), size=(2, ITEMS))
    x = (data.embeddings[left] + data.embeddings[right]).astype(np.float32)
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)
    base = {"codebook_size": SIZE, "epochs": 5}
    quantizers = {}
    for kind in ("pcrq_vae", "rq_kmeans", "balanced_kmeans"):
        config = TokenizerConfig.model_validate(base | {"kind": kind})
        quantizers[kind] = fit_quantizer(data.embeddings, content_neighbours(data.embeddings, 10), config, 0)
    vae = quantizers["pcrq_vae"]
    assert isinstance(vae, PCRQVAE)
    latents = vae.encode(x).latents
    cases: dict[str, Callable[[], object]] = {
        **{kind: _encoding(quantizer, x) for kind, quantizer in quantizers.items()},
        "faiss_residual_quantizer_beam_1": _faiss(vae, latents),
        "vector_quantize_pytorch": _vq(vae, latents),
    }
    rates: dict[str, Any] = {"items": ITEMS, "codebook_size": SIZE, "depth": DEPTH, "width": x.shape[1]}
    for threads in sorted({1, cores}):
        torch.set_num_threads(threads)
        faiss.omp_set_num_threads(threads)
        times: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(1 + ROUNDS):
            for name, case in cases.items():
                started = time.perf_counter()
                case()
                times[name].append(time.perf_counter() - started)
        rates[f"threads_{threads}"] = {name: ITEMS / float(np.median(own[1:])) for name, own in times.items()}
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    return rates


def _encoding(quantizer: Any, x: np.ndarray) -> Callable[[], object]:
    return lambda: quantizer.encode(x)


def _faiss(vae: PCRQVAE, latents: np.ndarray) -> Callable[[], object]:
    oracle = faiss.ResidualQuantizer(latents.shape[1], DEPTH, SIZE.bit_length() - 1)
    oracle.max_beam_size = 1
    faiss.copy_array_to_vector(np.ascontiguousarray(vae.codebooks).ravel(), oracle.codebooks)
    oracle.is_trained = True
    return lambda: oracle.compute_codes(latents)


def _vq(vae: PCRQVAE, latents: np.ndarray) -> Callable[[], object]:
    oracle = ResidualVQ(dim=latents.shape[1], num_quantizers=DEPTH, codebook_size=SIZE).eval()
    with torch.no_grad():
        for layer, codebook in zip(oracle.layers, vae.codewords, strict=True):
            layer._codebook.embed.copy_(codebook[None])
    blocks = torch.from_numpy(latents)[None].split(4096, dim=1)

    @torch.inference_mode()
    def work() -> object:
        return [oracle(block)[1] for block in blocks]

    return work
