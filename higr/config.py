"""Configuration: one frozen section a stage, one YAML a run.

Every field has a unit or a meaning. Where the paper (arXiv 2512.24787) gives no value the field
says "not reported by the paper": the default is then our choice.
"""

from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from higr.errors import InputError


class Section(BaseModel):
    """Base of all sections: unknown fields are refused, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SimulatorConfig(Section):
    """A world whose users have interests, patience and habits (`higr.data.simulator`)."""

    users: int = Field(1000, ge=2, description="number of users")
    items: int = Field(2000, ge=10, description="number of items")
    slates_per_user: float = Field(24.0, gt=0, description="mean number of requests a user makes")
    slate_size: int = Field(5, ge=1, description="items exposed by one request")
    days: int = Field(28, ge=3, description="length of the log in days")


class EngagementConfig(Section):
    """What feedback means: pure policy, no code."""

    effective_view: Literal["watch_ratio", "watch_seconds", "long_view", "clicked", "rating"] = Field(
        "watch_ratio", description="signal that makes an exposure an effective view"
    )
    effective_view_threshold: float = Field(
        0.5, ge=0, description="least value of a numeric signal; ignored for flags"
    )
    strong_flags: tuple[str, ...] = Field(
        ("liked", "followed", "commented", "shared"),
        description="flags that make an effective view strong",
    )
    negative_flags: tuple[str, ...] = Field(
        ("disliked",), description="flags that make an exposure negative, whatever else it has"
    )
    max_watch_ratio: float = Field(5.0, gt=0, description="watch ratios are clipped here")
    flag_strength: float = Field(
        1.0, ge=0, description="strength added by each strong flag; not reported by the paper"
    )


class LogSourceConfig(Section):
    """Where source `logs` finds what was served and what became of it; below `data.path` unless absolute."""

    predictions: tuple[str, ...] = Field(
        ("predictions",), min_length=1, description="folders of prediction logs, folders in them too"
    )
    feedback: tuple[str, ...] = Field(
        ("feedback",),
        min_length=1,
        description="folders of feedback logs, one a process, or those above them",
    )
    items: str = Field("items.parquet", description="Parquet file of the items, or a bundle that has one")
    users: str | None = Field(
        None, description="Parquet file of the users; none: users.parquet of data.path where there is one"
    )
    settle_minutes: float = Field(
        0.0,
        ge=0,
        description="slates served less than this before the newest row of the logs are left out: their "
        "feedback may still come",
    )


class DataConfig(Section):
    """From a source to checked tables, slates and a split by time."""

    source: Literal["simulator", "kuairand", "kuairec", "amazon", "tables", "logs"] = "simulator"
    path: str | None = Field(
        None,
        description="folder of the source's files (amazon: and the name of a set in it); none for simulator",
    )
    engine: Literal["duckdb", "spark"] = Field(
        "duckdb", description="where labels, splits and slates are computed; equal tables either way"
    )
    simulator: SimulatorConfig = SimulatorConfig()
    logs: LogSourceConfig = LogSourceConfig()
    engagement: EngagementConfig = EngagementConfig()
    slates: Literal["auto", "request", "session", "chunk"] = Field(
        "auto",
        description="auto: request id where there is one, else session if session_gap_minutes is set, "
        "else chunk",
    )
    session_gap_minutes: float | None = Field(None, gt=0, description="a longer pause ends a slate")
    slate_size: int = Field(5, ge=1, description="longest slate; longer ones are cut into chunks")
    min_slate_size: int = Field(2, ge=1, description="shorter slates are not kept")
    validation_start: datetime | None = Field(
        None, description="first moment of validation, UTC; none: by fraction"
    )
    test_start: datetime | None = Field(None, description="first moment of test, UTC; none: by fraction")
    validation_fraction: float = Field(0.1, gt=0, lt=0.5, description="share of events, in time order")
    test_fraction: float = Field(0.15, gt=0, lt=0.5, description="share of events, the latest")
    history_engaged: int = Field(50, ge=1, description="engaged events a context reaches back")
    history_exposed: int = Field(50, ge=1, description="events of any kind a context reaches back")
    max_bad_share: float = Field(
        0.05, ge=0, le=1, description="share of quarantined rows that stops the stage"
    )

    @field_validator("validation_start", "test_start")
    @classmethod
    def _in_utc(cls, moment: datetime | None) -> datetime | None:
        """A moment without a zone is in UTC."""
        return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.validation_start and self.test_start and self.validation_start >= self.test_start:
            raise ValueError(
                f"validation_start {self.validation_start} is not before test_start {self.test_start}"
            )
        if self.source != "simulator" and self.path is None:
            raise ValueError(f"source {self.source!r} needs data.path")
        return self


class EmbeddingConfig(Section):
    """Content of an item as one vector: blocks are L2-normalised, weighted and concatenated."""

    text_model: str | None = Field(
        None,
        description="folder of a local sentence-embedding model (transformers layout) that embeds text and "
        "enrichment; none: TF-IDF and SVD",
    )
    text_dim: int = Field(64, ge=0, description="SVD width of TF-IDF word and character n-grams; 0: off")
    max_ngrams: int = Field(20_000, ge=1, description="n-grams kept of each kind, the most frequent")
    cooccurrence_dim: int = Field(
        64, ge=0, description="SVD width of co-occurrence of items in training histories; 0: off"
    )
    cooccurrence_window: int = Field(
        5, ge=1, description="a user's engagements at most this far apart count as together"
    )
    max_labels: int = Field(256, ge=1, description="categories and tags kept, the most frequent")
    category_weight: float = Field(0.5, ge=0, description="weight of one-hot category and tags; 0: off")
    text_weight: float = Field(1.0, ge=0)
    enrichment_weight: float = Field(
        0.5, ge=0, description="weight of the items table's enrichment column, embedded as text is; 0: off"
    )
    cooccurrence_weight: float = Field(1.0, ge=0)
    numeric_weight: float = Field(0.1, ge=0, description="weight of standardised log duration and age")
    given_weight: float = Field(1.0, ge=0, description="weight of the items table's own embedding column")

    @model_validator(mode="after")
    def _some_weight(self) -> Self:
        if not any(value for name, value in self if name.endswith("_weight")):
            raise ValueError("all weights are 0; give at least one block a weight")
        return self


class QualityGateConfig(Section):
    """Thresholds that stop the run before the expensive stages (method, section 1)."""

    max_collision: float = Field(0.3, ge=0, le=1, description="before the collision policy")
    min_concentration: float = Field(0.4, ge=0, le=1, description="of prefixes of D - 1 codes")
    min_consistency: float = Field(0.3, ge=0, le=1, description="of prefixes of D - 1 codes")
    min_codebook_use: float = Field(0.5, ge=0, le=1, description="used codewords over K, worst level")
    min_stability: float = Field(
        0.0, ge=0, le=1, description="share of items that keep their first code in a second training; 0: off"
    )
    min_neighbours: float = Field(
        0.0, ge=0, le=1, description="share of items with a content neighbour under their first code; 0: off"
    )
    max_popularity_share: float = Field(
        1.0, ge=0, le=1, description="share of engagement under the busiest first code; 1: off"
    )


class TokenizerConfig(Section):
    """From content vectors to semantic IDs (method, section 1)."""

    kind: Literal["pcrq_vae", "rq_vae", "rq_kmeans", "balanced_kmeans"] = Field(
        "pcrq_vae",
        description="pcrq_vae: HiGR; rq_vae: a loss a level, no contrast (as published with latent: free and "
        "refit: false); rq_kmeans: no encoder; "
        "balanced_kmeans: every codeword takes equally many items, as OneRec",
    )
    embedding: EmbeddingConfig = EmbeddingConfig()
    depth: int = Field(3, ge=2, le=4, description="D, codes an item")
    codebook_size: int = Field(64, ge=2, le=8192, description="K, codewords a level")
    latent_dim: int = Field(16, ge=2, description="width of z and of codewords; k-means has the content's")
    hidden: tuple[int, ...] = Field((128, 64), description="encoder layers; the decoder mirrors them")
    latent: Literal["sphere", "free"] = Field(
        "sphere",
        description="sphere: z has length 1, so that the contrast's cosine and the distance to codewords "
        "agree; free: as the encoder gives it; not reported by the paper",
    )
    reconstruction_weight: float = Field(1.0, ge=0)
    global_weight: float = Field(0.1, ge=0, description="lambda_1")
    layer_weight: float = Field(
        0.0, ge=0, description="of a quantisation loss a level, as RQ-VAE has it (there always 1)"
    )
    contrast_weight: float = Field(0.01, ge=0, description="lambda_2")
    contrast_levels: Literal["prefix", "all"] = Field(
        "prefix", description="prefix: the last level is left alone, as the paper; all: for the ablation"
    )
    contrast_gradient: Literal["codebooks", "encoder"] = Field(
        "encoder",
        description="encoder: the contrast moves what selects codewords, straight through them; codebooks: "
        "the codewords themselves; not reported by the paper",
    )
    commitment: float = Field(0.1, ge=0, description="beta of the quantisation losses; RQ-VAE has 0.25")
    level_weights: tuple[float, ...] = Field(
        (1.0, 0.1), description="w_d of the contrast, one a level but the last, which takes the one before"
    )
    temperature: float = Field(0.1, gt=0, description="tau; not reported by the paper")
    positives: Literal["content", "cooccurrence", "mixed"] = "mixed"
    neighbours: int = Field(10, ge=1, description="positives mined an item; not reported by the paper")
    epochs: int = Field(50, ge=1)
    refit: bool = Field(
        True,
        description="encoder kinds: fit the codebooks once more before the last fifth of the epochs, all "
        "codewords equally used, the last to what tells items of one prefix apart; not in the paper",
    )
    batch_size: int = Field(256, ge=2)
    learning_rate: float = Field(1e-3, gt=0)
    collisions: Literal["reassign", "extend", "share"] = Field(
        "reassign",
        description="reassign: all but one of the items of a semantic ID move to the nearest free one; "
        "extend: one more code tells them apart; share: they keep it, decoding picks one",
    )
    stability: bool = Field(True, description="train a second time to see how many items keep their codes")
    gate: QualityGateConfig = QualityGateConfig()

    @model_validator(mode="after")
    def _some_loss(self) -> Self:
        weights = (
            self.reconstruction_weight,
            self.global_weight,
            self.layer_weight,
            self.contrast_weight,
        )
        if self.kind == "pcrq_vae" and not any(weights):
            raise ValueError("all losses have weight 0; give at least one a weight")
        return self

    @model_validator(mode="after")
    def _levels(self) -> Self:
        if len(self.level_weights) != self.depth - 1:
            raise ValueError(
                f"level_weights has {len(self.level_weights)} values; "
                f"depth {self.depth} needs {self.depth - 1}"
            )
        return self


def _size(
    width: int, heads: int, encoder: int, planner: int, generator: int, feedforward: int
) -> dict[str, int]:
    return {
        "width": width,
        "heads": heads,
        "encoder_layers": encoder,
        "planner_layers": planner,
        "generator_layers": generator,
        "feedforward": feedforward,
    }


SIZES: dict[str, dict[str, int]] = {
    "nano": _size(96, 4, 2, 3, 1, 256),
    "small": _size(208, 8, 3, 4, 1, 512),
    "base": _size(512, 8, 3, 4, 1, 896),
    "large": _size(896, 14, 4, 6, 1, 1408),
    "xl-1b": _size(2048, 16, 6, 12, 2, 3840),
    "xl-2b": _size(2816, 22, 6, 12, 2, 5376),
}
"""About 1, 5, 25, 100, 1,000 and 2,000 million parameters at K 256 and D 3; shares of encoder, planner
and generator are not reported by the paper."""


class ModelConfig(Section):
    """Context encoder, slate planner, item generator (method, section 2)."""

    size: str | None = Field(None, description="one of SIZES: fills the sizes that are not given")
    width: int = Field(128, ge=8, description="C, model width")
    heads: int = Field(4, ge=1)
    kv_heads: int | None = Field(
        None, ge=1, description="heads of keys and values (grouped-query attention); none: as many as heads"
    )
    encoder_layers: int = Field(2, ge=1)
    planner_layers: int = Field(3, ge=1)
    generator_layers: int = Field(1, ge=1)
    feedforward: int = Field(344, ge=8, description="inner width of the SwiGLU")
    dropout: float = Field(0.1, ge=0, lt=1)
    history_length: int = Field(64, ge=1, description="H, history items the encoder sees")
    history: Literal["engaged", "all"] = Field(
        "all",
        description="engaged: positive feedback only, as the paper; "
        "all: every exposure, told apart by a feedback embedding",
    )
    history_tokens: Literal["item", "code"] = Field(
        "item", description="item: one pooled token an event; code: D tokens"
    )
    profile_tokens: Literal["sum", "field"] = Field(
        "sum", description="sum: profile and situation are one token with the user; field: one token a field"
    )
    situation: bool = Field(
        True, description="hour, weekday and surface of the request are read; not reported by the paper"
    )
    max_slate_size: int = Field(10, ge=1, description="longest slate the planner can plan")
    pooling: Literal["sum", "mean", "max"] = Field("sum", description="an item from its codes' embeddings")
    generator_context: bool = Field(True, description="the generator attends to the context, too")
    shared_generator: bool = Field(True, description="one generator for all positions")

    @model_validator(mode="before")
    @classmethod
    def _of_size(cls, values: Any) -> Any:
        """Fill what `size` decides and nobody gave."""
        if not isinstance(values, dict) or values.get("size") is None:
            return values
        size = values["size"]
        if size not in SIZES:
            raise ValueError(f"no size {size!r}; sizes are {', '.join(SIZES)}")
        return {**SIZES[size], **values}

    @model_validator(mode="after")
    def _heads(self) -> Self:
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} is not a multiple of 2 * heads ({2 * self.heads})")
        if self.kv_heads is not None and self.heads % self.kv_heads:
            raise ValueError(f"heads {self.heads} is not a multiple of kv_heads {self.kv_heads}")
        return self

    @property
    def block(self) -> tuple[int, int, int, float, int | None]:
        """What every block of layers is made with: width, heads, inner width, dropout, heads of keys."""
        return self.width, self.heads, self.feedforward, self.dropout, self.kv_heads


class ExpertsConfig(Section):
    """Mixture-of-experts feed-forward of OneRec-style decoders (`higr.peers`, arXiv 2502.18965)."""

    count: int = Field(24, ge=2, description="E, experts a layer, as published")
    chosen: int = Field(2, ge=1, description="experts that a token goes to, as published")
    feedforward: int = Field(16, ge=1, description="inner width of one expert's SwiGLU")
    balance_weight: float = Field(
        0.01, ge=0, description="of the loss that spreads tokens over experts; not reported by the paper"
    )

    @model_validator(mode="after")
    def _chosen(self) -> Self:
        if self.chosen > self.count:
            raise ValueError(f"{self.chosen} of {self.count} experts chosen; choose at most all")
        return self


class TrainingConfig(Section):
    """Next-code cross-entropy with teacher forcing over the target slate."""

    epochs: int = Field(4, ge=1)
    batch_size: int = Field(256, ge=1, description="slates a step")
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    warmup_share: float = Field(0.05, ge=0, lt=1, description="share of steps before the peak; cosine after")
    clip_norm: float = Field(1.0, gt=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    target_size: int = Field(5, ge=1, description="items of a target slate at most")
    min_engaged: int = Field(
        1, ge=1, description="slates with fewer engaged items are no target; paper's thresholds not reported"
    )
    pad_with_exposed: bool = Field(
        False, description="fill short targets with what was exposed but not engaged; not in the paper"
    )
    patience: int = Field(2, ge=1, description="epochs without a better validation loss before stopping")
    shards: int = Field(
        1,
        ge=1,
        description="S, parts the data is dealt to: a multiple of the processes, a divisor of batch_size; "
        "decides the order of examples, the number of processes does not",
    )
    parallel: Literal["none", "ddp", "fsdp"] = Field(
        "none",
        description="what torchrun's processes share: ddp: gradients; fsdp: weights and optimiser state, too",
    )
    accumulation: int = Field(1, ge=1, description="parts a process computes its share of a batch in")
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="bf16: of matrix products, by autocast; weights and optimiser stay fp32"
    )
    compile: bool = Field(
        False, description="torch.compile every block: pays on a GPU, and in long trainings"
    )
    checkpoint_activations: bool = Field(
        False, description="compute every block's forward pass again in the backward pass: less memory"
    )
    log_every: int = Field(1, ge=1, description="steps between two lines of steps.jsonl")
    save_every_steps: int = Field(
        0, ge=0, description="steps between two checkpoints; 0: only at the end of every epoch"
    )

    @model_validator(mode="after")
    def _batches_can_be_shared(self) -> Self:
        if self.batch_size % (self.shards * self.accumulation):
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of shards * accumulation "
                f"({self.shards} * {self.accumulation})"
            )
        return self


class SignalConfig(Section):
    """Something that an item is worth beside what the user says of it (`higr.align.signals`)."""

    kind: Literal["freshness", "creator_exposure", "value"] = Field(
        description="freshness: 1 for an item made at the request, halved every half_life_days; "
        "creator_exposure: 1 for the creator shown least in training, 0 for the one shown most, by rank; "
        "value: the items table's value column, by rank from 0 to 1"
    )
    strength: float = Field(
        0.0, ge=0, description="times the signal is added to the strength of an engaged item"
    )
    negative: float = Field(
        0.0,
        ge=0,
        description="weight in the mixture of negatives: the positive's items replaced by the most "
        "similar ones whose signal is lower",
    )
    half_life_days: float = Field(7.0, gt=0, description="of freshness")


class PreferenceConfig(Section):
    """What is preferred to what: pure policy, no code (method, section 3; docs/alignment.md)."""

    logged: float = Field(
        1.0,
        ge=0,
        description="weight of the logged feedback strength (data.engagement) in that of a positive's items",
    )
    signals: tuple[SignalConfig, ...] = Field((), description="what else counts, see SignalConfig")
    ranking: float = Field(1.0, ge=0, description="weight of shuffled negatives in the mixture")
    interest: float = Field(1.0, ge=0, description="weight of negatives exposed but not engaged")
    diversity: float = Field(1.0, ge=0, description="weight of negatives that repeat the first item's kind")
    on_policy: float = Field(
        0.0, ge=0, description="weight of the model's own slates that feedback scores below the positive"
    )
    disorder: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of a positive's positions that a shuffled negative may move, at least two",
    )
    interest_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of a positive's items that an interest negative replaces, at least one and at "
        "most as many as were exposed without engagement",
    )
    diversity_form: Literal["similar_fill", "dissimilar_fill"] = "similar_fill"

    @model_validator(mode="after")
    def _some_of_each(self) -> Self:
        if (
            not self.ranking
            + self.interest
            + self.diversity
            + self.on_policy
            + sum(signal.negative for signal in self.signals)
        ):
            raise ValueError(
                "ranking, interest, diversity, on_policy and all signals' negative are 0; "
                "give at least one a weight"
            )
        if not self.logged + sum(signal.strength for signal in self.signals):
            raise ValueError("logged and all signals' strength are 0; give at least one a weight")
        kinds = [signal.kind for signal in self.signals]
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"signals are {', '.join(kinds)}; name each once")
        return self


class GuardConfig(Section):
    """What alignment may not break, against the model it starts from; not reported by the paper."""

    slates: int = Field(500, ge=0, description="validation slates that are measured and decoded; 0: no guard")
    checks: int = Field(4, ge=1, description="an epoch, each with the validation loss, too")
    max_loss_rise: float = Field(
        0.05, ge=0, description="rise of the positives' negative log-likelihood a code, as a share"
    )
    max_hit_drop: float = Field(
        0.3,
        ge=0,
        le=1,
        description="drop of effective-view Hit@5, as a share, two standard errors taken off; 1: off",
    )
    max_diversity_drop: float = Field(
        0.2,
        ge=0,
        le=1,
        description="drop of intra-list diversity@5, as a share, two standard errors taken off; 1: off",
    )
    max_distance: float = Field(
        0.5, gt=0, description="KL divergence from the start, nats a code, on positives"
    )


MAX_REALIGN_HOURS = 24 * 90
"""Window of a realignment at most: longer is a training."""


class AlignConfig(Section):
    """Listwise alignment (method, section 3)."""

    objective: Literal["orpo", "orpo_length_averaged", "dpo", "simpo", "f_grpo"] = Field(
        "orpo",
        description="orpo: log-odds summed over the codes, as HiGR; "
        "orpo_length_averaged: as ORPO was published",
    )
    epochs: int = Field(1, ge=1)
    batch_size: int = Field(128, ge=1, description="pairs a step; f_grpo: slates")
    learning_rate: float = Field(1e-4, gt=0)
    realign_learning_rate: float = Field(
        1e-5,
        gt=0,
        description="of `higr realign`, from the bundle in production; not reported by the paper",
    )
    user_share: float = Field(
        1.0, gt=0, le=1, description="share of users; the paper uses 0.03 of a far larger log"
    )
    alpha: float = Field(0.1, gt=0, description="orpo: weight of the odds ratio; not reported by the paper")
    dpo_beta: float = Field(0.1, gt=0, description="dpo: weight of the distance to the reference")
    simpo_beta: float = Field(2.0, gt=0, description="simpo: scale of the length-averaged log-probability")
    simpo_margin: float = Field(0.5, ge=0, description="simpo: gamma, least margin asked for")
    rollouts: int = Field(
        8, ge=2, description="f_grpo: G, slates drawn from the model a context, and orders of the positive"
    )
    order_weight: float = Field(1.0, ge=0, description="f_grpo: lambda, weight of the phase that orders")
    reward: Literal["logged", "simulator"] = Field(
        "logged",
        description="f_grpo: engaged items of the logged slate, or what the simulated user would watch",
    )
    preference: PreferenceConfig = PreferenceConfig()
    guard: GuardConfig = GuardConfig()


class DecodeConfig(Section):
    """Greedy slate, beam item."""

    beam_width: int = Field(10, ge=1, description="W, beams inside one item")
    slate_size: int = Field(5, ge=1, description="M when the request names none")
    cold_discount: float = Field(
        0.5,
        ge=0,
        description="nats by which an item newer than the model is less likely than the trained one it "
        "resembles most; not reported by the paper",
    )
    engine: Literal["auto", "reference", "cpu"] = Field(
        "auto",
        description="what a bundle is served with: reference, float32 torch; cpu, int8 on one core; "
        "auto, the fastest that this machine runs and that passes parity_floor",
    )
    parity_floor: float = Field(
        0.9,
        ge=0,
        le=1,
        description="least mean share of the reference's first ten items that an engine's first ten must "
        "hold when a bundle is loaded; not reported by the paper",
    )
    context_cache_mb: int = Field(
        64, ge=0, description="megabytes of encoded contexts that are kept for follow-up pages; 0: none"
    )


class BatchConfig(Section):
    """Requests decoded together (`higr.decode.batcher`); not reported by the paper."""

    max_batch: int = Field(16, ge=1, description="requests decoded together at most")
    window_ms: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="milliseconds that a request waits for company while the decoder is idle; "
        "0: for what arrives at the same moment",
    )
    max_waiting: int = Field(256, ge=1, description="requests waiting at most; more are refused")
    max_stretch: float = Field(
        2.0,
        ge=1,
        description="the longest slate of a batch has at most this many times the positions of its shortest",
    )


class BaselineConfig(Section):
    """The incumbent: retrieval, pointwise ranking, MMR. Also the serving fallback."""

    neighbours: int = Field(100, ge=1, description="similar items kept an item")
    candidates: int = Field(400, ge=1, description="items handed to the ranker")
    unexposed: int = Field(
        30, ge=0, description="candidates a training slate adds as negatives; 0: rank by exposures alone"
    )
    trees: int = Field(50, ge=1, description="boosting rounds of the ranker")
    mmr_lambda: float = Field(0.9, ge=0, le=1, description="1: relevance only; 0: diversity only")


class EvaluationConfig(Section):
    """What is measured and how sure it is."""

    k: int = Field(5, ge=1, description="cut-off of every metric")
    min_exposed: int = Field(1, ge=1, description="test slates with fewer exposures are left out")
    max_slates: int = Field(20_000, ge=1, description="test slates drawn at most")
    bootstrap: int = Field(1000, ge=100, description="resamples of users")
    permutations: int = Field(10_000, ge=100, description="sign flips of users behind a p-value")
    confidence: float = Field(0.95, gt=0, lt=1)
    exclude_seen: bool = Field(True, description="no item the context already holds, for every model alike")
    short_history: int = Field(10, ge=1, description="a history with fewer engaged items is short")
    long_history: int = Field(30, ge=1, description="a history with at least as many engaged items is long")
    head_share: float = Field(
        0.2, gt=0, lt=1, description="share of the items exposed in training, the most viewed, that are head"
    )
    min_slice: int = Field(
        100, ge=1, description="slices with fewer slates are named with their count, without figures"
    )

    @model_validator(mode="after")
    def _histories_in_order(self) -> Self:
        if self.short_history > self.long_history:
            raise ValueError(
                f"evaluation.short_history {self.short_history} is above long_history {self.long_history}; "
                "a history would be both"
            )
        return self


class GateConfig(Section):
    """What a bundle must show against the one in production before it is published."""

    metrics: tuple[
        Literal[
            "impression_hit", "effective_view_hit", "ndcg", "ndcg_binary", "recall", "intra_list_diversity"
        ],
        ...,
    ] = Field(("effective_view_hit", "ndcg"), min_length=1, description="each at evaluation.k")
    margin: float = Field(
        0.05, ge=0, lt=1, description="share of production's mean that a metric may be lower by"
    )
    evidence: Literal["measured", "proven"] = Field(
        "measured",
        description="measured: refused if the means differ by more than the margin; proven: refused also "
        "while the lower end of the paired interval does, which takes many test slates to pass",
    )


class MonitoringConfig(Section):
    """Thresholds of the drift verdict (`monitoring`)."""

    psi_watch: float = Field(0.1, gt=0)
    psi_page: float = Field(0.25, gt=0)
    min_rows: int = Field(200, ge=1, description="fewer rows in a window: verdict no-data")
    page_chance: float = Field(
        1e-3,
        gt=0,
        lt=1,
        description="chance of a false page in a quiet window, over all figures together (Holm)",
    )
    watch_chance: float = Field(
        0.01,
        gt=0,
        lt=1,
        description="share of false ones among the figures at watch (Benjamini and Hochberg)",
    )


class RunConfig(Section):
    """A whole run."""

    name: str = "higr"
    seed: int = 0
    data: DataConfig = DataConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    align: AlignConfig = AlignConfig()
    decode: DecodeConfig = DecodeConfig()
    baseline: BaselineConfig = BaselineConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    gate: GateConfig = GateConfig()
    monitoring: MonitoringConfig = MonitoringConfig()

    @model_validator(mode="after")
    def _slates_fit_the_planner(self) -> Self:
        longest = self.model.max_slate_size
        for field, size in (
            ("training.target_size", self.training.target_size),
            ("decode.slate_size", self.decode.slate_size),
            ("evaluation.k", self.evaluation.k),
        ):
            if size > longest:
                raise ValueError(f"{field} is {size}, but model.max_slate_size is {longest}; raise that")
        return self

    @model_validator(mode="after")
    def _rollouts_can_be_drawn_and_rewarded(self) -> Self:
        if self.align.objective != "f_grpo":
            return self
        if self.training.parallel == "fsdp":
            raise ValueError(
                "align.objective f_grpo draws slates step by step, which training.parallel fsdp cannot; "
                "set that to ddp or none"
            )
        if self.align.reward == "simulator" and self.data.source != "simulator":
            raise ValueError(
                f"align.reward is simulator, but data.source is {self.data.source}; "
                "set align.reward to logged"
            )
        return self


def presets() -> list[str]:
    """Names of the configurations that come with the package."""
    return sorted(
        p.name.removesuffix(".yaml")
        for p in resources.files("higr.presets").iterdir()
        if p.name.endswith(".yaml")
    )


def load_config(source: str | Path, overrides: dict[str, Any] | None = None) -> RunConfig:
    """Read a preset by name or a YAML file by path; `overrides` are `{"data.path": value}`.

    Raises:
        InputError: no such file or preset, not YAML, or a field that is unknown or out of range.
    """
    path = Path(source)
    if path.suffix in {".yaml", ".yml"}:
        if not path.is_file():
            raise InputError(f"configuration {path} does not exist; presets are {', '.join(presets())}")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"configuration {path} cannot be read as UTF-8 text ({error})") from None
    elif str(source) in presets():
        text = resources.files("higr.presets").joinpath(f"{source}.yaml").read_text()
    else:
        raise InputError(
            f"no preset {str(source)!r}; presets are {', '.join(presets())}, or give a .yaml file"
        )
    return parse_config(text, str(source), overrides)


def parse_overrides(settings: list[str] | None) -> dict[str, Any]:
    """`["training.epochs=2", ...]` as `load_config` takes them; values are YAML.

    Raises:
        InputError: no `=`, no field, or a value that is not YAML.
    """
    values = {}
    for setting in settings or []:
        field, equals, value = setting.partition("=")
        if not equals or not field:
            raise InputError(f"--set {setting!r}: write section.field=value")
        try:
            values[field] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InputError(f"--set {setting!r}: {value!r} is not a YAML value; quote it") from None
    return values


def parse_config(
    text: str, name: str = "configuration", overrides: dict[str, Any] | None = None
) -> RunConfig:
    """Parse and check one YAML (or JSON) document."""
    try:
        document = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise InputError(f"{name}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise InputError(f"{name}: holds a {type(document).__name__}; a mapping of sections is due")
    for dotted, value in (overrides or {}).items():
        *parents, leaf = dotted.split(".")
        target = document
        for parent in parents:
            target = target.setdefault(parent, {})
            if not isinstance(target, dict):
                raise InputError(f"{name}: {dotted}: {parent} is no section (got {target!r})")
        target[leaf] = value
    try:
        return RunConfig.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the document"
        raise InputError(f"{name}: {field}: {first['msg']} (got {first['input']!r})") from None
