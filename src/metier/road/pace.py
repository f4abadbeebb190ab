"""What the time allows to look at: how long a network takes for a row of these data, here and now.

Without a budget everything is looked at, and no clock decides anything.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.cache import Cache, write_aside
from metier.data.checks import check, shared_rows
from metier.data.splits import PROVE, Split
from metier.errors import MetierError
from metier.road.intake import Data
from metier.search.clock import Clock
from metier.search.shortlist import SAMPLE, draw, rank, shortlist
from metier.types import Finding, Rows, Source, Table

WARM, TIMED = 16, 48
"""Rows that a network sees before, and while, its pace is measured."""
FOR_CHECKS = 0.15
FOR_RANKING = 0.15
FOR_LOOKING = 0.35
"""Shares of the time left that the checks, the ranking of sources, and the first pass of a network
over the rows may take."""
NEARLY_ALL = 0.9
"""Of the rows: where the time is enough for so many, all of them are shown."""
LOADING = 12.0
"""Seconds below which it is not worth the while to load a network."""
FEWEST_RANKED = 100
FEWEST_SHOWN = 1000
FEWEST_SHARE = 0.02
FEWEST_A_LABEL = 10
"""Rows, the share of all, and rows a label that a network must be shown to be compared with what
learns from all rows; half of them will do too."""
FEATURES_FOR_CHECKS = 20_000
"""Rows above which the checks do with counted words and colours."""
CHECKS = (3.0, 3e-4)
"""Seconds that the checks take, and more of them for each row: on one slow core."""


@dataclass(frozen=True)
class Shown:
    """What is shown to networks.

    Args:
        sources: those worth a race.
        rows: the rows they may look at; None for all.
        asked: how many rows were asked for when these were drawn.
        notes: what the time did not allow, in sentences.
        paces: seconds a row, by source.
    """

    sources: Mapping[str, Source]
    rows: Rows | None = None
    notes: tuple[str, ...] = ()
    paces: Mapping[str, float] = field(default_factory=dict)
    asked: int | None = None


def shown_before(path: Path, data: Data, sources: Mapping[str, Source], seed: int) -> Shown | None:
    """Return what an earlier sitting showed to networks, None when it had not come so far."""
    if not path.exists():
        return None
    before = json.loads(path.read_text(encoding="utf-8"))
    kept = {name: sources[name] for name in before["sources"]}
    rows = (
        None if before["rows"] is None else draw(data.task.encode(data.table), before["rows"], seed)
    )
    return Shown(kept, rows, tuple(before["notes"]), before["paces"], before["rows"])


def look(data: Data, shown: Shown, cache: Cache) -> None:
    """Let each network see its rows once; what it says is kept for all that follows."""
    if not shown.paces:
        return
    table = data.table if shown.rows is None else data.table.take(shown.rows)
    for source in shown.sources.values():
        features_of(source, table, cache)


def keep_shown(path: Path, shown: Shown) -> Shown:
    """Write down what is shown, for a later sitting to show the same."""
    about = {
        "sources": list(shown.sources),
        "rows": shown.asked,
        "notes": list(shown.notes),
        "paces": dict(shown.paces),
    }
    write_aside(path, json.dumps(about).encode())
    return shown


def show(
    data: Data, split: Split, sources: Mapping[str, Source], cache: Cache, clock: Clock, seed: int
) -> Shown:
    """Choose the sources that are worth a race, and the rows that there is time to show them."""
    if data.table.roles.modality == "tabular" or not sources:
        return Shown(sources)
    free = split.free[split.purpose[split.free] != PROVE]
    if clock.budget is None:
        return Shown(_shortlisted(data, free, sources, cache, SAMPLE, seed))
    if clock.left < LOADING:
        told = "the time is too short to load a pretrained network"
        return Shown({}, None, (told,))
    paces = {name: pace(source, data.table) for name, source in sources.items()}
    usable = {name: sources[name] for name, each in paces.items() if each is not None}
    known = {name: each for name, each in paces.items() if each is not None}
    if not usable:  # the race will say why
        return Shown(sources)
    sample = int(FOR_RANKING * clock.left / max(sum(known.values()), 1e-9))
    default = next(iter(usable))
    if len(usable) > 2 and sample < FEWEST_RANKED:
        note = f"the time does not allow to compare {len(usable)} sources: only {default} is tried"
        return _with_rows(data, {default: usable[default]}, known, clock, seed, (note,))
    kept = _shortlisted(data, free, usable, cache, min(SAMPLE, max(sample, 1)), seed)
    return _with_rows(data, kept, known, clock, seed, ())


def _with_rows(
    data: Data,
    sources: Mapping[str, Source],
    paces: Mapping[str, float],
    clock: Clock,
    seed: int,
    notes: tuple[str, ...],
) -> Shown:
    """Draw the rows that all these sources together have time to look at."""
    n = len(data.table)
    each = sum(paces[name] for name in sources)
    allowed = int(FOR_LOOKING * clock.left / max(each, 1e-9))
    if allowed >= NEARLY_ALL * n:
        return Shown(sources, None, notes, paces)
    fewest = max(FEWEST_SHOWN, FEWEST_SHARE * n, FEWEST_A_LABEL * len(data.task.labels))
    if allowed < min(fewest, n / 2):
        told = f"the time is too short to show enough of the {n:,} rows to a pretrained network"
        return Shown({}, None, (*notes, told), paces)
    rows = draw(data.task.encode(data.table), allowed, seed)
    told = (
        f"pretrained networks looked at {len(rows):,} of the {n:,} rows, drawn by class, and "
        "candidates are compared on these: a larger --budget shows them more"
    )
    return Shown(sources, rows, (*notes, told), paces, allowed)


def _shortlisted(
    data: Data,
    rows: Rows,
    sources: Mapping[str, Source],
    cache: Cache,
    sample: int,
    seed: int,
) -> Mapping[str, Source]:
    """The top three by their scores and the first, which is the default, in the order given."""
    if len(sources) <= 2:
        return sources
    table = data.table.take(rows)
    default = next(iter(sources))
    ranking = rank(table, data.task, list(sources.values()), cache, sample=sample, seed=seed)
    wanted = {
        s.name for s in sources.values() if s.name in shortlist(ranking, sources[default].name)
    }
    return {name: source for name, source in sources.items() if source.name in wanted}


def pace(source: Source, table: Table) -> float | None:
    """Return the seconds that a network takes for a row, or None when it cannot be run."""
    cache = Cache()  # one that holds nothing yet
    rows = np.unique(np.linspace(0, len(table) - 1, WARM + TIMED).astype(int))
    random = np.random.default_rng(0).permutation(rows)
    timed = table.take(random[WARM:] if len(random) > WARM else random)
    try:
        features_of(source, table.take(random[:WARM]), cache)
        instants = [time.monotonic()]
        for _ in range(2):  # the second time all is in the cache: what is left does not grow
            features_of(source, timed, cache)
            instants.append(time.monotonic())
    except (MetierError, MemoryError, RuntimeError):
        return None
    first, second = np.diff(instants)
    return max(float(first - second), 0.0) / len(timed)


def features_of(source: Source, table: Table, cache: Cache) -> NDArray[np.float32]:
    """Frozen features (n, width) of the rows of a table."""
    from metier.training.feed import Feed
    from metier.training.start import preprocess_of

    opened: Any = source
    return Feed(opened.load(), preprocess_of(source, table), table, cache).features()


def checked(
    data: Data, clusters: NDArray[np.int64], shown: Shown, cache: Cache, clock: Clock, seed: int
) -> list[Finding]:
    """Check the data, on as many rows as the time allows; all are compared with the test rows."""
    n = len(data.table)
    base, each = CHECKS
    seconds = FOR_CHECKS * clock.left
    if seconds < base:
        test = "" if data.test is None else ", nor compared with the test rows"
        verdict = f"the data were not checked{test}: the time is too short; see `metier check`"
        return [Finding("checks", verdict, level="warning")]
    if base + each * n <= seconds:
        features = _features(data, shown, cache)
        return check(
            data.table, data.task, test=data.test, features=features, seed=seed, clusters=clusters
        )
    rows = draw(data.task.encode(data.table), max(int((seconds - base) / each), 1000), seed)
    part = replace(data, table=data.table.take(rows))
    verdict = (
        f"the checks looked at {len(rows):,} of {n:,} rows, drawn by class: the time allowed no "
        "more; `metier check` looks at all"
    )
    shared = [] if data.test is None else shared_rows(data.table, data.test)
    found = check(part.table, part.task, seed=seed)
    return [*shared, *found, Finding("checks", verdict, n=len(rows))]


def _features(data: Data, shown: Shown, cache: Cache) -> Any:
    """Features of the first network, when it sees all rows anyway; None for counted ones."""
    n = len(data.table)
    name = next(iter(shown.sources), None)
    if name is None or data.table.roles.modality == "tabular" or n > FEATURES_FOR_CHECKS:
        return None
    if shown.rows is not None:
        return None
    source = shown.sources[name]
    return lambda table: features_of(source, table, cache)
