"""Items and their semantic IDs, and the prefix tree that keeps decoding inside the catalogue.

Items are kept in lexicographic order of their codes, so that all items under a prefix stand side
by side: a node of the tree is a range of item positions, and "is anything eligible under this
node?" is a difference of two prefix sums. This needs no K^D table and works for any K and D.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from higr.errors import InputError
from higr.files import read_table, write_table


@dataclass(frozen=True)
class TreeLevel:
    """The nodes of one depth, in lexicographic order of their prefixes.

    Attributes:
        code: (nodes,) int64, the last code of each node's prefix.
        children: (nodes + 1,) int64; node n's children are nodes children[n] .. children[n + 1] - 1
            of the next depth. At the last depth a node is an item and has none.
        items: (nodes + 1,) int64; node n holds the items at positions items[n] .. items[n + 1] - 1.
    """

    code: Tensor
    children: Tensor
    items: Tensor


class PrefixTree:
    """The catalogue's codes as tensors. Depth 0 is the root, depth D are the items."""

    def __init__(self, codes: np.ndarray) -> None:
        """codes: (N, D) int, distinct rows in lexicographic order."""
        count, depth = codes.shape
        starts = []  # per depth 0..D, the position of each node's first item
        new_node = np.zeros(count, dtype=bool)
        new_node[:1] = True
        starts.append(np.flatnonzero(new_node))
        for level in range(depth):
            new_node[1:] |= codes[1:, level] != codes[:-1, level]
            starts.append(np.flatnonzero(new_node))
        self.depth = depth
        self.levels: list[TreeLevel] = []
        for level, start in enumerate(starts):
            edges = np.append(start, count)
            below = starts[level + 1] if level < depth else np.zeros(0, np.int64)  # items have no children
            self.levels.append(
                TreeLevel(
                    code=torch.from_numpy(
                        codes[start, level - 1].astype(np.int64) if level else np.zeros(len(start), np.int64)
                    ),
                    children=torch.from_numpy(np.searchsorted(below, edges).astype(np.int64)),
                    items=torch.from_numpy(edges.astype(np.int64)),
                )
            )
        self.max_children = [
            int((level.children[1:] - level.children[:-1]).max()) if count else 0
            for level in self.levels[:-1]
        ]


@dataclass(frozen=True)
class Catalog:
    """Every item that can be generated, with a semantic ID of its own.

    Attributes:
        item_ids: N ids in lexicographic order of their codes.
        codes: (N, D) int32, distinct rows.
        codebook_size: K; every code is in [0, K).
        tokenizer_id: `Tokenizer.id` of the tokenizer that made the codes.
    """

    item_ids: tuple[str, ...]
    codes: np.ndarray
    codebook_size: int
    tokenizer_id: str = ""

    @classmethod
    def build(
        cls, item_ids: Sequence[str], codes: np.ndarray, codebook_size: int, tokenizer_id: str = ""
    ) -> "Catalog":
        """Sort, check and wrap.

        Raises:
            InputError: no items, an id twice, two items with one semantic ID, or a code outside [0, K).
        """
        codes = np.asarray(codes, dtype=np.int32)
        if codes.ndim != 2 or len(item_ids) != len(codes) or not len(codes):
            raise InputError(
                f"catalogue: {len(item_ids)} items with codes of shape {codes.shape}; "
                "one row of D codes an item is due"
            )
        if len(set(item_ids)) != len(item_ids):
            raise InputError(
                f"catalogue: {len(item_ids) - len(set(item_ids))} duplicate item ids; ids must be unique"
            )
        if codes.min() < 0 or codes.max() >= codebook_size:
            raise InputError(
                f"catalogue: codes span {codes.min()}..{codes.max()}; "
                f"codebook size {codebook_size} allows 0..{codebook_size - 1}"
            )
        order = np.lexsort(codes.T[::-1])
        codes = codes[order]
        same = (codes[1:] == codes[:-1]).all(axis=1)
        if same.any():
            where = int(np.flatnonzero(same)[0])
            raise InputError(
                f"catalogue: {int(same.sum())} semantic IDs are shared, {codes[where].tolist()} by items "
                f"{item_ids[order[where]]!r} and {item_ids[order[where + 1]]!r}; "
                "apply a collision policy first"
            )
        return cls(tuple(str(item_ids[i]) for i in order), codes, codebook_size, tokenizer_id)

    def __len__(self) -> int:
        return len(self.item_ids)

    @property
    def depth(self) -> int:
        """D, codes an item."""
        return int(self.codes.shape[1])

    @cached_property
    def position(self) -> dict[str, int]:
        """Item id to its position in the catalogue."""
        return {item: i for i, item in enumerate(self.item_ids)}

    @cached_property
    def tree(self) -> PrefixTree:
        return PrefixTree(self.codes)

    @cached_property
    def code_tensor(self) -> Tensor:
        """(N, D) int64."""
        return torch.from_numpy(self.codes.astype(np.int64))

    def eligible(self, exclude: Iterable[str] = ()) -> Tensor:
        """(N,) bool mask of the items that are not excluded; unknown ids are ignored."""
        mask = torch.ones(len(self), dtype=torch.bool)
        known = [self.position[item] for item in exclude if item in self.position]
        mask[known] = False
        return mask

    def save(self, path: Path) -> None:
        columns: dict[str, object] = {"item_id": pa.array(self.item_ids, pa.string())}
        for level in range(self.depth):
            columns[f"code_{level + 1}"] = pa.array(self.codes[:, level], pa.int32())
        metadata = {"codebook_size": str(self.codebook_size), "tokenizer_id": self.tokenizer_id}
        write_table(path, pa.table(columns).replace_schema_metadata(metadata))

    @classmethod
    def load(cls, path: Path) -> "Catalog":
        """Read what `save` wrote.

        Raises:
            InputError: unreadable, or not a catalogue.
        """
        table = read_table(path)
        metadata = table.schema.metadata or {}
        size = metadata.get(b"codebook_size")
        if size is None or table.column_names[:2] != ["item_id", "code_1"]:
            raise InputError(f"{path} is not a catalogue (item_id, code_1, ...); run `higr tokenize` again")
        codes = np.column_stack([table[name].to_numpy() for name in table.column_names[1:]])
        return cls.build(
            table["item_id"].to_pylist(), codes, int(size), metadata.get(b"tokenizer_id", b"").decode()
        )
