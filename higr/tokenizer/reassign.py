"""Where items go that cannot keep their semantic ID: the nearest free one, best-fitting item first.

An item prefers free IDs under its own prefix of D - 1 codes, the nearest codeword first; where that
prefix is full, those under its prefix of D - 2 codes, down again through the nearest codeword that
still has room below it; and so on up to the root. Ties go to the lower code.

Seen from the root this is one question a level: the item keeps its own code if there is room below
it, else takes the nearest codeword with room. Who gets through depends on how many free IDs there
are below each node, not on which, so all items settle one level before the next is looked at, and
the subtrees of a level do not concern one another. The outcome is that of serving items one by one.
"""

import numpy as np

TURN = 1024
"""Items of one node that choose at a time where codewords run full."""
TABLE = 1 << 24
"""Semantic IDs whose freedom is tabulated at once, one byte each."""
DISTANCES = 1 << 22
"""Numbers that one block of distances may need."""
SLACK = 1e-10
"""Relative: distances closer than this are computed again term by term, so that ties are ties."""


def pack(codes: np.ndarray, size: int) -> np.ndarray:
    """(N,) int64: (N, D) codes as one number, in the same order; K^D stays below 2^63."""
    keys = np.zeros(len(codes), dtype=np.int64)
    for column in codes.T:
        keys = keys * size + column
    return keys


