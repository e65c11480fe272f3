"""Does one model beat another: the paired tests decide, and the words say what the intervals show beside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from higr.evaluation.bootstrap import Interval
from higr.evaluation.results import Evaluation

DECIDING = ("effective_view_hit", "ndcg")
"""Metrics that the verdict rests on."""
METRICS = {
    "impression_hit": "Impression Hit",
    "effective_view_hit": "Effective-view Hit",
    "ndcg": "NDCG",
    "ndcg_binary": "NDCG, binary",
    "recall": "Recall",
    "recall_head": "Recall, head",
    "recall_tail": "Recall, tail",
    "recall_cold": "Recall, cold",
    "intra_list_diversity": "Diversity",
    "prefix_entropy_1": "Entropy, first code",
    "prefix_entropy_2": "Entropy, two codes",
    "repetition": "Repetition",
    "popularity_lift": "Popularity lift",
}
ACCURACY = ("impression_hit", "effective_view_hit", "ndcg", "ndcg_binary", "recall")
"""Metrics of which more is better; of the others neither end is."""
MODELS = {"higr": "HiGR", "higr_pretrained": "HiGR, pretrained"}


@dataclass(frozen=True)
class Verdict:
    """One model against another.

    Attributes:
        outcome: `better` or `worse` where the paired tests of all deciding metrics say so after Holm's
            correction, at the level of the intervals; `unclear` otherwise.
        headline: one sentence.
        evidence: one sentence a deciding metric.
    """

    outcome: str
    headline: str
    evidence: tuple[str, ...]


def verdict(evaluation: Evaluation, rival: str) -> Verdict:
    """Judge the subject of the evaluation against one of its rivals."""
    subject = evaluation.subject
    left, right = evaluation.values[subject], evaluation.values[rival]
    differences = evaluation.against[rival]
    deciding = [metric for metric in evaluation.metrics if metric.split("@")[0] in DECIDING]
    level = 1 - evaluation.confidence
    sure = all(differences[metric].p_adjusted <= level for metric in deciding)
    ahead = sum(differences[metric].mean > 0 for metric in deciding)
    behind = sum(differences[metric].mean < 0 for metric in deciding)
    names = " and ".join(label(metric) for metric in deciding)
    us, them = model_label(subject), model_label(rival)
    if sure and ahead == len(deciding):
        apart = all(left[metric].above(right[metric]) for metric in deciding)
        found = _intervals(differences, deciding, apart)
        outcome, headline = "better", f"{us} beats {them} in {names} by the paired test; {found}."
    elif sure and behind == len(deciding):
        apart = all(right[metric].above(left[metric]) for metric in deciding)
        found = _intervals(differences, deciding, apart)
        outcome, headline = "worse", f"{us} loses to {them} in {names} by the paired test; {found}."
    elif ahead == len(deciding):
        outcome, headline = "unclear", f"{us} is ahead of {them} in {names}, but chance may do as much."
    elif behind == len(deciding):
        outcome, headline = "unclear", f"{us} is behind {them} in {names}, but chance may do as much."
    else:
        outcome, headline = "unclear", f"{us} and {them} split {names}; neither is ahead in both."
    evidence = tuple(
        f"{label(metric)}: {_text(left[metric])} against {_text(right[metric])}; "
        f"adjusted {p_text(differences[metric].p_adjusted)}"
        for metric in deciding
    )
    return Verdict(outcome, headline, evidence)


def _intervals(differences: Mapping[str, Interval], deciding: Sequence[str], apart: bool) -> str:
    """What the intervals say beside the test, which they are not made from and may not agree with."""
    holding = [metric for metric in deciding if differences[metric].low <= 0 <= differences[metric].high]
    if holding:
        return f"the interval of the difference holds 0 in {' and '.join(map(label, holding))}"
    out = "the interval of the difference leaves out 0"
    return f"{out}, and those of the models are apart" if apart else out


def _text(value: Interval) -> str:
    return f"{value.mean:.4f} ({value.low:.4f} to {value.high:.4f})"


def p_text(p_value: float) -> str:
    """`p = 0.012`, or `p < 0.001`."""
    return f"p = {p_value:.3f}" if p_value >= 0.001 else "p < 0.001"


def is_accuracy(metric: str) -> bool:
    """Whether more of it is better."""
    return metric.split("@")[0] in ACCURACY


def label(metric: str) -> str:
    """`ndcg@5` as a person writes it: `NDCG@5`."""
    name, _, k = metric.partition("@")
    head, comma, tail = METRICS.get(name, name).partition(",")
    return f"{head}@{k}{comma}{tail}" if k else f"{head}{comma}{tail}"


def model_label(model: str) -> str:
    """`higr` as HiGR, others with a capital."""
    return MODELS.get(model, model[:1].upper() + model[1:].replace("_", " "))
