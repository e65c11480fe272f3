"""`python -m feature_repo`: the feature store from prepared data, and what is newer than these."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from feature_repo.online import reaching
from feature_repo.push import push, set_status
from feature_repo.store import feedback_since, materialise
from higr.config import load_config
from higr.data.prepared import PreparedData
from higr.errors import HigrError

app = typer.Typer(add_completion=False, help="User features for serving.")

Data = Annotated[Path, typer.Option(help="Prepared data: what `higr data` wrote.")]
Store = Annotated[Path, typer.Option(help="Directory of the store.")]
Config = Annotated[
    str, typer.Option(help="Preset or YAML the data were prepared with: how far histories reach.")
]
Feedback = typer.Option(help="The --feedback-dir of a serving process.")
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


class Status(StrEnum):
    """Of an item."""

    active = "active"
    disabled = "disabled"


@app.command("materialise")
def _materialise(
    data: Data,
    store: Annotated[Path, typer.Option(help="Directory of the store; replaced as a whole.")],
    config: Config,
    online: Annotated[
        str | None,
        typer.Option(
            help="redis://HOST:PORT/DATABASE, rediss:// for TLS: where rows are read while serving; "
            "its password is HIGR_REDIS_PASSWORD of the environment. None: SQLite in the store."
        ),
    ] = None,
    feedback: Annotated[Path | None, Feedback] = None,
    as_json: AsJson = False,
) -> None:
    """Write the offline sources, register the views, and load the latest rows into the online store.

    With --feedback events after the prepared log's end are pushed as well, so that nothing is forgotten which
    a running server had pushed.
    """
    with _one_line():
        done = materialise(data, store, load_config(config).data, online, feedback)
        said = f"{store}: {done.users} users, {done.rows} point-in-time rows"
        if feedback is not None:
            said += f", {done.pushed} events pushed"
        _say(
            as_json,
            {"store": str(store), "users": done.users, "rows": done.rows, "pushed": done.pushed},
            said,
        )


@app.command("push")
def _push(
    data: Data,
    store: Store,
    config: Config,
    feedback: Annotated[Path, Feedback],
    as_json: AsJson = False,
) -> None:
    """Push the events of a feedback log into the contexts of their users. Again: nothing changes."""
    with _one_line():
        prepared = PreparedData.load(data, embeddings=False)
        pushed = push(store, feedback_since(feedback, prepared), prepared.items, load_config(config).data)
        _say(as_json, {"store": str(store), "pushed": pushed}, f"{store}: {pushed} events pushed")


@app.command("set-status")
def _set_status(
    items: Annotated[list[str], typer.Argument(help="Ids of items.", metavar="ITEM...")],
    store: Store,
    status: Annotated[Status, typer.Option(help="disabled: not to be shown.")],
) -> None:
    """Say of items whether they may be shown. Servers with features.item_status_seconds look."""
    with _one_line():
        set_status(store, items, status)
        _say(False, {}, f"{store}: {len(items)} items {status}")


@contextmanager
def _one_line() -> Iterator[None]:
    """What a user can mend is one line and status 2."""
    logging.getLogger("feast").setLevel(logging.WARNING)
    try:
        with reaching():
            yield
    except HigrError as error:
        Console(stderr=True, soft_wrap=True, markup=False, highlight=False).print(f"error: {error}")
        raise typer.Exit(2) from None


def _say(as_json: bool, values: dict[str, object], text: str) -> None:
    console = Console(soft_wrap=True, markup=False, highlight=False)
    console.print(json.dumps(values) if as_json else text)


if __name__ == "__main__":
    app()
