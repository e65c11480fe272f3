"""Counters of Prometheus as exact increases, from raw samples.

`increase()` extrapolates, and leaves out the first sample of a series: the first failure of a new pod would
not be seen. So the samples are fetched and added up here.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from higr.errors import HigrError, InputError
from serving.rollout.config import Prometheus as Settings

MAX_BYTES = 64 * 2**20

Read = TypeVar("Read")


class Unavailable(HigrError):
    """The metrics server cannot be relied on now: hold."""


@dataclass(frozen=True)
class Series:
    """Attributes:
    samples: (Unix seconds, value), ascending in time.
    """

    labels: Mapping[str, str]
    samples: Sequence[tuple[float, float]]

    @property
    def newest(self) -> float:
        return self.samples[-1][0]


class Prometheus:
    """One server.

    Raises:
        InputError: its token cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = httpx.Client(timeout=settings.timeout_seconds, trust_env=False)
        _token(settings.token_file)

    def close(self) -> None:
        self._client.close()

    def series(self, selector: str, since: float, until: float) -> list[Series]:
        """Raw samples of since < time <= until.

        Raises:
            Unavailable: no answer in time, or one that is none.
        """
        window = max(1, math.ceil(until - since))
        entries = self._ask(f"{selector}[{window}s]", until, "matrix")
        return self._read(lambda: [_series(entry) for entry in entries if entry["values"]])

    def vector(self, query: str, at: float) -> list[tuple[Mapping[str, str], float]]:
        """Labels and value of each series there is at a moment.

        Raises:
            Unavailable: no answer in time, or one that is none.
        """
        entries = self._ask(query, at, "vector")
        return self._read(lambda: [(entry["metric"], _finite(entry["value"][1])) for entry in entries])

    def _read(self, read: Callable[[], Read]) -> Read:
        try:
            return read()
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            raise Unavailable(
                f"Prometheus {self._settings.url}: its answer is not one of its query API; look at the URL"
            ) from None

    def _ask(self, query: str, at: float, kind: str) -> Any:
        document = self._fetched(query, at)

        def result() -> Any:
            if document["status"] != "success" or document["data"]["resultType"] != kind:
                raise ValueError(kind)
            return document["data"]["result"]

        return self._read(result)

    def _fetched(self, query: str, at: float) -> Any:
        url = f"{self._settings.url}/api/v1/query"
        token = _token(self._settings.token_file)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        body = bytearray()
        try:
            form = {"query": query, "time": f"{at:.3f}"}
            with self._client.stream("POST", url, data=form, headers=headers) as answer:
                for piece in answer.iter_bytes():
                    body += piece
                    if len(body) > MAX_BYTES:
                        raise Unavailable(
                            f"Prometheus {self._settings.url}: more than {MAX_BYTES} bytes; look more often"
                        )
        except httpx.HTTPError as error:
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise Unavailable(f"Prometheus {self._settings.url} does not answer ({reason})") from None
        if answer.status_code != 200:
            raise Unavailable(f"Prometheus {self._settings.url} answers {answer.status_code}")
        try:
            return json.loads(body)
        except ValueError:
            raise Unavailable(
                f"Prometheus {self._settings.url}: its answer is not JSON; look at the URL"
            ) from None


def increase(series: Iterable[Series], since: float) -> dict[int, float]:
    """How much each series rose after `since`, by its place.

    A fall is a restart of its process, from 0. A series that began after `since` began at 0; but where none
    of them was there before, as when a server lost its store, the first samples are where counting begins.
    """
    series = list(series)
    known = any(one.samples[0][0] <= since for one in series)
    return {place: _rise(one.samples, since, known) for place, one in enumerate(series)}


def _rise(samples: Sequence[tuple[float, float]], since: float, known: bool) -> float:
    earlier = [value for at, value in samples if at <= since]
    later = [value for at, value in samples if at > since]
    if not later:
        return 0.0
    last = earlier[-1] if earlier else (0.0 if known else later[0])
    rise = 0.0
    for value in later:
        rise += value - last if value >= last else value
        last = value
    return rise


def _series(entry: Mapping[str, Any]) -> Series:
    samples = [(float(at), _finite(value)) for at, value in entry["values"]]
    labels = {str(name): str(value) for name, value in entry["metric"].items()}
    return Series(labels, samples)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _token(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"prometheus.token_file {path} cannot be read ({error}); give a file with a bearer token"
        ) from None
