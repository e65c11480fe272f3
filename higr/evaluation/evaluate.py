"""Every recommender on the same test slates, contexts and exclusions."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from higr.catalog import Catalog
from higr.config import EvaluationConfig
from higr.errors import InputError
from higr.evaluation.compare import Protocol, compare, paired, summary
from higr.evaluation.examples import examples_of
from higr.evaluation.held_out import HeldOut
from higr.evaluation.judge import KINDS
from higr.evaluation.results import Evaluation
from higr.evaluation.slices import slices_of
from higr.progress import Progress
from higr.slate import Recommender, UserContext


def evaluate(
    recommenders: Mapping[str, Recommender],
    slates: pa.Table,
    contexts: Sequence[UserContext],
    items: pa.Table,
    config: EvaluationConfig,
    seed: int,
    *,
    reference: str | None = None,
    subject: str | None = None,
    training: pa.Table | None = None,
    catalog: Catalog | None = None,
    progress: Progress | None = None,
    keep: Path | None = None,
) -> Evaluation:
    """Measure all models, how each differs from `reference`, and how `subject` differs from each.

    Args:
        slates: test slates (`SLATES`); at most `config.max_slates` of them are drawn.
        contexts: what was known before each slate, one a slate.
        items: the catalogue (`ITEMS`).
        reference: default: the first model.
        subject: the model that the report judges against all others; default: the last.
        training: `LABELLED_EVENTS` before the validation period, for popularity lift, new users and
            kinds of items.
        catalog: semantic IDs of all items, for prefix entropy of every model alike.
        keep: directory for `Measured` of every model, one Parquet file each.

    Raises:
        InputError: no model, no slate, not one context a slate, an unknown reference or subject, or no
            engaged item in any slate.
        HigrError: a recommender broke its contract (duplicate, excluded, disabled or unknown item).
    """
    if not recommenders:
        raise InputError("evaluation: no model; give at least one")
    reference = reference if reference is not None else next(iter(recommenders))
    subject = subject if subject is not None else list(recommenders)[-1]
    for role, model in (("reference", reference), ("subject", subject)):
        if model not in recommenders:
            raise InputError(f"evaluation: {role} {model!r} is not among the models {list(recommenders)}")
    test = HeldOut.draw(slates, contexts, items, config, seed, training=training, catalog=catalog)
    generated = {
        name: test.generate(name, recommender, config.k, progress)
        for name, recommender in recommenders.items()
    }
    runs = {name: [test.measure(slates_of, config.k)] for name, slates_of in generated.items()}
    if keep is not None:
        for name, (run,) in runs.items():
            run.save(keep / f"{name}.parquet")
    protocol = Protocol(config.bootstrap, config.permutations, config.confidence, seed)
    # Recall by kind of item is a figure of slices.
    shown = [m for m in runs[subject][0].values if m not in {f"recall_{kind}@{config.k}" for kind in KINDS}]
    every = np.ones(len(test.contexts), dtype=bool)
    main = {name: [run.part(every, shown)] for name, (run,) in runs.items()}
    values = {name: summary(of_model, protocol) for name, of_model in main.items()}
    metrics = tuple(metric for metric in shown if all(metric in row for row in values.values()))
    rivals = {name: of_model for name, of_model in main.items() if name != subject}
    return Evaluation(
        models=tuple(recommenders),
        reference=reference,
        subject=subject,
        metrics=metrics,
        values={name: {metric: row[metric] for metric in metrics} for name, row in values.items()},
        differences={
            name: paired(of_model, main[reference], protocol)
            for name, of_model in main.items()
            if name != reference
        },
        against=compare(main[subject], rivals, protocol),
        slices=slices_of(runs, config.k, config.min_slice, protocol),
        min_slice=config.min_slice,
        coverage={name: run.totals["coverage"] for name, (run,) in runs.items()},
        gini={name: run.totals["gini"] for name, (run,) in runs.items()},
        slates=len(test.contexts),
        users=len({context.user_id for context in test.contexts}),
        k=config.k,
        confidence=config.confidence,
        resamples=config.bootstrap,
        permutations=config.permutations,
        exclude_seen=config.exclude_seen,
        seed=seed,
        examples=examples_of(generated, test.logged, test.slates, test.contexts, items, seed),
    )
