"""A headless Chromium, driven over a pipe with the DevTools protocol: no driver, no library."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import itertools
import json
import os
import select
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)
PATIENCE = 120.0


@dataclass
class Page:
    """One tab. `events` are what the browser told beside answers (exceptions, requests, ...)."""

    reads: int
    writes: int
    session: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _rest: bytes = b""

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        number = next(self._numbers)
        told: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self.session:
            told["sessionId"] = self.session
        os.write(self.writes, json.dumps(told).encode() + b"\0")
        while (answer := self._receive()).get("id") != number:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        found: dict[str, Any] = answer["result"]
        return found

    def _receive(self) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self.reads], [], [], max(0.0, end - time.monotonic()))
            some = os.read(self.reads, 1 << 20) if ready else b""
            if not some:
                raise TimeoutError("chromium gave no answer")
            self._rest += some
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def open(self, url: str) -> None:
        """Go to a page, and return once it has taken the place of the one before."""
        loader = self.send("Page.navigate", url=url).get("loaderId")
        end = time.monotonic() + PATIENCE
        while loader and self.send("Page.getFrameTree")["frameTree"]["frame"]["loaderId"] != loader:
            if time.monotonic() > end:
                raise TimeoutError(url)
            time.sleep(0.01)

    def run(self, script: str) -> Any:
        """Return the value of an expression; a promise is waited for."""
        found = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in found:
            told = found["exceptionDetails"]
            raise RuntimeError(told.get("exception", {}).get("description") or told["text"])
        return found["result"].get("value")

    def until(self, script: str) -> Any:
        """Wait until an expression is true, and return its value."""
        end = time.monotonic() + PATIENCE
        while not (found := self.run(script)):
            if time.monotonic() > end:
                raise TimeoutError(script)
            time.sleep(0.05)
        return found

    def choose(self, selector: str, *files: Path) -> None:
        """Choose files in a file input, as a person would."""
        found = self.send("Runtime.evaluate", expression=f"document.querySelector({selector!r})")
        given = [str(path) for path in files]
        self.send("DOM.setFileInputFiles", files=given, objectId=found["result"]["objectId"])

    def size(self, width: int, height: int, *, phone: bool = False, dark: bool = False) -> None:
        """Look through a window of this size, as a phone does or in the dark."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path) -> None:
        """Save what is seen as PNG."""
        found = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def faults(self) -> list[str]:
        """Exceptions, errors on the console and requests that failed so far."""
        self.run("0")
        told = []
        for event in self.events:
            about = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                told.append(str(about["exceptionDetails"].get("exception", about)))
            elif event.get("method") == "Log.entryAdded" and about["entry"]["level"] == "error":
                told.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")
        return told

    def requests(self) -> list[str]:
        """The addresses that were asked for."""
        sent = [e for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return [str(each["params"]["request"]["url"]) for each in sent]


@contextlib.contextmanager
def browse(folder: Path, flags: Sequence[str] = ()) -> Iterator[Page]:
    """A tab of a fresh Chromium whose profile lies in `folder`; its processes end with it."""
    assert CHROMIUM is not None
    ours_in, theirs_out = os.pipe()
    theirs_in, ours_out = os.pipe()
    # Numbers that the child uses must not be among those that are copied there.
    theirs_in, theirs_out = (_away(number) for number in (theirs_in, theirs_out))
    log = os.open(folder / "chromium.log", os.O_WRONLY | os.O_CREAT, 0o600)
    process = os.posix_spawn(
        CHROMIUM,
        [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={folder / 'profile'}", "about:blank"],
        dict(os.environ),
        file_actions=[
            (os.POSIX_SPAWN_DUP2, log, 1),
            (os.POSIX_SPAWN_DUP2, log, 2),
            (os.POSIX_SPAWN_DUP2, theirs_in, 3),
            (os.POSIX_SPAWN_DUP2, theirs_out, 4),
        ],
        setpgroup=0,
    )
    for number in (theirs_in, theirs_out, log):
        os.close(number)
    try:
        page = Page(ours_in, ours_out)
        target = page.send("Target.createTarget", url="about:blank")["targetId"]
        found = page.send("Target.attachToTarget", targetId=target, flatten=True)
        page.session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            page.send(f"{domain}.enable")
        yield page
    finally:
        os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(ours_in)
        os.close(ours_out)


def _away(number: int) -> int:
    """The same pipe under a number above those that a child process uses."""
    import fcntl

    moved = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(number)
    return moved


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None: ...

    def end_headers(self) -> None:
        # A file that was written again within a second has the time it had before.
        self.send_header("Cache-Control", "no-store")
        super().end_headers()


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder, handed out by the plainest of servers on this machine."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
