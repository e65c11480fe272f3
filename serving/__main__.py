"""`python -m serving`: transformer, predictor, or both, behind KServe's server."""

import gc
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from higr import metrics as names
from higr.bundle import Bundle
from higr.errors import HigrError
from serving import traces
from serving.breaker import Breaker
from serving.config import ServingConfig, read_config
from serving.features import FeastFeatures, Features, NoFeatures
from serving.guard import MAX_BODY_BYTES, MAX_PREDICTOR_BODY_BYTES
from serving.item_status import ItemStatus
from serving.live_bundle import LiveBundle
from serving.live_policy import LivePolicyFile
from serving.logs import RowSink, open_logs
from serving.metrics import Metrics
from serving.predictor import Predictor
from serving.push import ContextPusher
from serving.remote import PREDICTOR, RemotePredictor
from serving.schemas import FeedbackEvent
from serving.served import Served
from serving.switch import Switch
from serving.tokens import OwnToken, Tokens
from serving.transformer import Transformer

app = typer.Typer(add_completion=False)


class Role(StrEnum):
    """What this process is."""

    all = "all"
    transformer = "transformer"
    predictor = "predictor"


@dataclass(frozen=True, slots=True)
class Options:
    """What was given on the command line, read and checked; `deadline` in seconds."""

    bundle: Path
    role: Role
    predictor_host: str | None
    http_port: int
    grpc_port: int | None
    model_name: str
    features: Path | None
    log_dir: Path | None
    feedback_dir: Path | None
    switch: Path | None
    policy: Path | None
    config: ServingConfig
    deadline: float


