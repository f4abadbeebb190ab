"""Which sources are worth a race: scores from one forward pass over a sample of the rows.

The scores only shortlist. The one that scores highest often loses to a fixed default once both are
trained, while the best is nearly always among the top three; so the shortlist is those three and
the default.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.cache import Cache
from metier.data.dealing import deal
from metier.errors import MetierError, MissingExtraError, OptionError, SourceError
from metier.sources import open_source
from metier.sources.score import SCORES, Score
from metier.types import Floats, Modality, Rows, Source, Table, Task

SAMPLE = 2000
TOP = 3
BINS = 10
FAULTS = (SourceError, MissingExtraError, MemoryError, RuntimeError)
"""What may go wrong with one source alone; a fault of the data is not among them."""


@dataclass(frozen=True)
class Ranked:
    """One source: what it scores and costs, or the reason why it cannot be used.

    Args:
        source: its name.
        width: numbers in a feature.
        parameters: of the network, without a head.
        scores: by name; higher is better.
        seconds: for loading, the forward pass and the scores. What the cache held already was free.
        memory: the most memory that the process used meanwhile, in MB (2**20 bytes).
        mean_rank: mean over the scores of its rank (1 is best, ties share); None when it failed.
        shortlisted: whether it belongs in the race.
        reason: why it failed; empty when it did not.
    """

    source: str
    width: int = 0
    parameters: int = 0
    scores: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    memory: float = 0.0
    mean_rank: float | None = None
    shortlisted: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Ranking:
    """Sources, best first, those that failed last; `n` rows were scored of each."""

    sources: tuple[Ranked, ...]
    n: int

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The table as it is shown: one flat row a source, a column a score."""
        names = list(dict.fromkeys(name for each in self.sources for name in each.scores))
        return [_row(each, names, failed=self._any_failed) for each in self.sources]

    def to_json(self) -> dict[str, Any]:
        """Return the ranking as plain JSON."""
        return {"n": self.n, "sources": self.rows}

    @property
    def _any_failed(self) -> bool:
        return any(each.reason for each in self.sources)


def rank(
    table: Table,
    task: Task,
    sources: Sequence[Source],
    cache: Cache,
    *,
    sample: int = SAMPLE,
    seed: int = 0,
    scores: Mapping[str, Score] = SCORES,
    default: str | None = None,
    failed: Mapping[str, str] | None = None,
) -> Ranking:
    """Score every source on the same rows, at most `sample`, drawn from all classes alike.

    A source that cannot be loaded or run is listed with the reason, and the others go on; so are
    those that `open_all` already found to fail (`failed`: name to reason). `default` names the
    source that is shortlisted whatever it scores.

    Raises:
        OptionError: for sources of tables, which bring no features that could be scored.
        DataError: when a row cannot be read.
    """
    if any(source.modality == "tabular" for source in sources):
        raise OptionError(
            "learners for tables bring no features to score: name the text or image column's "
            "sources, or let the race decide"
        )
    rows = draw(task.encode(table), sample, seed)
    drawn = table if len(rows) == len(table) else table.take(rows)
    found = [measure(source, drawn, task, cache, scores) for source in sources]
    lost = [Ranked(name, reason=reason) for name, reason in (failed or {}).items()]
    return order([*found, *lost], len(rows), default)


def shortlist(ranking: Ranking, default: str) -> list[str]:
    """Return the names of the top three and of the fixed default, best first.

    Raises SourceError, with the reasons, when no source can be used.
    """
    usable = [each.source for each in ranking.sources if not each.reason]
    if not usable:
        reasons = "; ".join(each.reason for each in ranking.sources)
        raise SourceError(f"no source can be used: {reasons or 'none was given'}")
    return [name for i, name in enumerate(usable) if i < TOP or name == default]


def open_all(names: Sequence[str], modality: Modality) -> tuple[list[Source], dict[str, str]]:
    """Open sources by name. Returns those that there are, and why the others are not."""
    opened: list[Source] = []
    failed: dict[str, str] = {}
    for name in names:
        try:
            opened.append(open_source(name, modality))
        except (SourceError, MissingExtraError) as error:
            failed[name] = str(error)
    return opened, failed


def measure(
    source: Source,
    table: Table,
    task: Task,
    cache: Cache,
    scores: Mapping[str, Score] = SCORES,
) -> Ranked:
    """Load one source, run it forward over all rows of a table, and score its features."""
    began = time.monotonic()
    with _peak_memory() as peak:
        try:
            features, parameters = _features(source, table, cache)
            targets = task.encode(table)
            found = {name: score(features, targets) for name, score in scores.items()}
        except FAULTS as error:
            return Ranked(source.name, reason=_in_one_line(error))
    seconds = time.monotonic() - began
    return Ranked(source.name, features.shape[1], parameters, found, seconds, peak.megabytes)


