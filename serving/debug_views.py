"""What `/debug/slate` tells of a request beside its slates: context, exclusions, policy."""

from collections.abc import Sequence
from datetime import UTC, datetime

from higr.slate import Slate
from serving.debug_schemas import ContextSource, Exclusions, RuleNow, Seen, Sold, UsedContext, UsedDecision
from serving.display import Shelf
from serving.policy import Policy
from serving.policy_file import AtMost, Block, Fresh, Sponsored
from serving.transformer import Job

HISTORY = 500
"""Items of a history that are told."""
NAMED = 3
"""Of the ids that a rule lists, those that its words name."""


def context_of(job: Job, shelf: Shelf) -> UsedContext:
    """What was known of the user, the latest first."""
    context, degraded = job.known.context, job.known.degraded
    events = list(zip(context.item_ids, context.feedback, strict=True))
    stored: ContextSource = "store" if degraded is None else "none"
    return UsedContext(
        source="request" if job.instance.context is not None else stored,
        degraded=degraded,
        history_length=len(events),
        history=[_seen(shelf, item, int(level)) for item, level in reversed(events[-HISTORY:])],
        profile=dict(context.profile),
        situation=dict(context.situation),
    )


def _seen(shelf: Shelf, item: str, level: int) -> Seen:
    card = shelf.card(item)
    if card is None:
        return Seen(item_id=item, feedback=level)
    return Seen(
        item_id=item,
        feedback=level,
        title=card.title,
        category=card.category,
        duration_seconds=card.duration_seconds,
        semantic_id=list(card.semantic_id),
    )


def exclusions_of(job: Job) -> Exclusions:
    """What this request leaves out, and why."""
    constraints, excluded = job.instance.constraints, job.ask.exclude
    asked = dict.fromkeys(constraints.exclude_items)
    history = [item for item in dict.fromkeys(reversed(job.known.context.item_ids)) if item not in asked]
    return Exclusions(
        request=list(asked),
        seen=[item for item in history if item in excluded],
        seen_again=[item for item in history if constraints.exclude_seen and item not in excluded],
    )


def decision_of(job: Job, policy: Policy, free: Slate | None) -> UsedDecision:
    """What the policy came to. free: HiGR's slate as if there were none."""
    ask, decision = job.ask, job.ask.decision
    holding = policy.holding({**ask.context.profile, **ask.context.situation}, datetime.now(UTC))
    holds = {rule.name for rule in holding}
    blocks = {rule: (count, examples) for rule, count, examples in policy.explain(decision)}
    rules = []
    for rule in policy.file.rules:
        items, examples = blocks.get(rule.name, (0, []))
        rules.append(
            RuleNow(
                rule=rule.name,
                kind=rule.kind,
                holds=rule.name in holds,
                says=_says(rule),
                when={field: list(values) for field, values in rule.when.items()},
                unless={field: list(values) for field, values in rule.unless.items()},
                position=rule.position if isinstance(rule, Sponsored) else None,
                items=items,
                examples=examples,
            )
        )
    return UsedDecision(
        rules=rules,
        blocked=len(decision.blocked),
        per_category=decision.per_category,
        per_creator=decision.per_creator,
        sold=[
            Sold(position=position, item_id=ask.pinned.get(position), disclosure=slot.disclosure)
            for position, slot in sorted(decision.slots.items())
            if position <= ask.slate_size
        ],
        removed={} if free is None else policy.broken(free.item_ids, holding),
    )


def _says(rule: Block | Fresh | AtMost | Sponsored) -> str:
    match rule:
        case Block():
            named = {"items": rule.items, "categories": rule.categories, "creators": rule.creators}
            return "blocks " + ", ".join(f"{name} {_few(ids)}" for name, ids in named.items() if ids)
        case Fresh():
            return f"only items of the last {rule.max_age_days:g} days"
        case AtMost():
            return f"at most {rule.items} of one {rule.per}"
    return f"position {rule.position} is sold to {_few(rule.items)}"


def _few(ids: Sequence[str]) -> str:
    rest = len(ids) - NAMED
    return ", ".join(ids[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
