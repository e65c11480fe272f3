"""The drift job: windows in, verdict and pages out."""

from pathlib import Path

from higr.bundle import Bundle
from higr.config import MonitoringConfig
from higr.errors import BundleError, InputError
from higr.files import atomic_file
from monitoring.drift import compare
from monitoring.exporter import write_textfile
from monitoring.parts import Period
from monitoring.report import page
from monitoring.result import DriftResult
from monitoring.windows import current_window, reference_window

RESULT, PAGE, EVIDENTLY, TEXTFILE = "drift.json", "drift.html", "evidently.html", "drift.prom"


def run_drift(
    bundle: Path,
    predictions: Path,
    feedback: Path,
    out: Path,
    *,
    period: Period | None = None,
    seed: int = 0,
) -> DriftResult:
    """Compare the logs of a period with the bundle's reference; write into `out`:

    - `drift.html`, the page to read, and `evidently.html` beside it (about 4 MB; absent without data);
    - `drift.json`, the `DriftResult`; `drift.prom`, the gauges for node-exporter's textfile collector.

    Thresholds are the bundle's own `monitoring` section. period: all of the logs by default. seed: of the
    sampling of large logs.

    Raises:
        InputError: a log directory is missing, or `out` cannot be written.
        BundleError: the bundle is incomplete or altered, or has no usable reference or configuration.
    """
    opened = Bundle.open(bundle)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} cannot be made a directory ({error.strerror}); give another --out") from None
    current = current_window(opened, predictions, feedback, period or Period(), seed)
    result, snapshot = compare(reference_window(opened, seed), current, opened, thresholds(opened))
    if snapshot is None:
        (out / EVIDENTLY).unlink(missing_ok=True)
    else:
        with atomic_file(out / EVIDENTLY) as aside:
            snapshot.save_html(str(aside))
    with atomic_file(out / PAGE) as aside:
        aside.write_text(page(result, EVIDENTLY if snapshot else None))
    result.save(out / RESULT)
    write_textfile(out / TEXTFILE, out / RESULT)
    return result


def thresholds(bundle: Bundle) -> MonitoringConfig:
    """The bundle's own.

    Raises:
        BundleError: they cannot be read.
    """
    try:
        return MonitoringConfig.model_validate(bundle.manifest.config.get("monitoring", {}))
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise BundleError(
            f"bundle {bundle.path}: its monitoring configuration cannot be read ({reason}); "
            "build the bundle again"
        ) from None