def order(measured: Sequence[Ranked], n: int, default: str | None = None) -> Ranking:
    """Sort measured sources by the mean of their ranks, and mark those worth a race.

    Equal ones are sorted by size, the smaller first: it is the cheaper one to be wrong about.
    """
    usable = [each for each in measured if not each.reason]
    ranks = _mean_ranks([each.scores for each in usable])
    ranked = [replace(e, mean_rank=float(r)) for e, r in zip(usable, ranks, strict=True)]
    ranked.sort(key=lambda each: (each.mean_rank, each.parameters, each.source))
    chosen = [
        replace(each, shortlisted=i < TOP or each.source == default)
        for i, each in enumerate(ranked)
    ]
    return Ranking((*chosen, *(each for each in measured if each.reason)), n)


def draw(targets: NDArray[Any], sample: int, seed: int) -> Rows:
    """Return at most `sample` row numbers, in order: every class (tenth of the numbers) in its
    share, at least one row of each."""
    n = len(targets)
    if n <= sample:
        return np.arange(n)
    random = np.random.default_rng(seed)
    hashes = random.integers(0, 2**64 - 1, n, dtype=np.uint64)
    parts = deal(_strata(targets), np.arange(n), hashes, [sample / n, 1 - sample / n])
    rows = np.flatnonzero(parts == 0)
    # With more classes than places there cannot be a row of each.
    return rows if len(rows) <= sample else np.sort(random.choice(rows, sample, replace=False))


def _strata(targets: NDArray[Any]) -> NDArray[np.int64]:
    if targets.ndim == 2:
        # By the rarest label of a row, so that none is lost.
        rarity = np.where(targets > 0, targets.sum(axis=0), np.inf)
        rarest = np.asarray(rarity.argmin(axis=1), dtype=np.int64)
        rarest[~targets.any(axis=1)] = targets.shape[1]
        return rarest
    if np.issubdtype(targets.dtype, np.integer):
        return targets.astype(np.int64)
    edges = np.quantile(targets, np.arange(1, BINS) / BINS)
    return np.searchsorted(edges, targets, side="right").astype(np.int64)


def _features(source: Source, table: Table, cache: Cache) -> tuple[Floats, int]:
    from metier.training.feed import Feed
    from metier.training.start import preprocess_of

    network: Any = source
    backbone = network.load()
    features = Feed(backbone, preprocess_of(source, table), table, cache).features()
    if not np.isfinite(features).all():
        raise SourceError(f"source {source.name!r}: its features are not finite numbers")
    return features, sum(p.numel() for p in backbone.parameters())


def _mean_ranks(scores: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
    """The mean over the scores of each source's rank; 1 is best, and equal ones share a rank."""
    if not scores:
        return np.zeros(0)
    values = np.array([[-each[name] for name in scores[0]] for each in scores])
    lower = (values[:, None] > values[None]).sum(axis=1)
    equal = (values[:, None] == values[None]).sum(axis=1)
    return np.asarray((lower + (equal + 1) / 2).mean(axis=1))


def _row(each: Ranked, names: Sequence[str], *, failed: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "source": each.source,
        "width": each.width,
        "parameters": each.parameters,
        **{name: each.scores.get(name) for name in names},
        "seconds": round(each.seconds, 2),
        "memory_mb": round(each.memory),
        "mean_rank": each.mean_rank,
        "shortlisted": each.shortlisted,
    }
    if each.reason:
        row.update(width=None, parameters=None, seconds=None, memory_mb=None)
    return {**row, "reason": each.reason} if failed else row


def _in_one_line(error: BaseException) -> str:
    text = next(iter(str(error).splitlines()), "") or type(error).__name__
    return text if isinstance(error, MetierError) else f"failed when run ({text})"


class _Peak:
    """The most memory that was seen, in MB."""

    megabytes = 0.0


@contextmanager
def _peak_memory() -> Iterator[_Peak]:
    """Watch the resident memory of the process from a thread, fifty times a second."""
    import psutil

    process = psutil.Process()
    peak = _Peak()
    done = threading.Event()

    def look() -> None:
        peak.megabytes = max(peak.megabytes, process.memory_info().rss / 2**20)

    def watch() -> None:
        while not done.wait(0.02):
            look()

    thread = threading.Thread(target=watch, daemon=True)
    look()
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
        look()
