"""Run: pytest tests/align

Continuous alignment: a real bundle and the feedback it met.
"""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from higr import stages
from higr.align.window import Window, read_moment
from higr.bundle import Bundle
from higr.catalog import Catalog
from higr.catalog_update import Changes, update_bundle
from higr.cli import main
from higr.data.prepared import PreparedData
from higr.decode.recommender import HiGRRecommender
from higr.errors import BundleError, InputError
from higr.files import sha256
from higr.slate import UserContext
from higr.training.curves import read_curve, read_guard, read_steps
from tests.training import tiny

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def since(nano_run: Path) -> datetime:
    """Two days before the end of the log."""
    return newest(nano_run) - timedelta(days=2)


def newest(run: Path) -> datetime:
    return pc.max(PreparedData.load(run / "data").slates["timestamp"]).as_py()


@pytest.fixture
def higr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Call:
    """Exit code, standard output, standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["higr", "realign", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        shown = capsys.readouterr()
        return int(stop.value.code or 0), shown.out, shown.err

    return call


def test_a_bundle_becomes_another_whose_parent_it_is(nano_run: Path, since: datetime, tmp_path: Path) -> None:
    parent = Bundle.open(nano_run / "bundle")
    files = {name: sha256(nano_run / "bundle" / name) for name in parent.manifest.files}
    figures = stages.realign(nano_run / "bundle", nano_run / "data", tmp_path / "next", since)
    child = Bundle.open(tmp_path / "next")
    assert child.manifest.parents == (parent.version,)
    assert figures["parent"] == parent.version != child.version == figures["version"]
    assert not tiny.equal(child.model, parent.model)
    for name, digest in child.manifest.files.items():
        assert (digest == parent.manifest.files[name]) == (name != "model/model.safetensors"), name
    assert child.manifest.config == parent.manifest.config
    assert child.manifest.metrics["realign"]["guard_breached"] == 0
    assert figures["validation_loss"] < figures["validation_loss_at_start"]
    assert figures["guard_distance"] < 0.01  # a small step
    slate = HiGRRecommender.from_bundle(child).recommend([UserContext("anyone")], 5)[0]
    assert len(set(slate.item_ids)) == 5
    # The parent is as it was, and nothing else lies about.
    assert {name: sha256(nano_run / "bundle" / name) for name in files} == files
    assert sorted(path.name for path in tmp_path.iterdir()) == ["next", "next.align"]
    curve = read_curve(tmp_path / "next.align")
    assert curve[-1]["steps"] == len(read_steps(tmp_path / "next.align")) > 0
    assert len(read_guard(tmp_path / "next.align")) == len(curve)
    assert max(step["learning_rate"] for step in read_steps(tmp_path / "next.align")) <= 1e-5


def test_the_same_feedback_gives_the_same_version_and_a_realigned_bundle_can_be_realigned(
    nano_run: Path, since: datetime, tmp_path: Path
) -> None:
    versions = [
        stages.realign(nano_run / "bundle", nano_run / "data", tmp_path / name, since)["version"]
        for name in ("one", "two")
    ]
    assert versions[0] == versions[1]
    again = stages.realign(tmp_path / "one", nano_run / "data", tmp_path / "three", since)
    assert Bundle.open(tmp_path / "three").manifest.parents == (versions[0],) == (again["parent"],)


def test_an_updated_catalogue_stays_and_so_do_the_codes_the_model_was_trained_with(
    nano_run: Path, since: datetime, tmp_path: Path
) -> None:
    removed = Bundle.open(nano_run / "bundle").baseline.popularity.item_ids[:1]
    update_bundle(nano_run / "bundle", tmp_path / "updated", Changes(remove=removed), lambda *_: None)
    figures = stages.realign(tmp_path / "updated", nano_run / "data", tmp_path / "next", since)
    child = Bundle.open(tmp_path / "next")
    assert removed[0] not in child.catalog.position
    assert figures["exposures_of_unknown_items"] > 0
    assert len(child.trained_codes) == len(child.catalog) + 1


def test_the_window_holds_out_its_newest_slates_and_reads_nothing_older(
    nano_run: Path, since: datetime
) -> None:
    data, bundle = PreparedData.load(nano_run / "data"), Bundle.open(nano_run / "bundle")
    window = Window.of(data, bundle, since, 0.25)
    times = {name: window.data.split(name)["timestamp"].to_pylist() for name in ("train", "validation")}
    logged = [moment for moment in data.slates["timestamp"].to_pylist() if moment >= since]
    assert sorted(times["train"] + times["validation"]) == sorted(logged)
    assert since <= min(times["train"])
    assert max(times["train"]) < min(times["validation"])
    assert len(times["validation"]) == pytest.approx(0.25 * len(logged), abs=2)
    assert window.until == max(logged)
    assert datetime.fromisoformat(window.data.report["validation_start"]) == min(times["validation"])
    assert window.data.events.equals(data.events)
    assert window.data.items["item_id"].equals(bundle.items["item_id"])


def test_a_breach_gives_the_parents_weights_and_a_warning(
    nano_run: Path, since: datetime, tmp_path: Path, higr: Call
) -> None:
    code, out, err = higr(
        *("-b", nano_run / "bundle", "-d", nano_run / "data", "--since", since.isoformat()),
        *("-o", tmp_path / "next", "--json", "--set", "align.realign_learning_rate=1.0"),
    )
    figures = json.loads(out)
    assert code == 0
    assert (figures["stage"], figures["guard_breached"], figures["guard_step"]) == ("realign", 1, 0)
    assert "higr: warning: alignment was stopped at step" in err
    assert "the weights are those it started from" in err
    child, parent = Bundle.open(tmp_path / "next"), Bundle.open(nano_run / "bundle")
    assert tiny.equal(child.model, parent.model)
    assert child.manifest.config["align"]["realign_learning_rate"] == 1.0


class StopError(Exception):
    """The test has seen enough."""


def test_an_interrupted_one_leaves_no_bundle_and_goes_on(
    nano_run: Path, since: datetime, tmp_path: Path
) -> None:
    def stop(label: str, done: int, total: int) -> None:
        if done == total:
            raise StopError

    changes = {"training.save_every_steps": 1, "align.batch_size": 16}
    places = nano_run / "bundle", nano_run / "data"
    with pytest.raises(StopError):
        stages.realign(*places, tmp_path / "next", since, changes, stop)
    assert [path.name for path in tmp_path.iterdir()] == [".next.training"]
    resumed = stages.realign(*places, tmp_path / "next", since, changes)
    assert resumed == stages.realign(*places, tmp_path / "other", since, changes)


def another_tokenizer(folder: Path) -> dict[str, Any]:
    """A catalogue by another tokenizer in a bundle whose checksums are right all the same."""
    from higr.bundle import _canonical, _read_manifest, _version

    bundle = folder / "bundle"
    replace(Catalog.load(bundle / "catalog.parquet"), tokenizer_id="another").save(bundle / "catalog.parquet")
    manifest = _read_manifest(bundle)
    files = {name: sha256(bundle / name) for name in manifest.files}
    manifest = manifest.model_copy(update={"files": files})
    sealed = manifest.model_copy(update={"version": _version(manifest)})
    (bundle / "manifest.json").write_text(_canonical(sealed))
    return {}


def unsound(folder: Path) -> dict[str, Any]:
    (folder / "bundle/model/model.safetensors").write_bytes(b"?")
    return {}


def bundle_in_the_way(folder: Path) -> dict[str, Any]:
    """Where the curves would go is the bundle."""
    (folder / "bundle").rename(folder / "next.align")
    return {"--bundle": folder / "next.align"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (another_tokenizer, "catalog was built with tokenizer another, the bundle holds"),
        (unsound, "model/model.safetensors does not match its checksum"),
        (lambda folder: {"--out": folder / "bundle"}, "exists; give --out a new directory"),
        (lambda folder: {"--out": folder / "bundle/next"}, "is inside the bundle"),
        (lambda folder: {"--data": folder / "gone"}, "gone/events.parquet does not exist"),
        (lambda _: {"--since": "yesterday"}, "--since 'yesterday' is no moment; write it as 2026-"),
        (lambda _: {"--since": "2999-01-01"}, "no slate since 2999-01-01T00:00:00+00:00; the newest of"),
        (lambda _: {"--set": "model.width=64"}, "--set model.width: a bundle keeps its configuration"),
        (lambda _: {"--set": "align.learning_rate=0.1"}, "at align.realign_learning_rate; set that one"),
        (lambda _: {"--set": "align.user_share=0.1"}, "realign takes all users of its window"),
        (bundle_in_the_way, "next.align, where the curves of"),
        (lambda _: {"--set": "align.epochs=0"}, "align.epochs: Input should be greater than"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_exit_code_2(
    make: Callable[[Path], dict[str, Any]],
    message: str,
    nano_run: Path,
    since: datetime,
    tmp_path: Path,
    higr: Call,
) -> None:
    shutil.copytree(nano_run / "bundle", tmp_path / "bundle")
    given = {"--bundle": tmp_path / "bundle", "--data": nano_run / "data", "--since": since.isoformat()}
    options = given | {"--out": tmp_path / "next"} | make(tmp_path)
    before = {str(file) for file in tmp_path.rglob("*")}
    code, _, err = higr(*(part for option in options.items() for part in option))
    lines = [line for line in err.splitlines() if line.strip()]
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith("higr: ")
    assert message in lines[0]
    assert {str(file) for file in tmp_path.rglob("*")} == before


def test_one_moment_cannot_be_parted(nano_run: Path) -> None:
    data, bundle = PreparedData.load(nano_run / "data"), Bundle.open(nano_run / "bundle")
    last = replace(data, slates=data.slates.slice(data.slates.num_rows - 1))
    with pytest.raises(InputError, match=r"1 slates since .* are of one moment"):
        Window.of(last, bundle, newest(nano_run), 0.5)


def test_feedback_of_another_service_is_refused(nano_run: Path, since: datetime) -> None:
    data, bundle = PreparedData.load(nano_run / "data"), Bundle.open(nano_run / "bundle")
    place = data.slates.schema.get_field_index("item_ids")
    others = pa.array(
        [[f"other {n}" for n in range(len(ids))] for ids in data.slates["item_ids"].to_pylist()]
    )
    field = data.slates.schema.field("item_ids")
    stranger = replace(data, slates=data.slates.set_column(place, field, others))
    with pytest.raises(InputError, match=r"none of \d+ exposures since .* is of an item of bundle"):
        Window.of(stranger, bundle, since, 0.5)


def test_moments_without_a_zone_are_in_utc() -> None:
    assert read_moment("2026-05-01T06:00", "--since") == datetime(2026, 5, 1, 6, tzinfo=UTC)
    assert read_moment("2026-05-01T06:00+02:00", "--since") == datetime(2026, 5, 1, 4, tzinfo=UTC)


def test_a_model_of_another_tokenizer_never_gets_into_a_bundle(nano_run: Path, tmp_path: Path) -> None:
    from higr.bundle import realigned_bundle

    shutil.copytree(nano_run / "bundle/model", tmp_path / "model")
    file = tmp_path / "model/config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"tokenizer_id": "another"}))
    with pytest.raises(BundleError, match="model was built with tokenizer another"):
        realigned_bundle(
            Bundle.open(nano_run / "bundle"),
            tmp_path / "next",
            tmp_path / "model",
            data_fingerprint="",
            config={},
            metrics={},
        )
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
