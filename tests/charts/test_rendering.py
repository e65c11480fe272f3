"""The chart renders, lints and is valid by strict schemas, with every set of values and both Helms.

    pytest tests/charts/test_rendering.py

After a wanted change of the chart, write the golden file anew and read its diff:

    .tools/bin/helm template higr charts/higr --namespace models |
        sed '/^$/d' > tests/charts/golden/default.yaml
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from yamllint import linter
from yamllint.config import YamlLintConfig

from tests.charts.rendering import CHART, Document, Helm
from tests.tools import require

GOLDEN = Path(__file__).parent / "golden" / "default.yaml"
# Rendered lines are as long as their values; Helm alone decides on blank lines and document starts.
LINT = YamlLintConfig(
    "{extends: default, rules: {line-length: disable, document-start: disable, empty-lines: disable, "
    "braces: {max-spaces-inside: 0}, indentation: {spaces: 2, indent-sequences: consistent}, "
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
    service = yaml.safe_load(yaml.safe_dump(helm.find("InferenceService")))
    service["spec"]["predictor"]["maxReplica"] = service["spec"]["predictor"].pop("maxReplicas")

    assert any("maxReplica" in error for error in strict_errors(service))


def test_both_helms_render_the_same(helm: Helm, values: tuple[str, ...]) -> None:
    assert Helm(require("helm3")).documents(*values) == helm.documents(*values)


def test_default_values_render_the_golden_file(helm: Helm) -> None:
    rendered = [line for line in helm.text().splitlines() if line]

    assert rendered == GOLDEN.read_text().splitlines()


def test_rendered_yaml_is_tidy(helm: Helm, values: tuple[str, ...]) -> None:
    assert [str(problem) for problem in linter.run(helm.text(*values), LINT)] == []


def test_names_of_every_object_fit_a_long_release(helm: Helm) -> None:
    release = "a-release-name-that-is-just-as-long-as-helm-allows53"
    finished = helm.run("template", release, str(CHART), "--namespace", "models")
    names = {document["metadata"]["name"] for document in yaml.safe_load_all(finished.stdout) if document}

    assert finished.returncode == 0
    assert max(len(name) for name in names) + len("-transformer-00001-deployment") <= 76
    assert all(len(f"{name}-transformer") <= 63 and not name.endswith("-") for name in names)


@pytest.mark.parametrize(
    "kind", ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Secret", "CustomResourceDefinition"]
)
def test_asks_the_cluster_for_no_rights_and_holds_no_secret(
    helm: Helm, values: tuple[str, ...], kind: str
) -> None:
    assert kind not in {document["kind"] for document in helm.documents(*values)}
