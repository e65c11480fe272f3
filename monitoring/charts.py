"""Small inline SVG drawings of one column, and the style of the page they stand on."""

from html import escape

from monitoring.result import CellShift, ColumnDrift

CSS = """
:root { --ok: #1a7f4b; --no-data: #7a4fa3; --watch: #b26a00; --page: #c0262d; --trip: #7d0d14 }
:root { --line: #e3e6ea; --soft: #5b6470 }
body { margin: 0; background: #f6f7f9; color: #1c2126; font: 15px/1.5 system-ui, Roboto, sans-serif }
main { max-width: 1120px; margin: 32px auto; padding: 0 24px }
header { background: #fff; border: 1px solid var(--line); border-left: 8px solid; border-radius: 8px }
header { padding: 20px 28px }
header.ok { border-left-color: var(--ok) } header.no-data { border-left-color: var(--no-data) }
header.watch { border-left-color: var(--watch) } header.page { border-left-color: var(--page) }
header.trip { border-left-color: var(--trip) } .badge.trip { background: var(--trip) }
h1 { font-size: 28px; margin: 8px 0 } h2 { font-size: 18px; margin: 32px 0 8px }
.badge { display: inline-block; padding: 1px 10px; border-radius: 10px; color: #fff; white-space: nowrap }
.badge { font-size: 13px; font-weight: 600 }
.badge.ok { background: var(--ok) } .badge.no-data { background: var(--no-data) }
.badge.watch { background: var(--watch) } .badge.page { background: var(--page) }
.advice { margin-bottom: 0 } .legend, .notes, footer { color: var(--soft); font-size: 13px }
code { font-size: 12px; color: var(--soft); white-space: nowrap }
table { width: 100%; border-collapse: collapse; background: #fff; border: 1px solid var(--line) }
th { text-align: left; font-size: 12px; color: var(--soft); font-weight: 600 }
th, td { padding: 8px 12px; vertical-align: top; border-bottom: 1px solid var(--line) }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.legend i { display: inline-block; width: 12px; height: 8px; margin: 0 4px 0 8px }
.legend .old { background: #b6bec8 } .legend .new { background: #2563a8 }
svg { display: block } svg text { font-size: 12px; fill: #1c2126 } svg .label { text-anchor: end }
svg .old { fill: #b6bec8 } svg .new { fill: #2563a8 } svg .track { fill: #eef0f3 }
.fill.ok { fill: var(--ok) } .fill.watch { fill: var(--watch) } .fill.page { fill: var(--page) }
.mark { stroke-width: 2 } .mark.watch { stroke: var(--watch) } .mark.page { stroke: var(--page) }
footer { margin: 24px 0 }
"""

GAUGE_WIDTH = 120
LABEL_LENGTH = 17


def gauge(column: ColumnDrift) -> str:
    """PSI as a bar with both thresholds marked; `page` stands at two thirds of the width."""
    if column.psi is None or column.watch is None or column.page is None:
        return "–"
    scale = GAUGE_WIDTH * 2 / 3 / column.page
    marks = "".join(
        f'<line x1="{at * scale:.1f}" x2="{at * scale:.1f}" y1="0" y2="14" class="mark {kind}"/>'
        for at, kind in ((column.watch, "watch"), (column.page, "page"))
    )
    length = min(max(column.psi * scale, 0), GAUGE_WIDTH)
    spoken = f"PSI {column.psi:.3f}, watch at {column.watch:.3f}, page at {column.page:.3f}"
    return (
        f'{column.psi:.3f}<svg width="{GAUGE_WIDTH}" height="14" role="img" aria-label="{spoken}">'
        f'<rect y="3" width="{GAUGE_WIDTH}" height="8" class="track"/>'
        f'<rect y="3" width="{length:.1f}" height="8" class="fill {column.verdict}"/>{marks}</svg>'
    )


def bars(moved: tuple[CellShift, ...]) -> str:
    """Reference over now, a pair a cell, on the column's own scale."""
    if not moved:
        return "–"
    scale = 150 / max(max(cell.reference, cell.current) for cell in moved)
    pairs = "".join(_pair(cell, 18 * i, scale) for i, cell in enumerate(moved))
    size = f'width="390" height="{18 * len(moved)}"'
    return f'<svg {size} role="img" aria-label="shares before and now">{pairs}</svg>'


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _pair(cell: CellShift, y: int, scale: float) -> str:
    short = cell.label if len(cell.label) <= LABEL_LENGTH else f"{cell.label[: LABEL_LENGTH - 1]}…"
    change = f"{percent(cell.reference)} → {percent(cell.current)}"
    return (
        f'<g transform="translate(0 {y})"><title>{escape(cell.label)}: {change}</title>'
        f'<text x="112" y="12" class="label">{escape(short)}</text>'
        f'<rect x="120" y="2" width="{cell.reference * scale:.1f}" height="6" class="old"/>'
        f'<rect x="120" y="9" width="{cell.current * scale:.1f}" height="6" class="new"/>'
        f'<text x="278" y="12">{change}</text></g>'
    )
