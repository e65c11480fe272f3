"""The model bundle: one directory is one version of everything that makes a slate.

    manifest.json           what it is, where it came from, sha256 of every other file
    items.parquet           what can be shown (higr.data.schemas.ITEMS)
    tokenizer/              frozen embedder and quantiser
    catalog.parquet         item -> semantic ID
    trained.parquet         the catalogue the model was trained with; only where that is another
    model/                  config.json, model.safetensors
    baseline/               the incumbent, also the serving fallback
    reference/              predictions.parquet and feedback.parquet: what drift is measured against

Only safetensors, Parquet and JSON: nothing executes on load. `Bundle.open` reads every file once
to verify its checksum; the parts themselves are loaded when first asked for.
"""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from higr.catalog import Catalog, read_codes
from higr.errors import BundleError, InputError
from higr.files import atomic_directory, read_json, read_table, sha256, write_table

if TYPE_CHECKING:
    from higr.baseline.incumbent import Incumbent
    from higr.model.higr import HiGR
    from higr.tokenizer.tokenizer import Tokenizer

SCHEMA_VERSION: Literal[1] = 1
TRAINED = "trained.parquet"
SUFFIXES = {".json", ".parquet", ".safetensors"}


class Manifest(BaseModel):
    """What `manifest.json` says.

    Attributes:
        version: first 12 hex digits of the sha256 over all else: equal content, equal version.
        parents: versions this one was derived from.
        tokenizer_id: the tokenizer that catalogue and model must both have been built with.
        files: relative path to sha256.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1]
    version: str
    parents: tuple[str, ...]
    tokenizer_id: str
    data_fingerprint: str
    config: dict[str, Any]
    metrics: dict[str, Any]
    files: dict[str, str]

    @field_validator("files")
    @classmethod
    def _inside(cls, files: dict[str, str]) -> dict[str, str]:
        for name in files:
            if name.startswith("/") or ".." in name.split("/"):
                raise ValueError(f"{name!r} leads out of the bundle")
        return files


def _version(manifest: Manifest) -> str:
    content = _canonical(manifest.model_copy(update={"version": ""}))
    return hashlib.sha256(content.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Bundle:
    """A verified bundle on disk."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path) -> "Bundle":
        """Verify and wrap.

        Raises:
            BundleError: not a bundle, another schema version, a file missing, added or altered, or
                parts that were built with different tokenizers or for different items.
        """
        manifest = _read_manifest(path)
        present = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()} - {
            "manifest.json"
        }
        if missing := sorted(set(manifest.files) - present):
            raise BundleError(
                f"bundle {path}: {missing[0]} is missing ({len(missing)} in all); fetch the bundle again"
            )
        if added := sorted(present - set(manifest.files)):
            raise BundleError(f"bundle {path}: {added[0]} is not in the manifest; fetch the bundle again")
        for name, digest in sorted(manifest.files.items()):
            if sha256(path / name) != digest:
                raise BundleError(
                    f"bundle {path}: {name} does not match its checksum; fetch the bundle again"
                )
        bundle = cls(path, manifest)
        bundle._check_parts()
        return bundle

    def _check_parts(self) -> None:
        """One tokenizer and one set of items throughout."""
        for part, built_with in (
            ("tokenizer", read_json(self.path / "tokenizer" / "tokenizer.json")["id"]),
            ("catalog", self.catalog.tokenizer_id),
            ("model", read_json(self.path / "model" / "config.json")["tokenizer_id"]),
        ):
            if built_with != self.manifest.tokenizer_id:
                raise BundleError(
                    f"bundle {self.path}: {part} was built with tokenizer {built_with or 'none'}, "
                    f"the bundle holds {self.manifest.tokenizer_id}; build the bundle from one run"
                )
        items = set(_ids(self.path / "items.parquet"))
        parts = {"catalog": set(self.catalog.item_ids)}
        if not self.catalog.parent:  # an update leaves the baseline as it was fitted
            parts["baseline"] = set(_ids(self.path / "baseline" / "items.parquet"))
        for part, ids in parts.items():
            if ids != items:
                odd = sorted(items ^ ids)
                raise BundleError(
                    f"bundle {self.path}: {part} and items.parquet differ in {len(odd)} items, "
                    f"{odd[0]!r} among them; build the bundle from one run"
                )

    @property
    def version(self) -> str:
        return self.manifest.version

    @cached_property
    def items(self) -> pa.Table:
        return read_table(self.path / "items.parquet")

    @cached_property
    def disabled(self) -> frozenset[str]:
        """Items of the catalogue that must not be shown."""
        ids = self.items["item_id"].filter(pc.equal(self.items["status"], "disabled"))
        return frozenset(ids.to_pylist())

    @cached_property
    def catalog(self) -> Catalog:
        return Catalog.load(self.path / "catalog.parquet")

    @cached_property
    def trained_codes(self) -> np.ndarray:
        """(T, D) int32 semantic IDs of the catalogue that the model was trained with."""
        return read_codes(self.path / (TRAINED if TRAINED in self.manifest.files else "catalog.parquet"))

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        from higr.tokenizer.tokenizer import Tokenizer

        return Tokenizer.load(self.path / "tokenizer")

    @cached_property
    def model(self) -> "HiGR":
        from higr.model.higr import HiGR

        return HiGR.load(self.path / "model")

    @cached_property
    def baseline(self) -> "Incumbent":
        """It never shows an item that was removed or disabled since it was fitted, nor a newer one."""
        from higr.baseline.incumbent import Incumbent

        shown = [item for item in self.catalog.item_ids if item not in self.disabled]
        return Incumbent.load(self.path / "baseline").showing(shown)

    def reference(self, table: Literal["predictions", "feedback"]) -> pa.Table:
        """What the bundle served (`higr.data.logs.PREDICTIONS`) and how exposures were received
        (`higr.data.schemas.LABELLED_EVENTS`) in its validation period."""
        return read_table(self.path / "reference" / f"{table}.parquet")


