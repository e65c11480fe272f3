"""HiGR: a context encoder, a slate planner and an item generator (arXiv 2512.24787, section 3.2).

memory = encoder(history, profile)
p_m    = planner([BOS, i_1 .. i_{m-1}], memory)        i = sum of the item's code embeddings
c_d    ~ generator([p_m, c_1 .. c_{d-1}], memory)      one generator for all positions
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from higr.config import ModelConfig
from higr.data.schemas import Feedback
from higr.errors import BundleError
from higr.files import atomic_file, read_json, write_json
from higr.model.inputs import PADDING, ContextBatch, ProfileVocabulary
from higr.model.layers import Decoder, EncoderBlock, KeyValue, norm


@dataclass(frozen=True)
class Context:
    """An encoded context, with the keys and values of every decoder layer projected once.

    Attributes:
        mask: (B, S) bool, false where the context is padding.
        planner: keys and values, one pair a planner layer.
        generator: keys and values, one pair a generator layer.
    """

    mask: Tensor
    planner: list[KeyValue]
    generator: list[KeyValue]


class HiGR(nn.Module):
    """The whole model. It knows codes, not items: a catalogue turns one into the other.

    Args:
        config: sizes.
        depth: D, codes an item.
        codebook_size: K.
        profiles: the profile fields it was trained with.
        tokenizer_id: `Tokenizer.id` of the tokenizer whose codes it speaks.
    """

    level_offset: Tensor

    def __init__(
        self,
        config: ModelConfig,
        depth: int,
        codebook_size: int,
        profiles: ProfileVocabulary,
        tokenizer_id: str,
    ) -> None:
        super().__init__()
        self.config, self.depth, self.codebook_size = config, depth, codebook_size
        self.profiles, self.tokenizer_id = profiles, tokenizer_id
        width, sizes = config.width, (config.width, config.heads, config.feedforward, config.dropout)

        self.code_embedding = nn.Embedding(depth * codebook_size, width)
        self.register_buffer("level_offset", torch.arange(depth) * codebook_size, persistent=False)

        self.feedback_embedding = nn.Embedding(len(Feedback), width)
        self.recency_embedding = nn.Embedding(config.history_length, width)
        self.profile_embedding = nn.Embedding(max(1, profiles.size), width)
        self.user_token = nn.Parameter(torch.zeros(width))
        self.encoder = nn.ModuleList(EncoderBlock(*sizes) for _ in range(config.encoder_layers))
        self.encoder_norm = norm(width)

        self.slate_start = nn.Parameter(torch.zeros(width))
        self.position_embedding = nn.Embedding(config.max_slate_size, width)
        self.planner = Decoder(config.planner_layers, *sizes)

        self.preference = nn.Linear(width, width, bias=False)
        self.level_embedding = nn.Embedding(depth, width)
        self.generator = Decoder(config.generator_layers, *sizes)
        self.head = nn.Parameter(torch.empty(depth, codebook_size, width))

        self.dropout = nn.Dropout(config.dropout)
        self.apply(_initialise)
        for parameter in (self.user_token, self.slate_start, self.head):
            nn.init.normal_(parameter, std=0.02)

    # -- parts --------------------------------------------------------------------------------

    def embed_codes(self, codes: Tensor) -> Tensor:
        """(..., D) codes -> (..., D, C)."""
        return self.code_embedding(codes + self.level_offset)

    def embed_items(self, codes: Tensor) -> Tensor:
        """(..., D) codes -> (..., C), the sum of an item's code embeddings."""
        return self.embed_codes(codes).sum(dim=-2)

    def encode(self, batch: ContextBatch, codes: Tensor) -> Context:
        """Encode contexts once.

        Args:
            batch: B contexts.
            codes: (N, D) int64, the catalogue's codes that `batch.items` points into.
        """
        present = batch.items != PADDING  # (B, H)
        history = self.embed_items(codes[batch.items.clamp(min=0).long()])  # (B, H, C)
        history = history + self.feedback_embedding(batch.feedback.long()) + self.recency_embedding.weight
        user = self.user_token + self.profile_embedding(batch.profile.long()).sum(dim=1)  # (B, C)
        memory = self.dropout(torch.cat([user[:, None], history], dim=1))  # (B, 1 + H, C)
        mask = torch.cat([present.new_ones(len(batch), 1), present], dim=1)
        for block in self.encoder:
            memory = block(memory, mask)
        memory = self.encoder_norm(memory)
        return Context(mask, self.planner.project(memory), self.generator.project(memory))

    def plan(self, context: Context, items: Tensor) -> Tensor:
        """Preference embeddings of all positions at once.

        Args:
            items: (B, M - 1, C), embeddings of the items before each position.

        Returns:
            (B, M, C), p_1 .. p_M.
        """
        start = self.slate_start.expand(len(items), 1, -1)
        x = self.dropout(
            torch.cat([start, items], dim=1) + self.position_embedding.weight[: items.shape[1] + 1]
        )
        return self.planner(x, context.planner, context.mask)

    def generate(self, context: Context, plans: Tensor, codes: Tensor) -> Tensor:
        """Logits of all codes of all positions at once.

        Args:
            plans: (B, M, C).
            codes: (B, M, D), the codes that are forced; the last level is not looked at.

        Returns:
            (B, M, D, K) logits.
        """
        prefix = self.embed_codes(codes)[..., :-1, :]  # (B, M, D - 1, C)
        x = torch.cat([self.preference(plans)[:, :, None], prefix], dim=2) + self.level_embedding.weight
        batch, slate, depth, width = x.shape
        x = self.dropout(x.reshape(batch, slate * depth, width))
        x = self.generator(x, context.generator, context.mask, rows=slate).reshape(batch, slate, depth, width)
        return torch.einsum("bmdc,dkc->bmdk", x, self.head)

    def forward(self, batch: ContextBatch, codes: Tensor, slates: Tensor) -> Tensor:
        """Teacher forcing over whole slates.

        Args:
            batch: B contexts.
            codes: (N, D) int64, the catalogue's codes.
            slates: (B, M, D) int64 target codes; padded positions may hold any code.

        Returns:
            (B, M, D, K) logits.
        """
        return self.slate_logits(self.encode(batch, codes), slates)

    def slate_logits(self, context: Context, slates: Tensor) -> Tensor:
        """`forward` from an encoded context: (B, M, D) codes -> (B, M, D, K) logits."""
        plans = self.plan(context, self.embed_items(slates[:, :-1]))
        return self.generate(context, plans, slates)

    def losses(
        self, contexts: ContextBatch, items: Tensor, codes: Tensor, smoothing: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Next-code cross-entropy with teacher forcing (section 3.2, pretraining).

        Args:
            contexts: B contexts.
            items: (B, M) catalogue positions, PADDING behind the end.
            codes: (N, D) the catalogue's codes.
            smoothing: share of the target that is spread over all codes.

        Returns:
            The sum over the codes of the target items, and their number.
        """
        present = (items != PADDING)[..., None]  # (B, M, 1)
        slates = codes[items.clamp(min=0)]  # (B, M, D)
        logits = self(contexts, codes, slates)  # (B, M, D, K)
        wanted = slates.masked_fill(~present, PADDING).flatten()
        total = F.cross_entropy(
            logits.flatten(0, 2), wanted, ignore_index=PADDING, label_smoothing=smoothing, reduction="sum"
        )
        return total, present.sum() * self.depth

    # -- one step at a time -------------------------------------------------------------------

    def plan_step(
        self, context: Context, position: int, item: Tensor | None, caches: list[KeyValue] | None
    ) -> tuple[Tensor, list[KeyValue]]:
        """p_m of the next position.

        Args:
            position: m - 1.
            item: (B, C) embedding of the item before it; None at the start.
            caches: one a planner layer; None at the start.

        Returns:
            (B, C), and the caches grown by the position.
        """
        x = self.slate_start.expand(len(context.mask), -1) if item is None else item
        x = (x + self.position_embedding.weight[position])[:, None]  # (B, 1, C)
        x, caches = self.planner.step(x, context.planner, context.mask, caches)
        return x[:, 0], caches

    def generate_step(
        self, context: Context, level: int, x: Tensor, caches: list[KeyValue] | None
    ) -> tuple[Tensor, list[KeyValue]]:
        """Logits of the next code of W beams.

        Args:
            level: d - 1.
            x: (B, W, C), the projected plan at level 0, else embeddings of the codes just chosen.
            caches: one a generator layer, of B * W sequences; None at level 0.

        Returns:
            (B, W, K), and the caches grown by the level.
        """
        x = x + self.level_embedding.weight[level]
        x, caches = self.generator.step(x, context.generator, context.mask, caches)
        return x @ self.head[level].T, caches

    # -- storage ------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write `config.json` and `model.safetensors` into the directory."""
        path.mkdir(parents=True, exist_ok=True)
        write_json(
            path / "config.json",
            {
                "model": self.config.model_dump(),
                "depth": self.depth,
                "codebook_size": self.codebook_size,
                "profiles": {name: list(values) for name, values in self.profiles.fields.items()},
                "tokenizer_id": self.tokenizer_id,
            },
        )
        with atomic_file(path / "model.safetensors") as aside:
            save_file(self.state_dict(), aside)

    @classmethod
    def load(cls, path: Path) -> "HiGR":
        """Read what `save` wrote, ready for inference.

        Raises:
            BundleError: weights missing, unreadable, or of another shape than the configuration.
        """
        document = read_json(path / "config.json")
        model = cls(
            ModelConfig.model_validate(document["model"]),
            document["depth"],
            document["codebook_size"],
            ProfileVocabulary({name: tuple(values) for name, values in document["profiles"].items()}),
            document["tokenizer_id"],
        )
        try:
            model.load_state_dict(load_file(path / "model.safetensors"))
        except (OSError, SafetensorError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise BundleError(
                f"{path / 'model.safetensors'} does not fit config.json ({reason}); train again"
            ) from None
        return model.eval()


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
