"""A scheduled job, run and reported to a Pushgateway, so that one which fails or stops is an alert.

Around any command: `python -m monitoring job --task features --period 3600 --gateway HOST:PORT -- COMMAND`.
The gateway keeps what was pushed last, so the time of the last success grows old by itself where nothing
runs any more.
"""

import json
import math
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, pushadd_to_gateway

from higr import metrics as names
from higr.errors import InputError
from monitoring.alerting.settings import TASK

GROUP = "higr"
"""The gateway's `job` of everything pushed here."""
MOST_FIGURES = 64
LONGEST_LINE = 65_536
PUSH_SECONDS = 10.0
NOT_STARTED = 127
"""Exit code of a command that could not be started, as shells have it."""


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        seconds: it took.
        exit_code: of the command; 128 and the number of the signal that ended it.
        figures: finite numbers of the JSON object on its last line of output, if there is one.
    """

    seconds: float
    exit_code: int
    figures: Mapping[str, float]


def check(task: str, period: float) -> None:
    """Before anything runs.

    Raises:
        InputError: a task that is no label, a period that is no time.
    """
    if not re.fullmatch(TASK, task):
        raise InputError(f"--task {task!r} is not a name: lower case letters, digits, - and _, at most 63")
    if not (math.isfinite(period) and period > 0):
        raise InputError(f"--period {period} is not a time: give seconds above 0")


def run(command: Sequence[str]) -> Ended:
    """Run to its end; its output passes through. A SIGTERM of ours is handed on to it.

    Raises:
        InputError: it cannot be started.
    """
    started = time.monotonic()
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
    except OSError as error:
        raise InputError(f"cannot start {command[0]} ({error.strerror}); give a command after --") from None

    def hand_on(number: int, frame: FrameType | None) -> None:
        process.send_signal(number)

    before = signal.signal(signal.SIGTERM, hand_on)
    last = b""
    assert process.stdout is not None
    try:
        while line := process.stdout.readline(LONGEST_LINE):
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            last = line if line.strip() else last
        code = process.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
        process.stdout.close()
    return Ended(time.monotonic() - started, code if code >= 0 else 128 - code, figures(last))


def figures(line: bytes) -> dict[str, float]:
    """Finite numbers of a JSON object; nothing where the line is something else. Booleans are no numbers."""
    try:
        found: Any = json.loads(line)
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    numbers = {
        name: float(value)
        for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
    return dict(list(numbers.items())[:MOST_FIGURES])


def push(gateway: str, task: str, period: float, ended: Ended) -> None:
    """Tell the gateway. A run that failed leaves the last success, and its figures, as they were.

    Raises:
        OSError: the gateway cannot be reached, or refuses.
    """
    registry = CollectorRegistry()

    def show(metric: names.Metric, value: float, *labels: str) -> None:
        gauges[metric].labels(task, *labels).set(value)

    told = [names.JOB_PERIOD, names.JOB_SECONDS, names.JOB_EXIT_CODE]
    if ended.exit_code == 0:
        told.append(names.JOB_SUCCESS)
        if ended.figures:
            told.append(names.JOB_FIGURE)
    gauges = {m: Gauge(m.name, m.help, m.labels, registry=registry) for m in told}
    show(names.JOB_PERIOD, period)
    show(names.JOB_SECONDS, ended.seconds)
    show(names.JOB_EXIT_CODE, ended.exit_code)
    if ended.exit_code == 0:
        show(names.JOB_SUCCESS, time.time())
        for figure, value in ended.figures.items():
            show(names.JOB_FIGURE, value, figure)
    pushadd_to_gateway(gateway, GROUP, registry, {"task": task}, timeout=PUSH_SECONDS)


def watched(gateway: str, task: str, period: float, command: Sequence[str]) -> int:
    """Run, tell, and end as the command ended.

    A gateway that is away does not make a good run a bad one: one line says so, and the alert on the age of
    the last success follows by itself.

    Raises:
        InputError: a bad name or period, or a command that cannot be started (which is told, too).
    """
    check(task, period)
    try:
        ended = run(command)
    except InputError:
        _tell(gateway, task, period, Ended(0.0, NOT_STARTED, {}))
        raise
    _tell(gateway, task, period, ended)
    return ended.exit_code


def _tell(gateway: str, task: str, period: float, ended: Ended) -> None:
    try:
        push(gateway, task, period, ended)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        sys.stderr.write(
            f"monitoring: {gateway} was not told how {task} ended ({reason}); is a Pushgateway there?\n"
        )
