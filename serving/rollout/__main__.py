"""`python -m serving.rollout --config rollout.yaml`: one JSON line a look, until the rollout has ended."""

import json
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from prometheus_client import start_http_server

from higr.errors import HigrError, InputError
from serving.rollout.config import RolloutConfig, read_rollout
from serving.rollout.gauges import Gauges
from serving.rollout.state import State

if TYPE_CHECKING:
    from higr.store.store import BundleStore

app = typer.Typer(add_completion=False)


@app.command()
def main(
    config: Annotated[Path, typer.Option(help="rollout.yaml; see docs/rollout.md.")],
    candidate: Annotated[
        str | None,
        typer.Option(help="URI of a bundle that the canary is given first; none: the one it has."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="One look, as a CronJob takes it.")] = False,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Of /metrics; none: they are not served.")
    ] = None,
    pushgateway: Annotated[
        str | None, typer.Option(help="HOST:PORT that takes the metrics of every look; none: not pushed.")
    ] = None,
) -> None:
    """Move a canary's share of the traffic by steps; promote it, or roll it back.

    Ends with 0 when the rollout is promoted, rolled back or held, 2 for what a person has to mend.
    """
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    try:
        _run(read_rollout(config), candidate, once, port, pushgateway)
    except HigrError as error:
        typer.echo(f"rollout: {error}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("rollout: interrupted; started again it goes on", err=True)
        raise typer.Exit(130) from None


def _run(
    config: RolloutConfig, candidate: str | None, once: bool, port: int | None, pushgateway: str | None
) -> None:
    # After the configuration is read: a misspelt one is told at once.
    from serving.rollout.access import Busy
    from serving.rollout.cluster import Cluster
    from serving.rollout.controller import Controller
    from serving.rollout.measure import Measure
    from serving.rollout.prometheus import Prometheus

    measure = Measure(config, Prometheus(config.prometheus))
    controller = Controller(config, Cluster(config), measure, _store(config))
    gauges = Gauges()
    if port is not None:
        try:
            start_http_server(port, registry=gauges.registry)
        except OSError as error:
            raise InputError(f"port {port}: {error.strerror}; give another --port") from None
    if candidate is not None:
        controller.offer(candidate)
    state: State | None = None
    while True:
        try:
            outlook = controller.look()
            state, why, ended = outlook.state, outlook.why, outlook.ended
        except Busy as error:
            why, ended = str(error), False
        _say(_line(config, state, why))
        if state is not None:
            gauges.show(state, config)
            _push(gauges, pushgateway, config.namespace)
        if once or ended:
            return
        time.sleep(config.look_seconds)


def _store(config: RolloutConfig) -> "BundleStore | None":
    if config.store is None:
        return None
    from higr.store.store import BundleStore

    return BundleStore(config.store)


def _line(config: RolloutConfig, state: State | None, why: str) -> dict[str, Any]:
    line: dict[str, Any] = {"at": round(time.time(), 1), "rollout": config.name, "why": why}
    if state is None:
        return line | {"phase": "none"}
    return line | {
        "phase": state.phase,
        "step": state.step + 1,
        "weight": state.weight(config),
        "verdict": state.verdict,
        "candidate": state.candidate_uri,
        "slates": {side: state.counted.slates(side) for side in ("stable", "canary")},
        "findings": [{**f.model_dump(), "standing": f.standing} for f in state.findings],
    }


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _push(gauges: Gauges, gateway: str | None, namespace: str) -> None:
    """Who watches must not stop what is watched."""
    if gateway is None:
        return
    try:
        gauges.push(gateway, namespace)
    except HigrError as error:
        typer.echo(f"rollout: {error}", err=True)


if __name__ == "__main__":
    app()
