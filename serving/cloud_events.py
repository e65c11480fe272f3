"""Predictions and feedback as CloudEvents over HTTP, for brokers and collectors.

Sent by a thread of its own from a bounded inbox: a receiver that is down, slow or failing costs events once
the inbox is full, and no request anything. Each event is sent at least once or counted as lost; a receiver
knows one that comes again by its source and id.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from threading import Event, Thread
from typing import Any
from urllib.parse import quote

import httpx
import orjson
from cloudevents.conversion import to_json
from cloudevents.http import CloudEvent
from tenacity import (
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_delay,
    stop_when_event_set,
    wait_random_exponential,
)

from serving.inbox import Inbox
from serving.schemas import FeedbackEvent

PREDICTION, FEEDBACK = "higr.prediction.v1", "higr.feedback.v1"
"""Types of the events; their data are rows of `higr.data.logs` as JSON, moments as RFC 3339."""
BATCH = 100
"""Events of one call at most, where they are sent in batches."""
TIMEOUT = httpx.Timeout(5.0, connect=2.0)
LONGEST_PAUSE = 10.0
"""Seconds between two tries; before the second a tenth of a second at most, then up to twice as long."""
PATIENCE = 300.0
"""Seconds after which a call that fails again and again is given up, for it may be the call's own fault."""
CLOSING_SECONDS = 3.0
"""Longest wait for what has not been sent when the process ends."""
LATER = frozenset({408, 425, 429})
"""Answers below 500 that ask for another try."""

logger = logging.getLogger("higr.serving")


class _Again(Exception):
    """The call failed in a way that may pass."""


class CloudEvents:
    """A sink of both logs.

    Args:
        url: where every call goes, by POST.
        name: of the endpoint; the events' source is `/higr/NAME`.
        batch: events of one call at most; 1: structured mode, else batched.
        waiting: events that wait at most.
        on_failure: called once a call that failed.
        on_drop: called with the number of events that are lost.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        batch: int = 1,
        waiting: int = 10_000,
        on_failure: Callable[[], None] = lambda: None,
        on_drop: Callable[[int], None] = lambda events: None,
    ) -> None:
        self._url, self._source, self._batch = url, f"/higr/{quote(name, safe='')}", batch
        self._on_failure, self._on_drop = on_failure, on_drop
        self._inbox: Inbox[tuple[str, str, Mapping[str, Any]]] = Inbox(waiting)
        self._closing = Event()
        self._thread = Thread(target=self._run, name="cloudevents", daemon=True)
        self._thread.start()

    def append(self, row: Mapping[str, Any]) -> None:
        """Hand over one row of `higr.data.logs.PREDICTIONS`."""
        self._put(PREDICTION, row["request_id"], row)

    def received(self, events: Sequence[FeedbackEvent]) -> None:
        """Hand over feedback that is kept."""
        for event in events:
            self._put(FEEDBACK, event.event_id, event.model_dump())

    def close(self) -> None:
        """Try once more, for a moment; what is not sent then is counted as lost."""
        self._inbox.close()
        self._closing.set()
        self._thread.join(CLOSING_SECONDS)
        if left := self._inbox.take(self._inbox.most):
            self._on_drop(len(left))

    def _put(self, kind: str, identity: str, data: Mapping[str, Any]) -> None:
        if not self._inbox.put((kind, identity, data)):
            self._on_drop(1)

    def _run(self) -> None:
        # No settings of the environment: its proxies and netrc are not of this configuration.
        with httpx.Client(timeout=TIMEOUT, trust_env=False) as client:
            while taken := self._inbox.take(self._batch):
                try:
                    self._deliver(client, [self._event(*event) for event in taken])
                except Exception as error:
                    # Whatever it was, the next ones are due.
                    kind = type(error).__name__
                    logger.warning("event=cloudevents_lost events=%d error=%s", len(taken), kind)
                    self._on_drop(len(taken))

    def _event(self, kind: str, identity: str, data: Mapping[str, Any]) -> bytes:
        attributes = {
            "id": identity,
            "source": self._source,
            "type": kind,
            "time": data["timestamp"].isoformat(),
            "datacontenttype": "application/json",
        }
        return to_json(CloudEvent(attributes, data), data_marshaller=_plain)

    def _deliver(self, client: httpx.Client, events: Sequence[bytes]) -> None:
        if self._batch == 1:
            content, kind = events[0], "application/cloudevents+json"
        else:
            content, kind = b"[" + b",".join(events) + b"]", "application/cloudevents-batch+json"
        tries = Retrying(
            retry=retry_if_exception_type(_Again),
            wait=wait_random_exponential(multiplier=0.1, max=LONGEST_PAUSE),
            stop=stop_after_delay(PATIENCE) | stop_when_event_set(self._closing),
            sleep=sleep_using_event(self._closing),
            reraise=True,
        )
        tries(self._post, client, content, {"content-type": f"{kind}; charset=utf-8"})

    def _post(self, client: httpx.Client, content: bytes, headers: Mapping[str, str]) -> None:
        try:
            with client.stream("POST", self._url, content=content, headers=headers) as answer:
                status = answer.status_code  # what it says beside that is not read
        except httpx.TransportError as error:
            self._on_failure()
            raise _Again(type(error).__name__) from None
        if not 200 <= status < 300:
            self._on_failure()
            logger.warning("event=cloudevents_refused status=%d", status)
            raise _Again(f"status {status}") if status >= 500 or status in LATER else ValueError(status)


def _plain(data: Mapping[str, Any]) -> Any:
    """Numbers of numpy and moments as JSON has them."""
    return orjson.loads(orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY))
