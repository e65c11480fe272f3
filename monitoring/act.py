"""What a verdict does to the switch: `trip` puts serving on the baseline, quiet windows put it back.

Only a switch that stands on `auto` is tripped, and only what this job tripped is put back: a person's `higr`
or `baseline` is left alone. Every decision to move, or not to, is one line of the record, which is only added
to.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from higr.errors import InputError
from monitoring.result import DriftResult
from monitoring.switch_map import PREFIX, SwitchMap

JOB = "drift-job"
Position = Literal["auto", "higr", "baseline"]
POSITIONS = ("auto", "higr", "baseline")


Lever = Path | SwitchMap
"""The switch: a file that serving reads, or the ConfigMap behind it."""


def lever(address: str) -> Lever:
    """Of `--switch`: a path, or `configmap:NAMESPACE/NAME`.

    Raises:
        InputError: there is no way to the cluster.
    """
    return SwitchMap(address) if address.startswith(PREFIX) else Path(address)


class Entry(BaseModel):
    """One line of the record.

    Attributes:
        at: when. by: who: `drift-job`, or what a person gave as their name. why: the reason of the verdict.
        action: moving, then moved: the switch from `was` to `to`. held: it would have been moved but for
            `note`. released: as moved, back to auto. pipeline: one was started, `note` says which run.
            failed: `note` says why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: datetime
    by: str
    action: Literal["moving", "moved", "held", "released", "pipeline", "failed"]
    was: Position | None = None
    to: Position | None = None
    verdict: str = ""
    cause: str | None = None
    why: str = ""
    window_until: datetime | None = None
    note: str = ""


@dataclass(frozen=True)
class Rules:
    """When to act.

    Attributes:
        trips: windows in a row that must trip: 1 acts on the first.
        releases: quiet windows in a row (ok or watch) before the switch goes back to auto; 0: a person
            puts it back.
        cool_down: after a release, no trip for so long: a switch that flaps helps nobody.
    """

    trips: int = 1
    releases: int = 0
    cool_down: timedelta = timedelta(hours=6)


