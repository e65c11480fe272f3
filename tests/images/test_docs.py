"""docs/images.md says what the code does."""

import re
from types import ModuleType

import pytest

from tests.images.test_locks import ROOMS
from tests.tools import REPOSITORY

PAGE = (REPOSITORY / "docs" / "images.md").read_text()


def test_every_option_is_there_and_no_other(build: ModuleType) -> None:
    options = {option for action in build.parser()._actions for option in action.option_strings}
    rows = re.findall(r"(?m)^\| `(--[a-z-]+)", PAGE)

    assert set(rows) == options - {"-h", "--help"}
    assert len(rows) == len(set(rows))


def test_every_image_is_there(build: ModuleType) -> None:
    rows = re.findall(r"(?m)^\| `higr/([a-z-]+)` \|", PAGE)

    assert rows == list(build.IMAGES)
    assert {image.target for image in build.IMAGES.values()} == set(ROOMS)


@pytest.mark.parametrize("name", sorted(ROOMS))
def test_the_extras_of_every_role_are_there(lock: ModuleType, name: str) -> None:
    (row,) = (line for line in PAGE.splitlines() if re.match(rf"\| `higr/{name}(-cpu)?` \|", line))

    assert {f"`{extra}`" for extra in lock.ROLES[name]} <= set(re.findall(r"`[a-z]+`", row))
