"""The boards as files: `monitoring/dashboards` holds those of the default settings."""

import json

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from monitoring.alerting.settings import RuleSettings
from monitoring.grafana.oncall import oncall
from monitoring.grafana.panels import Board, built
from monitoring.grafana.preference import preference
from monitoring.grafana.rollout import rollout
from monitoring.grafana.semantic_ids import semantic_ids
from monitoring.grafana.serving import serving
from monitoring.grafana.training import training


def boards(settings: RuleSettings) -> tuple[Board, ...]:
    return tuple(make(settings) for make in (oncall, semantic_ids, preference, serving, training, rollout))


def documents(settings: RuleSettings) -> dict[str, str]:
    """JSON by file name, to be imported or provisioned as it is."""
    return {f"{board.uid}.json": _text(board) for board in boards(settings)}


def _text(board: Board) -> str:
    encoder = JSONEncoder(sort_keys=True, indent=2)
    document = json.loads(encoder.encode(built(board)))
    for panel in document["panels"]:
        if panel.get("options", ...) is None:  # Grafana's own options where a panel has none
            del panel["options"]
    return json.dumps(document, sort_keys=True, indent=2) + "\n"
