"""What an evaluation found: a table of intervals, paired differences, and slates to look at."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from higr.config import Section
from higr.errors import InputError
from higr.evaluation.bootstrap import Interval
from higr.evaluation.compare import Difference
from higr.files import read_json, write_json

FILE = "evaluation.json"


class ExampleItem(Section):
    """An item as a person would recognise it."""

    item_id: str
    title: str | None
    category: str
    duration_seconds: float | None
    exposed: bool
    engaged: bool


class Example(Section):
    """One test slate: what was shown, and what each model would have shown. Names no user.

    Attributes:
        history: latest engaged items of the context, oldest first.
        logged: the slate as it was exposed.
        generated: one slate a model.
    """

    history: tuple[ExampleItem, ...]
    logged: tuple[ExampleItem, ...]
    generated: dict[str, tuple[ExampleItem, ...]]


class Slice(Section):
    """Figures over some of the slates, or of items of one kind.

    Attributes:
        name: see `higr.evaluation.slices`.
        slates, users: how many are in it.
        metrics: what is measured there.
        values: model, metric; empty where there are fewer slates than `Evaluation.min_slice`. A metric
            that is defined for none of the slates is absent.
    """

    name: str
    slates: int
    users: int
    metrics: tuple[str, ...]
    values: dict[str, dict[str, Interval]]


class Evaluation(Section):
    """Models on the same test slates, with the same contexts and the same exclusions.

    Attributes:
        models: in the order of the table; `reference` and `subject` are of them.
        metrics: in the order of the table.
        values: model, metric: mean and interval.
        differences: model, metric: model minus reference.
        against: rival, metric: subject minus rival; p-values corrected over the rivals.
        slices: the same slates in parts.
        coverage: model: distinct recommended items / recommendable items, over all slates.
        gini: model: how unevenly recommendations fall on the recommendable items.
        slates, users: how many were measured.
        k: cut-off; confidence: of the intervals; resamples: of users; permutations: of users;
            exclude_seen: whether items of the context were left out; seed: of the draw of slates and of
            the resamples; min_slice: slates a slice needs to have figures.
    """

    models: tuple[str, ...]
    reference: str
    subject: str
    metrics: tuple[str, ...]
    values: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Difference]]
    against: dict[str, dict[str, Difference]]
    slices: tuple[Slice, ...]
    coverage: dict[str, float]
    gini: dict[str, float]
    slates: int
    users: int
    k: int
    confidence: float
    resamples: int
    permutations: int
    exclude_seen: bool
    seed: int
    min_slice: int
    examples: tuple[Example, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, document: Any) -> "Evaluation":
        """Read what `to_json` gave.

        Raises:
            InputError: a field is missing, unknown or of another type.
        """
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "the document"
            raise InputError(f"evaluation: {field}: {first['msg']}; evaluate again") from None

    def save(self, directory: Path) -> None:
        """Write `evaluation.json` into the directory."""
        write_json(directory / FILE, self.to_json())

    @classmethod
    def load(cls, directory: Path) -> "Evaluation":
        """Read what `save` wrote.

        Raises:
            InputError: missing, not JSON, or of another shape.
        """
        return cls.from_json(read_json(directory / FILE))
