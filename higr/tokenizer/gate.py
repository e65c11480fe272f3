"""Stops a run before the expensive stages when semantic IDs are not fit for planning."""

from dataclasses import dataclass

from higr.config import QualityGateConfig, TokenizerConfig
from higr.errors import InputError, QualityGateError
from higr.tokenizer.quality import Quality

NEAR_FLOOR = 0.95
"""Semantic IDs over distinct content vectors from which on codes are not what items lack."""


@dataclass(frozen=True)
class Verdict:
    """One metric against its threshold.

    Attributes:
        value: none where it was not measured, which does not pass.
        bound: "at most" or "at least".
        advice: what to try when it fails.
        note: what to bear in mind, also when it passes; mostly empty.
    """

    metric: str
    value: float | None
    bound: str
    threshold: float
    advice: str
    note: str = ""

    @property
    def shown(self) -> str:
        return "not measured" if self.value is None else f"{self.value:.4f}"

    @property
    def passed(self) -> bool:
        if self.value is None:
            return False
        return self.value <= self.threshold if self.bound == "at most" else self.value >= self.threshold


def judge(quality: Quality, config: QualityGateConfig) -> tuple[Verdict, ...]:
    """One verdict a threshold that is on, in a fixed order."""
    use, collision = _advise_on_codes(quality, config)
    note = quality.yardstick_note
    together = "raise tokenizer.contrast_weight, or give items more content (text, enrichment, embedding)"
    verdicts = [
        Verdict("collision", quality.collision, "at most", config.max_collision, collision),
        Verdict(
            "concentration",
            quality.concentration,
            "at least",
            config.min_concentration,
            f"{together}, or raise tokenizer.codebook_size",
            note,
        ),
        Verdict("consistency", quality.consistency, "at least", config.min_consistency, together, note),
        Verdict("codebook_use", quality.codebook_use, "at least", config.min_codebook_use, use),
    ]
    if config.min_stability > 0:
        verdicts.append(
            Verdict(
                "stability",
                quality.stability.prefixes[0] if quality.stability else None,
                "at least",
                config.min_stability,
                "train for more tokenizer.epochs, or lower tokenizer.codebook_size"
                if quality.stability
                else "set tokenizer.stability: true, which trains a second time",
            )
        )
    if config.min_neighbours > 0:
        verdicts.append(
            Verdict(
                "neighbours",
                quality.fidelity.neighbours[0] if quality.fidelity else None,
                "at least",
                config.min_neighbours,
                "lower tokenizer.codebook_size and raise tokenizer.depth, or train for more tokenizer.epochs",
            )
        )
    if config.max_popularity_share < 1:
        verdicts.append(
            Verdict(
                "popularity_share",
                quality.popularity.busiest if quality.popularity else None,
                "at most",
                config.max_popularity_share,
                "raise tokenizer.codebook_size, or lower tokenizer.embedding.cooccurrence_weight"
                if quality.popularity
                else "data with engagement before the validation period is due",
            )
        )
    return tuple(verdicts)


def _advise_on_codes(quality: Quality, config: QualityGateConfig) -> tuple[str, str]:
    """For codebook use and for collision: together, for the usual remedy of one is the other's cause."""
    content = "give items more content (text, enrichment, embedding)"
    fewer, more = (
        "lower tokenizer.codebook_size, or train for more tokenizer.epochs",
        f"raise tokenizer.codebook_size or depth, or {content}",
    )
    floor = quality.fidelity.collision_floor if quality.fidelity else 0.0
    if quality.fidelity and floor > 0 and 1 - quality.collision >= NEAR_FLOOR * (1 - floor):
        return fewer, (
            f"{quality.fidelity.identical} items have the same content as another, so that collision cannot "
            f"fall below {floor:.4f} whatever the codes: {content}"
        )
    if quality.collision > config.max_collision and quality.codebook_use < config.min_codebook_use:
        uneven = "train for more tokenizer.epochs, or set tokenizer.kind: balanced_kmeans"
        return uneven, f"codewords stand unused, so that more of them would not help: {uneven}, or {content}"
    return fewer, more


def check(quality: Quality, config: QualityGateConfig) -> tuple[Verdict, ...]:
    """The verdicts, if all are good.

    Raises:
        QualityGateError: one line naming every failed metric, its value, its threshold and what
            to try first.
    """
    verdicts = judge(quality, config)
    failed = [verdict for verdict in verdicts if not verdict.passed]
    if failed:
        reasons = ", ".join(f"{v.metric} {v.shown} ({v.bound} {v.threshold:g})" for v in failed)
        note = next((f"; {v.note}" for v in failed if v.note), "")
        raise QualityGateError(
            f"semantic IDs of {quality.items} items are not fit for planning: {reasons}; "
            f"{failed[0].advice}{note}"
        )
    return verdicts


def check_capacity(items: int, config: TokenizerConfig) -> None:
    """Raise InputError when the collision policy cannot find a place for every item.

    `reassign` gives each a semantic ID of its own, of which there are K^D; `extend` has one more
    code, K^(D + 1); `share` has no limit.
    """
    if config.collisions == "share":
        return
    codes = config.depth + (config.collisions == "extend")
    capacity = config.codebook_size**codes
    if items <= capacity:
        return
    if config.collisions == "extend":
        raise InputError(
            f"{items} items do not fit into {capacity} semantic IDs (tokenizer.codebook_size "
            f"{config.codebook_size} ^ (depth {config.depth} + 1 code that tells items apart)); raise "
            "either, or set tokenizer.collisions: share"
        )
    raise InputError(
        f"{items} items do not fit into {capacity} semantic IDs (tokenizer.codebook_size "
        f"{config.codebook_size} ^ depth {config.depth}); raise either, or set tokenizer.collisions to "
        "extend or share"
    )
