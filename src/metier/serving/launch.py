"""Starting the server, in one process or several, and ending it without losing an answer."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from metier.errors import OptionError
from metier.runtime.session import load
from metier.serving.app import create_app
from metier.serving.limits import Limits
from metier.serving.service import Service, open_service
from metier.threads import cores

BACKLOG = 1024
"""Connections that may wait to be taken in."""
QUIET_SECONDS = 0.2
"""After the last connection was taken in, clients that hold one may still send this long."""
IDLE_SECONDS = 60
"""Connections on which nothing is asked are kept this long."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Serving:
    """What is served, where and how.

    Args:
        bundle: a run folder or its `specialist/`.
        host: the address to listen on.
        port: the port; 0 takes a free one.
        workers: processes, each with a model of its own.
        threads: threads of each model; None divides the cores among the workers.
        token: what clients must bring; None lets everybody in.
        limits: how much the server takes on.
    """

    bundle: Path
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    threads: int | None = None
    token: str | None = None
    limits: Limits = field(default_factory=Limits)

    @property
    def threads_each(self) -> int:
        """Threads on which the graph of one worker runs."""
        return self.threads or max(1, cores() // self.workers)


def serve(asked: Serving) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit code.

    Raises:
        BundleError: when the bundle cannot be used.
        OptionError: when the address cannot be listened on.
    """
    listener = listen(asked.host, asked.port)
    if asked.workers > 1:
        from metier.serving.workers import supervise

        return supervise(asked, listener, lambda: announce(asked, listener))
    service = open_worker(asked)
    asyncio.run(run(service, listener, lambda: announce(asked, listener)))
    return 0


def open_worker(asked: Serving) -> Service:
    """Load the bundle for one process."""
    os.environ.setdefault("RAYON_NUM_THREADS", str(asked.threads_each))  # the tokenizer's threads
    bundle = load(asked.bundle, threads=asked.threads_each)
    return open_service(bundle, asked.limits, asked.token)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        OptionError: naming what is in the way.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
        # Connections inherit it. Without, the end of an answer waits 40 ms for the client to
        # acknowledge its head; asyncio sees to it only where a socket was made with its protocol.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except (OSError, OverflowError) as error:
        told = getattr(error, "strerror", None) or str(error)
        raise OptionError(
            f"cannot listen on {host} port {port} ({told.lower()}): choose another --port or --host"
        ) from None


def announce(asked: Serving, listener: socket.socket) -> None:
    """Say in one line where to go."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    print(f"serving at http://{shown}:{port}", flush=True)
    if asked.token is None and asked.host not in LOOPBACK:
        print("warning: no --token: whoever reaches this address may ask", file=sys.stderr)


async def run(
    service: Service, listener: socket.socket, ready: Callable[[], None], leash: int | None = None
) -> None:
    """Answer on a socket until a signal asks to end.

    Args:
        service: what answers.
        listener: a socket that listens.
        ready: called once connections are taken in.
        leash: a file descriptor; that its other end was closed asks to end, too.
    """
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(service),
            access_log=False,
            log_level="warning",
            lifespan="on",
            ws="none",
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=int(service.limits.timeout) + 5,
        )
    )
    serving = asyncio.create_task(server.serve([listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    if server.started:
        _end_when_asked(server, service, leash)
        ready()
    await serving


def _end_when_asked(server: uvicorn.Server, service: Service, leash: int | None) -> None:
    """The first request to end lets all be answered, the second does not wait."""
    loop = asyncio.get_running_loop()
    ending: list[asyncio.Task[None]] = []

    def end() -> None:
        if leash is not None:
            loop.remove_reader(leash)
        if ending:
            server.force_exit = True
        else:
            ending.append(loop.create_task(_drain(server, service)))

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    if leash is not None:
        loop.add_reader(leash, end)


async def _drain(server: uvicorn.Server, service: Service) -> None:
    """Take in who is at the door, close it, and end once every request has its answer."""
    service.draining = True
    await asyncio.sleep(0)
    for each in server.servers:
        each.close()
    await asyncio.sleep(QUIET_SECONDS)
    server.should_exit = True
