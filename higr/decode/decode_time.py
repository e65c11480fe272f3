"""How long a batch takes to decode, learned from those decoded before."""

import math

MEMORY = 0.9
"""What a batch weighs once another one was measured."""
PRIOR = 0.02
"""Weight of the prior against the variance of the logarithms: as much as sizes 15 % apart have."""
DEVIATIONS = 2.0
"""Mean deviations that the safe time lies above the expected one."""


class DecodeTime:
    """Seconds of a batch as c n^p m^q, n its requests and m the positions of its longest slate.

    The logarithms are fitted by least squares, each batch weighing less with every later one. Their
    mean is the geometric one, so a single stall shifts it little and is soon forgotten. A batch neither
    takes less than a smaller one nor more than in proportion, so p and q stay between 0 and 1; sizes
    that hardly varied say nothing of them, and both are then near 1. Not reported by the paper.
    """

    def __init__(self) -> None:
        self._weight = 0.0
        self._size, self._seconds = (0.0, 0.0), 0.0  # means of the logarithms
        self._spread = (0.0, 0.0, 0.0)  # variances of log n and log m, their covariance
        self._shared = (0.0, 0.0)  # covariances with log seconds
        self._powers = (1.0, 1.0)
        self._deviation = 0.0
        self._known: dict[tuple[int, int], tuple[float, float]] = {}

    def observe(self, rows: int, positions: int, seconds: float) -> None:
        """A batch of `rows` requests, the longest of `positions`, took so many seconds."""
        n, m, y = math.log(rows), math.log(positions), math.log(max(seconds, 1e-6))
        share = 1 / (MEMORY * self._weight + 1)
        if self._weight:
            # A stall is no spread: what is off by more than a factor of two counts as two.
            off = min(abs(y - self._fit(rows, positions)), math.log(2))
            self._deviation += share * (off - self._deviation)
        self._weight = 1 / share
        dn, dm, dy = n - self._size[0], m - self._size[1], y - self._seconds
        self._size = self._size[0] + share * dn, self._size[1] + share * dm
        self._seconds += share * dy
        keep = 1 - share
        nn, mm, nm = self._spread
        self._spread = (
            keep * (nn + share * dn * dn),
            keep * (mm + share * dm * dm),
            keep * (nm + share * dn * dm),
        )
        self._shared = (
            keep * (self._shared[0] + share * dn * dy),
            keep * (self._shared[1] + share * dm * dy),
        )
        self._powers = self._solve()
        self._known.clear()

    def forget(self) -> None:
        """Begin anew with the next batch."""
        self._weight = self._deviation = 0.0
        self._known.clear()

    def expected(self, rows: int, positions: int) -> float:
        """Seconds; 0 before anything was measured."""
        return self._both(rows, positions)[0]

    def safe(self, rows: int, positions: int) -> float:
        """Seconds that most such batches stay below."""
        return self._both(rows, positions)[1]

    def _both(self, rows: int, positions: int) -> tuple[float, float]:
        known = self._known.get((rows, positions))
        if known is None:
            expected = math.exp(self._fit(rows, positions)) if self._weight else 0.0
            known = expected, expected * math.exp(DEVIATIONS * self._deviation)
            self._known[rows, positions] = known
        return known

    def _fit(self, rows: int, positions: int) -> float:
        (p, q), (n, m) = self._powers, self._size
        return self._seconds + p * (math.log(rows) - n) + q * (math.log(positions) - m)

    def _solve(self) -> tuple[float, float]:
        nn, mm, nm = self._spread
        nn, mm = nn + PRIOR, mm + PRIOR
        ny, my = self._shared[0] + PRIOR, self._shared[1] + PRIOR
        determinant = nn * mm - nm * nm
        p, q = (mm * ny - nm * my) / determinant, (nn * my - nm * ny) / determinant
        return min(max(p, 0.0), 1.0), min(max(q, 0.0), 1.0)
