"""Which semantic ID a model was trained with stands in for one that it has never met.

A generator learns which codes follow a prefix, so it gives next to nothing to a combination that no
item had in training: a new item would be in the prefix tree and never in a slate. Its stand-in lends
it a likelihood. Down from the root, a node below which the training catalogue had an item stands for
itself; any other is spoken for by that trained child of its parent's stand-in whose codewords sum to
nearest its own. So a new item is as likely as the trained one that it resembles most, under the
longest prefix they share. Items under one prefix have stand-ins under one prefix, as the beam search
needs it. Not reported by the paper.
"""

import numpy as np

from higr.prefix_tree import PrefixTree

BLOCK = 1024
"""Rows whose distances to all codewords are held at once."""


def find_stand_ins(codes: np.ndarray, trained: np.ndarray, codebooks: np.ndarray) -> np.ndarray:
    """(N, L) int32: for each semantic ID one of `trained`; itself where it is among them.

    Args:
        codes: (N, L) int. L may be D + 1 (collision policy `extend`): the last code says nothing of
            content then, and the lowest trained one, the best-fitting item's, stands in.
        trained: (T, L) int, semantic IDs of the catalogue that the model was trained with, at least
            one; in any order, and the same one several times does not matter.
        codebooks: (D, K, C), `Tokenizer.codebooks`.
    """
    size = codebooks.shape[1]
    tree = PrefixTree(trained[np.lexsort(trained.T[::-1])], size, layout="csr")
    books = codebooks.astype(np.float64)
    node = np.zeros(len(codes), np.int64)  # the stand-in, level by level
    itself = np.ones(len(codes), bool)
    apart = np.zeros((len(codes), books.shape[2]))  # own codewords less the stand-in's, summed
    out = np.empty(codes.shape, np.int32)
    for level in range(codes.shape[1]):
        first, below = tree.nodes[level].first.numpy(), tree.nodes[level + 1].code.numpy()[:-1]
        parents = np.repeat(np.arange(tree.nodes[level].count), np.diff(first[:-1]))
        edges = parents * size + below  # rising
        child = np.searchsorted(edges, node * size + codes[:, level])
        itself &= edges[np.minimum(child, len(edges) - 1)] == node * size + codes[:, level]
        rows = np.flatnonzero(~itself)
        if level == len(books):
            child[rows] = first[node[rows]]
        for low in range(0, len(rows) if level < len(books) else 0, BLOCK):
            part = rows[low : low + BLOCK]
            target = apart[part] + books[level][codes[part, level]]
            code = _nearest(target, books[level], below, first[node[part]], first[node[part] + 1])
            child[part] = np.searchsorted(edges, node[part] * size + code)
        node, out[:, level] = child, below[child]
        if level < len(books):
            apart[rows] += books[level][codes[rows, level]] - books[level][out[rows, level]]
    return out


def _nearest(
    target: np.ndarray, book: np.ndarray, below: np.ndarray, start: np.ndarray, end: np.ndarray
) -> np.ndarray:
    """(R,) of the codes below[start .. end - 1], the one whose codeword is nearest each target (R, C)."""
    counts = end - start
    rows = np.repeat(np.arange(len(target)), counts)
    children = np.arange(counts.sum()) + np.repeat(start - np.cumsum(counts) + counts, counts)
    distances = np.full((len(target), len(book)), np.inf)
    near = (book**2).sum(axis=1) - 2 * target @ book.T  # squared distances less a constant of the row
    distances[rows, below[children]] = near[rows, below[children]]
    return distances.argmin(axis=1)
