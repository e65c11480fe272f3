"""Write what the chart's schema says of configuration files from the models that read these files.

    python scripts/chart_schema.py          # charts/higr/values.schema.json; again, it changes nothing

Secrets, and what the chart itself decides, are left out: they are values of their own.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from serving.config import ServingConfig
from serving.policy_file import PolicyFile
from serving.rollout.config import RolloutConfig

SCHEMA = Path(__file__).resolve().parents[1] / "charts" / "higr" / "values.schema.json"
DEFINITIONS: dict[str, tuple[type[BaseModel], tuple[str, ...]]] = {
    "serving": (ServingConfig, ("auth", "bundle_roots", "features.push", "logs.key_file")),
    "policy": (PolicyFile, ("expires",)),
    "rollout": (RolloutConfig, ("name", "namespace", "store")),
}
NOISE = ("title", "default", "format", "discriminator", "description")

Schema = dict[str, Any]


def definition(model: type[BaseModel], left_out: tuple[str, ...]) -> Schema:
    """JSON schema of a file without some of its fields (dotted), whole in itself."""
    document = model.model_json_schema()
    parts = document.pop("$defs", {})
    schema = _inlined(document, parts)
    for field in left_out:
        *sections, name = field.split(".")
        place = schema
        for section in sections:
            place = place["properties"][section]
        del place["properties"][name]
        place["required"] = [field for field in place.get("required", []) if field != name]
    return _tidy(schema)


def _inlined(value: Any, parts: Schema) -> Any:
    if isinstance(value, list):
        return [_inlined(item, parts) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return _inlined(parts[value["$ref"].rsplit("/", 1)[1]], parts)
    return {key: _inlined(item, parts) for key, item in value.items()}


def _tidy(schema: Any, names: bool = False) -> Any:
    """Without what a validator does not look at. names: the keys are fields, whatever they are called."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = schema if names else dict(_kept(schema))
    return {key: _tidy(item, key == "properties" and not names) for key, item in kept.items()}


def _kept(schema: Schema) -> Iterator[tuple[str, Any]]:
    for key, value in schema.items():
        if key not in NOISE and not (key == "required" and not value):
            yield key, value


def written(text: str) -> str:
    """The chart's schema with these definitions, each on a line of its own."""
    for name, (model, left_out) in DEFINITIONS.items():
        line = f'    "{name}File": {json.dumps(definition(model, left_out), separators=(", ", ": "))}'
        lines = re.findall(rf'^    "{name}File": .*$', text, flags=re.MULTILINE)
        if len(lines) != 1:
            raise SystemExit(f"{SCHEMA} has {len(lines)} lines with a definition {name}File; it needs one")
        text = text.replace(lines[0], line + ("," if lines[0].endswith(",") else ""))
    return text


if __name__ == "__main__":
    SCHEMA.write_text(written(SCHEMA.read_text()))
