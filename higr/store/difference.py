"""What is different between two versions of a store."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from higr.bundle import Manifest
from higr.files import read_table
from higr.store.store import BundleStore


@dataclass(frozen=True)
class Difference:
    """Attributes:
    parts: first component of each path whose content differs, e.g. model, tokenizer, items.parquet.
    config: field to its value before and after; None where it is not there.
    metrics: the same of the figures that differ.
    added, removed: items.
    """

    before: str
    after: str
    parts: tuple[str, ...]
    config: dict[str, tuple[Any, Any]]
    metrics: dict[str, tuple[Any, Any]]
    added: tuple[str, ...]
    removed: tuple[str, ...]


def difference(store: BundleStore, before: str, after: str) -> Difference:
    """Of the version `after` against `before`.

    Raises:
        StoreError: one of them is not in the store, or was altered.
    """
    old, new = store.manifest(before), store.manifest(after)
    names = old.files.keys() | new.files.keys()
    changed = {name for name in names if old.files.get(name) != new.files.get(name)}
    items: list[set[str]] = [set(), set()]
    if "items.parquet" in changed:
        items = [_items(store, manifest) for manifest in (old, new)]
    return Difference(
        before,
        after,
        tuple(sorted({name.partition("/")[0] for name in changed})),
        _changed(old.config, new.config),
        _changed(old.metrics, new.metrics),
        tuple(sorted(items[1] - items[0])),
        tuple(sorted(items[0] - items[1])),
    )


def _items(store: BundleStore, manifest: Manifest) -> set[str]:
    with tempfile.TemporaryDirectory() as folder:
        table = read_table(store.read(manifest.version, "items.parquet", Path(folder)), ["item_id"])
    return set(table["item_id"].to_pylist())


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    old, new = dict(_leaves(before)), dict(_leaves(after))
    return {
        name: (old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    }


def _leaves(document: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    leaves: list[tuple[str, Any]] = []
    for name, value in document.items():
        path = f"{prefix}{name}"
        leaves += _leaves(value, f"{path}.") if isinstance(value, Mapping) else [(path, value)]
    return leaves
