"""Semantic IDs as one HTML page: verdict, figures, use of codebooks, prefixes, the worst of them."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
import pyarrow as pa

from higr.config import TokenizerConfig
from higr.files import atomic_file
from higr.html import page
from higr.tokenizer.collisions import CollisionReport
from higr.tokenizer.encoding import Encoding
from higr.tokenizer.figures import OTHER, icicle, palette, usage_histogram
from higr.tokenizer.gate import judge
from higr.tokenizer.quality import Quality

WORST, EXAMPLES, TITLE = 8, 5, 90
"""Worst prefixes shown, items named in each, longest title in characters."""

CSS = """
.legend { max-width: none; margin-top: 10px; }
.legend span { display: inline-block; margin: 0 16px 4px 0; font-size: 13px; }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px; }
.tick { font-size: 11px; fill: var(--soft); }
.edge { fill: transparent; stroke: #fff; stroke-width: 0.6; vector-effect: non-scaling-stroke; }
.card h3 { font-size: 14px; margin: 0 0 8px; } .card h3 span { font-weight: 400; color: var(--soft); }
.share { display: flex; height: 8px; border-radius: 4px; overflow: hidden; margin: 0 0 8px; }
.card ul { margin: 0; padding: 0; list-style: none; font-size: 13px; line-height: 1.45; }
.card li { padding: 3px 0; overflow-wrap: anywhere; } .card li span { color: var(--soft); }
.worst { grid-template-columns: repeat(auto-fill, minmax(330px, 1fr)); margin-top: 10px; }
.verdict td { white-space: nowrap; }
.verdict td.advice { text-align: left; white-space: normal; color: var(--soft); }
"""


def write_report(
    path: Path,
    quality: Quality,
    collisions: CollisionReport,
    encoding: Encoding,
    items: pa.Table,
    config: TokenizerConfig,
) -> None:
    """Write the page, aside first. `items` is the table that was encoded, in its order."""
    categories = items["category"].to_pylist()
    titles = [text or item for text, item in zip(items["text"].to_pylist(), encoding.item_ids, strict=True)]
    colors = palette(categories)
    body = "".join(
        (
            f"<h1>Semantic IDs of {quality.items:,} items &middot; "
            f"{config.depth} levels of {config.codebook_size} codewords</h1>",
            _verdict(quality, config),
            _prefixes(quality),
            _levels(quality, encoding, config),
            "<h2>What stands under a prefix</h2>"
            '<p class="soft">Above, prefixes of one code, filled by their shares of categories. Below, '
            "prefixes of two codes, filled to the share of their main category. Width is the number of "
            "items; a column of one colour is a prefix that can be planned with.</p>",
            f'<div class="card">{icicle(encoding.codes, categories, colors)}</div>{_legend(colors)}',
            _collisions(collisions),
            _worst(encoding.codes, categories, titles, colors),
        )
    )
    with atomic_file(path) as aside:
        aside.write_text(page("Semantic IDs", body, CSS), encoding="utf-8")


def _verdict(quality: Quality, config: TokenizerConfig) -> str:
    verdicts = judge(quality, config.gate)
    good = all(verdict.passed for verdict in verdicts)
    rows = "".join(
        f"<tr><th>{v.metric.replace('_', ' ')}</th><td>{v.value:.4f}</td><td>{v.bound} {v.threshold:g}</td>"
        f'<td class="{"pass" if v.passed else "fail"}">{"pass" if v.passed else "fail"}</td>'
        f'<td class="advice">{"" if v.passed else escape(v.advice)}</td></tr>'
        for v in verdicts
    )
    says = "Fit for planning" if good else "Not fit for planning: the run stops here"
    return (
        f'<div class="verdict {"good" if good else "bad"}"><strong>{says}</strong>'
        "<table><thead><tr><th></th><th>value</th><th>gate</th><th></th><th></th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _prefixes(quality: Quality) -> str:
    rows = "".join(
        f"<tr><th>first {p.depth if p.depth > 1 else 'one'}</th><td>{p.groups:,}</td>"
        f"<td>{quality.items / p.groups:.1f}</td><td>{p.concentration:.4f}</td>"
        f"<td>{p.consistency:.4f}</td></tr>"
        for p in quality.prefixes
    )
    return (
        '<h2>Prefixes</h2><p class="soft">Concentration: share of items of their prefix\'s main '
        "category. Consistency: share of item pairs under a prefix that are of one category.</p>"
        '<div class="card"><table><thead><tr><th>codes</th><th>prefixes</th><th>items a prefix</th>'
        f"<th>concentration</th><th>consistency</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _levels(quality: Quality, encoding: Encoding, config: TokenizerConfig) -> str:
    size = config.codebook_size
    panels = "".join(
        f'<div class="card"><h3>Level {number} <span>{level.use:.0%} used, perplexity '
        f"{level.perplexity:.0f} of {size}</span></h3>{usage_histogram(codes, size)}</div>"
        for number, (level, codes) in enumerate(zip(quality.levels, encoding.codes.T, strict=True), start=1)
    )
    return (
        '<h2>Use of codewords</h2><p class="soft">The dashed line is an even spread. Mean squared '
        f"reconstruction error {quality.reconstruction_error:.4f}; content vectors have length 1.</p>"
        f'<div class="panels">{panels}</div>'
    )


def _collisions(report: CollisionReport) -> str:
    if not report.moved:
        return "<h2>Collisions</h2><p>Every item had a semantic ID of its own; none was moved.</p>"
    return (
        f"<h2>Collisions</h2><p>{report.colliding:,} items shared their semantic ID with another, "
        f"{report.largest:,} at most. The best-fitting of each kept it, {report.moved:,} moved to the "
        f"nearest free one, {report.left_prefix:,} of them under another prefix. Their mean squared "
        f"latent error went from {report.error_before:.4g} to {report.error_after:.4g}.</p>"
    )


def _worst(
    codes: np.ndarray, categories: Sequence[str], titles: Sequence[str], colors: dict[str, str]
) -> str:
    """Prefixes of D - 1 codes with the most pairs of items that do not belong together."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for row, prefix in enumerate(codes[:, :-1].tolist()):
        groups.setdefault(tuple(prefix), []).append(row)

    def strangers(prefix: tuple[int, ...]) -> int:
        holds = Counter(categories[row] for row in groups[prefix])
        return holds.total() ** 2 - sum(count**2 for count in holds.values())

    worst = sorted((p for p in groups if strangers(p)), key=lambda p: (-strangers(p), p))[:WORST]
    if not worst:
        return "<h2>Worst prefixes</h2><p>No prefix holds items of two categories.</p>"
    cards = "".join(_card(prefix, groups[prefix], categories, titles, colors) for prefix in worst)
    return (
        '<h2>Worst prefixes</h2><p class="soft">Those with the most pairs of items of different '
        "categories.</p>"
        f'<div class="panels worst">{cards}</div>'
    )


def _card(
    prefix: tuple[int, ...],
    rows: list[int],
    categories: Sequence[str],
    titles: Sequence[str],
    colors: dict[str, str],
) -> str:
    holds = Counter(categories[row] for row in rows)
    bar = "".join(
        f'<i style="flex:{count};background:{colors.get(name, OTHER)}"></i>'
        for name, count in holds.most_common()
    )
    shown = [next(row for row in rows if categories[row] == name) for name, _ in holds.most_common(EXAMPLES)]
    shown += [row for row in rows if row not in shown][: EXAMPLES - len(shown)]
    examples = "".join(
        f"<li>{escape(_cut(titles[row]))} <span>{escape(categories[row])}</span></li>" for row in shown
    )
    code = " &middot; ".join(str(c) for c in prefix)
    return (
        f'<div class="card"><h3>{code} <span>{len(rows)} items, {len(holds)} categories</span></h3>'
        f'<div class="share">{bar}</div><ul>{examples}</ul></div>'
    )


def _cut(title: str) -> str:
    return title if len(title) <= TITLE else title[: TITLE - 1].rstrip() + "…"


def _legend(colors: dict[str, str]) -> str:
    named = "".join(
        f'<span><i style="background:{color}"></i>{escape(name)}</span>' for name, color in colors.items()
    )
    return f'<p class="legend">{named}<span><i style="background:{OTHER}"></i>other</span></p>'
