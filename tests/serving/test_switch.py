from pathlib import Path

import pytest

from serving.switch import Switch


def move(path: Path, text: str) -> None:
    aside = path.with_suffix(".new")
    aside.write_text(text)
    aside.replace(path)


def test_without_a_file_it_is_auto() -> None:
    assert Switch(None).position == "auto"


@pytest.mark.parametrize("word", ["auto", "higr", "baseline"])
@pytest.mark.parametrize("around", ["{}", "{}\n", "  {} \r\n"])
def test_takes_each_word(tmp_path: Path, word: str, around: str) -> None:
    path = tmp_path / "switch"
    path.write_text(around.format(word))
    assert Switch(path).position == word


def test_follows_the_file_and_keeps_the_last_position_when_it_cannot(tmp_path: Path) -> None:
    path, errors = tmp_path / "switch", []
    switch = Switch(path, lambda: errors.append(1))
    assert (switch.position, len(errors)) == ("auto", 1)  # there is no file yet
    move(path, "baseline")
    assert (switch.position, len(errors)) == ("baseline", 1)
    for bad in ("off", "", "baseline auto", "\x00\xff", "higr" * 1000):
        move(path, bad)
        before = len(errors)
        assert (switch.position, switch.position) == ("baseline", "baseline")
        assert len(errors) == before + 1, "one error a change, not one a look"
    path.unlink()
    assert (switch.position, len(errors)) == ("baseline", 7)
    move(path, "higr")
    assert (switch.position, len(errors)) == ("higr", 7)


def test_follows_a_mounted_config_map(tmp_path: Path) -> None:
    """Kubernetes: switch -> ..data/switch, ..data -> a directory that is replaced as a whole."""
    for name, word in (("one", "auto"), ("two", "baseline")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "switch").write_text(word)
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "switch").symlink_to("..data/switch")
    switch = Switch(tmp_path / "switch")
    assert switch.position == "auto"
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "..data")
    assert switch.position == "baseline"
