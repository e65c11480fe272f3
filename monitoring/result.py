"""What a comparison found: written as JSON, read by the exporter, the report and the next tool."""

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from higr.errors import InputError
from higr.files import read_json, write_json

Verdict = Literal["no-data", "ok", "watch", "page"]
VERDICTS: tuple[Verdict, ...] = ("ok", "no-data", "watch", "page")
"""From quiet to loud. Missing data outranks ok: silence is not health. What moved outranks both."""


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
    """

    schema_version: Literal[1] = 1
    verdict: Verdict
    reason: str
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
