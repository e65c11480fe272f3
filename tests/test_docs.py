"""Run: pytest tests/test_docs.py

The pages tell the truth about files, targets and commands; CI runs what they show (`make demo SOURCE=nano`).
"""

import re
from pathlib import Path
from typing import get_args

import pytest
from typer.main import get_command

from higr.cli import app
from higr.config import DataConfig, parse_config, presets

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]*)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_targets_and_commands_exist(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"(?:^ {4}|`)make ([a-z][a-z-]*)", text, re.MULTILINE):
        assert target in TARGETS, target
    commands = set(get_command(app).commands)  # type: ignore[attr-defined]
    for command in re.findall(r"(?:^ {4}|`|/)higr ([a-z][a-z-]*)", text, re.MULTILINE):
        assert command in commands, command


def test_no_page_names_a_path_of_one_machine() -> None:
    for page in PAGES:
        assert not re.search(r"(^|[\s`\"(])/(work|root|home|tmp)/", page.read_text()), page


def test_every_file_the_architecture_names_exists() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    named = re.findall(r"`((?:higr|serving|docs|tests|scripts|charts|tokenizer)/[\w/.-]+)`", text)
    assert len(named) > 8
    for name in named:
        assert (ROOT / name).exists() or (ROOT / "higr" / name).exists(), name


def test_every_preset_is_named_where_a_newcomer_looks() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    assert all(f"`{name}`" in text for name in presets())


def test_an_empty_document_is_a_whole_configuration() -> None:
    assert parse_config("").data.source == "simulator"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_nothing_is_left_to_fill_in(page: Path) -> None:
    assert not re.search(r"<!--|TODO|TBD", page.read_text())


def test_the_architecture_names_every_file_of_the_model() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    (row,) = (line for line in text.splitlines() if line.startswith("| `model/`"))
    files = {path.stem for path in (ROOT / "higr/model").glob("*.py")} - {"__init__"}
    assert set(re.findall(r"`(\w+)`", row)) == files


def test_every_source_of_data_has_its_place_on_the_page() -> None:
    text = (ROOT / "docs/data.md").read_text()
    assert all(f"`{name}`" in text for name in get_args(DataConfig.model_fields["source"].annotation))
