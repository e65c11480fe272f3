"""Does one model beat another, in words that the intervals bear out."""

from dataclasses import dataclass

from higr.evaluation.bootstrap import Interval
from higr.evaluation.results import Evaluation

DECIDING = ("ndcg", "effective_view_hit")
"""Metrics that the verdict rests on."""
METRICS = {
    "impression_hit": "Impression Hit",
    "effective_view_hit": "Effective-view Hit",
    "ndcg": "NDCG",
    "ndcg_binary": "NDCG, binary",
    "recall": "Recall",
    "intra_list_diversity": "Diversity",
}
MODELS = {"higr": "HiGR", "higr_pretrained": "HiGR, pretrained"}


@dataclass(frozen=True)
class Verdict:
    """One model against another.

    Attributes:
        outcome: `better` or `worse` where the intervals of every deciding metric are apart, `unclear`
            otherwise.
        headline: one sentence.
        evidence: one sentence a deciding metric.
    """

    outcome: str
    headline: str
    evidence: tuple[str, ...]


def verdict(evaluation: Evaluation, subject: str, rival: str) -> Verdict:
    """Judge `subject` against `rival`; both are models of the evaluation."""
    left, right = evaluation.values[subject], evaluation.values[rival]
    deciding = [metric for metric in evaluation.metrics if metric.split("@")[0] in DECIDING]
    above = [left[metric].above(right[metric]) for metric in deciding]
    below = [right[metric].above(left[metric]) for metric in deciding]
    ahead = sum(left[metric].mean > right[metric].mean for metric in deciding)
    names = " and ".join(label(metric) for metric in deciding)
    us, them = model_label(subject), model_label(rival)
    if all(above):
        outcome, headline = "better", f"{us} beats {them} in {names}; the intervals are apart."
    elif all(below):
        outcome, headline = "worse", f"{us} loses to {them} in {names}; the intervals are apart."
    elif ahead == len(deciding):
        outcome, headline = "unclear", f"{us} is ahead of {them} in {names}, but intervals overlap."
    elif ahead == 0:
        outcome, headline = "unclear", f"{us} is behind {them} in {names}, but intervals overlap."
    else:
        outcome, headline = "unclear", f"{us} and {them} split {names}; neither is ahead in both."
    evidence = tuple(
        f"{label(metric)}: {_text(left[metric])} against {_text(right[metric])}" for metric in deciding
    )
    return Verdict(outcome, headline, evidence)


def _text(value: Interval) -> str:
    return f"{value.mean:.4f} ({value.low:.4f} to {value.high:.4f})"


def label(metric: str) -> str:
    """`ndcg@5` as a person writes it: `NDCG@5`."""
    name, _, k = metric.partition("@")
    head, comma, tail = METRICS.get(name, name).partition(",")
    return f"{head}@{k}{comma}{tail}" if k else f"{head}{comma}{tail}"


def model_label(model: str) -> str:
    """`higr` as HiGR, others with a capital."""
    return MODELS.get(model, model[:1].upper() + model[1:].replace("_", " "))