class Record:
    """JSON lines, appended and flushed to the disk one by one; a torn last line is passed over."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, entry: Entry) -> None:
        line = entry.model_dump_json(exclude_defaults=True) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            written = self.path.read_bytes() if self.path.exists() else b""
            with self.path.open("a", encoding="utf-8") as file:
                file.write(("\n" if written and not written.endswith(b"\n") else "") + line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(
                f"record {self.path} cannot be written ({error.strerror}); the switch stays"
            ) from None

    def entries(self) -> list[Entry]:
        return list(self._read())

    def _read(self) -> Iterator[Entry]:
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                yield Entry.model_validate(json.loads(line))
            except (ValueError, ValidationError):
                continue


def act(
    result: DriftResult, switch: Lever, record: Record, rules: Rules, recent: list[str], now: datetime
) -> Entry | None:
    """Move the switch as the verdict says; what was decided, or None where there was nothing to decide.

    The record is written before the switch, as `moving`, and again after it: a move that nobody can read
    about never happens, and one that a crash cut off is made by the next run.

    recent: verdicts of this and earlier windows, newest first.

    Raises:
        InputError: the record or the switch cannot be read or written.
    """
    was = read_switch(switch)
    own = _own_trip(record.entries(), was)
    if result.verdict == "trip":
        return _trip(result, switch, record, rules, recent, now, was, own)
    quiet = recent[: rules.releases]
    if rules.releases and own and len(quiet) == rules.releases and all(v in ("ok", "watch") for v in quiet):
        entry = _entry(result, now, "released", was, "auto", f"{rules.releases} quiet windows in a row")
        return _move(switch, record, entry)
    return None


def override(switch: Lever, record: Record, to: Position, by: str, why: str, now: datetime) -> Entry:
    """A person moves the switch; it goes into the record.

    Raises:
        InputError: the record or the switch cannot be read or written.
    """
    entry = Entry(at=now, by=by, action="moved", was=read_switch(switch), to=to, why=why)
    return _move(switch, record, entry)


def read_switch(switch: Lever) -> Position:
    """Raises: InputError: missing or malformed: who cannot read it must not move it."""
    word = switch.read() if isinstance(switch, SwitchMap) else _word(switch)
    if word not in POSITIONS:
        raise InputError(f"switch {switch} holds {word!r}; it must be one of {', '.join(POSITIONS)}")
    return word  # type: ignore[return-value]


def _word(path: Path) -> str:
    try:
        return path.read_bytes()[:64].decode("utf-8", "replace").strip()
    except OSError as error:
        raise InputError(
            f"switch {path} cannot be read ({error.strerror}); give the file that serving was started with"
        ) from None


def write_switch(switch: Lever, position: Position) -> None:
    """A file in place where it is a mount that nothing can be renamed over."""
    if isinstance(switch, SwitchMap):
        switch.write(position)
        return
    path = switch
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            aside.write_text(f"{position}\n")
            aside.replace(path)
        except OSError:
            aside.unlink(missing_ok=True)
            path.write_text(f"{position}\n")
    except OSError as error:
        raise InputError(f"switch {path} cannot be written ({error.strerror}); move it by hand") from None


def _trip(
    result: DriftResult,
    switch: Lever,
    record: Record,
    rules: Rules,
    recent: list[str],
    now: datetime,
    was: Position,
    own: Entry | None,
) -> Entry | None:
    if was != "auto":
        if own is None and not _said(record, result):
            entry = _entry(
                result, now, "held", was, None, f"the switch stands on {was}, which a person chose"
            )
            record.append(entry)
            return entry
        return None
    if recent[: rules.trips].count("trip") < rules.trips:
        note = f"waits for {rules.trips} windows in a row"
    elif cooling := _cooling(record.entries(), rules, now):
        note = f"cool-down until {cooling.isoformat(timespec='minutes')}"
    elif _released_by_person(record.entries(), result):
        note = "a person put the switch back after this window"
    else:
        return _move(switch, record, _entry(result, now, "moved", was, "baseline", ""))
    if _said(record, result):
        return None
    entry = _entry(result, now, "held", was, None, note)
    record.append(entry)
    return entry


def _move(switch: Lever, record: Record, entry: Entry) -> Entry:
    record.append(entry.model_copy(update={"action": "moving"}))
    write_switch(switch, entry.to or "auto")
    record.append(entry)
    return entry


def _entry(
    result: DriftResult,
    now: datetime,
    action: Literal["moved", "held", "released"],
    was: Position,
    to: Position | None,
    note: str,
) -> Entry:
    return Entry(
        at=now,
        by=JOB,
        action=action,
        was=was,
        to=to,
        verdict=result.verdict,
        cause=result.cause,
        why=result.reason,
        window_until=result.current.until,
        note=note,
    )


def _own_trip(entries: list[Entry], was: Position) -> Entry | None:
    """The trip that put the switch where it is; None where a person has moved it since, or it is
    elsewhere."""
    moves = [entry for entry in entries if entry.action in ("moving", "moved", "released")]
    last = moves[-1] if moves else None
    return last if last and last.by == JOB and last.to == "baseline" == was else None


def _cooling(entries: list[Entry], rules: Rules, now: datetime) -> datetime | None:
    releases = [entry.at for entry in entries if entry.action == "released"]
    until = releases[-1] + rules.cool_down if releases else None
    return until if until and now < until else None


def _released_by_person(entries: list[Entry], result: DriftResult) -> bool:
    """Whether this window was tripped for before, and the switch is back on auto: somebody knows better."""
    return any(
        entry.action == "moved" and entry.by == JOB and entry.window_until == result.current.until
        for entry in entries
    )


def _said(record: Record, result: DriftResult) -> bool:
    entries = record.entries()
    return bool(entries) and entries[-1].action == "held" and entries[-1].window_until == result.current.until
