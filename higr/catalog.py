"""Items and their semantic IDs.

Items are kept in lexicographic order of their codes, as the prefix tree wants them. A catalogue
never changes: an update makes another one, which names its parent.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from higr.errors import InputError
from higr.files import read_table, write_table
from higr.prefix_tree import PrefixTree


@dataclass(frozen=True)
class Catalog:
    """Every item that can be generated.

    Attributes:
        item_ids: N ids in lexicographic order of their codes; items of one semantic ID by falling
            priority, then by id.
        codes: (N, D) int32; distinct rows unless `priority` is given.
        codebook_size: K; every code is in [0, K).
        tokenizer_id: `Tokenizer.id` of the tokenizer that made the codes.
        priority: (N,) float32 for the collision policy `share`: items may have one semantic ID, and
            decoding takes the eligible one of highest priority. None: semantic IDs are distinct.
        parent: version of the catalogue this one was updated from; empty for a first one.
        stand_ins: (N, D) int32, the semantic ID whose likelihood decoding gives each item: its own, or
            for what came after training that of `higr.stand_ins`. None: everybody's own.
    """

    item_ids: tuple[str, ...]
    codes: np.ndarray
    codebook_size: int
    tokenizer_id: str = ""
    priority: np.ndarray | None = None
    parent: str = ""
    stand_ins: np.ndarray | None = None

    @classmethod
    def build(
        cls,
        item_ids: Sequence[str],
        codes: np.ndarray,
        codebook_size: int,
        tokenizer_id: str = "",
        *,
        priority: np.ndarray | None = None,
        parent: str = "",
        stand_ins: np.ndarray | None = None,
    ) -> "Catalog":
        """Sort, check and wrap.

        Raises:
            InputError: no items, an id twice, a code outside [0, K), stand-ins of another shape or
                range than the codes, or, without priorities, two items with one semantic ID.
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
        if stand_ins is not None and (
            stand_ins.shape != codes.shape or stand_ins.min() < 0 or stand_ins.max() >= codebook_size
        ):
            raise InputError(
                f"catalogue: stand-ins of shape {stand_ins.shape} for codes of shape {codes.shape}; one row "
                f"of codes in 0..{codebook_size - 1} an item is due"
            )
        if priority is None:
            order = np.lexsort(codes.T[::-1])
        else:
            priority = np.asarray(priority, dtype=np.float32)
            if priority.shape != (len(codes),) or not np.isfinite(priority).all():
                raise InputError(
                    f"catalogue: priorities of shape {priority.shape} for {len(codes)} items; "
                    "one finite number an item is due"
                )
            order = np.lexsort((np.asarray(item_ids), -priority, *codes.T[::-1]))
            priority = priority[order]
        codes = codes[order]
        same = (codes[1:] == codes[:-1]).all(axis=1)
        if priority is None and same.any():
            where = int(np.flatnonzero(same)[0])
            raise InputError(
                f"catalogue: {int(same.sum())} semantic IDs are shared, {codes[where].tolist()} by items "
                f"{item_ids[order[where]]!r} and {item_ids[order[where + 1]]!r}; "
                "apply a collision policy first"
            )
        if stand_ins is not None:
            stand_ins = stand_ins[order].astype(np.int32)
            stand_ins = None if np.array_equal(stand_ins, codes) else stand_ins
        ids = tuple(str(item_ids[i]) for i in order)
        return cls(ids, codes, codebook_size, tokenizer_id, priority, parent, stand_ins)

    def __len__(self) -> int:
        return len(self.item_ids)

    @property
    def depth(self) -> int:
        """Codes an item: D, and one more under the collision policy `extend`."""
        return int(self.codes.shape[1])

    @cached_property
    def version(self) -> str:
        """12 hex digits of SHA-256 over everything above: equal content, equal version."""
        digest = hashlib.sha256(f"{self.codebook_size} {self.tokenizer_id} {self.parent}\n".encode())
        digest.update("\n".join(self.item_ids).encode())
        digest.update(np.ascontiguousarray(self.codes).tobytes())
        if self.priority is not None:
            digest.update(np.ascontiguousarray(self.priority).tobytes())
        if self.stand_ins is not None:
            digest.update(np.ascontiguousarray(self.stand_ins).tobytes())
        return digest.hexdigest()[:12]

    @cached_property
    def position(self) -> dict[str, int]:
        """Item id to its position in the catalogue."""
        return {item: i for i, item in enumerate(self.item_ids)}

    @cached_property
    def tree(self) -> PrefixTree:
        """Of all items, active or not."""
        return PrefixTree(self.codes, self.codebook_size, stand_ins=self.stand_ins)

    @cached_property
    def code_tensor(self) -> Tensor:
        """(N, D) int64."""
        return torch.from_numpy(self.codes.astype(np.int64))

    def save(self, path: Path) -> None:
        columns: dict[str, object] = {"item_id": pa.array(self.item_ids, pa.string())}
        for level in range(self.depth):
            columns[f"code_{level + 1}"] = pa.array(self.codes[:, level], pa.int32())
        if self.priority is not None:
            columns["priority"] = pa.array(self.priority, pa.float32())
        if self.stand_ins is not None:
            for level in range(self.depth):
                columns[f"stand_in_{level + 1}"] = pa.array(self.stand_ins[:, level], pa.int32())
        metadata = {
            "codebook_size": str(self.codebook_size),
            "tokenizer_id": self.tokenizer_id,
            "parent": self.parent,
        }
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
        stand_ins = _columns(table, "stand_in_")
        return cls.build(
            table["item_id"].to_pylist(),
            _columns(table, "code_"),
            int(size),
            metadata.get(b"tokenizer_id", b"").decode(),
            priority=table["priority"].to_numpy() if "priority" in table.column_names else None,
            parent=metadata.get(b"parent", b"").decode(),
            stand_ins=stand_ins if stand_ins.size else None,
        )


def read_codes(path: Path) -> np.ndarray:
    """(N, D) int32, the codes of a saved catalogue and nothing else of it.

    Raises:
        InputError: unreadable.
    """
    return _columns(read_table(path), "code_")


def _columns(table: pa.Table, prefix: str) -> np.ndarray:
    """(N, columns of that prefix) int32."""
    columns = [table[name].to_numpy() for name in table.column_names if name.startswith(prefix)]
    return np.column_stack(columns) if columns else np.empty((table.num_rows, 0), np.int32)
