"""`python -m serving`: transformer, predictor, or both, behind KServe's server."""

import gc
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from higr import metrics as names
from higr.bundle import Bundle
from higr.config import BatchConfig
from higr.errors import BundleError, HigrError
from serving.ask import SlateMaker
from serving.breaker import Breaker
from serving.display import Shelf
from serving.fallback import Ladder, popular_first
from serving.features import FeastFeatures, Features, NoFeatures
from serving.feedback_log import FeedbackLog
from serving.guard import MAX_BODY_BYTES, MAX_PREDICTOR_BODY_BYTES
from serving.live_policy import LivePolicy
from serving.metrics import Metrics
from serving.prediction_log import PredictionLog
from serving.predictor import Predictor
from serving.remote import PREDICTOR, RemotePredictor
from serving.switch import Switch
from serving.transformer import Explore, Limits, Transformer

app = typer.Typer(add_completion=False)


class Role(StrEnum):
    """What this process is."""

    all = "all"
    transformer = "transformer"
    predictor = "predictor"


@app.command()
def main(
    bundle: Annotated[Path, typer.Option(help="The model bundle: a directory with manifest.json.")],
    role: Annotated[
        Role,
        typer.Option(
            help="all: both in one process, only the endpoint on the port; "
            "predictor: bundle and context in, slates out; "
            "transformer: features, deadline, fallback, the endpoint clients call."
        ),
    ] = Role.all,
    predictor_host: Annotated[
        str | None,
        typer.Option(
            "--predictor-host",
            "--predictor_host",
            help="Where the predictor is (HOST, HOST:PORT or URL); role transformer only. KServe sets it.",
        ),
    ] = None,
    http_port: Annotated[
        int, typer.Option("--http-port", "--http_port", min=1, max=65535, help="KServe binds every address.")
    ] = 8080,
    grpc_port: Annotated[
        int | None,
        typer.Option(
            "--grpc-port", "--grpc_port", min=1, max=65535, help="Of V2 over gRPC; none: it is not served."
        ),
    ] = None,
    model_name: Annotated[
        str, typer.Option("--model-name", "--model_name", help="NAME of /v1/models/NAME:predict.")
    ] = "higr",
    features: Annotated[
        Path | None,
        typer.Option(help="Feature store made by `python -m feature_repo materialise`; none: no features."),
    ] = None,
    log_dir: Annotated[
        Path | None, typer.Option(help="Where the prediction log goes; none: nothing is logged.")
    ] = None,
    feedback_dir: Annotated[
        Path | None,
        typer.Option(
            help="Where what is sent to /v1/feedback goes, a folder of this process alone; none: no endpoint."
        ),
    ] = None,
    switch: Annotated[
        Path | None, typer.Option(help="File with one word: auto, higr or baseline; none: auto.")
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            help="YAML file of what may be shown to whom; none: everything. The predictor's own too."
        ),
    ] = None,
    explore_share: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of positions whose item is drawn, not the best; 0: none."),
    ] = 0.0,
    explore_temperature: Annotated[
        float, typer.Option(min=0.01, max=100, help="Of the draw: above 1 flatter than the model.")
    ] = 1.0,
    deadline_ms: Annotated[
        float, typer.Option(min=1, max=60_000, help="Time a request may take, fallback included.")
    ] = 300.0,
) -> None:
    """Serve ordered slates: POST /v1/models/higr:predict."""
    try:
        _refuse_taken("--http-port", http_port)
        if grpc_port is not None:
            _refuse_taken("--grpc-port", grpc_port)
        if role is Role.transformer and predictor_host is None:
            raise HigrError("role transformer has no predictor; give --predictor-host HOST:PORT")
        if role is not Role.transformer and predictor_host is not None:
            raise HigrError(f"--predictor-host is for role transformer; this is role {role}")
        with ExitStack() as stack:
            _serve(
                stack,
                bundle=Bundle.open(bundle),
                role=role,
                predictor_host=predictor_host,
                http_port=http_port,
                grpc_port=grpc_port,
                model_name=model_name,
                features=features,
                log_dir=log_dir,
                feedback_dir=feedback_dir,
                switch=switch,
                policy=policy,
                explore=Explore(explore_share, explore_temperature) if explore_share else None,
                deadline_ms=deadline_ms,
            )
    except HigrError as error:
        Console(stderr=True, soft_wrap=True, markup=False, highlight=False).print(f"error: {error}")
        raise typer.Exit(2) from None


