"""Requests of many clients in one batch, within a latency that is kept until saturation.

Threads of their own run the model, the event loop stays free. Whatever has come while batches ran
makes the next one, so batches grow with the load and a lone request never waits for company. A
batch takes at most half of the latency: a request waits for the end of one and runs in the next.
Large requests are cut into several batches, so that they do not hold up small ones. Once requests
wait for longer than that, batches grow, since larger ones get through more.

Small batches side by side get through more than one that all cores share: in that one every step
ends with cores that wait for the slowest, and the slowest is the one that also runs the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.runtime.doubt import Asked
from metier.runtime.session import Predictions
from metier.serving.limits import Limits, Refused

Columns = Mapping[str, Sequence[Any]]
ByColumn = Mapping[str, Sequence[int]]
Predict = Callable[[dict[str, list[Any]], Asked], Predictions]
NOTHING = Asked()
LOG = logging.getLogger(__name__)
MOST_AT_ONCE = 64
"""Requests of a saturated server that go together; more would make none of them cheaper."""
SMOOTHING = 0.2
"""Weight of the newest batch in the pace."""


@dataclass(frozen=True)
class Batch:
    """What is told of a batch that ran: its rows, its requests, its seconds, what came out."""

    rows: int
    requests: int
    seconds: float
    predictions: Predictions


@dataclass(eq=False)
class _Job:
    """One request on its way. `taken` rows have gone into batches so far, whose answers come in any
    order and are kept by their first row."""

    columns: Columns
    count: int
    asked: Asked
    deadline: float
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Predictions]
    taken: int = 0
    parts: dict[int, Predictions] = field(default_factory=dict)

    @property
    def left(self) -> int:
        return self.count - self.taken


Part = tuple[_Job, int, int]
Outcome = tuple[_Job, int, Predictions | Exception]


class Batcher:
    """Puts requests into batches and hands out the answers.

    Args:
        predict: answers columns as asked, in as many threads as there are batches at once.
        limits: how many rows may wait, and for how long.
        watch: told of every batch, in its thread, after its answers are on their way.
        at_once: batches that may run side by side.
    """

    def __init__(
        self,
        predict: Predict,
        limits: Limits,
        watch: Callable[[Batch], None] = lambda batch: None,
        at_once: int = 1,
    ) -> None:
        self._predict, self._limits, self._watch = predict, limits, watch
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._pace = 0.0
        self.waiting = 0
        self._threads = [
            threading.Thread(target=self._work, name=f"model-{number}", daemon=True)
            for number in range(at_once)
        ]

    def start(self, pace: float = 0.0) -> None:
        """Begin to answer; `pace` is a first guess of the seconds that a row takes in a batch."""
        self._pace = pace
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Answer what was accepted, then end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    @property
    def seconds_ahead(self) -> float:
        """How long the rows that wait will take, at the pace of late."""
        return self.waiting * self._pace / len(self._threads)

    async def ask(self, columns: Columns, count: int, asked: Asked = NOTHING) -> Predictions:
        """Return the predictions for `count` rows, with what else is asked for.

        Raises:
            Refused: 503 when the queue is full, 504 when there was no answer in time.
        """
        loop = asyncio.get_running_loop()
        deadline = time.monotonic() + self._limits.timeout
        job = _Job(columns, count, asked, deadline, loop, loop.create_future())
        self._accept(job)
        late = loop.call_later(self._limits.timeout, _give_up, job)
        try:
            return await job.answer
        finally:
            late.cancel()

    def _accept(self, job: _Job) -> None:
        with self._changed:
            ahead = self.seconds_ahead
            if self._closed:
                raise Refused(503, "the server is shutting down", retry_after=1.0)
            full = self.waiting + job.count > self._limits.queue
            if full or ahead > self._limits.timeout:
                raise Refused(503, "the server is busy: come again", retry_after=max(ahead, 1.0))
            self._jobs.append(job)
            self.waiting += job.count
            self._changed.notify()

    def _work(self) -> None:
        while parts := self._next():
            self._answer(parts)

    def _answer(self, parts: list[Part]) -> None:
        began = time.perf_counter()
        rows = sum(stop - start for _, start, stop in parts)
        try:
            found = self._predict(_together(parts), parts[0][0].asked)
        except Exception as error:  # whatever it is, it belongs to the one whose rows raise it
            if len(parts) == 1:
                _tell(parts, error)
            else:
                for part in parts:
                    self._answer([part])
            return
        seconds = time.perf_counter() - began
        self._note(seconds / rows)
        _tell(parts, found)
        try:
            self._watch(Batch(rows, len(parts), seconds, found))
        except Exception:  # clients have their answers; who only watches must not end that
            LOG.exception("a batch could not be counted")

    def _note(self, pace: float) -> None:
        self._pace += (pace - self._pace) * (SMOOTHING if self._pace else 1.0)

    def _next(self) -> list[Part]:
        """Wait for rows and take a batch of them; nothing once all is answered and closed."""
        with self._changed:
            while True:
                self._forget()
                if self._jobs:
                    parts = self._take()
                    if self._jobs:  # what is left over is for a thread that may be asleep
                        self._changed.notify()
                    return parts
                if self._closed:
                    return []
                self._changed.wait()

    def _forget(self) -> None:
        """Drop the requests whose client has been told that it took too long, or has left."""
        now = time.monotonic()
        gone = [job for job in self._jobs if job.deadline < now or job.answer.done()]
        for job in gone:
            self._jobs.remove(job)
            self.waiting -= job.left

    def _take(self) -> list[Part]:
        """Every request gets an equal share of the batch; what is left over goes by age.

        Only what is asked in the same way as by the oldest goes together.
        """
        room = self._room()
        parts: list[Part] = []
        alike = [job for job in self._jobs if job.asked == self._jobs[0].asked]
        share = max(1, room // len(alike))
        for quota in (share, room):
            for job in [job for job in alike if job.left]:
                size = min(job.left, quota, room)
                if size > 0:
                    parts.append((job, job.taken, job.taken + size))
                    job.taken += size
                    room -= size
                    self.waiting -= size
                if job.left == 0:
                    self._jobs.remove(job)
        return parts

    def _room(self) -> int:
        """Rows that take half of the latency. Where so many requests wait that it cannot be kept
        for all of them, more go together: rows of like length meet, and each is cheaper."""
        if not self._pace:
            return 1
        kept = max(1, int(self._limits.latency / 2 / self._pace))
        saturated = len(self._jobs) > 2 * kept * len(self._threads)
        share = -(-len(self._jobs) // len(self._threads))
        return max(kept, min(share, MOST_AT_ONCE)) if saturated else kept


def _together(parts: Sequence[Part]) -> dict[str, list[Any]]:
    names = parts[0][0].columns
    return {
        name: [cell for job, start, stop in parts for cell in job.columns[name][start:stop]]
        for name in names
    }


def _tell(parts: Sequence[Part], found: Predictions | Exception) -> None:
    """Hand each request its own rows, all at once, on the event loop that they wait on."""
    outcomes: dict[asyncio.AbstractEventLoop, list[Outcome]] = {}
    at = 0
    for job, start, stop in parts:
        outcome = found if isinstance(found, Exception) else _cut(found, at, at + stop - start)
        at += stop - start
        outcomes.setdefault(job.loop, []).append((job, start, outcome))
    for loop, own in outcomes.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, own)


def _settle(outcomes: Sequence[Outcome]) -> None:
    for job, start, outcome in outcomes:
        if not job.answer.done():
            _hand_over(job, start, outcome)


def _hand_over(job: _Job, start: int, outcome: Predictions | Exception) -> None:
    if isinstance(outcome, Exception):
        job.answer.set_exception(outcome)
        return
    job.parts[start] = outcome
    if sum(map(len, job.parts.values())) == job.count:
        job.answer.set_result(_joined([job.parts[first] for first in sorted(job.parts)]))


def _give_up(job: _Job) -> None:
    if not job.answer.done():
        told = "no answer in time: the server is busy; send fewer rows"
        job.answer.set_exception(Refused(504, told))


def _cut(found: Predictions, start: int, stop: int) -> Predictions:
    return Predictions(
        answers=found.answers[start:stop],
        probabilities=None if found.probabilities is None else found.probabilities[start:stop],
        labels=found.labels,
        reasons={r - start: told for r, told in found.reasons.items() if start <= r < stop},
        withheld={r - start: own for r, own in found.withheld.items() if start <= r < stop},
        sets=None if found.sets is None else found.sets[start:stop],
        low=None if found.low is None else found.low[start:stop],
        high=None if found.high is None else found.high[start:stop],
        unseen=_within(found.unseen, start, stop),
        unread=_within(found.unread, start, stop),
    )


def _within(found: ByColumn, start: int, stop: int) -> ByColumn:
    """Return the rows by column that lie between two, counted from the first; no empty column."""
    cut = {name: [r - start for r in rows if start <= r < stop] for name, rows in found.items()}
    return {name: rows for name, rows in cut.items() if rows}


def _joined(parts: Sequence[Predictions]) -> Predictions:
    if len(parts) == 1:
        return parts[0]
    reasons, withheld, at = {}, {}, 0
    unseen: dict[str, list[int]] = {}
    unread: dict[str, list[int]] = {}
    for part in parts:
        reasons.update({at + row: told for row, told in part.reasons.items()})
        withheld.update({at + row: answer for row, answer in part.withheld.items()})
        for whole, own in ((unseen, part.unseen), (unread, part.unread)):
            for name, rows in own.items():
                whole.setdefault(name, []).extend(at + row for row in rows)
        at += len(part)
    sets = [part.sets for part in parts if part.sets is not None]
    return Predictions(
        answers=[answer for part in parts for answer in part.answers],
        probabilities=_stacked([part.probabilities for part in parts]),
        labels=parts[0].labels,
        reasons=reasons,
        withheld=withheld,
        sets=[own for part in sets for own in part] if sets else None,
        low=_stacked([part.low for part in parts]),
        high=_stacked([part.high for part in parts]),
        unseen=unseen,
        unread=unread,
    )


def _stacked(parts: Sequence[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known else None
