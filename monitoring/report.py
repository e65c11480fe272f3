"""One HTML page for the person on call: the verdict, what moved, what to do; then every column."""

from datetime import datetime
from html import escape

from monitoring.charts import CSS, bars, gauge, percent
from monitoring.result import ColumnDrift, DriftResult, ExampleItem, Signal, Verdict, WindowSummary

SHOWN_CELLS = 5
SHOWN_COLUMNS = 5
NAMES = {
    "slates_source": "Who made the slates",
    "served_category": "Served: category",
    "served_score": "Served: HiGR's score",
    "exposed_feedback": "Received: feedback level",
    "exposed_category": "Exposed: category",
    "feedback": "Received: feedback level",
    "reason": "Why HiGR did not answer",
    "exposed_effective_view": "Received: effective view",
    "engaged_category": "Engaged with: category",
    "engaged_strength": "Engaged with: strength",
}
HEADLINES: dict[Verdict, str] = {
    "ok": "Nothing has moved",
    "no-data": "Not enough data to judge",
    "watch": "Something is moving",
    "page": "Something has moved",
    "trip": "HiGR serves badly: the baseline is better",
}
ADVICE: dict[Verdict, str] = {
    "ok": "Nothing to do.",
    "no-data": (
        "This is not an all-clear. Check that serving writes its prediction log, that feedback arrives, and "
        "that the window holds traffic of this bundle version; what was left out is counted below."
    ),
    "watch": (
        "No need to wake anyone. Look at the columns marked watch in daylight, and compare with the next "
        "window: a refresh run is due if it stays."
    ),
    "page": (
        "Look at what moved and at the effective-view share. If users are worse off, put serving on the "
        "baseline (one command, in the runbook), then find the cause."
    ),
    "trip": (
        "Users are worse off and the cause is HiGR's own. In auto mode the job has put serving on the "
        "baseline, or says in its record why not. Check the switch, then mend the cause."
    ),
}


