"""What `POST /debug/slate` answers: a slate, and how it came about."""

from typing import Literal

from pydantic import Field

from serving.schemas import Item, Prediction, Wire

ContextSource = Literal["request", "store", "none"]


class Seen(Wire):
    """An item of a history; the fields below `feedback` are null where the catalogue no longer has it.

    Attributes:
        feedback: 0 negative, 1 exposed, 2 engaged, 3 strong.
    """

    item_id: str
    feedback: int
    title: str | None = None
    category: str | None = None
    duration_seconds: float | None = None
    semantic_id: list[int] | None = None


class UsedContext(Wire):
    """What was known of the user.

    Attributes:
        source: the request brought it, the feature store had it, or nobody did.
        degraded: why the feature store did not: a reason of `higr_degraded_requests_total`.
        history_length: items of the history.
        history: the latest of them, newest first.
    """

    source: ContextSource
    degraded: str | None
    history_length: int
    history: list[Seen]
    profile: dict[str, str]
    situation: dict[str, str]


class Exclusions(Wire):
    """Items that this request leaves out, by why.

    Attributes:
        request: the client said so.
        seen: the history holds them.
        seen_again: the history holds them, but without them the slate would be short.
    """

    request: list[str]
    seen: list[str]
    seen_again: list[str]


class RuleNow(Wire):
    """A rule of the policy as it is for this request.

    Attributes:
        holds: whether its conditions are met.
        says: in words.
        position: that it sells.
        items: of the catalogue that it blocks, where it holds.
        examples: the most popular of them.
    """

    rule: str
    kind: str
    holds: bool
    says: str
    when: dict[str, list[str]]
    unless: dict[str, list[str]]
    position: int | None
    items: int = 0
    examples: list[str] = Field(default_factory=list)


class Sold(Wire):
    """A position of this slate that is sold; `item_id` is null where none of its items may be shown."""

    position: int
    item_id: str | None
    disclosure: str


class UsedDecision(Wire):
    """What the policy came to.

    Attributes:
        rules: all of the file, in its order.
        blocked: items of the catalogue that some rule blocks.
        per_category, per_creator: most of one in the slate; null: any number.
        sold: within the slate.
        removed: items that HiGR would have shown without the policy, and the rules that say no.
    """

    rules: list[RuleNow]
    blocked: int
    per_category: int | None
    per_creator: int | None
    sold: list[Sold]
    removed: dict[str, list[str]]


class Rung(Wire):
    """What one recommender would have given; `reason` says why there is nothing."""

    items: list[Item] | None
    reason: str | None = None


class Rungs(Wire):
    """Side by side, each for the same request.

    Attributes:
        higr: whatever the switch says.
        higr_made: what the decoder gave for it, not yet held to the policy: it knows no creators.
        higr_without_policy: as if the policy file were empty; null where it asks nothing of this slate.
    """

    higr: Rung
    higr_made: list[Item] | None
    higr_without_policy: Rung | None
    baseline: Rung
    popular: Rung


class DebugSlate(Wire):
    """One slate.

    Attributes:
        answer: what `:predict` would have answered, explained.
        steps_ms: of the answer, by `step` of `higr_step_seconds`, and `total`.
    """

    answer: Prediction
    context: UsedContext
    exclusions: Exclusions
    decision: UsedDecision
    rungs: Rungs
    steps_ms: dict[str, float]


class DebugResponse(Wire):
    """One an instance, in order."""

    slates: list[DebugSlate]
