"""Batches of many requests: right, fair, bounded, and none lost."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Sequence
from typing import Any

import numpy as np
import pytest

from metier.runtime.doubt import Asked
from metier.runtime.session import Predictions
from metier.serving.batching import Batch, Batcher
from metier.serving.limits import Limits, Refused


class Echo:
    """A model that answers with what it was given, and notes what came together."""

    def __init__(self, seconds_a_row: float = 0.0) -> None:
        self.seconds_a_row = seconds_a_row
        self.batches: list[list[Any]] = []
        self.free = threading.Event()
        self.free.set()
        self.entered = threading.Event()

    def __call__(self, columns: dict[str, list[Any]], asked: Asked) -> Predictions:
        cells = columns["x"]
        self.batches.append(cells)
        self.entered.set()
        self.free.wait(10)
        time.sleep(self.seconds_a_row * len(cells))
        return Predictions(
            answers=list(cells),
            probabilities=np.array([[cell, -1.0] for cell in cells], dtype=np.float64),
            labels=("a", "b"),
            reasons={row: f"odd {cell}" for row, cell in enumerate(cells) if cell % 2},
            unseen=rows_of("x", [cell % 3 == 0 for cell in cells]),
            unread=rows_of("x", [cell % 5 == 0 for cell in cells]),
        )


def rows_of(name: str, flags: Sequence[bool]) -> dict[str, list[int]]:
    rows = [row for row, flag in enumerate(flags) if flag]
    return {name: rows} if rows else {}


def run(batcher: Batcher, play: Coroutine[Any, Any, Any], pace: float = 0.0) -> Any:
    batcher.start(pace)
    try:
        return asyncio.run(play)
    finally:
        batcher.close()


async def ask(batcher: Batcher, cells: Sequence[int]) -> Predictions:
    return await batcher.ask({"x": cells}, len(cells))


async def until_busy(model: Echo) -> None:
    """Let the model begin with a first row and stay there."""
    while not model.entered.is_set():
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("at_once", [1, 3])
def test_everyone_gets_their_own_rows_in_order_however_they_were_cut(at_once: int) -> None:
    draw = np.random.default_rng(0)
    requests = [list(map(int, draw.integers(0, 1000, draw.integers(1, 40)))) for _ in range(60)]
    model = Echo(seconds_a_row=0.0001)
    limits = Limits(rows=40, queue=10_000, latency=0.002)
    batcher = Batcher(model, limits, at_once=at_once)

    async def play() -> list[Predictions]:
        return await asyncio.gather(*(ask(batcher, cells) for cells in requests))

    for cells, found in zip(requests, run(batcher, play(), 0.0001), strict=True):
        assert found.answers == cells
        assert found.reasons == {i: f"odd {c}" for i, c in enumerate(cells) if c % 2}
        assert found.unseen == rows_of("x", [c % 3 == 0 for c in cells])
        assert found.unread == rows_of("x", [c % 5 == 0 for c in cells])
        assert found.probabilities is not None
        assert found.probabilities[:, 0].tolist() == cells
    assert max(map(len, model.batches)) > 1 and batcher.waiting == 0


def test_what_came_while_a_batch_ran_makes_the_next_one() -> None:
    model = Echo()
    batcher = Batcher(model, Limits())

    async def play() -> None:
        model.free.clear()
        first = asyncio.create_task(ask(batcher, [0]))
        await until_busy(model)
        rest = [asyncio.create_task(ask(batcher, [i])) for i in range(1, 6)]
        await asyncio.sleep(0.01)
        model.free.set()
        await asyncio.gather(first, *rest)

    run(batcher, play(), pace=0.001)
    assert model.batches == [[0], [1, 2, 3, 4, 5]]


def test_parts_of_a_request_that_end_in_another_order_come_back_in_theirs() -> None:
    late = threading.Event()

    def answer(columns: dict[str, list[Any]], asked: Asked) -> Predictions:
        if 0 in columns["x"]:
            assert late.wait(10), "the rest of the request waits for its beginning"
        else:
            late.set()
        return Echo()(columns, asked)

    batcher = Batcher(answer, Limits(latency=0.02), at_once=2)

    async def play() -> None:
        assert (await ask(batcher, range(10))).answers == list(range(10))

    run(batcher, play(), pace=0.002)  # five rows a batch


def test_batches_run_side_by_side_and_closing_waits_for_each() -> None:
    together = threading.Barrier(3)

    def answer(columns: dict[str, list[Any]], asked: Asked) -> Predictions:
        together.wait(10)
        return Echo()(columns, asked)

    batcher = Batcher(answer, Limits(latency=0.02), at_once=3)

    async def play() -> None:
        tasks = [asyncio.create_task(ask(batcher, [cell])) for cell in (2, 4, 6)]
        await asyncio.sleep(0)
        await asyncio.get_running_loop().run_in_executor(None, batcher.close)
        assert [found.answers for found in await asyncio.gather(*tasks)] == [[2], [4], [6]]

    run(batcher, play(), pace=1.0)  # one row a batch


def test_those_who_wait_too_many_are_shared_among_the_batches_at_once() -> None:
    model = Echo()
    batcher = Batcher(model, Limits(latency=0.2), at_once=2)

    async def play() -> None:
        model.free.clear()
        first = [asyncio.create_task(ask(batcher, [i])) for i in range(2)]
        while len(model.batches) < 2:
            await asyncio.sleep(0.001)
        rest = [asyncio.create_task(ask(batcher, [i])) for i in range(2, 102)]
        await asyncio.sleep(0.01)
        batcher._pace = 0.01  # half of 0.2 seconds holds ten such rows
        model.free.set()
        await asyncio.gather(*first, *rest)

    run(batcher, play(), pace=0.1)  # one row a batch
    assert len(model.batches[2]) == 50


def test_a_batch_takes_half_of_the_latency_and_large_requests_share_it() -> None:
    model = Echo()
    batcher = Batcher(model, Limits(latency=0.2))

    async def play() -> None:
        model.free.clear()
        first = asyncio.create_task(ask(batcher, [0]))
        await until_busy(model)
        large = asyncio.create_task(ask(batcher, [100] * 50))
        small = asyncio.create_task(ask(batcher, [7]))
        await asyncio.sleep(0.01)
        batcher._pace = 0.01  # half of 0.2 seconds holds ten such rows
        model.free.set()
        await asyncio.gather(first, large, small)

    run(batcher, play(), pace=0.01)
    second = model.batches[1]
    assert len(second) <= 50 and 7 in second


def test_many_who_wait_for_longer_than_that_go_together() -> None:
    model = Echo()
    batcher = Batcher(model, Limits(latency=0.2))

    async def play(requests: int) -> None:
        model.free.clear()
        first = asyncio.create_task(ask(batcher, [0]))
        await until_busy(model)
        rest = [asyncio.create_task(ask(batcher, [i])) for i in range(1, requests)]
        await asyncio.sleep(0.01)
        batcher._pace = 0.01  # half of 0.2 seconds holds ten such rows, all of it twenty
        model.free.set()
        await asyncio.gather(first, *rest)

    batcher.start(0.01)
    try:
        for requests, fewest, most in ((14, 5, 12), (60, 59, 59), (100, 64, 64)):
            model.batches.clear()
            model.entered.clear()
            asyncio.run(play(requests))
            assert fewest <= len(model.batches[1]) <= most
    finally:
        batcher.close()


def test_a_full_queue_refuses_at_once_and_says_when_to_come_again() -> None:
    model = Echo()
    batcher = Batcher(model, Limits(rows=4, queue=4))

    async def play() -> None:
        model.free.clear()
        first = asyncio.create_task(ask(batcher, [0]))
        await until_busy(model)
        second = asyncio.create_task(ask(batcher, [1, 2, 3]))
        await asyncio.sleep(0)
        with pytest.raises(Refused) as refused:
            await ask(batcher, [4, 5])
        assert refused.value.status == 503 and refused.value.retry_after is not None
        fourth = asyncio.create_task(ask(batcher, [6]))
        await asyncio.sleep(0)
        model.free.set()
        assert (await second).answers == [1, 2, 3]
        assert (await fourth).answers == [6]
        await first

    run(batcher, play())


def test_a_wait_that_would_be_too_long_is_refused_rather_than_begun() -> None:
    model = Echo()
    batcher = Batcher(model, Limits(timeout=0.5, queue=1000))

    async def play() -> None:
        model.free.clear()
        tasks = [asyncio.create_task(ask(batcher, [0]))]
        await until_busy(model)
        tasks.append(asyncio.create_task(ask(batcher, [2] * 10)))
        await asyncio.sleep(0)
        with pytest.raises(Refused) as refused:
            await ask(batcher, [4])
        assert refused.value.status == 503
        model.free.set()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(batcher, play(), pace=0.1)


def test_who_waited_too_long_is_told_and_their_rows_are_not_run() -> None:
    model = Echo()
    batcher = Batcher(model, Limits(timeout=0.1))

    async def play() -> None:
        model.free.clear()
        first = asyncio.create_task(ask(batcher, [0]))
        await until_busy(model)
        with pytest.raises(Refused) as refused:
            await ask(batcher, [2])
        assert refused.value.status == 504
        model.free.set()
        with pytest.raises(Refused):
            await first

    run(batcher, play())
    assert model.batches == [[0]] and batcher.waiting == 0


def test_a_fault_reaches_those_whose_rows_it_was_and_the_next_are_answered() -> None:
    def fail(columns: dict[str, list[Any]], asked: Asked) -> Predictions:
        if 13 in columns["x"]:
            raise RuntimeError("unlucky")
        return Echo()(columns, asked)

    batcher = Batcher(fail, Limits())

    async def play() -> None:
        with pytest.raises(RuntimeError, match="unlucky"):
            await ask(batcher, [13])
        assert (await ask(batcher, [2])).answers == [2]

    run(batcher, play())


def test_strangers_who_share_a_batch_with_a_fault_are_answered() -> None:
    model = Echo()

    def fail(columns: dict[str, list[Any]], asked: Asked) -> Predictions:
        found = model(columns, asked)
        if 13 in columns["x"]:
            raise RuntimeError("unlucky")
        return found

    seen: list[Batch] = []
    batcher = Batcher(fail, Limits(latency=100), seen.append)

    async def play() -> list[Any]:
        model.free.clear()
        first = asyncio.create_task(ask(batcher, [0]))
        await until_busy(model)
        others = [asyncio.create_task(ask(batcher, cells)) for cells in ([2, 4], [6, 13], [8])]
        await asyncio.sleep(0)
        model.free.set()
        return await asyncio.gather(first, *others, return_exceptions=True)

    first, before, unlucky, after = run(batcher, play(), 0.001)
    assert [2, 4, 6, 13, 8] in model.batches, "else they shared no batch"
    assert (first.answers, before.answers, after.answers) == ([0], [2, 4], [8])
    assert isinstance(unlucky, RuntimeError)
    assert sum(batch.rows for batch in seen) == 4, "each row that was answered counts once"


def test_who_watches_cannot_stop_the_answers() -> None:
    seen: list[Batch] = []

    def watch(batch: Batch) -> None:
        seen.append(batch)
        raise ValueError("cannot count")

    batcher = Batcher(Echo(), Limits(), watch)

    async def play() -> None:
        for cell in (2, 4):
            assert (await ask(batcher, [cell])).answers == [cell]

    run(batcher, play())
    assert [batch.rows for batch in seen] == [1, 1]


def test_closing_answers_what_was_accepted_and_accepts_no_more() -> None:
    model = Echo(seconds_a_row=0.01)
    batcher = Batcher(model, Limits())

    async def play() -> None:
        tasks = [asyncio.create_task(ask(batcher, [i])) for i in range(0, 20, 2)]
        await until_busy(model)
        await asyncio.get_running_loop().run_in_executor(None, batcher.close)
        with pytest.raises(Refused):
            await ask(batcher, [2])
        assert [found.answers for found in await asyncio.gather(*tasks)] == [
            [i] for i in range(0, 20, 2)
        ]

    run(batcher, play())
