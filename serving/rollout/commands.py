"""What a person orders by a key of the ConfigMap NAME-rollout.

kubectl patch configmap NAME-rollout --type merge -p '{"data": {"command": "pause", "reason": "..."}}'
"""

from collections.abc import Mapping
from dataclasses import dataclass

COMMANDS = ("auto", "pause", "resume", "promote", "roll-back", "restart")
"""auto: nobody orders anything. pause: as long as it stands, nothing is measured, decided or moved, and
no step's time passes. The others are done once: resume gives a held step its time again."""


@dataclass(frozen=True)
class Order:
    """Attributes:
    fault: what is wrong with it; empty: nothing.
    """

    command: str
    by: str
    reason: str
    fault: str = ""


def order_of(data: Mapping[str, str]) -> Order:
    """The order in a ConfigMap's data; auto where there is none."""
    command = data.get("command", "").strip() or "auto"
    by = data.get("ordered-by", "").strip()[:100] or "command"
    reason = data.get("reason", "").strip()[:500] or f"ordered: {command}"
    fault = ""
    if command not in COMMANDS:
        fault = f"command {command[:50]!r} is none of {', '.join(COMMANDS)}: nothing is done until it is"
    return Order(command, by, reason, fault)
