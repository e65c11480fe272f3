import pytest
from kfp import dsl

from components.events import VARIABLE, Tail


@pytest.fixture
def events(tmp_path, monkeypatch):
    """Reads what stages emit."""
    path = tmp_path / "events.jsonl"
    monkeypatch.setenv(VARIABLE, str(path))
    return Tail(path)


@pytest.fixture
def artifact(tmp_path):
    """Makes an artifact at a path of its own, as a task gets it: its folder exists, itself it does not."""

    def make(kind: type[dsl.Artifact], name: str) -> dsl.Artifact:
        folder = tmp_path / "task"
        folder.mkdir(exist_ok=True)
        return kind(name=name, uri=str(folder / name), metadata={})

    return make


@pytest.fixture
def metrics(artifact):
    return artifact(dsl.Metrics, "metrics")


@pytest.fixture
def error_line(capsys):
    """The one line a user reads on standard error."""

    def line() -> str:
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1, lines
        assert "Traceback" not in lines[0]
        return lines[0]

    return line