def _serve(
    stack: ExitStack,
    *,
    bundle: Bundle,
    role: Role,
    predictor_host: str | None,
    http_port: int,
    grpc_port: int | None,
    model_name: str,
    features: Path | None,
    log_dir: Path | None,
    feedback_dir: Path | None,
    switch: Path | None,
    policy: Path | None,
    explore: Explore | None,
    deadline_ms: float,
) -> None:
    # kserve parses sys.argv when it is imported, and takes our options for misspelt ones of its own.
    sys.argv = sys.argv[:1]
    from serving import server

    server.configure()
    metrics = Metrics()
    metrics.show_bundle(bundle.version)
    limits = _limits(bundle, deadline_ms)
    maker: SlateMaker
    if predictor_host is None:
        predictor = Predictor.load(bundle, BatchConfig())
        predictor.warm_up(limits.slate_size)
        metrics.show_decoding(lambda: predictor.stats)
        maker = predictor
    else:
        maker = RemotePredictor(predictor_host)
    shelf = Shelf.of(bundle)
    popular = popular_first(shelf.eligible, bundle.baseline.popularity.item_ids)
    rules = LivePolicy(policy, bundle.items, popular, lambda: metrics.count(names.POLICY_ERRORS))
    metrics.show_policy(lambda: rules.policy.file.expired(datetime.now(UTC)))
    if role is Role.predictor:
        _freeze()
        inner = server.PredictorModel(PREDICTOR, maker, limits.max_slate_size, rules)
        server.serve(inner, http_port, metrics, MAX_PREDICTOR_BODY_BYTES)
    else:
        transformer = _transformer(
            stack, bundle, limits, maker, metrics, features, log_dir, switch, rules, shelf, popular, explore
        )
        feedback = None
        if feedback_dir is not None:
            feedback = FeedbackLog(feedback_dir, lambda: metrics.count(names.LOG_FAILURES))
            stack.callback(feedback.close)
        model = server.PublicModel(model_name, transformer)
        _freeze()
        server.serve(model, http_port, metrics, MAX_BODY_BYTES, feedback, grpc_port)


def _freeze() -> None:
    """What is loaded now stays: the collector need not walk it again, which takes longer than a deadline."""
    gc.collect()
    gc.freeze()


def _limits(bundle: Bundle, deadline_ms: float) -> Limits:
    config = bundle.manifest.config
    try:
        return Limits(
            deadline=deadline_ms / 1000,
            slate_size=config["decode"]["slate_size"],
            max_slate_size=config["model"]["max_slate_size"],
        )
    except KeyError as missing:
        raise BundleError(
            f"bundle {bundle.path}: its configuration lacks {missing}; build it again"
        ) from None


def _refuse_taken(option: str, port: int) -> None:
    """KServe's own error comes after the model is loaded, and is a line among many."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError as error:
            raise HigrError(f"port {port}: {error.strerror}; give another {option}") from None


def _transformer(
    stack: ExitStack,
    bundle: Bundle,
    limits: Limits,
    maker: SlateMaker,
    metrics: Metrics,
    features: Path | None,
    log_dir: Path | None,
    switch: Path | None,
    policy: LivePolicy,
    shelf: Shelf,
    popular: Sequence[str],
    explore: Explore | None,
) -> Transformer:
    ladder = Ladder(bundle.baseline, popular)
    ladder.warm_up(limits.slate_size)
    stack.callback(ladder.close)
    source: Features = NoFeatures()
    if features is not None:
        source = FeastFeatures(features)
        source.warm_up()
        stack.callback(source.close)
    log = None
    if log_dir is not None:
        log = PredictionLog(
            log_dir,
            on_failure=lambda: metrics.count(names.LOG_FAILURES),
            on_write=lambda seconds: metrics.observe(names.STEP_SECONDS, seconds, "log"),
        )
        stack.callback(log.close)
    breaker = Breaker()
    metrics.show_breaker(lambda: breaker.state)
    lever = Switch(switch, lambda: metrics.count(names.SWITCH_ERRORS))
    metrics.show_switch(lambda: lever.position)
    return Transformer(
        limits=limits,
        version=bundle.version,
        shelf=shelf,
        predictor=maker,
        ladder=ladder,
        features=source,
        policy=policy,
        switch=lever,
        metrics=metrics,
        log=log,
        explore=explore,
        breaker=breaker,
    )


if __name__ == "__main__":
    app()
