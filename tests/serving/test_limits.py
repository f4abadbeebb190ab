"""Bodies that are too large, too slow, too many, or cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from metier.errors import OptionError
from metier.serving.limits import Bodies, Limits, Message, Receive, Refused

LIMITS = Limits(body=10, timeout=0.2)


class Sender:
    """Gives the parts of a body, then waits for ever or leaves."""

    def __init__(self, parts: Sequence[bytes], ends: bool = True) -> None:
        self.parts, self.ends, self.given = list(parts), ends, 0

    async def __call__(self) -> Message:
        if self.given == len(self.parts):
            await asyncio.sleep(60)
        self.given += 1
        more = self.given < len(self.parts) or not self.ends
        body = self.parts[self.given - 1]
        return {"type": "http.request", "body": body, "more_body": more}


def read(receive: Receive, length: str | None = None, waits: bool = False) -> bytes:
    bodies = Bodies(LIMITS)

    async def play() -> bytes:
        async with bodies.reading(receive, length, waits) as body:
            assert bodies.held == len(body)
            return bytes(body)

    try:
        return asyncio.run(play())
    finally:
        assert bodies.held == 0


def test_a_body_in_parts_is_one_body() -> None:
    assert read(Sender([b"one", b"", b"two"])) == b"onetwo"


@pytest.mark.parametrize("length", [None, "40", "not a number"])
def test_too_large_is_heard_to_the_end_and_refused(length: str | None) -> None:
    sender = Sender([b"12345678"] * 5)
    with pytest.raises(Refused) as refused:
        read(sender, length)
    assert refused.value.status == 413 and sender.given == 5


def test_who_asks_first_is_refused_before_sending() -> None:
    sender = Sender([b"12345678"] * 5)
    with pytest.raises(Refused) as refused:
        read(sender, "40", waits=True)
    assert refused.value.status == 413 and sender.given == 0


def test_the_end_of_too_much_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metier.serving.limits.DRAIN_SECONDS", 0.05)
    monkeypatch.setattr("metier.serving.limits.DRAIN_BYTES", 50)
    for sender, heard in ((Sender([b"1" * 20] * 100), 4), (Sender([b"1" * 20], ends=False), 1)):
        with pytest.raises(Refused) as refused:
            read(sender)
        assert refused.value.status == 413 and sender.given == heard


def test_too_slow_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        read(Sender([b"a"], ends=False))
    assert refused.value.status == 408


def test_who_leaves_is_not_waited_for() -> None:
    async def leave() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(Refused) as refused:
        read(leave)
    assert refused.value.status == 400


def test_so_many_bodies_at_once_and_no_more() -> None:
    bodies = Bodies(LIMITS)

    async def hold(release: asyncio.Event) -> None:
        async with bodies.reading(Sender([b"1" * 10]), None, False):
            await release.wait()

    async def play() -> None:
        release = asyncio.Event()
        held = [asyncio.create_task(hold(release)) for _ in range(8)]
        await asyncio.sleep(0.01)
        with pytest.raises(Refused) as refused:
            await hold(release)
        assert (refused.value.status, refused.value.retry_after) == (503, 1.0)
        release.set()
        await asyncio.gather(*held)
        assert bodies.held == 0

    asyncio.run(play())


def test_limits_that_cannot_be_kept_are_refused() -> None:
    with pytest.raises(OptionError, match="--max-rows"):
        Limits(rows=10, queue=5)
    with pytest.raises(OptionError, match="timeout"):
        Limits(timeout=0)
