"""What a comparison found: written as JSON, read by the exporter, the report and the next tool."""

from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from higr.errors import InputError
from higr.files import read_json, write_json

Verdict = Literal["no-data", "ok", "watch", "page", "trip"]
VERDICTS: tuple[Verdict, ...] = ("ok", "no-data", "watch", "page", "trip")
"""From quiet to loud. Missing data outranks ok: silence is not health. What moved outranks both. `trip` is a
page that the baseline is the answer to."""

Cause = Literal[
    "feedback-outage",
    "codebook-collapse",
    "broken-embeddings",
    "catalogue-behind",
    "fallback",
    "new-item-flood",
    "bad-alignment",
    "category-vanished",
    "stale-features",
    "preference-shift",
    "position-bias",
    "reception-fell",
    "unexplained",
]
CAUSES: tuple[Cause, ...] = get_args(Cause)


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CellShift(_Value):
    """One cell's share of rows, before and now.

    Attributes:
        psi: its part of the column's PSI.
    """

    label: str
    reference: float
    current: float
    psi: float


class ColumnDrift(_Value):
    """One compared column.

    Attributes:
        column: `<frame>_<column>`, see `monitoring.profile`.
        psi: as Evidently computes it over our cells; None where there is no data.
        noise: PSI that chance alone explains (`monitoring.cells.noise`); part of both thresholds.
        watch, page: a PSI at or above is `watch` or `page`.
        rows_reference, rows_current: rows with a value.
        cells: how many cells were counted.
        moved: the cells with the largest parts of the PSI, largest first.
    """

    column: str
    verdict: Verdict
    psi: float | None = None
    noise: float | None = None
    watch: float | None = None
    page: float | None = None
    rows_reference: int
    rows_current: int
    cells: int = 0
    moved: tuple[CellShift, ...] = ()


class Signal(_Value):
    """One watched figure (`monitoring.signals`, `monitoring.catalogue`).

    Attributes:
        words: for a reader.
        measure: what `move` is: `relative` to what is expected, `absolute`, or a `distance`.
        watch, page: the move that counts, at this number of rows: what matters, or more where chance
            moves it so far.
        p: chance of such a move when nothing has changed, of this figure alone.
        since: start of the first of the windows in a row that moved; None where it has not moved.
    """

    signal: str
    words: str
    verdict: Verdict
    now: float
    expected: float
    measure: Literal["relative", "absolute", "distance"]
    move: float
    watch: float
    page: float
    p: float
    rows_reference: int
    rows_current: int
    since: datetime | None = None

    @property
    def shift(self) -> float:
        """The move over the move that pages."""
        return abs(self.move) / self.page


class ExampleItem(_Value):
    """An item of a served slate; `effective`: None where no feedback came."""

    item_id: str
    category: str
    semantic_id: tuple[int, ...]
    effective: bool | None


class WindowSummary(_Value):
    """See `monitoring.windows.Window`."""

    since: datetime | None
    until: datetime | None
    rows: dict[str, int]
    skipped: dict[str, int]
    notes: tuple[str, ...]


class DriftResult(_Value):
    """One run of the drift job.

    Attributes:
        verdict: the loudest of the columns'.
        reason: one line: which columns, or what is missing.
        columns: loudest first, then by PSI over threshold.
        signals: figures other than a column's PSI, loudest first.
        cause: what a watch, page or trip looks like.
        since: start of the first window in which what moved had moved.
        examples: slates of the current window, without their users.
    """

    schema_version: Literal[1] = 1
    verdict: Verdict
    reason: str
    cause: Cause | None = None
    since: datetime | None = None
    signals: tuple[Signal, ...] = ()
    examples: tuple[tuple[ExampleItem, ...], ...] = ()
    bundle_version: str
    finished_at: datetime
    min_rows: int
    reference: WindowSummary
    current: WindowSummary
    columns: tuple[ColumnDrift, ...]

    def save(self, path: Path) -> None:
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def load(cls, path: Path) -> "DriftResult":
        """Read what `save` wrote.

        Raises:
            InputError: missing, not JSON, or not a drift result.
        """
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "the document"
            raise InputError(
                f"{path} is not a drift result: {field}: {first['msg']}; "
                "run `python -m monitoring drift` again"
            ) from None
