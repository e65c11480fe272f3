"""Semantic IDs as one HTML page: verdict, prefix tree, figures, the worst prefixes."""

from collections import Counter
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
from higr.tokenizer.report_style import CSS
from higr.tokenizer.tree_view import TreeItems, tree_element, tree_note, tree_script
from higr.tokenizer.worst import worst_prefixes

BUSIEST = 8
"""First codes shown with their share of engagement."""
STATIC = (
    '<p class="soft">Above, prefixes of one code, filled by their shares of categories. Below, prefixes of '
    "two codes, filled to the share of their main category. With scripts on, prefixes open when "
    "clicked.</p>"
)


def write_report(
    path: Path,
    quality: Quality,
    collisions: CollisionReport,
    encoding: Encoding,
    items: pa.Table,
    config: TokenizerConfig,
    engagement: np.ndarray | None = None,
) -> None:
    """Write the page, aside first. `items` is the table that was encoded, in its order.

    engagement: (N,) engaged events an item in the training period; none: not shown.
    """
    categories = items["category"].to_pylist()
    titles = [text or "" for text in items["text"].to_pylist()]
    colors = palette(categories)
    counts = np.zeros(len(titles), np.int64) if engagement is None else engagement.astype(np.int64)
    tree = TreeItems(encoding.codes, encoding.item_ids, titles, categories, counts)
    named = [title or item for title, item in zip(titles, encoding.item_ids, strict=True)]
    static = STATIC + icicle(encoding.codes, categories, colors)
    body = "".join(
        (
            f"<h1>Semantic IDs of {quality.items:,} items &middot; "
            f"{config.depth} levels of {config.codebook_size} codewords &middot; {config.kind}</h1>",
            _verdict(quality, config),
            "<h2>What stands under a prefix</h2>"
            '<p class="soft">A block is as wide as it holds items and striped by their main categories; '
            "one of one colour is a prefix that can be planned with. Click it to open it, Escape goes back. "
            f"Codes are those before the collision policy. {tree_note(quality.items)}</p>",
            tree_element(tree, config.codebook_size, colors, static),
            _legend(colors),
            _prefixes(quality),
            _levels(quality, encoding, config),
            _content(quality),
            _popularity(quality, encoding, categories, counts, config),
            _collisions(collisions),
            worst_prefixes(encoding.codes, categories, named, colors),
        )
    )
    with atomic_file(path) as aside:
        aside.write_text(page("Semantic IDs", body, CSS, tree_script()), encoding="utf-8")


def _verdict(quality: Quality, config: TokenizerConfig) -> str:
    verdicts = judge(quality, config.gate)
    good = all(verdict.passed for verdict in verdicts)
    rows = "".join(
        f"<tr><th>{v.metric.replace('_', ' ')}</th><td>{v.shown}</td><td>{v.bound} {v.threshold:g}</td>"
        f'<td class="{"pass" if v.passed else "fail"}">{"pass" if v.passed else "fail"}</td>'
        f'<td class="advice">{"" if v.passed else escape(v.advice)}</td></tr>'
        for v in verdicts
    )
    says = "Fit for planning" if good else "Not fit for planning: the run stops here"
    bear = quality.yardstick_note
    note = f'<p class="soft">Note: {escape(bear)}.</p>' if bear else ""
    return (
        f'<div class="verdict {"good" if good else "bad"}"><strong>{says}</strong>'
        "<table><thead><tr><th></th><th>value</th><th>gate</th><th></th><th></th></tr></thead>"
        f"<tbody>{rows}</tbody></table>{note}</div>"
    )


def _prefixes(quality: Quality) -> str:
    """One row a depth, with what was measured."""
    columns = ["prefixes", "of one item", "items a prefix", "concentration", "consistency"]
    rows = [
        [
            f"{p.groups:,}",
            f"{p.singletons:.1%}",
            f"{quality.items / p.groups:.1f}",
            f"{p.concentration:.4f}",
            f"{p.consistency:.4f}",
        ]
        for p in quality.prefixes
    ]
    says = (
        "Concentration: share of items of their prefix's main category; 1 is trivial where prefixes hold one "
        "item. Consistency: share of item pairs under a prefix that are of one category."
    )
    if quality.fidelity:
        columns.append("neighbours")
        says += (
            f" Neighbours: share of items, of {quality.fidelity.asked:,} asked, that have one of their 10 "
        )
        says += "nearest items in content under the same prefix."
        for row, share in zip(rows, quality.fidelity.neighbours, strict=True):
            row.append(f"{share:.1%}")
    if quality.stability:
        columns += ["stability", "Rand index"]
        says += (
            " Stability: share of items whose codes agree with those of a second training, after matching of "
            "codewords; Rand index: the same of groups of items, without matching, 0 being chance."
        )
        for row, kept, rand in zip(rows, quality.stability.prefixes, quality.stability.rand, strict=True):
            row += [f"{kept:.1%}", f"{rand:.3f}"]
    depths = ["first one", *(f"first {d}" for d in range(2, len(rows))), "whole ID"]
    lines = "".join(
        f"<tr><th>{depth}</th>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>"
        for depth, row in zip(depths, rows, strict=True)
    )
    return (
        f'<h2>Prefixes by depth</h2><p class="soft">{says}</p><div class="card scroll"><table><thead><tr>'
        f"<th>codes</th>{''.join(f'<th>{name}</th>' for name in columns)}</tr></thead>"
        f"<tbody>{lines}</tbody></table></div>"
    )


