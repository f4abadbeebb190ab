"""A client that asks a server over and over: at a given rate, or with so many asking at once.

At a rate, requests begin when they are due, whatever became of those before, and their time counts
from then: a server that falls behind is seen to. Requests are written before the clock starts and
answers are looked at after it, so that the client takes little of the machine that it shares.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

MOST_CONNECTIONS = 512
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


@dataclass
class Seen:
    """Seconds of every answer by status, requests that got none, how long it all took, and the
    processor seconds that asking took."""

    seconds: dict[int, list[float]] = field(default_factory=dict)
    lost: int = 0
    lasted: float = 0.0
    spent: float = 0.0

    def facts(self, rows: int) -> dict[str, float | int]:
        """Return rates and times, where each request has so many rows."""
        done = self.seconds.get(200, [])
        refused = sum(len(each) for status, each in self.seconds.items() if status == 503)
        failed = sum(len(each) for s, each in self.seconds.items() if s not in (200, 503))
        found: dict[str, float | int] = {
            "rows_per_second": round(rows * len(done) / self.lasted, 2),
            "answered": len(done),
            "refused": refused,
            "failed": failed + self.lost,
            "client_cores": round(self.spent / self.lasted, 3),
        }
        if done:
            for name, share in (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99)):
                found[name] = round(1000 * float(np.quantile(done, share)), 2)
        return found


def request(body: bytes) -> bytes:
    """Return a POST to /predict, head and body."""
    head = "POST /predict HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def flood(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Seen:
    """Let so many clients ask, each again as soon as it has its answer."""

    async def play() -> Seen:
        seen, line, spent = Seen(), itertools.cycle(requests), time.process_time()
        end = time.perf_counter() + seconds
        began = time.perf_counter()

        async def client() -> None:
            connection = _Connection(port)
            while (now := time.perf_counter()) < end:
                await connection.ask(next(line), now, seen)
            connection.close()

        await asyncio.gather(*(client() for _ in range(clients)))
        seen.lasted, seen.spent = time.perf_counter() - began, time.process_time() - spent
        return seen

    return asyncio.run(play())


def drip(port: int, requests: Sequence[bytes], rate: float, seconds: float, seed: int = 0) -> Seen:
    """Ask at random moments (a Poisson process), so many times a second on average."""
    draw = np.random.default_rng(seed)
    due = np.cumsum(draw.exponential(1 / rate, int(rate * seconds) + 1))

    async def play() -> Seen:
        seen, line, spent = Seen(), itertools.cycle(requests), time.process_time()
        idle: list[_Connection] = []
        room = asyncio.Semaphore(MOST_CONNECTIONS)
        began = time.perf_counter()

        async def one(moment: float) -> None:
            async with room:
                connection = idle.pop() if idle else _Connection(port)
                await connection.ask(next(line), began + moment, seen)
                idle.append(connection)

        tasks = []
        for moment in due:
            wait = began + moment - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.create_task(one(moment)))
        await asyncio.gather(*tasks)
        seen.lasted, seen.spent = time.perf_counter() - began, time.process_time() - spent
        for connection in idle:
            connection.close()
        return seen

    return asyncio.run(play())


class _Connection:
    """One connection that is kept, and opened again where it was closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._pair: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, asked: bytes, since: float, seen: Seen) -> None:
        """Send a request and note what became of it."""
        try:
            if self._pair is None:
                self._pair = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._pair
            writer.write(asked)
            head = await reader.readuntil(b"\r\n\r\n")
            length = LENGTH.search(head)
            await reader.readexactly(int(length[1]) if length else 0)
        except (OSError, asyncio.IncompleteReadError):
            seen.lost += 1
            self.close()
            return
        status = int(head[9:12])
        seen.seconds.setdefault(status, []).append(time.perf_counter() - since)
        if b"connection: close" in head.lower():
            self.close()

    def close(self) -> None:
        """Leave; the next question opens another."""
        if self._pair is not None:
            self._pair[1].close()
        self._pair = None
