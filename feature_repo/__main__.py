"""`python -m feature_repo`: the feature store from prepared data."""

import json
import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from feature_repo.store import materialise
from higr.config import load_config
from higr.errors import HigrError

app = typer.Typer(add_completion=False, help="User features for serving.")


@app.callback()
def _root() -> None:
    """Keeps `materialise` a subcommand: more are to come."""


@app.command("materialise")
def _materialise(
    data: Annotated[Path, typer.Option(help="Prepared data: what `higr data` wrote.")],
    store: Annotated[Path, typer.Option(help="Directory of the store; replaced as a whole.")],
    config: Annotated[
        str, typer.Option(help="Preset or YAML the data were prepared with: how far histories reach.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Write the offline sources, register the views, and load the latest rows into the online store."""
    logging.getLogger("feast").setLevel(logging.WARNING)
    console = Console(soft_wrap=True, markup=False, highlight=False)
    try:
        done = materialise(data, store, load_config(config).data)
    except HigrError as error:
        Console(stderr=True, soft_wrap=True, markup=False, highlight=False).print(f"error: {error}")
        raise typer.Exit(2) from None
    if as_json:
        console.print(json.dumps({"store": str(store), "users": done.users, "rows": done.rows}))
    else:
        console.print(f"{store}: {done.users} users, {done.rows} point-in-time rows")


if __name__ == "__main__":
    app()
