"""Users, and the gateway between them and the two sides: weights as the HTTPRoute has them now."""

import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from tests.serving.process import Server
from tests.serving.rollout.objects import Cluster

WORKERS = 6
PAUSE = 0.02
"""Seconds between two requests of a worker: what is measured here is not speed."""
ASKED = 0.2
"""Seconds between two looks at the route."""


class Gateway:
    """Traffic from `start` to `stop`. Every slate is watched, and feedback goes to either side.

    Attributes:
        liked: version to the seconds that its items are watched, of the ten they last.
        deaf: the canary gets nothing, whatever the route says.
    """

    def __init__(self, cluster: Cluster, sides: Sequence[Server], link: Path, users: Sequence[str]) -> None:
        self._cluster, self._sides, self._link, self._users = cluster, sides, link, users
        self._weight = 0.0
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(WORKERS + 1)
        self.liked: dict[str, float] = {}
        self.deaf = False
        self._running = [
            self._pool.submit(self._follow),
            *(self._pool.submit(self._ask) for _ in range(WORKERS)),
        ]

    def stop(self) -> None:
        self._ended.set()
        for worker in self._running:
            worker.result(60)
        self._pool.shutdown()

    def _follow(self) -> None:
        """The route's weights; and, as a kubelet would, the bundle that the stable side is to serve."""
        while not self._ended.wait(ASKED):
            self._weight = self._cluster.weight()[1] / 100
            (uri,) = self._cluster.uris("higr")
            if str(self._link.resolve()) != str(Path(uri).resolve()):
                aside = self._link.with_name("next")
                aside.symlink_to(uri)
                aside.replace(self._link)

    def _ask(self) -> None:
        draw = random.Random()
        with httpx.Client(timeout=30, trust_env=False) as client:
            while not self._ended.wait(PAUSE):
                canary = draw.random() < self._weight and not self.deaf
                body = {"instances": [{"user_id": draw.choice(self._users)}]}
                answer = client.post(f"{_url(self._sides[canary])}/v1/models/higr:predict", json=body)
                if answer.status_code != 200:
                    continue
                (slate,) = answer.json()["predictions"]
                events = [self._event(draw, slate, item) for item in slate["items"]]
                taken = client.post(f"{_url(draw.choice(self._sides))}/v1/feedback", json={"events": events})
                assert taken.status_code == 200, taken.text

    def _event(self, draw: random.Random, slate: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
        liked = self.liked.get(slate["model_version"], 6.0)
        return {
            "event_id": f"{slate['request_id']}-{item['item_id']}",
            "user_id": slate["user_id"],
            "request_id": slate["request_id"],
            "item_id": item["item_id"],
            "timestamp": datetime.fromtimestamp(time.time(), UTC).isoformat(),
            "watch_seconds": max(0.0, draw.gauss(liked, 1.5)),
            "duration_seconds": 10.0,
        }


def _url(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}"
