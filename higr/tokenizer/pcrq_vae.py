"""PCRQ-VAE: an MLP autoencoder whose latent is a sum of one codeword from each of D codebooks.

HiGR, arXiv 2512.24787, tokenizer section. RQ-VAE (TIGER, arXiv 2305.05065) is the same network
trained by other losses. Knows vectors and codes only, nothing of items.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from higr.tokenizer.quantizer import Codes
from higr.tokenizer.residual import blocks, nearest, residual_codes, sum_codewords


@dataclass(frozen=True)
class Quantised:
    """What residual quantisation chose for a batch.

    Attributes:
        codes: (B, D) int64.
        selected: (B, D, C) the chosen codewords.
        residuals: (B, D, C) what each level was given: r_0 = z, r_d = r_{d-1} - sg(e^d). Gradients
            reach z alone: no level answers for what the levels before it left.
    """

    codes: Tensor
    selected: Tensor
    residuals: Tensor

    @property
    def sum(self) -> Tensor:
        """(B, C), the quantised latent."""
        return self.selected.sum(dim=1)


class PCRQVAE(nn.Module):
    """Encoder, D codebooks of K codewords, decoder.

    `unit` latents have length 1; the paper does not say. Codewords may have prices, which are added
    to squared distances (see `residual_kmeans`). Only the sum of codewords carries information to the
    decoder; gradients of the reconstruction pass from it to the encoder straight through, and never
    touch the codebooks.
    """

    def __init__(
        self,
        *,
        width: int,
        hidden: tuple[int, ...],
        latent_dim: int,
        depth: int,
        codebook_size: int,
        unit: bool = True,
    ) -> None:
        super().__init__()
        self.width, self.unit = width, unit
        self.encoder = _mlp((width, *hidden, latent_dim))
        self.decoder = _mlp((latent_dim, *reversed(hidden), width))
        self.codewords = nn.Parameter(torch.randn(depth, codebook_size, latent_dim))
        self.prices: Tensor
        self.register_buffer("prices", torch.zeros(depth, codebook_size))

    @property
    def codebooks(self) -> np.ndarray:
        """(D, K, C) float32."""
        return self.codewords.detach().numpy()

    def latent(self, x: Tensor) -> Tensor:
        """z, (B, C) of (B, width); of length 1 where the model is a `unit` one."""
        z = self.encoder(x)
        return F.normalize(z, dim=-1) if self.unit else z

    def quantise(self, z: Tensor) -> Quantised:
        """Nearest codeword of the residual, level by level; ties go to the lower code. z: (B, C)."""
        codes, selected, residuals = [], [], []
        residual = z
        for codebook, prices in zip(self.codewords, self.prices, strict=True):
            code = nearest(residual.detach(), codebook.detach(), prices)
            chosen = F.embedding(code, codebook)
            codes.append(code)
            selected.append(chosen)
            residuals.append(residual)
            residual = residual - chosen.detach()
        return Quantised(torch.stack(codes, 1), torch.stack(selected, 1), torch.stack(residuals, 1))

    def reconstruct(self, z: Tensor, quantised: Tensor) -> Tensor:
        """Decode the quantised latent, its gradient passed straight through to z. (B, width)."""
        return self.decoder(z + (quantised - z).detach())

    @torch.inference_mode()
    def encode(self, x: np.ndarray) -> Codes:
        """See `Quantizer.encode`."""
        size, depth, width = len(x), *self.codewords.shape[::2]
        out = Codes(
            np.empty((size, depth), np.int32),
            np.empty((size, width), np.float32),
            np.empty(size, np.float32),
        )
        start = 0
        for block in blocks(x):
            rows = slice(start, start + len(block))
            z = self.latent(block)
            codes, quantised = residual_codes(z, self.codewords, self.prices)
            out.codes[rows], out.latents[rows] = codes.numpy(), z.numpy()
            out.errors[rows] = (block - self.decoder(quantised)).square().sum(dim=-1).numpy()
            start += len(block)
        return out

    @torch.inference_mode()
    def decode(self, codes: np.ndarray) -> np.ndarray:
        """See `Quantizer.decode`."""
        return self.decoder(sum_codewords(torch.from_numpy(codes.astype(np.int64)), self.codewords)).numpy()

    def state(self) -> dict[str, np.ndarray]:
        """See `Quantizer.state`."""
        return {name: value.numpy() for name, value in self.state_dict().items()}


def _mlp(widths: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
