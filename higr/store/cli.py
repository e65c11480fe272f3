"""`higr bundle`: versions of the bundle in a store."""

import getpass
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

if TYPE_CHECKING:  # a command imports what it needs: `higr --help` waits for no torch
    from higr.store.history import Act, Index
    from higr.store.store import BundleStore

SHOWN = 5
"""Items that a difference names."""

bundle_app = typer.Typer(
    help="Versions of the bundle in a store: a folder, or a bucket such as s3://bucket/prefix. "
    "Credentials and AWS_ENDPOINT_URL come from the environment.",
    no_args_is_help=True,
)


def _open(uri: str) -> "BundleStore":
    from higr.store.store import BundleStore

    return BundleStore(uri)


def _me() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user has no name
        return "unknown"


StoreOption = Annotated[
    str, typer.Option("--store", "-s", envvar="HIGR_STORE", help="Folder, or URI of a bucket.")
]
ByOption = Annotated[str, typer.Option("--by", help="Who does it, for the record; default: this user.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why, for the record.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
VersionArgument = Annotated[str, typer.Argument(help="Version, as `higr bundle list` shows it.")]


@bundle_app.command("list")
def list_command(store: StoreOption, json_output: JsonOption = False) -> None:
    """What was published, and what is in production."""
    opened = _open(store)
    index = opened.index()
    if json_output:
        typer.echo(json.dumps(_document(opened, index)))
        return
    table = Table(
        *("version", "", "published", "by", "storage URI"),
        title=f"store {opened.root.name}",
        title_justify="left",
    )
    for held in reversed(index.versions.values()):
        state = _state(index, held.version, held.retired)
        uri = "" if held.retired else opened.uri(held.version)
        table.add_row(held.version, state, f"{held.at:%Y-%m-%d %H:%M}", held.by, uri)
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    for act in index.at_once:
        typer.echo(f"higr: warning: {_sentence(act)} at the same moment as the act before it", err=True)


@bundle_app.command("history")
def history_command(store: StoreOption, json_output: JsonOption = False) -> None:
    """Who did what, when and why, the latest first."""
    acts = list(reversed(_open(store).index().acts))
    if json_output:
        typer.echo(json.dumps([act.model_dump(mode="json") for act in acts]))
        return
    table = Table("when", "who", "what", "version", "why", title_justify="left")
    for act in acts:
        table.add_row(f"{act.at:%Y-%m-%d %H:%M:%S}", act.by, act.kind, act.version, act.reason)
    Console(soft_wrap=True, highlight=False).print(table)


@bundle_app.command("publish")
def publish_command(
    bundle: Annotated[Path, typer.Argument(help="Bundle directory.")],
    store: StoreOption,
    by: ByOption = "",
    reason: ReasonOption = "",
    json_output: JsonOption = False,
) -> None:
    """Verify a bundle and copy it to the store. Nothing serves it yet; again, it does nothing."""
    opened = _open(store)
    version, new = _with_bar(lambda progress: opened.publish(bundle, by or _me(), reason, progress))
    figures = {"version": version, "new": new, "uri": opened.uri(version)}
    _say(json_output, figures, f"{'published' if new else 'already there'}: {opened.uri(version)}")


@bundle_app.command("promote")
def promote_command(
    version: VersionArgument,
    store: StoreOption,
    by: ByOption = "",
    reason: ReasonOption = "",
    json_output: JsonOption = False,
) -> None:
    """Put a version in production on the record. What a cluster serves, its release says."""
    opened = _open(store)
    before = opened.index().production
    act = opened.promote(version, by or _me(), reason)
    figures = {"production": version, "previous": before, "new": act is not None, "uri": opened.uri(version)}
    done = f"in production: {opened.uri(version)} (before: {before or 'none'})"
    _say(json_output, figures, done if act else f"{version} is in production already")


@bundle_app.command("rollback")
def rollback_command(
    store: StoreOption, by: ByOption = "", reason: ReasonOption = "", json_output: JsonOption = False
) -> None:
    """Put back in production what was there before."""
    opened = _open(store)
    before = opened.index().production
    act = opened.rollback(by or _me(), reason)
    figures = {"production": act.version, "previous": before, "uri": opened.uri(act.version)}
    _say(json_output, figures, f"in production again: {opened.uri(act.version)} (before: {before})")


@bundle_app.command("diff")
def diff_command(
    before: VersionArgument, after: VersionArgument, store: StoreOption, json_output: JsonOption = False
) -> None:
    """What is different in another version: parts, configuration, figures, items."""
    from higr.store.difference import difference

    found = difference(_open(store), before, after)
    if json_output:
        typer.echo(json.dumps(asdict(found)))
        return
    console = Console(soft_wrap=True, highlight=False)
    if not found.parts:
        console.print(f"{before} and {after} hold the same")
        return
    console.print(f"other parts: {', '.join(found.parts)}")
    for title, rows in (("configuration", found.config), ("figures", found.metrics)):
        if rows:
            table = Table("", before, after, title=title, title_justify="left")
            for name, pair in rows.items():
                table.add_row(name, *("" if value is None else _short(value) for value in pair))
            console.print(table)
    for what, items in (("more", found.added), ("gone", found.removed)):
        if items:
            first = ", ".join(items[:SHOWN]) + (", ..." if len(items) > SHOWN else "")
            console.print(f"{len(items):,} items {what}: {first}")


@bundle_app.command("fetch")
def fetch_command(
    version: VersionArgument,
    store: StoreOption,
    out: Annotated[Path, typer.Option("--out", "-o", help="New directory for it.")],
    json_output: JsonOption = False,
) -> None:
    """Copy a version to this machine and verify every file."""
    bundle = _with_bar(lambda progress: _open(store).fetch(version, out, progress))
    _say(json_output, {"version": bundle.version, "path": str(out)}, f"{bundle.version}: {out}")


@bundle_app.command("retain")
def retain_command(
    store: StoreOption,
    keep: Annotated[int, typer.Option("--keep", min=1, help="Versions that stay.")],
    by: ByOption = "",
    json_output: JsonOption = False,
) -> None:
    """Remove the oldest versions; what is in production, what was before and the newest stay and count."""
    removed = _open(store).retain(keep, by or _me())
    _say(json_output, {"removed": removed}, f"removed: {', '.join(removed) or 'none'}")


def _with_bar(work: Callable[[Callable[[str, int, int], None]], Any]) -> Any:
    columns = (TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("")
        return work(
            lambda label, done, total: bar.update(task, description=label, completed=done, total=total)
        )


def _say(json_output: bool, figures: dict[str, Any], words: str) -> None:
    typer.echo(json.dumps(figures) if json_output else words)


def _state(index: "Index", version: str, retired: bool) -> str:
    if version == index.production:
        return "production"
    if retired:
        return "retired"
    return "previous" if version == index.previous else ""


def _sentence(act: "Act") -> str:
    return f"{act.by} did {act.kind} {act.version} on {act.at:%Y-%m-%d %H:%M:%S}"


def _short(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _document(store: "BundleStore", index: "Index") -> dict[str, Any]:
    return {
        "production": index.production,
        "previous": index.previous,
        "versions": [
            {
                "version": held.version,
                "state": _state(index, held.version, held.retired),
                "published_at": held.at.isoformat(),
                "published_by": held.by,
                "uri": store.uri(held.version),
            }
            for held in index.versions.values()
        ],
    }
