"""What was done to a store: one file an act, each named after its content and naming the one before it.

No file is ever written again, so two people at once lose nothing: both acts are on record, the later one
holds, and `Index.at_once` tells.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from higr.errors import StoreError
from higr.store.root import Root

FOLDER = "history"
SCHEMA_VERSION: Literal[1] = 1
DIGITS = 16
Kind = Literal["publish", "promote", "rollback", "retire"]


class Act(BaseModel):
    """Attributes:
    version: the bundle that it is about; of a rollback the one that is in production from then on.
    manifest: sha256 of its manifest.json, where the act is its publication.
    at: UTC; never before the act it follows, whatever this machine's clock says.
    after: name of the latest act that its author knew of; empty for the first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = SCHEMA_VERSION
    kind: Kind
    version: str
    manifest: str = ""
    at: datetime
    by: str
    reason: str = ""
    after: str = ""

    @property
    def content(self) -> bytes:
        document = self.model_dump(mode="json")
        return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()

    @property
    def name(self) -> str:
        """Of its file: the time, so that names sort, and the beginning of the content's sha256."""
        digest = hashlib.sha256(self.content).hexdigest()[:DIGITS]
        return f"{self.at:%Y%m%dT%H%M%S.%f}Z-{digest}.json"


@dataclass(frozen=True)
class Published:
    """Attributes:
    manifest: sha256 of its manifest.json.
    retired: its files are gone, or going.
    """

    version: str
    at: datetime
    by: str
    manifest: str
    retired: bool = False


@dataclass(frozen=True)
class Index:
    """What a history comes to.

    Attributes:
        acts: in their order.
        versions: all that were ever published, oldest first.
        promoted: those that were put in production, each after the one that a rollback brings back.
        at_once: acts whose author did not know of the one before.
    """

    acts: tuple[Act, ...]
    versions: dict[str, Published]
    promoted: tuple[str, ...]
    at_once: tuple[Act, ...]

    @property
    def production(self) -> str | None:
        return self.promoted[-1] if self.promoted else None

    @property
    def previous(self) -> str | None:
        """What a rollback brings back."""
        return self.promoted[-2] if len(self.promoted) > 1 else None


def read(root: Root) -> Index:
    """Every act, checked.

    Raises:
        StoreError: an act was altered or is missing, or was written by a newer version of higr.
    """
    acts: dict[str, Act] = {}
    for name in root.names(FOLDER):
        if name.endswith(".json"):
            acts[name] = _checked(root, name, root.read(FOLDER, name))
    for name, act in acts.items():
        if act.after and act.after not in acts:
            raise StoreError(
                f"store {root.name}: {FOLDER}/{act.after} is missing, {name} follows it; bring it back from "
                "the store's own versions or its backup"
            )
    return summed(list(acts.values()))


def _checked(root: Root, name: str, content: bytes) -> Act:
    where = f"store {root.name}: {FOLDER}/{name}"
    try:
        document = json.loads(content)
        found = document.get("schema_version") if isinstance(document, dict) else None
        if found != SCHEMA_VERSION:
            raise StoreError(
                f"{where} has schema version {found}; this version of higr reads {SCHEMA_VERSION}"
            )
        act = Act.model_validate_json(content)
    except (json.JSONDecodeError, UnicodeDecodeError, ValidationError):
        act = None
    if act is None or act.name != name:
        raise StoreError(f"{where} does not match its checksum; bring it back from the store's backup")
    return act


def summed(acts: Sequence[Act]) -> Index:
    """The acts are in the order of their names."""
    versions: dict[str, Published] = {}
    promoted: list[str] = []
    at_once: list[Act] = []
    before = ""
    for act in acts:
        if act.after != before:
            at_once.append(act)
        before = act.name
        match act.kind:
            case "publish":
                versions.pop(act.version, None)  # published again after it was retired: the newest again
                versions[act.version] = Published(act.version, act.at, act.by, act.manifest)
            case "promote":
                promoted.append(act.version)
            case "rollback":
                # What was promoted in the same moment goes, too: its author meant this version.
                while promoted and promoted[-1] != act.version:
                    promoted.pop()
                promoted = promoted or [act.version]
            case "retire":
                gone = versions[act.version]
                versions[act.version] = Published(gone.version, gone.at, gone.by, gone.manifest, retired=True)
    return Index(tuple(acts), versions, tuple(promoted), tuple(at_once))


def append(
    root: Root, index: Index, kind: Kind, version: str, by: str, reason: str = "", manifest: str = ""
) -> Act:
    """Put an act on record, as the one after all that `index` holds."""
    last = index.acts[-1] if index.acts else None
    at = datetime.now(UTC)
    if last is not None:
        at = max(at, last.at + timedelta(microseconds=1))
    act = Act(
        kind=kind,
        version=version,
        manifest=manifest,
        at=at,
        by=by,
        reason=reason,
        after=last.name if last else "",
    )
    root.write(act.content, FOLDER, act.name)
    return act