@app.command()
def main(
    bundle: Annotated[
        Path,
        typer.Option(
            help="The model bundle: a directory with manifest.json, or a link to one. "
            "Another one in its place is taken while serving."
        ),
    ],
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
    config: Annotated[
        Path | None,
        typer.Option(
            help="YAML file of all that has no option (`serving.config`); none: as it is by itself."
        ),
    ] = None,
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
        options = Options(
            bundle, role, predictor_host, http_port, grpc_port, model_name, features, log_dir, feedback_dir,
            switch, policy, read_config(config), deadline_ms / 1000,
        )  # fmt: skip
        _check_features(options)
        with ExitStack() as stack:
            _serve(stack, options)
    except HigrError as error:
        Console(stderr=True, soft_wrap=True, markup=False, highlight=False).print(f"error: {error}")
        raise typer.Exit(2) from None


def _serve(stack: ExitStack, options: Options) -> None:
    # kserve parses sys.argv when it is imported, and takes our options for misspelt ones of its own.
    sys.argv = sys.argv[:1]
    from serving import server

    server.configure()
    stack.callback(traces.configure(options.role))
    metrics = Metrics()
    auth, spoilt = options.config.auth, lambda: metrics.count(names.TOKEN_ERRORS)
    tokens = None if auth.tokens_file is None else Tokens(auth.tokens_file, spoilt)
    rules = LivePolicyFile(options.policy, lambda: metrics.count(names.POLICY_ERRORS))
    metrics.show_policy(lambda: rules.rules.expired(datetime.now(UTC)))
    live = LiveBundle(
        options.bundle,
        _loader(options, metrics, rules),
        on_change=metrics.show_bundle,
        on_error=lambda: metrics.count(names.BUNDLE_ERRORS),
        roots=options.config.bundle_roots,
    )
    stack.callback(live.close)
    model: server.PublicModel | server.PredictorModel
    feedback, taken, routers = None, None, []
    if options.role is Role.predictor:
        model = server.PredictorModel(PREDICTOR, lambda: live.served)
    else:
        logs = open_logs(
            *(stack, options.config.logs, options.model_name),
            *(options.log_dir, options.feedback_dir, metrics),
        )
        feedback = logs.feedback
        transformer = _transformer(stack, options, live, metrics, logs.predictions)
        model = server.PublicModel(options.model_name, transformer)
        routers = server.debug_routers(
            options.config.debug, options.model_name, transformer, lambda: live.served
        )
        if feedback is not None:
            taken = _pusher(stack, options, live, metrics)
    # What is loaded now stays: the collector need not walk it again, which takes longer than a deadline.
    gc.collect()
    gc.freeze()
    live.watch()
    longest = MAX_PREDICTOR_BODY_BYTES if options.role is Role.predictor else MAX_BODY_BYTES
    server.serve(
        model,
        options.http_port,
        metrics,
        longest,
        options.config.limits,
        feedback=feedback,
        grpc_port=options.grpc_port,
        tokens=tokens,
        taken=taken,
        routers=routers,
    )


def _loader(options: Options, metrics: Metrics, rules: LivePolicyFile) -> Callable[[Bundle], Served]:
    """Makes a bundle ready: what it answers first is as fast as what it answers later."""
    remote = None if options.predictor_host is None else _remote(options.predictor_host, options, metrics)

    def load(bundle: Bundle) -> Served:
        if remote is not None:
            served = Served.of(bundle, remote, rules)
        else:
            predictor = Predictor.load(bundle, options.config.batch)
            served = Served.of(bundle, predictor, rules)
            predictor.warm_up(served.slate_size)
            metrics.show_decoding(lambda: predictor.stats)
        served.ladder.warm_up(served.slate_size)
        return served

    return load


def _remote(host: str, options: Options, metrics: Metrics) -> RemotePredictor:
    path = options.config.auth.predictor_token_file
    if path is None:
        return RemotePredictor(host)
    token = OwnToken(path, lambda: metrics.count(names.TOKEN_ERRORS))
    return RemotePredictor(host, lambda: {"authorization": token.header})


def _transformer(
    stack: ExitStack, options: Options, live: LiveBundle, metrics: Metrics, log: RowSink | None
) -> Transformer:
    source: Features = NoFeatures()
    if options.features is not None:
        source = FeastFeatures(options.features, options.config.features.max_age_seconds)
        source.warm_up()
        stack.callback(source.close)
    breaker = Breaker()
    metrics.show_breaker(lambda: breaker.state)
    lever = Switch(options.switch, lambda: metrics.count(names.SWITCH_ERRORS))
    metrics.show_switch(lambda: lever.position)
    return Transformer(
        served=lambda: live.served,
        deadline=options.deadline,
        crowd=options.config.crowd,
        features=source,
        switch=lever,
        metrics=metrics,
        log=log,
        explore=options.config.explore,
        breaker=breaker,
        disabled=_disabled(stack, options, live, metrics),
    )


def _disabled(
    stack: ExitStack, options: Options, live: LiveBundle, metrics: Metrics
) -> Callable[[], frozenset[str]]:
    seconds = options.config.features.item_status_seconds
    if options.features is None or seconds is None:
        return frozenset
    status = ItemStatus(options.features, lambda: live.served, seconds, metrics)
    stack.callback(status.close)
    return lambda: status.disabled


def _pusher(
    stack: ExitStack, options: Options, live: LiveBundle, metrics: Metrics
) -> Callable[[Sequence[FeedbackEvent]], None] | None:
    """What takes acknowledged events: contexts, or nobody."""
    if options.features is None or not options.config.features.push:
        return None
    pusher = ContextPusher(options.features, lambda: live.served, metrics)
    stack.callback(pusher.close)
    return pusher.offer


def _check_features(options: Options) -> None:
    wanted = options.config.features
    if wanted.push and (options.features is None or options.feedback_dir is None):
        raise HigrError("features.push: contexts take up feedback only with --features and --feedback-dir")
    if wanted.item_status_seconds is not None and options.features is None:
        raise HigrError("features.item_status_seconds: there is no store to ask; give --features")


def _refuse_taken(option: str, port: int) -> None:
    """KServe's own error comes after the model is loaded, and is a line among many."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError as error:
            raise HigrError(f"port {port}: {error.strerror}; give another {option}") from None


if __name__ == "__main__":
    app()
