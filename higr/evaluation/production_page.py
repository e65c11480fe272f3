"""The gate against the bundle in production as one HTML page that needs nothing else."""

from collections.abc import Sequence
from html import escape

from higr.config import GateConfig
from higr.evaluation.bootstrap import Interval
from higr.evaluation.production import CANDIDATE, PRODUCTION, Beside, Judged
from higr.evaluation.verdict import label, p_text
from higr.html import page

TITLE = "Candidate against production"


def html(beside: Beside, judged: Sequence[Judged], gate: GateConfig, confidence: float) -> str:
    """Verdict, what it rests on, and every other metric of both."""
    failed = [one for one in judged if not one.passed]
    words = "; ".join(map(str, failed)) if failed else "it is within the margin in every metric of the gate"
    verdict = (
        f'<div class="verdict {"bad" if failed else "good"}"><strong>'
        f"{'Refused' if failed else 'Passed'}: {escape(words)}</strong>"
        f'<p class="soft">Bundle {escape(beside.candidate)} beside {escape(beside.production)}, which is in '
        f"production: {beside.slates} test slates of {beside.users} users, paired. Margin {gate.margin:.0%} "
        f"of production's mean, {gate.evidence}.</p></div>"
    )
    rows = "".join(_row(metric, beside, judged) for metric in beside.differences)
    return page(
        TITLE,
        f"<h1>{TITLE}</h1>{verdict}<h2>Every metric</h2>"
        f'<p class="soft">Means with {confidence:.0%} intervals over users.</p>'
        '<div class="card"><table><thead><tr><th>Metric</th><th>Candidate</th><th>Production</th>'
        f"<th>Difference</th><th>p</th><th>Gate</th></tr></thead><tbody>{rows}</tbody></table></div>",
    )


def _row(metric: str, beside: Beside, judged: Sequence[Judged]) -> str:
    difference = beside.differences[metric]
    verdict = next((one for one in judged if one.metric == metric), None)
    cell = "<td></td>"
    if verdict is not None:
        kind = "pass" if verdict.passed else "fail"
        cell = f'<td class="{kind}">{verdict.reached:.4f} of {verdict.floor:.4f}</td>'
    sides = "".join(_interval(beside.values[side][metric]) for side in (CANDIDATE, PRODUCTION))
    return (
        f"<tr><th>{escape(label(metric))}</th>{sides}{_interval(difference)}"
        f"<td>{p_text(difference.p_value)}</td>{cell}</tr>"
    )


def _interval(value: Interval) -> str:
    return f"<td>{value.mean:.4f} ({value.low:.4f} to {value.high:.4f})</td>"