def write_bundle(
    path: Path,
    *,
    items: pa.Table,
    tokenizer: Path,
    catalog: Path,
    model: Path,
    baseline: Path,
    reference: dict[str, pa.Table],
    data_fingerprint: str,
    config: dict[str, Any],
    metrics: dict[str, Any],
    parents: tuple[str, ...] = (),
) -> Bundle:
    """Assemble the parts of one run; `tokenizer`, `model` and `baseline` are directories.

    Raises:
        BundleError: a part holds a file that is not JSON, Parquet or safetensors, or the parts do
            not belong together; nothing is left behind.
    """
    with atomic_directory(path) as aside:
        for name, source in (("tokenizer", tokenizer), ("model", model), ("baseline", baseline)):
            shutil.copytree(source, aside / name)
        shutil.copyfile(catalog, aside / "catalog.parquet")
        write_table(aside / "items.parquet", items)
        for name, table in reference.items():
            write_table(aside / "reference" / f"{name}.parquet", table)
        files = {}
        for file in sorted(p for p in aside.rglob("*") if p.is_file()):
            if file.suffix not in SUFFIXES:
                raise BundleError(
                    f"bundle {path}: {file.relative_to(aside)} is not JSON, Parquet or safetensors"
                )
            files[str(file.relative_to(aside))] = sha256(file)
        manifest = Manifest(
            schema_version=SCHEMA_VERSION,
            version="",
            parents=parents,
            tokenizer_id=read_json(aside / "tokenizer" / "tokenizer.json")["id"],
            data_fingerprint=data_fingerprint,
            config=config,
            metrics=metrics,
            files=files,
        )
        manifest = _seal(aside, manifest)
    return Bundle(path, manifest)


