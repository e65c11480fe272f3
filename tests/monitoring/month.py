"""A month of traffic in the small world of these tests, as its logs, and the drift job over it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from higr.bundle import Bundle
from monitoring.result import DriftResult
from monitoring.watch import Options, run_watch

START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = 9


class Month:
    """Days of traffic as parts, and a job that reads them. One slate a minute: 300 of five in a day of
    these."""

    def __init__(self, folder: Path, bundle: Bundle, traffic: Any) -> None:
        self.folder, self.bundle, self.traffic = folder, bundle, traffic
        self.predictions, self.feedback = folder / "predictions", folder / "feedback"
        for log in (self.predictions, self.feedback):
            log.mkdir(parents=True, exist_ok=True)

    def tables(self, day: int, **change: Any) -> tuple[pa.Table, pa.Table]:
        made = self.traffic(seed=1000 + day, slates=300, start=START + timedelta(days=day), **change)
        return made.logs(self.bundle.version)

    def write(self, day: int, name: str | None = None, **change: Any) -> None:
        for log, table in zip((self.predictions, self.feedback), self.tables(day, **change), strict=True):
            pq.write_table(table, log / f"{name or f'day-{day}'}.parquet")

    def run(self, day: int, options: Options | None = None, state: str = "state") -> DriftResult:
        """As it runs two hours after `day` has ended."""
        now = START + timedelta(days=day + 1, hours=2)
        folders = (self.predictions, self.feedback, self.folder / state, self.folder / "out")
        return run_watch(self.bundle.path, *folders, options or Options(), now=now)[0]

    @property
    def state(self) -> Path:
        return next((self.folder / "state").iterdir())

    def write_trip(self, day: int) -> None:
        """A day on which nothing of a category is served and users watch less."""
        self.write(day, taste=(0.45, 0.33, 0.22, 0.0), watched=0.25)
