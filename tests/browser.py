"""A real browser that a test can point, type and look with: headless Chromium over its DevTools protocol."""

import json
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

from websockets.sync.client import ClientConnection, connect

from tests.tools import require

PATIENCE = 60.0
"""Seconds for what ought to happen, on a machine that is busy with other things."""

KEYS = {"Enter": 13, "Tab": 9, " ": 32, "Escape": 27}


class Page:
    """One tab.

    Attributes:
        complaints: what the page or the browser complained of: errors, exceptions, what a policy refused.
        asked: addresses that the page fetched.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._sent = socket, 0
        self.complaints: list[str] = []
        self.asked: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        self._sent += 1
        self._socket.send(json.dumps({"id": self._sent, "method": method, "params": params}))
        while True:
            said = json.loads(self._socket.recv(PATIENCE))
            if said.get("id") == self._sent:
                assert "error" not in said, said
                return said["result"]
            self._hear(said["method"], said["params"])

    def _hear(self, event: str, told: Any) -> None:
        if event == "Runtime.exceptionThrown":
            self.complaints.append(told["exceptionDetails"]["exception"].get("description", "exception"))
        elif event == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.complaints.append(told["entry"]["text"])
        elif event == "Network.requestWillBeSent":
            self.asked.append(told["request"]["url"])

    def open(self, address: str) -> None:
        self.call("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")

    def value(self, expression: str) -> Any:
        """Of a JavaScript expression, as JSON."""
        got = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in got, got["exceptionDetails"]
        return got["result"].get("value")

    def until(self, expression: str) -> None:
        """Returns once it is true."""
        end = time.monotonic() + PATIENCE
        while not self.value(f"!!({expression})"):
            assert time.monotonic() < end, f"{expression}: {self.complaints}\n{self.text()}"
            time.sleep(0.03)

    def text(self, of: str = "body") -> str:
        return str(self.value(f"document.querySelector({json.dumps(of)})?.innerText"))

    def click(self, of: str, x: float = 0.5, y: float = 0.5) -> None:
        """With the mouse, at a share of the element's width and height."""
        found = f"document.querySelector({json.dumps(of)})"
        self.value(f"{found}.scrollIntoView({{block: 'center'}})")
        where = self.value(
            f"(({{x, y, width, height}}) => [x, y, width, height])({found}.getBoundingClientRect())"
        )
        at = {"x": where[0] + x * where[2], "y": where[1] + y * where[3], "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **at)

    def press(self, key: str) -> None:
        text = {"Enter": "\r", " ": " "}.get(key, "")
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=KEYS[key],
                **({"text": text} if text and kind == "keyDown" else {}),
            )  # fmt: skip

    def type(self, text: str) -> None:
        """In place of what stands in the element that has the focus."""
        self.value("document.activeElement.select()")
        self.call("Input.insertText", text=text)

    def look(self, width: int, height: int, scheme: str = "light") -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def photograph(self, path: Path) -> None:
        """The whole page as PNG."""
        self.call("Emulation.setScrollbarsHidden", hidden=True)
        got = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(b64decode(got["data"]))


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """A browser of its own, ended with the block. folder: of its profile, which is made."""
    profile = folder / "profile"
    process = subprocess.Popen(
        [
            *[
                require("chromium"),
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--remote-debugging-port=0",
            ],
            *[f"--user-data-dir={profile}", "--window-size=1280,900", "--no-first-run", "about:blank"],
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with connect(_address(profile, process), max_size=None, proxy=None) as socket:
            yield Page(socket)
    finally:
        process.terminate()
        process.wait(30)


def _address(profile: Path, process: subprocess.Popen[bytes]) -> str:
    """Of its first tab's socket."""
    end, told = time.monotonic() + PATIENCE, profile / "DevToolsActivePort"
    opener = build_opener(ProxyHandler({}))
    while time.monotonic() < end:
        assert process.poll() is None, "the browser did not start"
        if told.exists() and (port := told.read_text().split("\n")[0]):
            with opener.open(f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE) as answer:
                tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
            if tabs:
                return str(tabs[0]["webSocketDebuggerUrl"])
        time.sleep(0.05)
    raise AssertionError("the browser did not open a tab")
