"""Several processes that take connections from one socket: starting, replacing, ending them.

Each worker holds the end of a pipe. When its other end closes, because the server ends or was
killed, the worker answers what it accepted and ends: no worker outlives its server.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any

from prometheus_client.multiprocess import mark_process_dead

from metier.errors import BundleError, MetierError
from metier.serving.limits import Limits
from metier.serving.metrics import SHARED
from metier.serving.options import TOKEN, Serving
from metier.serving.running import open_worker, run

ORDERS = "METIER_SERVING"
"""The environment variable that tells a worker what to serve."""
SHORT_LIFE = 10.0
"""A worker that dies within so many seconds was not killed by chance."""
LOOK_SECONDS = 0.2
SPARE_SECONDS = 10.0


class _Worker:
    """One process, from its start."""

    def __init__(self, fd: int, environment: dict[str, str]) -> None:
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "metier.serving.workers", str(fd)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[fd],
            env=environment,
            start_new_session=True,  # Ctrl-C is for the server, which then tells its workers
        )

    def wait_until_ready(self) -> str | None:
        """Return what kept it from starting, None when it takes connections."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            return f"it ended with code {self.process.wait()}"
        told: str | None = json.loads(line)["error"]
        return told

    def let_go(self) -> None:
        """Ask it to answer what it accepted and to end."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def wait(self, seconds: float) -> None:
        """Wait for its end; kill it when it takes longer."""
        try:
            self.process.wait(max(seconds, 0.0))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def supervise(asked: Serving, listener: socket.socket, ready: Callable[[], None]) -> int:
    """Keep so many workers until SIGTERM or Ctrl-C; return the exit code.

    Raises:
        BundleError: when a worker could not start.
    """
    asked_to_end = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        asked_to_end.set()

    with tempfile.TemporaryDirectory(prefix="metier-") as shared:
        fd = listener.fileno()
        environment = _orders(asked, shared)
        workers = [_Worker(fd, environment) for _ in range(asked.workers)]
        former = {n: signal.signal(n, end) for n in (signal.SIGTERM, signal.SIGINT)}
        try:
            for worker in workers:
                if told := worker.wait_until_ready():
                    raise BundleError(told)
            ready()
            code = _watch(workers, lambda: _Worker(fd, environment), asked_to_end, shared)
        finally:
            listener.close()
            _end_all(workers, asked.limits.timeout + SPARE_SECONDS)
            for number, handler in former.items():
                signal.signal(number, handler)
    return code


def _watch(
    workers: list[_Worker], another: Callable[[], _Worker], ended: threading.Event, shared: str
) -> int:
    """Replace workers that die. Return 1 when they die as soon as they live."""
    while not ended.wait(LOOK_SECONDS):
        for place, worker in enumerate(workers):
            code = worker.process.poll()
            if code is None:
                continue
            mark_process_dead(worker.process.pid, shared)
            if time.monotonic() - worker.began < SHORT_LIFE:
                print(f"error: a worker ended at once, with code {code}", file=sys.stderr)
                return 1
            print(f"warning: a worker ended with code {code}; another starts", file=sys.stderr)
            workers[place] = another()
    return 0


def _end_all(workers: list[_Worker], seconds: float) -> None:
    for worker in workers:
        worker.let_go()
    until = time.monotonic() + seconds
    for worker in workers:
        worker.wait(until - time.monotonic())


def _orders(asked: Serving, shared: str) -> dict[str, str]:
    orders: dict[str, Any] = {**asdict(replace(asked, token=None)), "bundle": str(asked.bundle)}
    found = {**os.environ, ORDERS: json.dumps(orders), SHARED: shared}
    found.pop(TOKEN, None)
    return found if asked.token is None else {**found, TOKEN: asked.token}


def main() -> None:
    """Be a worker: `python -m metier.serving.workers FD`, with orders in the environment."""
    orders = json.loads(os.environ[ORDERS])
    limits = Limits(**orders.pop("limits"))
    bundle = Path(orders.pop("bundle"))
    token = os.environ.get(TOKEN)
    asked = Serving(bundle, **{**orders, "token": token, "limits": limits})
    try:
        service = open_worker(asked)
    except MetierError as error:
        _tell(str(error))
        return
    listener = socket.socket(fileno=int(sys.argv[1]))
    asyncio.run(run(service, listener, lambda: _tell(None), leash=sys.stdin.fileno()))


def _tell(error: str | None) -> None:
    print(json.dumps({"error": error}), flush=True)


if __name__ == "__main__":
    main()
