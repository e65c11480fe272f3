"""What a PromQL expression reads and what labels come out of it, from the tree of a real parser."""

from collections.abc import Iterator, Mapping
from typing import Any

import promql_parser as parser

from higr.metrics import METRICS

PLACES = {"namespace", "pod", "instance", "job"}
"""Labels that Prometheus adds to whatever it scrapes."""
ALERTS = {"alertname", "alertstate", "severity", "team", "cause"}
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}

KNOWN: dict[str, set[str]] = {
    metric.name + suffix: {*metric.labels, *(["le"] if suffix == "_bucket" else []), *PLACES}
    for metric in METRICS
    for suffix in SUFFIXES[metric.kind]
} | {"ALERTS": ALERTS | PLACES, "up": PLACES}
"""Every series there is, as scraped, with its labels."""


def check(expr: str, known: Mapping[str, set[str]]) -> set[str]:
    """The labels of the result.

    Raises:
        AssertionError: it does not parse, or names a series or a label that there is not.
    """
    try:
        tree = parser.parse(expr)
    except ValueError as error:
        raise AssertionError(f"{expr}: {error}") from None
    return _labels(tree, known)


def names(expr: str) -> set[str]:
    """Series that it reads."""
    return set(_names(parser.parse(expr)))


def _children(node: Any) -> Iterator[Any]:
    for name in ("lhs", "rhs", "expr", "vector_selector", "args"):
        child = getattr(node, name, None)
        if child is not None:
            yield from child if isinstance(child, list) else [child]


def _names(node: Any) -> Iterator[str]:
    if isinstance(node, parser.VectorSelector):
        yield node.name
    for child in _children(node):
        yield from _names(child)


def _labels(node: Any, known: Mapping[str, set[str]]) -> set[str]:
    if isinstance(node, parser.VectorSelector):
        assert node.name in known, f"no series {node.name}"
        for matcher in node.matchers.matchers:
            assert matcher.name in known[node.name], f"{node.name} has no label {matcher.name}"
        return set(known[node.name])
    below = [_labels(child, known) for child in _children(node)]
    if isinstance(node, parser.AggregateExpr):
        (inner,) = below
        if node.modifier is None:
            return inner if str(node.op) in ("topk", "bottomk") else set()
        for label in node.modifier.labels:
            assert label in inner, f"{node.prettify()}: no label {label} below"
        by = "by" in str(node.modifier)
        return set(node.modifier.labels) if by else inner - set(node.modifier.labels)
    if isinstance(node, parser.BinaryExpr):
        left, right = below
        matching = getattr(node.modifier, "matching", None)
        for label in getattr(matching, "labels", []):
            assert label in left | right, f"{node.prettify()}: no label {label} on either side"
        return left or right
    if isinstance(node, parser.Call):
        name = node.func.name
        if name in ("absent", "time", "vector"):
            return set()
        return set().union(*below) - ({"le"} if name == "histogram_quantile" else set())
    return set().union(*below)