def derive_bundle(old: Bundle, path: Path, items: pa.Table, catalog: Catalog) -> Bundle:
    """`old` with other items and another catalogue: all else is linked where the file system can, else
    copied. `old` is the parent and stays as it is. The
    catalogue that the model was trained with stays on as `trained.parquet`.

    Raises:
        BundleError: items and catalogue do not belong together; nothing is left behind.
    """
    with atomic_directory(path) as aside:
        write_table(aside / "items.parquet", items)
        catalog.save(aside / "catalog.parquet")
        if TRAINED not in old.manifest.files:
            _link(old.path / "catalog.parquet", aside / TRAINED)
        manifest = _derive(old, aside)
    return Bundle(path, manifest)


def realigned_bundle(
    old: Bundle,
    path: Path,
    model: Path,
    *,
    data_fingerprint: str,
    config: dict[str, Any],
    metrics: dict[str, Any],
) -> Bundle:
    """`old` with the model in the directory `model`; all else as `derive_bundle`.

    The catalogue that the first model was trained with stays what tells new items from trained ones: hours
    of feedback are no training.

    Raises:
        BundleError: the model is of another tokenizer; nothing is left behind.
    """
    with atomic_directory(path) as aside:
        shutil.copytree(model, aside / "model")
        manifest = _derive(old, aside, data_fingerprint=data_fingerprint, config=config, metrics=metrics)
    return Bundle(path, manifest)


def _derive(old: Bundle, aside: Path, **changes: Any) -> Manifest:
    """Link what is not there yet, and seal it with `old` as its parent."""
    own = {str(file.relative_to(aside)) for file in aside.rglob("*") if file.is_file()}
    for name in sorted(set(old.manifest.files) - own):
        _link(old.path / name, aside / name)
    files = old.manifest.files | {name: sha256(aside / name) for name in own}
    return _seal(
        aside, old.manifest.model_copy(update={"parents": (old.version,), "files": files, **changes})
    )


def check_target(bundle: Path, out: Path) -> None:
    """A bundle is never overwritten, and never changed.

    Raises:
        InputError: `out` exists or lies inside the bundle it is to be made from.
    """
    if out.exists():
        raise InputError(f"{out} exists; give --out a new directory, a bundle is never overwritten")
    if bundle.resolve() in out.resolve().parents:
        raise InputError(f"{out} is inside the bundle {bundle}, which must not change; write elsewhere")


def _ids(path: Path) -> list[str]:
    return read_table(path, ["item_id"])["item_id"].to_pylist()


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def _seal(aside: Path, manifest: Manifest) -> Manifest:
    """Give the bundle its version, write the manifest and read everything back."""
    manifest = manifest.model_copy(update={"version": _version(manifest)})
    (aside / "manifest.json").write_text(_canonical(manifest))
    Bundle.open(aside)
    return manifest


def _read_manifest(path: Path) -> Manifest:
    try:
        content = (path / "manifest.json").read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(f"{path} is not a bundle: it has no manifest.json") from None
    except OSError as error:
        raise BundleError(f"bundle {path} cannot be read ({error.strerror})") from None
    return parse_manifest(content, f"bundle {path}")


def parse_manifest(content: bytes, name: str) -> Manifest:
    """The manifest of the bundle that errors call `name`.

    Raises:
        BundleError: not a manifest, one of another schema version, or an altered one.
    """
    try:
        text = content.decode()
        document = json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{name}: manifest.json is not JSON ({error}); fetch the bundle again") from None
    found = document.get("schema_version") if isinstance(document, dict) else None
    if found != SCHEMA_VERSION:
        raise BundleError(f"{name}: schema version {found}; this version of higr reads {SCHEMA_VERSION}")
    try:
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        raise BundleError(
            f"{name}: manifest.json: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        ) from None
    if text != _canonical(manifest) or manifest.version != _version(manifest):
        raise BundleError(f"{name}: manifest.json was altered; fetch the bundle again")
    return manifest


def _canonical(manifest: Manifest) -> str:
    return json.dumps(manifest.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
