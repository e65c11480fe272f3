"""HiGR: a context encoder, a slate planner and an item generator (arXiv 2512.24787, section 3.2).

memory = encoder(history, profile)                     higr.model.encoder
p_m    = planner([BOS, i_1 .. i_{m-1}], memory)        higr.model.planner; i = sum of its codes' embeddings
c_d    ~ generator([p_m, c_1 .. c_{d-1}], memory)      higr.model.generator; one for all positions
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from higr.config import ModelConfig
from higr.errors import BundleError
from higr.files import atomic_file, read_json, write_json
from higr.model.embedding import CodeEmbedding
from higr.model.encoder import ContextEncoder
from higr.model.generator import GeneratorContext, ItemGenerator
from higr.model.inputs import PADDING, ContextBatch, ProfileVocabulary
from higr.model.layers import Caches, KeyValue
from higr.model.planner import SlatePlanner


@dataclass(frozen=True)
class Context:
    """An encoded context, with the keys and values of every decoder layer projected once.

    Attributes:
        mask: (B, S) bool, false where the context is padding; an engine may keep it in a form of its own.
        planner: keys and values, one pair a planner layer.
        generator: the same of the generator.
    """

    mask: Tensor
    planner: list[KeyValue]
    generator: GeneratorContext

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self._tensors())

    def rows(self, first: int, end: int) -> "Context":
        """Contexts first .. end - 1 of the batch, as views."""
        return self._each(lambda tensor: tensor[first:end])

    def copied(self) -> "Context":
        """In memory of its own: a view holds on to the whole batch it was cut from."""
        return self._each(torch.clone)

    @classmethod
    def join(cls, contexts: Sequence["Context"]) -> "Context":
        """One batch of several, of equal S."""
        columns = iter(torch.cat(tensors) for tensors in zip(*(c._tensors() for c in contexts), strict=True))
        return contexts[0]._each(lambda _: next(columns))

    def _tensors(self) -> Iterator[Tensor]:
        yield self.mask
        for pairs in (self.planner, *self.generator):
            for keys, values in pairs:
                yield keys
                yield values

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Context":
        """In the order of `_tensors`."""
        mask = change(self.mask)
        planner = [(change(keys), change(values)) for keys, values in self.planner]
        return Context(
            mask, planner, [[(change(keys), change(values)) for keys, values in of] for of in self.generator]
        )


class HiGR(nn.Module):
    """The whole model. It knows codes, not items: a catalogue turns one into the other.

    Args:
        config: sizes and forms.
        depth: D, codes an item.
        codebook_size: K.
        profiles: the profile fields it was trained with.
        tokenizer_id: `Tokenizer.id` of the tokenizer whose codes it speaks.
    """

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
        self.embedding = CodeEmbedding(depth, codebook_size, config.width, config.pooling)
        self.encoder = ContextEncoder(config, profiles, depth)
        self.planner = SlatePlanner(config)
        self.generator = ItemGenerator(config, depth, codebook_size)
        self.apply(_initialise)
        for parameter in (self.encoder.user_token, self.planner.start, self.generator.head):
            nn.init.normal_(parameter, std=0.02)

    def encode(self, batch: ContextBatch, codes: Tensor) -> Context:
        """Encode contexts once.

        Args:
            batch: B contexts.
            codes: (N, D) int64, the catalogue's codes that `batch.items` points into.
        """
        memory, mask = self.encoder(batch, codes, self.embedding)
        return Context(mask, self.planner.decoder.project(memory), self.generator.project(memory))

    # -- all positions at once: training ------------------------------------------------------

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
        """`forward` from an encoded context, for S slates each: (B * S, M, D) codes -> (B * S, M, D, K).

        The S slates of a context are neighbours. Its keys and values are neither projected nor copied again.
        """
        return self.generate(context, self.plan(context, self.embedding.items(slates[:, :-1])), slates)

    def plan(self, context: Context, items: Tensor) -> Tensor:
        """(B * S, M - 1, C) embeddings of the items before each position -> (B * S, M, C), p_1 .. p_M."""
        return self.planner(items, context.planner, context.mask)

    def generate(self, context: Context, plans: Tensor, codes: Tensor) -> Tensor:
        """(B * S, M, C) plans and (B * S, M, D) forced codes -> (B * S, M, D, K); the last is not seen."""
        prefix = self.embedding(codes)[..., :-1, :]  # (B * S, M, D - 1, C)
        return self.generator(plans, prefix, context.generator, context.mask)

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
        if not self.generator.shared:  # all of them take part in every batch
            items = F.pad(items, (0, self.config.max_slate_size - items.shape[1]), value=PADDING)
        present = (items != PADDING)[..., None]  # (B, M, 1)
        slates = codes[items.clamp(min=0)]  # (B, M, D)
        logits = self(contexts, codes, slates)  # (B, M, D, K)
        wanted = slates.masked_fill(~present, PADDING).flatten()
        total = F.cross_entropy(
            logits.flatten(0, 2), wanted, ignore_index=PADDING, label_smoothing=smoothing, reduction="sum"
        )
        return total, present.sum() * self.depth

    # -- one step at a time: decoding ---------------------------------------------------------

    def plan_step(
        self, context: Context, position: int, item: Tensor | None, caches: Caches | None
    ) -> tuple[Tensor, Caches]:
        """p_m of the next position, see `SlatePlanner.step`."""
        return self.planner.step(position, item, context.planner, context.mask, caches)

    def generate_step(
        self, context: Context, position: int, level: int, x: Tensor, caches: Caches | None
    ) -> tuple[Tensor, Caches]:
        """Logits of the next code of W beams, see `ItemGenerator.step`."""
        return self.generator.step(position, level, x, context.generator, context.mask, caches)

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
