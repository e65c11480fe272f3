"""How a run ended, told to the log and to a webhook."""

import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

WEBHOOK = "HIGR_WEBHOOK"
"""Environment variable with the webhook's URL, where it is a secret."""
TRIES = 4
BACKOFF_SECONDS = 1.0
TIMEOUT_SECONDS = 10.0

log = logging.getLogger("higr.components")


@dataclass(frozen=True)
class Outcome:
    """What the webhook gets, as JSON.

    Attributes:
        text: all of it in one line, which is what chat rooms show.
        state: SUCCEEDED, FAILED or CANCELLED.
        failed: stages that failed, with what is known of the reason; empty where it is not known.
        link: to the run in the KFP UI; empty without `ui`.
    """

    pipeline: str
    run: str
    state: str
    failed: dict[str, str]
    link: str

    @property
    def text(self) -> str:
        stages = "; ".join(f"{name}: {reason}" if reason else name for name, reason in self.failed.items())
        parts = [f"{self.pipeline} run {self.run} {self.state.lower()}", stages, self.link]
        return ", ".join(filter(None, parts))

    def document(self) -> dict[str, Any]:
        return {"text": self.text, **asdict(self)}


def failed_stages(api: str, run: str, stages: Sequence[str], message: str) -> dict[str, str]:
    """Asked of the KFP API; without an address, or an answer, what the exit handler itself was told.

    stages: names of the pipeline's tasks; the API lists what runs inside and around them, too.
    """
    if api:
        try:
            if found := _asked(api, run, stages):
                return found
        except Exception as error:  # whatever happens: that the run failed has to be told
            log.warning("report: %s does not say which stage failed (%s)", api, type(error).__name__)
    return {"unknown stage": " ".join(message.split())} if message else {}


def _asked(api: str, run: str, stages: Sequence[str]) -> dict[str, str]:
    from kfp import Client

    details = Client(host=api).get_run(run).run_details
    failed: dict[str, str] = {}
    for task in (details.task_details if details else None) or []:
        name = (task.display_name or "").removesuffix("-driver")
        if task.state == "FAILED" and name in stages:
            reason = " ".join(((task.error and task.error.message) or "").split())
            failed[name] = failed.get(name) or reason
    return failed


def tell(outcome: Outcome, webhook: str) -> bool:
    """To the log, and to the webhook if there is one; what it does not take is logged, no error.

    Returns:
        Whether the webhook took it.
    """
    level = logging.INFO if outcome.state == "SUCCEEDED" else logging.ERROR
    log.log(level, "report: %s", outcome.text)
    address = webhook or os.environ.get(WEBHOOK, "")
    if not address:
        return False
    host = urlsplit(address).hostname  # the rest of the address may be a secret
    session = requests.Session()
    retry = Retry(
        TRIES - 1,
        backoff_factor=BACKOFF_SECONDS,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=None,
    )
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    try:
        answer = session.post(address, json=outcome.document(), timeout=TIMEOUT_SECONDS)
    except requests.RequestException as error:
        log.error("report: webhook at %s does not answer (%s)", host, type(error).__name__)
        return False
    if not answer.ok:
        log.error("report: webhook at %s answered %d", host, answer.status_code)
    return answer.ok
