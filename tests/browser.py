"""A real browser for tests: Chromium, driven over its DevTools protocol."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import httpx
from websockets.sync.client import ClientConnection, connect

from tests.waiting import wait_until

NAMES = ("chromium", "chromium-browser", "google-chrome")
START_SECONDS = 30
ANSWER_SECONDS = 20

ARGUMENTS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


def find() -> str | None:
    """Give the path of an installed Chromium."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One tab."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._calls = 0
        self.complaints: list[str] = []
        """What the console and the network said against the page."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def forget(self) -> None:
        """Forget cookies, as a new visitor has none."""
        self._call("Network.clearBrowserCookies")

    def look(self, *, width: int, colours: Literal["light", "dark"] = "light") -> None:
        """Take the size of a screen, and the colours that its owner prefers."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        preference = {"name": "prefers-color-scheme", "value": colours}
        self._call("Emulation.setEmulatedMedia", features=[preference])

    def open(self, url: str) -> None:
        """Go to an address and wait until it is there."""
        self._call("Page.navigate", url=url)
        self._wait_for_load()

    def run(self, script: str) -> Any:
        """Run a script in the page, as a person's hand; give its value."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self, selector: str = "body") -> str:
        """Give the text that is seen within the first match."""
        return str(self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def type(self, selector: str, text: str) -> None:
        """Write into a field."""
        field = f"document.querySelector({json.dumps(selector)})"
        self.run(f"{field}.focus(); {field}.select()")
        self._call("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Click on the first match, which leads to another page, and wait until that is there."""
        self.run("window.isOld = true")
        self.run(f"document.querySelector({json.dumps(selector)}).click()")
        self._wait_for_load()

    def _wait_for_load(self) -> None:
        wait_until(
            lambda: self.run("document.readyState === 'complete' && !window.isOld"),
            within=ANSWER_SECONDS,
            otherwise="the page to be loaded",
        )

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._calls += 1
        self._socket.send(json.dumps({"id": self._calls, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=ANSWER_SECONDS))
            if message.get("id") == self._calls:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        if message.get("method") == "Log.entryAdded":
            entry = message["params"]["entry"]
            self.complaints.append(f"{entry['level']}: {entry['text']} {entry.get('url', '')}")
        elif message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(message["params"]["exceptionDetails"])[:500])
        elif message.get("method") == "Page.javascriptDialogOpening":
            self.complaints.append(f"a dialog opened: {message['params']['message']}")


@contextmanager
def launch(path: str) -> Iterator[Browser]:
    """Start the browser with an empty profile, and end it with all of its processes."""
    with tempfile.TemporaryDirectory(prefix="rqube-browser-", ignore_cleanup_errors=True) as folder:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        process = subprocess.Popen(
            [path, *ARGUMENTS, *sandbox, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            address = wait_until(
                lambda: _tab(Path(folder)),
                within=START_SECONDS,
                otherwise="the browser to have a tab",
            )
            with connect(address, max_size=None) as socket:
                yield Browser(socket)
        finally:
            os.killpg(process.pid, 9)
            process.wait()


def _tab(folder: Path) -> str:
    """The address at which the browser's tab is driven; empty until there is one."""
    try:
        port = (folder / "DevToolsActivePort").read_text(encoding="utf-8").splitlines()[0]
        tabs = httpx.get(f"http://127.0.0.1:{port}/json", trust_env=False).json()
    except (FileNotFoundError, IndexError, httpx.HTTPError):
        return ""
    return next((str(tab["webSocketDebuggerUrl"]) for tab in tabs if tab["type"] == "page"), "")
