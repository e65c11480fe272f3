"""The policy as it is written: one YAML file of named rules.

    expires: 2027-01-31T00:00:00Z
    rules:
      - {name: recalled, kind: block, items: [v0000017]}
      - {name: adults-only, kind: block, categories: [Wine], unless: {age: [18-24, 25-34, 35-44, 45+]}}
      - {name: fresh-news, kind: fresh, max_age_days: 30, when: {surface: [news]}}
      - {name: variety, kind: at_most, items: 2, per: category}
      - {name: autumn, kind: sponsored, position: 3, items: [v0000042], disclosure: Sponsored}

A field that is not named here is refused: a misspelt rule must not be taken for no rule.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from serving.schemas import MAX_SLATE, Id
from serving.yaml_file import read_yaml

MAX_BYTES = 4 * 1024 * 1024
"""Longest policy file; a longer one is a mistake."""

Values = Annotated[tuple[Id, ...], Field(min_length=1)]
Condition = dict[Id, Values]


class Written(BaseModel):
    """Base of all that a policy file holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Rule(Written):
    """What every rule has.

    Attributes:
        name: what it is called in answers and logs.
        when: it holds where each of these fields of the user's profile or the request's situation has one of
            its values; everywhere if there are none.
        unless: it does not hold where each of these has. A field that is not known has no value, so a rule
            with `unless` holds for users of whom nothing is known.
    """

    name: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]{0,63}$")]
    when: Condition = Field(default_factory=dict)
    unless: Condition = Field(default_factory=dict)

    def holds(self, facts: Mapping[str, str]) -> bool:
        """facts: profile and situation of a request."""
        if self.unless and _all(self.unless, facts):
            return False
        return _all(self.when, facts)


class Block(Rule):
    """Items that are not shown: by id, category or creator."""

    kind: Literal["block"]
    items: tuple[Id, ...] = ()
    categories: tuple[Id, ...] = ()
    creators: tuple[Id, ...] = ()

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.items or self.categories or self.creators):
            raise ValueError("blocks nothing; name items, categories or creators")
        return self


class Fresh(Rule):
    """Only items that were created in the last days; one without a date is not shown to be fresh."""

    kind: Literal["fresh"]
    max_age_days: float = Field(gt=0)


class AtMost(Rule):
    """So many items of one category, or of one creator, in a slate."""

    kind: Literal["at_most"]
    items: int = Field(ge=1, le=MAX_SLATE)
    per: Literal["category", "creator"]


class Sponsored(Rule):
    """The first of these items that may be shown stands at a position, with a word that says why."""

    kind: Literal["sponsored"]
    position: int = Field(ge=1, le=MAX_SLATE)
    items: Values
    disclosure: Id


class PolicyFile(Written):
    """All of it.

    Attributes:
        expires: from then on sponsored rules do not hold; what protects somebody goes on, and the metrics say
            that the policy has expired.
    """

    expires: AwareDatetime | None = None
    rules: tuple[Annotated[Block | Fresh | AtMost | Sponsored, Field(discriminator="kind")], ...] = ()

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [rule.name for rule in self.rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"rules: {', '.join(twice)} is there twice; give each rule a name of its own")
        return self

    def expired(self, now: datetime) -> bool:
        return self.expires is not None and now >= self.expires.astimezone(UTC)


def read_policy(path: Path) -> PolicyFile:
    """Raises:
    InputError: no file, not YAML, or not of this form; names the field.
    """
    return read_yaml(path, PolicyFile, "policy", MAX_BYTES)


def _all(condition: Condition, facts: Mapping[str, str]) -> bool:
    return all(facts.get(field) in values for field, values in condition.items())
