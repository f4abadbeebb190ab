"""One process that answers on a socket, and ends without losing an answer."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable

import uvicorn

from metier.runtime.session import load
from metier.serving.app import create_app
from metier.serving.options import Serving
from metier.serving.service import Service, open_service

BACKLOG = 1024
"""Connections that may wait to be taken in."""
QUIET_SECONDS = 0.2
"""After the last connection was taken in, clients that hold one may still send this long."""
IDLE_SECONDS = 60
"""Connections on which nothing is asked are kept this long."""


def open_worker(asked: Serving) -> Service:
    """Load the bundle for one process."""
    os.environ.setdefault("RAYON_NUM_THREADS", str(asked.threads_each))  # the tokenizer's threads
    bundle = load(asked.bundle, threads=asked.threads_each)
    return open_service(bundle, asked.limits, asked.token, at_once=asked.threads_each)


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
