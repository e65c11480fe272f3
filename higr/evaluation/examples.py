"""A few test slates as people would read them: what was shown, and what each model would show."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from higr.data.schemas import Feedback
from higr.evaluation.judge import Logged
from higr.evaluation.results import Example, ExampleItem
from higr.slate import Slate, UserContext

EXAMPLES = 4
HISTORY = 5
"""Latest engaged items shown of a context."""
TITLE_LENGTH = 80


def examples_of(
    generated: Mapping[str, Sequence[Slate]],
    logged: Logged,
    slates: pa.Table,
    contexts: Sequence[UserContext],
    items: pa.Table,
    seed: int,
) -> tuple[Example, ...]:
    """Up to `EXAMPLES` slates, drawn among those with a history and something engaged."""
    telling = [row for row, context in enumerate(contexts) if logged.relevant[row] and engaged_of(context)]
    drawn = np.random.default_rng(seed).permutation(telling)[:EXAMPLES].astype(int)
    history = {row: engaged_of(contexts[row])[-HISTORY:] for row in drawn}
    shown = {row: slates["item_ids"][int(row)].as_py() for row in drawn}
    needed = {item for row in drawn for item in (*history[row], *shown[row])}
    needed |= {item for of_model in generated.values() for row in drawn for item in of_model[row].item_ids}
    described = _descriptions(items, needed)

    def cards(item_ids: Sequence[str], row: int) -> tuple[ExampleItem, ...]:
        levels = logged.feedback[row]
        return tuple(
            described[item].model_copy(
                update={
                    "exposed": item in levels,
                    "engaged": levels.get(item, Feedback.EXPOSED) >= Feedback.ENGAGED,
                }
            )
            for item in item_ids
            if item in described
        )

    return tuple(
        Example(
            history=cards(history[row], row),
            logged=cards(shown[row], row),
            generated={name: cards(of_model[row].item_ids, row) for name, of_model in generated.items()},
        )
        for row in drawn
    )


def engaged_of(context: UserContext) -> tuple[str, ...]:
    """Engaged items of a context, oldest first."""
    pairs = zip(context.item_ids, context.feedback, strict=True)
    return tuple(item for item, level in pairs if level >= Feedback.ENGAGED)


def _descriptions(items: pa.Table, needed: set[str]) -> dict[str, ExampleItem]:
    rows = items.filter(pc.is_in(items["item_id"], value_set=pa.array(sorted(needed), pa.string())))
    columns = (rows[name].to_pylist() for name in ("item_id", "text", "category", "duration_seconds"))
    return {
        item: ExampleItem(
            item_id=item,
            title=_short(text),
            category=category,
            duration_seconds=duration,
            exposed=False,
            engaged=False,
        )
        for item, text, category, duration in zip(*columns, strict=True)
    }


def _short(text: str | None) -> str | None:
    line = " ".join((text or "").split())
    if len(line) > TITLE_LENGTH:
        return f"{line[: TITLE_LENGTH - 1].rstrip()}…"
    return line or None
