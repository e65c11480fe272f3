"""The stages of a run, from directory to directory.

The CLI and the pipeline components call these and nothing else, so that a stage does the same
wherever it runs. Each writes its output aside and renames it: a stage that stops leaves nothing
half-written. What a stage returns is a flat mapping of figures for people and for KFP's UI.

    prepare -> tokenize -> pretrain -> align -> evaluate -> bundle
            -> fit_baseline ----------------/

and, from the bundle that serves and the feedback it met, the next one: realign.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from higr.align.align import PAIRS_PAGE
from higr.align.align import align as run_align
from higr.align.guard import guard_figures
from higr.align.window import Window
from higr.baseline.incumbent import Incumbent
from higr.baseline.popularity import Popularity
from higr.bundle import Bundle, check_target, realigned_bundle, write_bundle
from higr.catalog import Catalog
from higr.config import RunConfig, parse_config
from higr.data.context import HistoryIndex
from higr.data.logs import ADDED, PREDICTIONS
from higr.data.prepare import prepare as run_prepare
from higr.data.prepared import PreparedData
from higr.data.schemas import LABELLED_EVENTS, TIMESTAMP
from higr.decode.recommender import HiGRRecommender
from higr.errors import InputError
from higr.evaluation.evaluate import evaluate as run_evaluate
from higr.evaluation.held_out import BATCH
from higr.evaluation.report import write_report as write_evaluation_report
from higr.evaluation.results import Evaluation
from higr.files import atomic_directory, write_json
from higr.model.higr import HiGR
from higr.progress import Progress, no_progress
from higr.tokenizer.catalogue import build_catalog, engagement
from higr.tokenizer.gate import check as check_gate
from higr.tokenizer.gate import check_capacity, judge
from higr.tokenizer.quality import measure_quality
from higr.tokenizer.report import write_report as write_tokenizer_report
from higr.tokenizer.tokenizer import Tokenizer
from higr.tokenizer.training_set import TrainingSet
from higr.training.curves import GUARD, STEPS, read_curve, write_curve
from higr.training.pretrain import pretrain as run_pretrain
from higr.training.world import World

Figures = dict[str, float | int | str]

REFERENCE_SLATES = 2_000
"""Validation slates that are decoded as the drift reference, at most."""


def prepare(config: RunConfig, out: Path, progress: Progress = no_progress) -> Figures:
    """Source to checked tables, slates and splits."""
    progress("prepare", 0, 1)
    data = run_prepare(config.data, config.seed)
    data.save(out)
    progress("prepare", 1, 1)
    splits = data.report["splits"]
    return {
        "events": data.events.num_rows,
        "items": data.items.num_rows,
        "users": data.users.num_rows,
        "slates_train": splits["train"]["slates"],
        "slates_validation": splits["validation"]["slates"],
        "slates_test": splits["test"]["slates"],
        "engaged_share": data.report["engaged_share"],
        "quarantined": data.quarantine.num_rows,
        "fingerprint": data.report["fingerprint"][:12],
    }


def tokenize(
    config: RunConfig, data: Path, out: Path, progress: Progress = no_progress, cache: Path | None = None
) -> Figures:
    """Items to semantic IDs: tokenizer/, catalog.parquet, quality.json, report.html.

    cache: folder that keeps mined positives, for the next run on the same content.

    With `tokenizer.stability` a second quantiser is trained from the next seed on the same content, to
    compare its IDs, and thrown away.

    Raises:
        QualityGateError: the IDs are too poor to train on; only quality.json and report.html are written,
            so that no later stage can train on them.
    """
    section = config.tokenizer
    prepared = PreparedData.load(data, embeddings=False)
    check_capacity(prepared.items.num_rows, section)
    with tempfile.TemporaryDirectory() as directory:
        training = TrainingSet.build(
            prepared, section, config.seed, Path(directory), items=data / "items.parquet", cache=cache
        )
        tokenizer = Tokenizer.fit_to(training, section, config.seed, progress)
        encoding = tokenizer.encode_content(training.item_ids, training.embeddings)
        views = engagement(prepared, encoding.item_ids)
        catalog, collisions = build_catalog(encoding, tokenizer, views)
        second = _second_codes(config, training, progress) if section.stability else None
        quality = measure_quality(
            encoding, prepared.items, section, content=training.embeddings, second=second, engagement=views
        )
    verdicts = judge(quality, config.tokenizer.gate)
    with atomic_directory(out) as aside:
        if all(verdict.passed for verdict in verdicts):
            tokenizer.save(aside / "tokenizer")
            catalog.save(aside / "catalog.parquet")
        write_json(aside / "quality.json", {**quality.to_json(), "collisions": collisions.to_json()})
        write_tokenizer_report(
            aside / "report.html", quality, collisions, encoding, prepared.items, config.tokenizer, views
        )
    check_gate(quality, config.tokenizer.gate)
    return {**quality.to_figures(), "moved_by_collision_policy": collisions.moved}


def _second_codes(config: RunConfig, training: TrainingSet, progress: Progress) -> np.ndarray:
    """(N, D) codes by a training from the next seed."""
    again = Tokenizer.fit_to(
        training,
        config.tokenizer,
        config.seed + 1,
        lambda label, done, total: progress(f"{label}, second time", done, total),
    )
    return again.encode_content(training.item_ids, training.embeddings).codes


def fit_baseline(config: RunConfig, data: Path, out: Path, progress: Progress = no_progress) -> Figures:
    """The incumbent: retrieval, pointwise ranking, MMR."""
    prepared = PreparedData.load(data)
    progress("baseline", 0, 1)
    contexts = _history(prepared, config).contexts(prepared.split("train"))
    Incumbent.fit(prepared, contexts, config.baseline, config.seed).save(out)
    progress("baseline", 1, 1)
    return {"training_slates": len(contexts)}


def pretrain(
    config: RunConfig, data: Path, tokens: Path, out: Path, progress: Progress = no_progress
) -> Figures:
    """Next-code cross-entropy: config.json, model.safetensors, curve.jsonl, steps.jsonl.

    Beside `out` it keeps checkpoints while it goes on, from which an interrupted stage resumes.
    """
    prepared = PreparedData.load(data)
    catalog = Catalog.load(tokens / "catalog.parquet")
    work = _training_directory(out)
    model, curve = run_pretrain(prepared, _history(prepared, config), catalog, config, progress, work)
    _save_trained(config, "pretrain", model, curve, out)
    return _pretrain_figures(model, curve)


def pretrained_figures(out: Path) -> Figures:
    """What `pretrain` returned when it wrote `out`: for who waited for other processes to do so."""
    return _pretrain_figures(HiGR.load(out / "model"), read_curve(out))


def _pretrain_figures(model: HiGR, curve: list[dict[str, Any]]) -> Figures:
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "epochs": len(curve) - 1,
        "train_loss": curve[-1]["train_loss"],
        **_best_validation(curve),
    }


def align(
    config: RunConfig, data: Path, tokens: Path, model: Path, out: Path, progress: Progress = no_progress
) -> Figures:
    """Listwise alignment of the pretrained model: files and checkpoints as `pretrain`, and guard.jsonl.

    A breach of the guard is no error: the best weights that passed are kept, and the figures say so.
    """
    prepared = PreparedData.load(data)
    catalog = Catalog.load(tokens / "catalog.parquet")
    tokenizer = Tokenizer.load(tokens / "tokenizer")
    aligned = HiGR.load(model / "model")
    history, work = _history(prepared, config), _training_directory(out)
    curve = run_align(aligned, prepared, history, catalog, tokenizer, config, progress, work)
    _save_trained(config, "align", aligned, curve, out)
    return _align_figures(curve)


def realign(
    bundle: Path,
    data: Path,
    out: Path,
    since: datetime,
    overrides: Mapping[str, Any] | None = None,
    progress: Progress = no_progress,
    until: datetime | None = None,
) -> Figures:
    """Align the model of a bundle on the feedback since a moment: another bundle, whose parent it is.

    Tokenizer, catalogue, baseline and drift reference are the parent's, so is the configuration. The model
    takes `align.epochs` passes over the window at `align.realign_learning_rate`; the newest
    `data.validation_fraction` of the window is what it is watched on. Curves are in `OUT.align`, beside the
    bundle.

    Args:
        data: prepared by `higr data`, with all that happened before the window, too: it is the context.
        overrides: `{"align.epochs": value}`, of the sections align and training.
        until: slates from this moment on are left out, for whoever judges the result; None: none are.

    Raises:
        BundleError: `bundle` is no sound bundle.
        InputError: `out` exists, or lies in the bundle, or its curves would replace one; the data has no
            window to learn from and to be watched on; the bundle's configuration is not of this version;
            a field is overridden that cannot be.
    """
    check_target(bundle, out)
    curves = out.with_name(f"{out.name}.align")
    if (curves / "manifest.json").exists():
        raise InputError(f"{curves}, where the curves of {out} go, is a bundle; give another --out")
    for name in ("align.learning_rate", "align.user_share"):
        if name in (overrides or {}):
            raise InputError(
                f"--set {name}: realign takes all users of its window, at align.realign_learning_rate; "
                "set that one"
            )
    if other := [name for name in overrides or {} if not name.startswith(("align.", "training."))]:
        raise InputError(
            f"--set {other[0]}: a bundle keeps its configuration; only align and training can be set"
        )
    parent = Bundle.open(bundle)
    name = f"configuration of bundle {parent.version}"
    config = parse_config(json.dumps(parent.manifest.config), name, dict(overrides or {}))
    settings = config.align.model_copy(
        update={"learning_rate": config.align.realign_learning_rate, "user_share": 1.0}
    )
    prepared = PreparedData.load(data)
    if until is not None:
        before = pc.less(prepared.slates["timestamp"], pa.scalar(until, TIMESTAMP))
        prepared = replace(prepared, slates=prepared.slates.filter(before))
    window = Window.of(prepared, parent, since, config.data.validation_fraction)
    model, work = parent.model, _training_directory(out)
    curve = run_align(
        model,
        window.data,
        _history(window.data, config),
        parent.catalog,
        parent.tokenizer,
        config.model_copy(update={"align": settings}),
        progress,
        work,
    )
    figures = {**window.figures(), **_align_figures(curve)}
    if not World.join(config.training.parallel).first:
        return figures
    model.save(work / "model")
    with atomic_directory(curves) as aside:
        _save_curves("align", curve, work, aside)
    written = realigned_bundle(
        parent,
        out,
        work / "model",
        data_fingerprint=window.data.report["fingerprint"],
        config=config.model_dump(mode="json"),
        metrics={"realign": figures},
    )
    shutil.rmtree(work)
    return {"version": written.version, "parent": parent.version, **figures}


def evaluate(
    config: RunConfig,
    data: Path,
    tokens: Path,
    baseline: Path,
    pretrained: Path,
    aligned: Path,
    out: Path,
    progress: Progress = no_progress,
) -> Figures:
    """All models on the test slates: evaluation.json, measured/*.parquet, report.html."""
    prepared = PreparedData.load(data)
    catalog = Catalog.load(tokens / "catalog.parquet")
    slates = prepared.split("test")
    disabled = prepared.disabled
    beam = config.decode.beam_width
    incumbent = Incumbent.load(baseline)
    with atomic_directory(out) as aside:
        evaluation = run_evaluate(
            {
                "popularity": Popularity.fit(prepared),
                "incumbent": incumbent,
                "higr_pretrained": HiGRRecommender(HiGR.load(pretrained / "model"), catalog, beam, disabled),
                "higr": HiGRRecommender(HiGR.load(aligned / "model"), catalog, beam, disabled),
            },
            slates,
            _history(prepared, config).contexts(slates),
            prepared.items,
            config.evaluation,
            config.seed,
            reference="popularity",
            subject="higr",
            training=prepared.train_events,
            catalog=catalog,
            progress=progress,
            keep=aside / "measured",
        )
        evaluation.save(aside)
        curves = {"Pretraining": read_curve(pretrained), "Alignment": read_curve(aligned)}
        write_evaluation_report(evaluation, aside / "report.html", curves)
    return {
        f"{model}_{metric}": round(mean, 6)
        for model, row in _means(evaluation).items()
        for metric, mean in row.items()
    }


def bundle(
    config: RunConfig,
    data: Path,
    tokens: Path,
    baseline: Path,
    model: Path,
    evaluation: Path,
    out: Path,
    progress: Progress = no_progress,
) -> Figures:
    """One verified directory that serving loads."""
    prepared = PreparedData.load(data)
    progress("bundle", 0, 1)
    catalog = Catalog.load(tokens / "catalog.parquet")
    recommender = HiGRRecommender(
        HiGR.load(model / "model"), catalog, config.decode.beam_width, prepared.disabled
    )
    written = write_bundle(
        out,
        items=prepared.items,
        tokenizer=tokens / "tokenizer",
        catalog=tokens / "catalog.parquet",
        model=model / "model",
        baseline=baseline,
        reference={
            "predictions": _reference_predictions(prepared, recommender, config),
            "feedback": _reference_feedback(prepared),
        },
        data_fingerprint=prepared.report["fingerprint"],
        config=config.model_dump(mode="json"),
        metrics=_means(Evaluation.load(evaluation)),
    )
    progress("bundle", 1, 1)
    return {"version": written.version, "items": len(catalog)}


def _training_directory(out: Path) -> Path:
    """Where checkpoints and the curve of steps lie until `out` is there."""
    return out.with_name(f".{out.name}.training")


def _save_trained(config: RunConfig, stage: str, model: HiGR, curve: list[dict[str, Any]], out: Path) -> None:
    """Written by the first of the processes that trained."""
    if not World.join(config.training.parallel).first:
        return
    work = _training_directory(out)
    with atomic_directory(out) as aside:
        model.save(aside / "model")
        _save_curves(stage, curve, work, aside)
    shutil.rmtree(work)


def _save_curves(stage: str, curve: list[dict[str, Any]], work: Path, out: Path) -> None:
    write_curve(out, stage, curve)
    for name in (STEPS, GUARD, PAIRS_PAGE):
        if (work / name).exists():
            shutil.copyfile(work / name, out / name)


def _best_validation(curve: list[dict[str, Any]]) -> Figures:
    """At the start and of the weights that were kept; nothing where nothing was held out."""
    if curve[0]["validation_loss"] is None:
        return {}
    return {
        "validation_loss_at_start": curve[0]["validation_loss"],
        "validation_loss": min(record["validation_loss"] for record in curve if record["best"]),
    }


def _align_figures(curve: list[dict[str, Any]]) -> Figures:
    pairs = {f"pairs_{kind}": count for kind, count in curve[0]["pairs"].items()}
    return {**_best_validation(curve), **pairs, **guard_figures(curve)}


def _means(evaluation: Evaluation) -> dict[str, dict[str, float]]:
    """Model, metric: mean."""
    return {
        model: {metric: value.mean for metric, value in row.items()}
        for model, row in evaluation.values.items()
    }


def _history(data: PreparedData, config: RunConfig) -> HistoryIndex:
    return HistoryIndex.build(data.events, data.users, config.data)


def _reference_predictions(data: PreparedData, recommender: HiGRRecommender, config: RunConfig) -> pa.Table:
    """What this model shows in its validation period, in the shape of the prediction log."""
    slates = data.split("validation")
    if slates.num_rows > REFERENCE_SLATES:
        rng = np.random.default_rng(config.seed)
        slates = slates.take(np.sort(rng.choice(slates.num_rows, REFERENCE_SLATES, replace=False)))
    contexts = _history(data, config).contexts(slates)
    size, batch = config.decode.slate_size, BATCH
    shown = [
        slate
        for start in range(0, len(contexts), batch)
        for slate in recommender.recommend(
            contexts[start : start + batch],
            size,
            [frozenset(c.item_ids) for c in contexts[start : start + batch]],
        )
    ]
    count = len(shown)
    return pa.table(
        {
            "request_id": slates["slate_id"],
            "timestamp": slates["timestamp"],
            "user_id": slates["user_id"],
            "source": ["higr"] * count,
            "fallback_reason": [None] * count,
            "model_version": ["reference"] * count,
            "item_ids": [slate.item_ids for slate in shown],
            "scores": [slate.scores for slate in shown],
            "semantic_ids": [slate.semantic_ids for slate in shown],
            "history_length": [len(context.item_ids) for context in contexts],
            "degraded": [False] * count,
            "latency_ms": [0.0] * count,
            **{name: [None] * count for name in ADDED},
        },
        schema=PREDICTIONS,
    )


def _reference_feedback(data: PreparedData) -> pa.Table:
    """How exposures were received in the validation period."""
    moment = LABELLED_EVENTS.field("timestamp").type
    start, end = (pa.scalar(data.report[name]).cast(moment) for name in ("validation_start", "test_start"))
    times = data.events["timestamp"]
    return data.events.filter(pc.and_(pc.greater_equal(times, start), pc.less(times, end)))


STAGES: dict[str, Callable[[RunConfig, Path, Progress], Figures]] = {
    "data": lambda config, run, progress: prepare(config, run / "data", progress),
    "tokenize": lambda config, run, progress: tokenize(
        config, run / "data", run / "tokens", progress, cache=run / "cache"
    ),
    "baseline": lambda config, run, progress: fit_baseline(config, run / "data", run / "baseline", progress),
    "pretrain": lambda config, run, progress: pretrain(
        config, run / "data", run / "tokens", run / "pretrained", progress
    ),
    "align": lambda config, run, progress: align(
        config, run / "data", run / "tokens", run / "pretrained", run / "aligned", progress
    ),
    "evaluate": lambda config, run, progress: evaluate(
        config,
        run / "data",
        run / "tokens",
        run / "baseline",
        run / "pretrained",
        run / "aligned",
        run / "evaluation",
        progress,
    ),
    "bundle": lambda config, run, progress: bundle(
        config,
        run / "data",
        run / "tokens",
        run / "baseline",
        run / "aligned",
        run / "evaluation",
        run / "bundle",
        progress,
    ),
}
"""Each stage over one run directory, in order."""
