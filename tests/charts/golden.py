"""What every values file renders to, kept to be reviewed.

    PYTHONPATH=. .venv/bin/python -m tests.charts.golden

writes tests/charts/golden anew after a wanted change of the chart; read its diff. A file that builds on
another one holds what differs from it. What is copied into rules and dashboards is held equal to its source
elsewhere, and left out.
"""

import re
from pathlib import Path

import yaml

from tests.charts.rendering import Document, Helm, value_sets
from tests.tools import require

FOLDER = Path(__file__).parent / "golden"
KEPT = {
    "default": "",
    "dev": "default",
    "baseline-only": "default",
    "prod-cpu": "",
    "prod-gpu": "prod-cpu",
    "rollout": "prod-cpu",
}
"""Set of values, and what it builds on."""


def golden(helm: Helm, name: str) -> str:
    """The rendered documents of one set of values, as they are reviewed."""
    known = _documents(helm, KEPT[name]) if KEPT[name] else []
    return "---\n".join(text for text in _documents(helm, name) if text not in known)


def _documents(helm: Helm, name: str) -> list[str]:
    texts = re.split(r"^---\n", helm.text(*value_sets()[name]), flags=re.MULTILINE)
    return [_reviewed(text) for text in texts if text.strip()]


def _reviewed(text: str) -> str:
    document: Document = yaml.safe_load(text)
    labels = document["metadata"]["labels"]
    if document["kind"] == "PrometheusRule" or "grafana_dashboard" in labels:
        head = text[: text.index("\nspec:" if document["kind"] == "PrometheusRule" else "\ndata:")]
        return f"{head}\n# what monitoring writes\n"
    return "\n".join(line for line in text.splitlines() if line) + "\n"


def main() -> None:
    for name in KEPT:
        (FOLDER / f"{name}.yaml").write_text(golden(Helm(require("helm")), name))


if __name__ == "__main__":
    main()
