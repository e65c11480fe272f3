"""Tables of a benchmark: on the terminal, as Markdown, and its document as JSON beside them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from higr.files import atomic_file, write_json

Tables = list[tuple[str, list[tuple[str, ...]]]]
"""Title and rows, the head first."""


def shown(value: Mapping[str, float] | None) -> str:
    """A mean and its interval; empty where there is none."""
    if value is None:
        return ""
    return f"{value['mean']:.4f} ({value['low']:.4f} to {value['high']:.4f})"


def terminal(tables: Tables) -> list[Table]:
    made = []
    for title, rows in tables:
        table = Table(*rows[0], title=title, title_justify="left")
        for row in rows[1:]:
            table.add_row(*row)
        made.append(table)
    return made


def markdown(head: str, tables: Tables) -> str:
    lines = [head]
    for title, rows in tables:
        lines += ["", f"## {title}", "", _line(rows[0]), "|---" + "|---:" * (len(rows[0]) - 1) + "|"]
        lines += [_line(row) for row in rows[1:]]
    return "\n".join(lines) + "\n"


def publish(document: dict[str, Any], page: str, path: Path) -> None:
    """<path>.json and <path>.md."""
    write_json(path.with_suffix(".json"), document)
    with atomic_file(path.with_suffix(".md")) as aside:
        aside.write_text(page)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
