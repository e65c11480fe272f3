"""The chart renders, lints and is valid by strict schemas, with every set of values and both Helms.

pytest tests/charts/test_rendering.py
"""

from collections.abc import Callable

import pytest
import yaml
from yamllint import linter
from yamllint.config import YamlLintConfig

from tests.charts.golden import FOLDER, KEPT, golden
from tests.charts.rendering import CHART, Document, Helm, value_sets
from tests.tools import require

# Rendered lines are as long as their values; Helm alone decides on blank lines, document starts and how it
# indents lists that it copies.
LINT = YamlLintConfig(
    "{extends: default, rules: {line-length: disable, document-start: disable, empty-lines: disable, "
    "braces: {max-spaces-inside: 0}, indentation: {spaces: 2, indent-sequences: whatever}, "
    "trailing-spaces: enable, truthy: enable}}"
)


def test_lints_without_a_word(each_helm: Helm, values: tuple[str, ...]) -> None:
    finished = each_helm.run("lint", "--strict", str(CHART), *values)

    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "[WARNING]" not in finished.stdout


def test_every_document_is_valid_by_strict_schemas(
    helm: Helm, values: tuple[str, ...], strict_errors: Callable[[Document], list[str]]
) -> None:
    wrong = {
        f"{document['kind']}/{document['metadata']['name']}": errors
        for document in helm.documents(*values)
        if (errors := strict_errors(document))
    }

    assert wrong == {}


def test_the_schemas_would_see_a_misspelt_field(
    helm: Helm, strict_errors: Callable[[Document], list[str]]
) -> None:
    service = helm.find("InferenceService")
    service["spec"]["predictor"]["maxReplica"] = service["spec"]["predictor"].pop("maxReplicas")

    assert any("maxReplica" in error for error in strict_errors(service))


def test_both_helms_render_the_same(helm: Helm, values: tuple[str, ...]) -> None:
    assert Helm(require("helm3")).documents(*values) == helm.documents(*values)


@pytest.mark.parametrize("name", KEPT)
def test_values_files_render_the_golden_files(helm: Helm, name: str) -> None:
    assert golden(helm, name) == (FOLDER / f"{name}.yaml").read_text()


def test_every_values_file_of_the_chart_has_a_golden_one() -> None:
    files = {path.stem.removeprefix("values-") for path in CHART.glob("values-*.yaml")}

    assert files <= set(KEPT) <= set(value_sets())
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(KEPT)


def test_production_on_gpus_differs_in_what_a_gpu_changes() -> None:
    cpu, gpu = (yaml.safe_load((CHART / f"values-prod-{kind}.yaml").read_text()) for kind in ("cpu", "gpu"))
    differing = {key for key in cpu.keys() | gpu.keys() if cpu.get(key) != gpu.get(key)}

    assert differing == {"predictor", "autoscaling", "probes"}


def test_rendered_yaml_is_tidy(helm: Helm, values: tuple[str, ...]) -> None:
    assert [str(problem) for problem in linter.run(helm.text(*values), LINT)] == []


def test_names_of_every_object_fit_a_long_release(helm: Helm) -> None:
    release = "a-release-name-that-is-just-as-long-as-helm-allows53"
    finished = helm.template(*value_sets()["rollout"], release=release)
    names: dict[str, list[str]] = {}
    for document in yaml.safe_load_all(finished.stdout):
        names.setdefault(document["kind"], []).append(document["metadata"]["name"])

    assert finished.returncode == 0, finished.stderr
    assert all(len(f"{name}-transformer") <= 63 for name in names["InferenceService"])
    # Knative appends to the first one alone: the others are always Standard.
    assert (
        max(len(name) for name in names["InferenceService"] if not name.endswith(("-canary", "-feedback")))
        <= 40
    )
    assert all(len(name) <= 52 for name in names["CronJob"])
    assert all(len(name) <= 63 and not name.endswith("-") for found in names.values() for name in found)
