"""PCRQ-VAE: an MLP autoencoder whose latent is a sum of one codeword from each of D codebooks.

HiGR, arXiv 2512.24787, tokenizer section. Knows vectors and codes only, nothing of items.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BLOCK = 8192


@dataclass(frozen=True)
class Quantised:
    """What residual quantisation chose for a batch.

    Attributes:
        codes: (B, D) int64.
        selected: (B, D, C) the chosen codewords.
        residuals: (B, D, C) what each level was given: r_0 = z, r_d = r_{d-1} - e^d.
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

    Only the sum of codewords carries information to the decoder; gradients of the reconstruction
    pass from it to the encoder straight through, and never touch the codebooks.
    """

    def __init__(
        self, *, width: int, hidden: tuple[int, ...], latent_dim: int, depth: int, codebook_size: int
    ) -> None:
        super().__init__()
        self.width = width
        self.encoder = _mlp((width, *hidden, latent_dim))
        self.decoder = _mlp((latent_dim, *reversed(hidden), width))
        self.codebooks = nn.Parameter(torch.randn(depth, codebook_size, latent_dim))

    def quantise(self, z: Tensor) -> Quantised:
        """Nearest codeword of the residual, level by level; ties go to the lower code. z: (B, C)."""
        codes, selected, residuals = [], [], []
        residual = z
        for codebook in self.codebooks:
            code = nearest(residual.detach(), codebook.detach())
            chosen = F.embedding(code, codebook)
            codes.append(code)
            selected.append(chosen)
            residuals.append(residual)
            residual = residual - chosen
        return Quantised(torch.stack(codes, 1), torch.stack(selected, 1), torch.stack(residuals, 1))

    def reconstruct(self, z: Tensor, quantised: Tensor) -> Tensor:
        """Decode the quantised latent, its gradient passed straight through to z. (B, width)."""
        return self.decoder(z + (quantised - z).detach())

    @torch.no_grad()
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes (N, D) int64, latents (N, C), squared reconstruction errors (N,); in blocks."""
        parts = [self._encode_block(block) for block in _blocks(x)]
        codes, latents, errors = zip(*parts, strict=True)
        return torch.cat(codes), torch.cat(latents), torch.cat(errors)

    def _encode_block(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z = self.encoder(x)
        quantised = self.quantise(z)
        error = (x - self.decoder(quantised.sum)).square().sum(dim=-1)
        return quantised.codes, z, error


def nearest(points: Tensor, codebook: Tensor) -> Tensor:
    """(B,) index of the codeword nearest to each of (B, C) points, squared Euclidean."""
    distance = codebook.square().sum(dim=-1) - 2.0 * points @ codebook.T  # + ||points||^2, equal for all
    return distance.argmin(dim=-1)


def _mlp(widths: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _blocks(x: Tensor) -> Iterator[Tensor]:
    for start in range(0, len(x), BLOCK):
        yield x[start : start + BLOCK]
