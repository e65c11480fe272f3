"""What a decode has to compute and to move, counted: the numerator of the distance to the limit.

Counted for a batch of B contexts, with the sizes of `ModelConfig` and `Shape`:

FLOPs: every matrix product, a multiplication and its addition being two; attention as its two products
over the keys that a query may see. Normalisation, activations, softmax and the search are not counted.
Weights: those of a layer once in every step that runs it, for all rows and beams together. A step is
the encoder, a planner position, a code of the generator, or a token of a flat decoder.
Values: what every matrix product reads and writes beside weights; keys and values once for each
sequence that looks at them, those of the context once for all beams of a row; embedding rows of
codes and events. All between two products is taken as fused with them.
Tree: four bytes a child that the beams look up, four an item of the history at every level, eight a
code of the history.

Beams that a rule runs are counted, also where they do the same; what an implementation does more than
this, copies of caches or keys of the context for every beam, is its distance to the limit.
"""

from dataclasses import dataclass

from benchmarks.decoding_world import Shape
from higr.config import ModelConfig
from higr.peers.onerec_decode import Rule

BYTES = {"fp32": 4, "bf16": 2, "int8": 1}
"""Of a weight. Values are of four where weights are int8: such engines quantise inside a product."""


@dataclass(frozen=True)
class Work:
    """Attributes:
    flops: of matrix products.
    weights: numbers of the model read.
    values: other numbers read and written.
    tree: bytes of the prefix tree, the exclusions and the catalogue.
    """

    flops: float = 0
    weights: float = 0
    values: float = 0
    tree: float = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.flops + other.flops,
            self.weights + other.weights,
            self.values + other.values,
            self.tree + other.tree,
        )

    def __mul__(self, times: float) -> "Work":
        return Work(self.flops * times, self.weights * times, self.values * times, self.tree * times)

    def bytes(self, kind: str) -> float:
        """Moved, where weights are of this kind."""
        return self.weights * BYTES[kind] + self.values * (2 if kind == "bf16" else 4) + self.tree


def linear(rows: float, inner: int, outer: int) -> Work:
    """x: (rows, inner) by a matrix of weights."""
    return Work(2 * rows * inner * outer, inner * outer, rows * (inner + outer))


class Counter:
    """The parts that decoders are made of.

    Args:
        batch: B.
        tokens: of an encoded context, S.
    """

    def __init__(self, config: ModelConfig, shape: Shape, batch: int, tokens: int) -> None:
        self.config, self.shape, self.batch, self.tokens = config, shape, batch, tokens
        self.width = config.width
        self.narrow = config.width // config.heads * (config.kv_heads or config.heads)

    def encoder(self) -> Work:
        """History to memory."""
        rows = self.batch * self.tokens
        layer = self._attend(rows, self.tokens, rows) + self._project(rows) + self._feedforward(rows)
        events = self.batch * self.shape.history
        read = Work(values=events * (self.shape.depth + 2) * self.width, tree=8 * events * self.shape.depth)
        return layer * self.config.encoder_layers + read

    def context_keys(self, layers: int) -> Work:
        """Keys and values of the memory for so many layers."""
        return self._project(self.batch * self.tokens) * layers

    def step(self, layers: int, beams: float, length: int, *, cached: bool) -> Work:
        """Token number `length` of `beams` sequences a row through a decoder; not cached: all tokens anew."""
        sequences = self.batch * beams
        tokens = 1 if cached else length
        rows, seen = sequences * tokens, length - (tokens - 1) / 2  # keys that a query sees, on average
        own = self._attend(rows, seen, sequences * length) + self._project(rows)
        across = self._attend(rows, self.tokens, self.batch * self.tokens)
        block = own + across + self._feedforward(rows)
        return block * layers + (Work() if cached else self.context_keys(layers))

    def codes(self, beams: float, columns: int | None = None) -> Work:
        """Logits of one code of `beams` sequences a row, and what may follow in the tree."""
        sequences, size = self.batch * beams, self.shape.codebook_size
        search = 4 * (sequences * size + self.batch * self.shape.history)
        return linear(sequences, self.width, columns or size) + Work(tree=search)

    def embedding(self, rows: float) -> Work:
        """Rows of a table."""
        return Work(values=rows * self.width)

    def _attend(self, rows: float, keys: float, stored: float) -> Work:
        """Queries, attention over `keys` of the `stored` ones, and its output."""
        around = linear(rows, self.width, self.width) * 2
        moved = 2 * rows * self.width + 2 * stored * self.narrow
        return around + Work(flops=4 * rows * keys * self.width, values=moved)

    def _project(self, rows: float) -> Work:
        return linear(rows, self.width, self.narrow) * 2

    def _feedforward(self, rows: float) -> Work:
        inner = self.config.feedforward
        return linear(rows, self.width, inner) * 2 + linear(rows, inner, self.width)


def higr_work(config: ModelConfig, shape: Shape, batch: int, *, cached: bool = True) -> Work:
    """A planner step a position, then D codes by beam."""
    count = Counter(config, shape, batch, 1 + shape.history)
    work = count.encoder()
    if cached:
        work += count.context_keys(config.planner_layers + config.generator_layers)
    for position in range(1, shape.slate + 1):
        work += count.embedding(batch * (shape.depth if position > 1 else 1))
        work += count.step(config.planner_layers, 1, position, cached=cached)
        work += linear(batch, config.width, config.width)
        for level in range(1, shape.depth + 1):
            beams = _beams(shape, level - 1)
            work += count.embedding(batch * beams)
            work += count.step(config.generator_layers, beams, level, cached=cached) + count.codes(beams)
    return work


def onerec_work(config: ModelConfig, shape: Shape, batch: int, rule: Rule, *, cached: bool = True) -> Work:
    """BOS and D codes a position, each a step of the whole decoder; the slate's last code is not one."""
    count = Counter(config, shape, batch, 1 + shape.history)
    layers = config.planner_layers + config.generator_layers
    work = count.encoder()
    if cached:
        work += count.context_keys(layers)
    length = 0
    for position in range(1, shape.slate + 1):
        for token in range(shape.depth + 1):
            if token == shape.depth and position == shape.slate:
                break
            if rule == "session":
                beams = _beams(shape, (position - 1) * shape.depth + token)
            else:
                beams = 1 if token == shape.depth else _beams(shape, token)
            length += 1
            work += count.embedding(batch * beams) + count.step(layers, beams, length, cached=cached)
            if token < shape.depth:
                work += count.codes(beams)
    return work


def t5_work(config: ModelConfig, shape: Shape, batch: int, beams: int) -> Work:
    """T5 of HiGR's sizes: M * D codes, each by all beams from the first on, over one vocabulary."""
    count = Counter(config, shape, batch, shape.history)
    layers = config.planner_layers + config.generator_layers
    work = count.encoder() + count.context_keys(layers)
    for length in range(1, shape.slate * shape.depth + 1):
        work += count.embedding(batch * beams) + count.step(layers, beams, length, cached=True)
        work += count.codes(beams, columns=1 + shape.depth * shape.codebook_size)
    return work


def _beams(shape: Shape, codes: int) -> int:
    """That there are after so many codes."""
    return min(shape.beam, int(shape.codebook_size**codes))