def _levels(quality: Quality, encoding: Encoding, config: TokenizerConfig) -> str:
    size = config.codebook_size
    panels = "".join(
        f'<div class="card"><h3>Level {number} <span>{level.use:.0%} used, perplexity '
        f"{level.perplexity:.0f} of {size}</span></h3>{usage_histogram(codes, size)}</div>"
        for number, (level, codes) in enumerate(zip(quality.levels, encoding.codes.T, strict=True), start=1)
    )
    return (
        '<h2>Use of codewords</h2><p class="soft">The dashed line is an even spread.</p>'
        f'<div class="panels">{panels}</div>'
    )


def _content(quality: Quality) -> str:
    """What the codes keep of the content."""
    facts = [("mean squared reconstruction error", f"{quality.reconstruction_error:.4f}")]
    facts += [(f"{p}th percentile", f"{error:.4f}") for p, error in quality.error_percentiles.items()]
    if quality.fidelity:
        explained = quality.fidelity.explained_variance
        facts += [
            ("variance explained", "none to explain" if explained is None else f"{explained:.1%}"),
            ("items without any content", f"{quality.fidelity.empty:,}"),
            ("items with the content of another", f"{quality.fidelity.identical:,}"),
            ("collision that no codes can avoid", f"{quality.fidelity.collision_floor:.4f}"),
        ]
    return (
        '<h2>What codes keep of the content</h2><p class="soft">Squared distance of decoded to content '
        f'vectors, which have length 1.</p><div class="card">{_facts(facts)}</div>'
    )


def _popularity(
    quality: Quality,
    encoding: Encoding,
    categories: list[str],
    engagement: np.ndarray,
    config: TokenizerConfig,
) -> str:
    title = "<h2>Engagement by first code</h2>"
    if quality.popularity is None:
        return f"{title}<p>There is no engagement in the training period to weigh first codes by.</p>"
    first, balance = encoding.codes[:, 0], quality.popularity
    load = np.bincount(first, engagement, minlength=config.codebook_size)
    share, held = load / load.sum(), np.bincount(first, minlength=config.codebook_size) / len(first)
    busiest = [code for code in np.argsort(-load, kind="stable")[:BUSIEST].tolist() if load[code]]
    rows = "".join(
        f"<tr><th>{code}</th><td>{share[code]:.1%}</td><td>{held[code]:.1%}</td>"
        f'<td class="bar"><i class="meter" style="width:{share[code] / share.max():.1%}"></i></td>'
        f"<td>{escape(_main([categories[row] for row in np.flatnonzero(first == code)]))}</td></tr>"
        for code in busiest
    )
    facts = [
        ("busiest code's share", f"{balance.busiest:.1%}"),
        ("Gini coefficient", f"{balance.gini:.3f}"),
        ("perplexity", f"{balance.perplexity:.1f} of {config.codebook_size}"),
    ]
    return (
        f'{title}<p class="soft">Effective views of the training period. A Gini coefficient of 0 is an even '
        f'spread, near 1 all under one code.</p><div class="side"><div class="card">{_facts(facts)}</div>'
        '<div class="card"><table><thead><tr><th>busiest codes</th><th>of engagement</th><th>of items</th>'
        f"<th></th><th>main category</th></tr></thead><tbody>{rows}</tbody></table></div></div>"
    )


def _collisions(report: CollisionReport) -> str:
    """What the policy did, in words."""
    if report.colliding == 0:
        return (
            f"<h2>Collisions</h2><p>Every item had a semantic ID of its own: nothing to {report.policy}.</p>"
        )
    did = {
        "reassign": f"The best-fitting of each kept it, {report.moved:,} moved to the nearest free one, "
        f"{report.left_prefix:,} of them under another prefix. Their mean squared latent error went from "
        f"{report.error_before:.4g} to {report.error_after:.4g}.",
        "extend": f"One more code tells them apart; its largest value is {report.largest_extra:,}.",
        "share": f"{report.shared:,} keep a shared one, {report.largest_share:,} at most; decoding picks one "
        "by priority.",
    }[report.policy]
    return (
        f"<h2>Collisions</h2><p>Policy {report.policy}: {report.colliding:,} items shared their semantic ID "
        f"with another, {report.largest:,} at most. {did}</p>"
    )


def _facts(facts: list[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{value}</dd>' for name, value in facts)}</dl>"


def _main(categories: list[str]) -> str:
    return Counter(categories).most_common(1)[0][0]


def _legend(colors: dict[str, str]) -> str:
    named = "".join(
        f'<span><i style="background:{color}"></i>{escape(name)}</span>' for name, color in colors.items()
    )
    return f'<p class="legend">{named}<span><i style="background:{OTHER}"></i>other</span></p>'
