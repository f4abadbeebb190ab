"""A headless Chromium, spoken to over two pipes in its own protocol: no driver, no open port."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --hide-scrollbars "
    "--remote-debugging-pipe"
)
SECONDS = 60.0


class Tab:
    """One page of the browser."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._numbers = itertools.count(1)
        self._session: str | None = None
        self._rest = b""
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for name in ("Page", "Runtime", "Log", "DOM"):
            self.call(f"{name}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol and wait for what it gives."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            self._note(found)
            if found.get("id") == number:
                assert "error" not in found, found
                return found["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            self._rest += os.read(self._read, 1 << 20)
        whole, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(whole))

    def _note(self, message: dict[str, Any]) -> None:
        """Keep every error of a script and every line that is logged."""
        method, told = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(told["exceptionDetails"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.complaints.append(told["entry"]["text"])

    def show(self, address: str, width: int, height: int = 900, dark: bool = False) -> None:
        """Open a page as wide as a phone or a desk."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete'")

    def value(self, script: str) -> Any:
        """Return what a script gives."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, script: str) -> Any:
        """Ask until a script gives something that is true."""
        until = time.monotonic() + SECONDS
        while not (found := self.value(script)):
            assert time.monotonic() < until, f"never came true: {script}"
            time.sleep(0.05)
        return found

    def type(self, selector: str, text: str) -> None:
        """Type into a field as a person does."""
        self.value(f"document.querySelector({json.dumps(selector)}).focus()")
        self.call("Input.insertText", text=text)

    def choose_file(self, selector: str, path: Path) -> None:
        """Put a file into a field for files."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def picture(self, path: Path) -> None:
        """Keep what the page looks like, all of it."""
        taken = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(taken["data"]))


@contextlib.contextmanager
def browse(folder: Path) -> Iterator[Tab]:
    """Start a browser with an empty profile in a folder, and end it with the block."""
    (its_read, our_write), (our_read, its_write) = os.pipe(), os.pipe()

    def move() -> None:
        # The browser reads from 3 and writes to 4; neither may be lost while they are moved.
        spare = os.dup(its_write), os.dup(its_read)
        os.dup2(spare[1], 3)
        os.dup2(spare[0], 4)

    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(CHROMIUM), *FLAGS.split(), f"--user-data-dir={folder / 'profile'}"],
            preexec_fn=move,
            close_fds=False,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    os.close(its_read)
    os.close(its_write)
    try:
        yield Tab(our_write, our_read)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(our_write)
        os.close(our_read)
