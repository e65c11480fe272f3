"""Helm, strict schemas and sets of values for the chart's tests."""

import functools
from collections.abc import Callable

import pytest

from tests.charts.rendering import Document, Helm, value_sets
from tests.kube import kube_tools
from tests.tools import require


@pytest.fixture(scope="session", params=["helm", "helm3"])
def each_helm(request: pytest.FixtureRequest) -> Helm:
    """Helm 4, then Helm 3."""
    return Helm(require(request.param))


@pytest.fixture(scope="session")
def helm() -> Helm:
    """Helm 4, for what does not depend on the version."""
    return Helm(require("helm"))


@pytest.fixture(scope="session")
def strict_errors() -> Callable[[Document], list[str]]:
    """Everything that is wrong with a manifest by the schemas of Kubernetes and of the platform's CRDs."""
    crds = require("crds")
    with kube_tools():
        from crd_schema import manifest_errors
        from kube_emulator import SchemaCatalog
    return functools.partial(manifest_errors, SchemaCatalog([str(crds)]))


@pytest.fixture(params=value_sets().values(), ids=value_sets().keys())
def values(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Helm arguments, one set of values after another."""
    return request.param
