"""What a run is given is refused by name before anything is computed."""

import re
from pathlib import Path

import pytest

from components.check import check as component
from components.parameters import PARAMETERS, check
from higr.bundle import Bundle
from higr.errors import HigrError
from higr.store.store import BundleStore

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("pipeline", "given", "message"),
    [
        ("training", {"config": "data: {slate_size: 0}"}, "configuration: data.slate_size: "),
        ("training", {"config": "data: {source: tables, path: /x}"}, "data_version is empty"),
        ("training", {"webhook": "chat.example.org"}, "webhook: an http:// or https:// address is due (got"),
        ("training", {"ui": "ftp://x"}, "ui: an http"),
        ("training", {"api": "x"}, "api: an http"),
        ("training", {"hours": 3}, "hours: Extra inputs are not permitted (got 3)"),
        ("refresh", {"items": "i.parquet"}, "store is empty"),
        ("refresh", {"store": "STORE"}, "items, remove, disable and enable are empty"),
        ("refresh", {"store": "STORE", "remove": "a, b", "enable": "b"}, "'b' is to be both"),
        ("refresh", {"store": "STORE", "remove": "a"}, "nothing is in production"),
        ("realign", {}, "store is empty"),
        ("realign", {"store": "STORE", "hours": 0.0}, "hours: Input should be greater than 0 (got 0.0)"),
        ("realign", {"store": "STORE", "hours": 1e5}, "hours: Input should be less than or equal to 2160"),
        ("realign", {"store": "STORE", "hours": "many"}, "hours: Input should be a valid number"),
        ("realign", {"store": "STORE"}, "nothing is in production"),
        ("training", {"store": "s3://user:secret@bucket/x"}, "holds a password"),
        ("training", {"store": "ftp9://bucket/x"}, "ftp9://bucket/x"),
    ],
)
def test_out_of_range(pipeline, given, message, tmp_path):
    given = {name: tmp_path / "s" if value == "STORE" else value for name, value in given.items()}
    given = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
    with pytest.raises(HigrError) as error:
        check(pipeline, {"config": "name: x", **given})
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


def test_an_unreachable_store_is_told_before_the_work(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(
        HigrError, match=r"store s3://bucket/higr at http://127\.0\.0\.1:9: .*check that it is"
    ):
        check("training", {"config": "", "store": "s3://bucket/higr"})


def test_a_whole_set_passes(nano_bundle, tmp_path):
    store = BundleStore(str(tmp_path))
    version, _ = store.publish(nano_bundle, by="test")
    store.promote(version, by="test")
    for pipeline, given in (
        ("training", {"webhook": "https://chat.example.org/x", "ui": "https://kfp.example.org"}),
        ("refresh", {"remove": "a", "disable": "ids.txt"}),
        ("realign", {"hours": 12}),
    ):
        config = check(pipeline, {"config": "name: mine", "store": str(tmp_path), **given})
        assert config.name == "mine"
    assert Bundle.open(nano_bundle).version == version


def test_the_component_ends_with_one_line(error_line):
    given = dict.fromkeys(("config", "store", "ui", "api"), "")
    with pytest.raises(SystemExit) as ended:
        component.python_func(pipeline="training", webhook="chat", **given)
    assert ended.value.code == 2
    assert error_line().startswith("higr: check: parameters of training: webhook: ")


def test_the_component_checks_what_the_pipeline_has_and_no_more(error_line):
    given = dict.fromkeys(("config", "store", "webhook", "ui", "api"), "")
    component.python_func(pipeline="training", hours=-1.0, **given)
    with pytest.raises(SystemExit):
        component.python_func(pipeline="realign", hours=-1.0, **{**given, "store": "x"})
    assert "hours" in error_line()


@pytest.mark.parametrize("pipeline", PARAMETERS)
def test_every_parameter_is_on_the_page(pipeline):
    page = (REPOSITORY / "docs" / "pipelines.md").read_text()
    (section,) = re.findall(
        rf"^### Parameters of `{pipeline}`$(.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL
    )
    written = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE))
    fields = PARAMETERS[pipeline].model_fields
    assert written == {name: " ".join((field.description or "").split()) for name, field in fields.items()}
