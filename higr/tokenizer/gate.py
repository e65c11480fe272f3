"""Stops a run before the expensive stages when semantic IDs are not fit for planning."""

from dataclasses import dataclass

from higr.config import QualityGateConfig, TokenizerConfig
from higr.errors import InputError, QualityGateError
from higr.tokenizer.quality import Quality


@dataclass(frozen=True)
class Verdict:
    """One metric against its threshold.

    Attributes:
        bound: "at most" or "at least".
        advice: what to try when it fails.
    """

    metric: str
    value: float
    bound: str
    threshold: float
    advice: str

    @property
    def passed(self) -> bool:
        return self.value <= self.threshold if self.bound == "at most" else self.value >= self.threshold


def judge(quality: Quality, config: QualityGateConfig) -> tuple[Verdict, ...]:
    """One verdict a threshold, in a fixed order."""
    return (
        Verdict(
            "collision",
            quality.collision,
            "at most",
            config.max_collision,
            "raise tokenizer.codebook_size or depth, or give items more content (text, embedding)",
        ),
        Verdict(
            "concentration",
            quality.concentration,
            "at least",
            config.min_concentration,
            "raise tokenizer.embedding.category_weight or text_weight, or tokenizer.codebook_size",
        ),
        Verdict(
            "consistency",
            quality.consistency,
            "at least",
            config.min_consistency,
            "raise tokenizer.embedding.category_weight or tokenizer.contrast_weight",
        ),
        Verdict(
            "codebook_use",
            quality.codebook_use,
            "at least",
            config.min_codebook_use,
            "lower tokenizer.codebook_size, or train for more tokenizer.epochs",
        ),
    )


def check(quality: Quality, config: QualityGateConfig) -> tuple[Verdict, ...]:
    """The verdicts, if all are good.

    Raises:
        QualityGateError: one line naming every failed metric, its value, its threshold and what
            to try first.
    """
    verdicts = judge(quality, config)
    failed = [verdict for verdict in verdicts if not verdict.passed]
    if failed:
        reasons = ", ".join(f"{v.metric} {v.value:.4f} ({v.bound} {v.threshold:g})" for v in failed)
        raise QualityGateError(
            f"semantic IDs of {quality.items} items are not fit for planning: {reasons}; {failed[0].advice}"
        )
    return verdicts


def check_capacity(items: int, config: TokenizerConfig) -> None:
    """Raise InputError when the items cannot all have a semantic ID of their own."""
    capacity = config.codebook_size**config.depth
    if items > capacity:
        raise InputError(
            f"{items} items do not fit into {capacity} semantic IDs (tokenizer.codebook_size "
            f"{config.codebook_size} ^ depth {config.depth}); raise either"
        )
