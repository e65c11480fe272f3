"""Run: pytest tests/test_catalog_update_cli.py

`higr catalog update` as its user meets it.
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from higr.bundle import Bundle
from higr.catalog import Catalog
from higr.cli import main

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def higr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Call:
    """Exit code, standard output, standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["higr", "catalog", "update", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        shown = capsys.readouterr()
        return int(stop.value.code or 0), shown.out, shown.err

    return call


def new_items(path: Path, *ids: str) -> Path:
    rows = [{"item_id": item, "category": "c", "text": f"about {item}"} for item in ids]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_figures_as_json_and_warnings_in_words(nano_bundle: Path, higr: Call, tmp_path: Path) -> None:
    popular = Bundle.open(nano_bundle).baseline.popularity.item_ids[:3]
    (tmp_path / "old.txt").write_text(f"{popular[0]}\nnobody\n")
    code, out, err = higr(
        *("--bundle", nano_bundle, "--items", new_items(tmp_path / "new.parquet", "n-1", "n-2")),
        *("--remove", tmp_path / "old.txt", "--disable", ",".join(popular[1:])),
        *("--out", tmp_path / "out", "--json"),
    )
    figures = json.loads(out)
    assert code == 0
    assert {
        name: figures[name] for name in ("stage", "added", "removed", "disabled", "unknown_to_remove")
    } == {
        "stage": "catalog update",
        "added": 2,
        "removed": 1,
        "disabled": 2,
        "unknown_to_remove": 1,
    }
    assert figures["version"] == Bundle.open(tmp_path / "out").version
    assert figures["error_p99_reference"] > 0
    assert "higr: warning: --remove: 1 ids are not in the catalogue and were ignored: nobody" in err
    assert figures["warnings"][0] in err


def test_figures_as_a_table(nano_bundle: Path, higr: Call, tmp_path: Path) -> None:
    new = new_items(tmp_path / "new.parquet", "n-1")
    code, out, _ = higr("-b", nano_bundle, "--items", new, "-o", tmp_path / "out")
    assert code == 0
    assert "catalog update" in out
    assert all(name in out for name in ("added", "parent_catalog", "error_p99_reference", "quarantined"))


def no_bundle(folder: Path) -> dict[str, Any]:
    shutil.rmtree(folder / "bundle")
    return {"--remove": "a"}


def flipped(folder: Path) -> dict[str, Any]:
    file = folder / "bundle" / "model" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    return {"--remove": "a"}


def another_version(folder: Path) -> dict[str, Any]:
    """A catalogue by another tokenizer in a bundle whose checksums are right all the same."""
    file = folder / "bundle" / "catalog.parquet"
    was = Catalog.load(file)
    Catalog.build(was.item_ids, was.codes, was.codebook_size, "another").save(file)
    _reseal(folder / "bundle")
    return {"--remove": "a"}


def altered_tokenizer(folder: Path) -> dict[str, Any]:
    file = folder / "bundle" / "tokenizer" / "tokenizer.json"
    document = json.loads(file.read_text())
    document["config"]["contrast_weight"] = 0.5
    file.write_text(json.dumps(document))
    _reseal(folder / "bundle")
    return {"--remove": "a"}


def _reseal(bundle: Path) -> None:
    from higr.bundle import _canonical, _read_manifest, _version
    from higr.files import sha256

    manifest = _read_manifest(bundle)
    files = {name: sha256(bundle / name) for name in manifest.files}
    manifest = manifest.model_copy(update={"files": files})
    (bundle / "manifest.json").write_text(
        _canonical(manifest.model_copy(update={"version": _version(manifest)}))
    )


def no_parquet(folder: Path) -> dict[str, Any]:
    (folder / "new.parquet").write_text("item_id\n")
    return {"--items": folder / "new.parquet"}


def twice(folder: Path) -> dict[str, Any]:
    return {"--items": new_items(folder / "new.parquet", "n-1", "n-1")}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: {}, "nothing to change; give --items, --remove, --disable or --enable"),
        (lambda folder: {"--items": folder / "gone.parquet"}, "gone.parquet does not exist"),
        (lambda folder: {"--remove": folder / "gone.txt"}, "gone.txt cannot be read (No such file"),
        (lambda folder: {"--remove": "a", "--out": folder / "bundle"}, "exists; give --out a new directory"),
        (no_bundle, "is not a bundle: it has no manifest.json"),
        (flipped, "model/model.safetensors does not match its checksum"),
        (another_version, "catalog was built with tokenizer another, the bundle holds"),
        (altered_tokenizer, "but its parts make"),
        (no_parquet, "is not readable Parquet"),
        (twice, "item_id 'n-1' appears more than once"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_exit_code_2(
    make: Callable[[Path], dict[str, Any]], message: str, nano_bundle: Path, higr: Call, tmp_path: Path
) -> None:
    shutil.copytree(nano_bundle, tmp_path / "bundle")
    options = {"--bundle": tmp_path / "bundle", "--out": tmp_path / "out"} | make(tmp_path)
    before = {str(file) for file in tmp_path.rglob("*")}
    code, _, err = higr(*(part for option in options.items() for part in option))
    lines = [line for line in err.splitlines() if line.strip()]
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith("higr: ")
    assert message in lines[0]
    assert {str(file) for file in tmp_path.rglob("*")} == before
