"""Starting the server, in one process or several."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys

from metier.errors import OptionError
from metier.serving.options import Serving
from metier.serving.running import BACKLOG, open_worker, run
from metier.serving.workers import supervise

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve(asked: Serving) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit code.

    Raises:
        BundleError: when the bundle cannot be used.
        OptionError: when the address cannot be listened on.
    """
    listener = listen(asked.host, asked.port)
    if asked.workers > 1:
        return supervise(asked, listener, lambda: announce(asked, listener))
    service = open_worker(asked)
    asyncio.run(run(service, listener, lambda: announce(asked, listener)))
    return 0


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
        raise OptionError(
            f"cannot listen on {host} port {port} ({_why(error)}): choose another --port or --host"
        ) from None


def _why(error: OSError | OverflowError) -> str:
    """The words of the system alone: `socket` puts the address behind them once more."""
    number = int(getattr(error, "errno", None) or 0)
    if number in errno.errorcode:
        return os.strerror(number).lower()
    return (getattr(error, "strerror", None) or str(error)).lower()


def announce(asked: Serving, listener: socket.socket) -> None:
    """Say in one line where to go.

    In one write: unbuffered, as in most containers, `print` writes the end of a line apart, and
    whoever shares the output comes in between.
    """
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    sys.stdout.write(f"serving at http://{shown}:{port}\n")
    sys.stdout.flush()
    if asked.token is None and asked.host not in LOOPBACK:
        print("warning: no --token: whoever reaches this address may ask", file=sys.stderr)