def page(result: DriftResult, evidently: str | None) -> str:
    """The whole document, without any outside asset. evidently: file name of the full report beside it."""
    details = (
        f'<p><a href="{escape(evidently)}">Full distributions of every column</a> (Evidently, 4 MB).</p>'
        if evidently
        else ""
        if result.signals
        else "<p>No column had enough rows for distributions.</p>"
    )
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Drift: {result.verdict}</title>
<style>{CSS}</style>
<main>
<header class="{result.verdict}">
{_badge(result.verdict)}
<h1>{HEADLINES[result.verdict]}</h1>
{_moved(result)}
<p class="advice">{ADVICE[result.verdict]} Runbook: <code>docs/runbooks/drift.md</code></p>
</header>
<h2>Windows</h2>
{_windows(result)}
{_signals(result)}
{_examples(result)}
<h2>Columns</h2>
<p class="legend"><i class="old"></i>reference <i class="new"></i>now. Cells that moved most first. PSI: 0 is
no change; the marks on its bar are the thresholds for watch and page, which include what chance alone
explains at this number of rows.</p>
{_columns(result)}
{details}
<footer>Bundle {escape(result.bundle_version)}. Finished {_moment(result.finished_at)}.</footer>
</main>
</html>
"""


def name(column: str) -> str:
    """A column in the words of a reader."""
    if column.startswith("engaged_in:"):
        return f"Engaged with: category, segment {column.removeprefix('engaged_in:')}"
    frame, _, rest = column.partition("_")
    if rest.startswith("code_"):
        prefix = {"served": "Served", "exposed": "Exposed", "engaged": "Engaged with"}[frame]
        return f"{prefix}: semantic ID, level {rest.removeprefix('code_')}"
    return NAMES[column]


def _moved(result: DriftResult) -> str:
    if result.verdict == "ok":
        return f"<p>{len(result.columns)} columns compared, all within their thresholds.</p>"
    if result.verdict == "no-data":
        return f"<p>{escape(result.reason[:1].upper() + result.reason[1:])}.</p>"
    if result.signals:
        return _cause(result)
    loud = [column for column in result.columns if column.verdict in ("watch", "page")]
    lines = [f"<li><b>{escape(name(c.column))}</b>: {_sentence(c)}</li>" for c in loud[:SHOWN_COLUMNS]]
    if len(loud) > SHOWN_COLUMNS:
        lines.append(f"<li>and {len(loud) - SHOWN_COLUMNS} more below</li>")
    return f"<ul>{''.join(lines)}</ul>"


def _cause(result: DriftResult) -> str:
    """What it looks like, since when, and the figures that moved most."""
    looks = result.reason.partition(" Moved: ")[0]
    since = f" Since {_moment(result.since)}." if result.since else ""
    loud = [s for s in result.signals if s.verdict in ("watch", "page")]
    lines = [
        f"<li><b>{escape(s.words)}</b>: {_figure(s.expected)} → {_figure(s.now)} ({s.verdict})</li>"
        for s in loud[:SHOWN_COLUMNS]
    ]
    if len(loud) > SHOWN_COLUMNS:
        lines.append(f"<li>and {len(loud) - SHOWN_COLUMNS} more below</li>")
    return f"<p><b>{escape(result.cause or '')}</b>: {escape(looks)}{since}</p><ul>{''.join(lines)}</ul>"


def _signals(result: DriftResult) -> str:
    if not result.signals:
        return ""
    body = "".join(_signal(s) for s in result.signals if not s.signal.startswith("psi:"))
    return (
        '<h2>Figures</h2><p class="legend">A figure is at watch or page when its move is '
        "large enough to matter and "
        "the days of the reference do not move so far by themselves. Moves in percent are relative.</p>"
        '<table><thead><tr><th>Figure<th>Verdict<th class="n">Expected<th class="n">Now<th class="n">Move'
        f'<th class="n">Watch<th class="n">Page<th>Since</tr></thead><tbody>{body}</tbody></table>'
    )


def _signal(s: Signal) -> str:
    def move(value: float, sign: str = "") -> str:
        return f"{100 * value:{sign}.1f} %" if s.measure == "relative" else f"{value:{sign}.3f}"

    since = _moment(s.since) if s.since else ""
    return (
        f"<tr><td>{escape(s.words)}<br><code>{escape(s.signal)}</code><td>{_badge(s.verdict)}"
        f'<td class="n">{_figure(s.expected)}<td class="n">{_figure(s.now)}<td class="n">{move(s.move, "+")}'
        f'<td class="n">{move(s.watch)}<td class="n">{move(s.page)}<td>{since}</tr>'
    )


def _examples(result: DriftResult) -> str:
    if not result.examples:
        return ""
    slates = "".join(f"<li>{' · '.join(_item(item) for item in slate)}</li>" for slate in result.examples)
    return (
        '<h2>Examples</h2><p class="legend">A few slates of the window, drawn by hash: '
        "category, semantic ID, and "
        f"✓ for an effective view, ✗ for none, ? where no feedback came.</p><ul>{slates}</ul>"
    )


def _item(item: ExampleItem) -> str:
    mark = {True: "✓", False: "✗", None: "?"}[item.effective]
    codes = "-".join(map(str, item.semantic_id))
    return f"{escape(item.item_id)} {escape(item.category)} <code>{codes}</code> {mark}"


def _figure(value: float) -> str:
    return f"{value:.3g}"


def _sentence(column: ColumnDrift) -> str:
    cell = column.moved[0]
    direction = "rose" if cell.current > cell.reference else "fell"
    threshold = column.page if column.verdict == "page" else column.watch
    return (
        f"<q>{escape(cell.label)}</q> {direction} from {percent(cell.reference)} to {percent(cell.current)} "
        f"of rows (PSI {column.psi:.2f}, {column.verdict} at {threshold:.2f})"
    )


def _windows(result: DriftResult) -> str:
    body = "".join(
        f"<tr><td>{label}<td>{_moment(w.since)}<td>{_moment(w.until)}"
        f'<td class="n">{w.rows["predictions"]:,}<td class="n">{w.rows["feedback"]:,}<td>{_skipped(w)}</tr>'
        for label, w in (("reference", result.reference), ("now", result.current))
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in result.current.notes)
    return (
        '<table><thead><tr><th>Window<th>From<th>Until<th class="n">Slates<th class="n">Exposures'
        f"<th>Left out</tr></thead><tbody>{body}</tbody></table>"
        + (f'<ul class="notes">{notes}</ul>' if notes else "")
    )


def _skipped(window: WindowSummary) -> str:
    return escape(", ".join(f"{reason}: {count:,}" for reason, count in window.skipped.items())) or "nothing"


def _columns(result: DriftResult) -> str:
    body = "".join(
        f"<tr><td>{escape(name(c.column))}<br><code>{escape(c.column)}</code>"
        f"<td>{_badge(c.verdict)}<td>{gauge(c)}<td>{bars(c.moved[:SHOWN_CELLS])}"
        f'<td class="n">{c.rows_reference:,}<td class="n">{c.rows_current:,}</tr>'
        for c in result.columns
    )
    return (
        "<table><thead><tr><th>Column<th>Verdict<th>PSI<th>What moved most"
        f'<th class="n">Rows before<th class="n">Rows now</tr></thead><tbody>{body}</tbody></table>'
    )


def _badge(verdict: Verdict) -> str:
    return f'<span class="badge {verdict}">{verdict}</span>'


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "–"