def unpack(keys: np.ndarray, size: int, depth: int) -> np.ndarray:
    """(N, D) int32, the inverse of `pack`."""
    levels = [keys // size ** (depth - 1 - level) % size for level in range(depth)]
    return np.stack(levels, axis=1).astype(np.int32)


def place(own: np.ndarray, latents: np.ndarray, books: np.ndarray, occupied: np.ndarray) -> np.ndarray:
    """(M, D) int32 codes, distinct and not among `occupied`.

    Args:
        own: (M,) packed IDs that the items would have had, best-fitting item first.
        latents: (M, C).
        books: (D, K, C) float64.
        occupied: packed IDs that are not free, ascending, distinct; with the M items at most K^D.
    """
    movers = _Movers(own, latents, books)
    for level in range(movers.depth - 1):
        _settle(movers, level, occupied)
    _take_last(movers, occupied)
    return movers.codes.astype(np.int32)


class _Movers:
    """M items on their way down.

    Attributes:
        codes: (M, D) int64, settled up to the level at hand, the item's own below.
        left: (M,) int64, level at which the item left its own path; D where it has not.
    """

    def __init__(self, own: np.ndarray, latents: np.ndarray, books: np.ndarray) -> None:
        self.depth, self.size, self.width = books.shape
        self.latents, self.books = latents, books
        self.codes = unpack(own, self.size, self.depth).astype(np.int64)
        self.left = np.full(len(own), self.depth)

    def nodes(self, level: int) -> np.ndarray:
        """(M,) packed prefixes of the first `level` codes."""
        return pack(self.codes[:, :level], self.size)

    def nearest(self, rows: np.ndarray, level: int, allowed: np.ndarray) -> np.ndarray:
        """(R,) the allowed codeword of a level nearest to what the levels above leave of each row.

        allowed: (R, K) bool, or (K,) for all rows.
        """
        out = np.empty(len(rows), dtype=np.int64)
        block = max(1, DISTANCES // (self.size * self.width))
        for low in range(0, len(rows), block):
            part = rows[low : low + block]
            open_ = np.broadcast_to(allowed, (len(rows), self.size))[low : low + block]
            out[low : low + block] = nearest_open(self._residual(part, level), self.books[level], open_)
        return out

    def _residual(self, rows: np.ndarray, level: int) -> np.ndarray:
        words = [self.books[above][self.codes[rows, above]] for above in range(level)]
        astray = [(above >= self.left[rows])[:, None] for above in range(level)]
        quantised = np.zeros((len(rows), self.width))
        for word, off in zip(words, astray, strict=True):
            quantised += np.where(off, 0.0, word)
        residual = self.latents[rows] - quantised
        for word, off in zip(words, astray, strict=True):
            residual -= np.where(off, word, 0.0)
        return residual


def _settle(movers: _Movers, level: int, occupied: np.ndarray) -> None:
    """Fix every item's code of a level above the last."""
    size, span = movers.size, movers.size ** (movers.depth - level - 1)  # IDs below one codeword
    parent, child = movers.nodes(level), movers.nodes(level + 1)
    wanted, claims = np.unique(child, return_counts=True)
    taken = np.searchsorted(occupied, (wanted + 1) * span) - np.searchsorted(occupied, wanted * span)
    full = np.unique(wanted[claims > span - taken] // size)
    # Where all have room in their own place nobody has to choose.
    choosing = np.flatnonzero(np.isin(parent, full) | np.isin(parent, parent[movers.left < level]))
    if not len(choosing):
        return
    choosing = choosing[np.argsort(parent[choosing], kind="stable")]
    nodes, first = np.unique(parent[choosing], return_index=True)
    for node, rows in zip(nodes.tolist(), np.split(choosing, first[1:]), strict=True):
        edges = np.searchsorted(occupied, (node * size + np.arange(size + 1)) * span)
        own = np.where(movers.left[rows] < level, -1, movers.codes[rows, level])
        code = _in_turn(movers, level, rows, own, span - np.diff(edges))
        movers.left[rows[(code != own) & (own >= 0)]] = level
        movers.codes[rows, level] = code


def _in_turn(movers: _Movers, level: int, rows: np.ndarray, own: np.ndarray, room: np.ndarray) -> np.ndarray:
    """(R,) codes: each row's own one (-1: none) while there is room, else the nearest with room.

    room: (K,) free IDs below each codeword.
    """
    choice, first = own.copy(), 0
    while first < len(own):
        here = choice[first : first + TURN]  # a view: what is chosen stays chosen
        again = np.flatnonzero((here < 0) | (room[here] <= 0))
        if len(again):
            here[again] = movers.nearest(rows[first + again], level, room > 0)
        order = np.argsort(here, kind="stable")
        nth = np.empty(len(here), dtype=np.int64)
        nth[order] = np.arange(len(here)) - np.searchsorted(here[order], here[order])
        late = np.flatnonzero(nth >= room[here])
        done = int(late[0]) if len(late) else len(here)  # up to the first that finds its code full
        room = room - np.bincount(here[:done], minlength=len(room))
        first += done
    return choice


def _take_last(movers: _Movers, occupied: np.ndarray) -> None:
    """Fix the last code: one free ID an item. All prefixes serve their next item at the same time."""
    size, level = movers.size, movers.depth - 1
    prefix, group = np.unique(movers.nodes(level), return_inverse=True)
    by_group = np.argsort(group, kind="stable")
    together = max(1, TABLE // size)
    for low in range(0, len(prefix), together):
        ours = prefix[low : low + together]
        rows = by_group[slice(*np.searchsorted(group[by_group], (low, low + len(ours))))]
        free = _free(ours, size, occupied)
        turn = np.arange(len(rows)) - np.searchsorted(group[rows], group[rows])
        order = np.argsort(turn, kind="stable")
        for choosing in np.split(rows[order], np.flatnonzero(np.diff(turn[order])) + 1):
            for part in np.split(choosing, range(TURN, len(choosing), TURN)):
                row = group[part] - low
                code = movers.nearest(part, level, free[row])
                free[row, code] = False
                movers.codes[part, level] = code


def _free(prefix: np.ndarray, size: int, occupied: np.ndarray) -> np.ndarray:
    """(G, K) bool, which IDs under each prefix of D - 1 codes are not occupied."""
    within = occupied[slice(*np.searchsorted(occupied, (prefix[0] * size, (prefix[-1] + 1) * size)))]
    group = np.searchsorted(prefix, within // size)
    ours = prefix[group] == within // size
    free = np.ones((len(prefix), size), dtype=bool)
    free[group[ours], within[ours] % size] = False
    return free


def nearest_open(x: np.ndarray, book: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """(B,) the allowed codeword nearest to each row of x, the lower code on ties.

    x: (B, C) float64. book: (K, C) float64. allowed: (B, K) bool, at least one a row.
    """
    norms = np.einsum("kc,kc->k", book, book)
    scores = norms - 2.0 * (x @ book.T)  # squared distance less the row's own norm
    scores[~allowed] = np.inf
    best = scores.argmin(axis=1)
    slack = SLACK * (np.einsum("bc,bc->b", x, x) + norms.max())
    close = scores <= (scores.min(axis=1) + slack)[:, None]
    unsure = np.flatnonzero(close.sum(axis=1) > 1)
    if len(unsure):
        row, code = np.nonzero(close[unsure])
        exact = np.full((len(unsure), len(book)), np.inf)
        exact[row, code] = ((x[unsure[row]] - book[code]) ** 2).sum(axis=1)
        best[unsure] = exact.argmin(axis=1)
    return best
