"""What one client may ask for, and reading a body that nobody has to trust."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from metier.errors import OptionError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

DRAIN_BYTES = 64 * 2**20
"""How much of a body that is too large is still read, so that its sender hears the refusal."""
DRAIN_SECONDS = 5.0
BODIES_AT_ONCE = 8
"""Bodies of the largest size that may lie in memory at the same time."""


class Refused(Exception):
    """A request that gets no prediction: the status, one sentence, and when to come again."""

    def __init__(self, status: int, told: str, retry_after: float | None = None) -> None:
        super().__init__(told)
        self.status, self.told, self.retry_after = status, told, retry_after


@dataclass(frozen=True)
class Limits:
    """How much the server takes on.

    Args:
        rows: rows in one request.
        body: bytes of one request.
        queue: rows that may wait for the model; further ones are refused.
        latency: seconds within which a small request is answered until the server is saturated;
            batches are cut so that waiting for one and running in the next take that long.
        timeout: seconds after which a request that has no answer is given up.

    Raises:
        OptionError: when one of them is not positive, or a request may hold more rows than wait.
    """

    rows: int = 256
    body: int = 16 * 2**20
    queue: int = 1024
    latency: float = 0.1
    timeout: float = 30.0

    def __post_init__(self) -> None:
        for name in ("rows", "body", "queue", "latency", "timeout"):
            if not getattr(self, name) > 0:
                raise OptionError(f"{name} must be more than 0, not {getattr(self, name)}")
        if self.rows > self.queue:
            raise OptionError(
                f"a request of {self.rows} rows finds no room in a queue of {self.queue}: "
                "give --max-rows a smaller number or --queue a larger one"
            )


class Bodies:
    """Reads bodies, and knows how many bytes of them are held."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._most = BODIES_AT_ONCE * limits.body
        self.held = 0

    @contextlib.asynccontextmanager
    async def reading(
        self, receive: Receive, length: str | None, waits: bool
    ) -> AsyncIterator[bytes]:
        """Give the body for as long as it is needed.

        Args:
            receive: gives the messages of the request.
            length: the header Content-Length, if there is one.
            waits: the client sends nothing before it is asked to (Expect: 100-continue).

        Raises:
            Refused: 413 for one that is too large, 408 for one that takes too long, 503 when too
                much is held already, 400 when the client left before its end.
        """
        announced = int(length) if length is not None and length.isdecimal() else 0
        if announced > self._limits.body:
            if not waits:
                await _drain(receive)
            raise self._too_large()
        parts: list[bytes] = []
        try:
            await self._read(receive, parts)
            yield b"".join(parts)
        finally:
            self.held -= sum(map(len, parts))

    async def _read(self, receive: Receive, parts: list[bytes]) -> None:
        try:
            async with asyncio.timeout(self._limits.timeout):
                await self._take(receive, parts)
        except TimeoutError:
            raise Refused(408, "the body took too long to arrive") from None

    async def _take(self, receive: Receive, parts: list[bytes]) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refused(400, "the client left before the end of its body")
            part, more = message.get("body", b""), message.get("more_body", False)
            size += len(part)
            if size > self._limits.body:
                if more:
                    await _drain(receive)
                raise self._too_large()
            if self.held + len(part) > self._most:
                raise Refused(503, "too many large requests at once", retry_after=1.0)
            self.held += len(part)
            parts.append(part)

    def _too_large(self) -> Refused:
        return Refused(413, f"the body is larger than {self._limits.body} bytes: send fewer rows")


async def _drain(receive: Receive) -> None:
    """Read on for a while: who is still sending does not listen yet."""
    seen = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while seen < DRAIN_BYTES:
                message = await receive()
                seen += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
