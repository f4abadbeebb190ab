"""Servers to ask: in a thread of the test, or as the command in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from metier.runtime.session import load
from metier.serving.app import create_app
from metier.serving.launch import listen
from metier.serving.limits import Limits
from metier.serving.service import Service, open_service
from tests.runtime.test_doubt import doubt_for, with_doubt
from tests.serving import bundles

METIER = "import sys; from metier.cli import main; sys.exit(main())"
BARE = f"import sys; sys.modules.update(dict.fromkeys(['polars', 'torch', 'rich'])); {METIER}"
"""The command where these libraries cannot be imported."""


Doubtful = Callable[[str], Path]
"""Gives a bundle by name that knows its doubt."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


def ask(
    port: int,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    method: str | None = None,
) -> Answer:
    """Ask a server on this machine; a body that is not bytes is sent as JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    kind = {} if body is None or isinstance(body, bytes) else {"Content-Type": "application/json"}
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    verb = method or ("GET" if body is None else "POST")
    connection.request(verb, path, content, {**kind, **(headers or {})})
    found = connection.getresponse()
    answer = Answer(found.status, {k.lower(): v for k, v in found.getheaders()}, found.read())
    connection.close()
    return answer


def form(*fields: tuple[str, bytes], boundary: str = "line") -> tuple[bytes, dict[str, str]]:
    """A form as a browser sends it, and its header."""
    head = f'--{boundary}\r\nContent-Disposition: form-data; filename="x"; name='
    parts = b"".join(
        f'{head}"{name}"\r\n\r\n'.encode() + content + b"\r\n" for name, content in fields
    )
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return parts + f"--{boundary}--\r\n".encode(), kind


def eventually(tell: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Ask again until it is so, or too late."""
    until = time.monotonic() + seconds
    while not (found := tell()) and time.monotonic() < until:
        time.sleep(0.02)
    return found


@dataclass(frozen=True)
class Live:
    """A server that runs in a thread."""

    port: int
    service: Service

    def ask(self, path: str, body: Any = None, **more: Any) -> Answer:
        return ask(self.port, path, body, **more)


@contextlib.contextmanager
def live(bundle: Path, limits: Limits | None = None, token: str | None = None) -> Iterator[Live]:
    """Serve a bundle in a thread for as long as the block lasts."""
    service = open_service(load(bundle, threads=1), limits or Limits(), token)
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(create_app(service), log_level="critical", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    port = listener.getsockname()[1]
    thread.start()
    while not server.started and thread.is_alive():
        threading.Event().wait(0.01)
    try:
        yield Live(port, service)
    finally:
        server.should_exit = True
        thread.join()


@dataclass(frozen=True)
class Command:
    """`metier serve` in a process of its own, and its address."""

    process: subprocess.Popen[str]
    port: int

    def end(self) -> int:
        """Send SIGTERM and wait for the end."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextlib.contextmanager
def command(
    bundle: Path,
    *words: str,
    environment: Mapping[str, str] | None = None,
    script: str = METIER,
) -> Iterator[Command]:
    """Run the command until the block ends, at the latest."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, "serve", str(bundle), "--port", "0", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(environment or {})},
    )
    assert process.stdout is not None and process.stderr is not None
    line = process.stdout.readline()
    try:
        assert line.startswith("serving at http://"), process.stderr.read()
        yield Command(process, int(line.rsplit(":", 1)[1]))
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Bundles by name, each written once: text, table, image, slow."""
    folder = tmp_path_factory.mktemp("bundles")

    def find(name: str) -> Path:
        path = folder / name
        return path if path.exists() else getattr(bundles, f"write_{name}")(path)

    return find


@pytest.fixture(scope="session")
def own(written: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Doubtful:
    """Copies of the bundles by name, with doubt beside what they know."""

    def make(name: str) -> Path:
        folder = tmp_path_factory.mktemp("doubt") / name
        shutil.copytree(written(name), folder)
        manifest = load(folder).manifest
        with_doubt(folder, doubt_for(manifest.decision), manifest.facts)
        return folder

    return make


@pytest.fixture(scope="session")
def text(written: Callable[[str], Path]) -> Iterator[Live]:
    """A server that reads texts."""
    with live(written("text")) as found:
        yield found


@pytest.fixture(scope="session")
def image(written: Callable[[str], Path]) -> Iterator[Live]:
    """A server that reads images."""
    with live(written("image")) as found:
        yield found


@pytest.fixture(scope="session")
def table(written: Callable[[str], Path]) -> Iterator[Live]:
    """A server that reads rows of a table."""
    with live(written("table")) as found:
        yield found
