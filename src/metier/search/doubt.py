"""What rows that selection did not use say about when not to answer."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from metier.data.sensitive import at_rows
from metier.data.table import clusters_of
from metier.evidence.uncertainty import selective
from metier.runtime import conformal
from metier.runtime.conformal import COVERAGE
from metier.runtime.doubt import Doubt
from metier.runtime.postprocess import Decision
from metier.search.race import Race
from metier.search.records import Candidate
from metier.types import Floats


def doubt_of(
    race: Race, candidate: Candidate, decision: Decision, coverage: float | None = None
) -> Doubt:
    """Return the doubt of a candidate, from the out-of-fold scores that its decision rule is from.

    The fits of several folds scored these rows, and the specialist that is handed over is another
    one: coverage is kept as far as they agree (see `runtime.conformal`).
    """
    rows = race.calibrating_rows(candidate)
    scores, targets = race.scores(candidate, rows), race.targets[rows]
    rule = at_rows(decision, race.table.take(rows))
    clusters = clusters_of(race.table, rows)
    return doubt_from(scores, targets, rule, coverage or COVERAGE, clusters)


def doubt_from(
    scores: Floats,
    targets: NDArray[Any],
    decision: Decision,
    coverage: float = COVERAGE,
    clusters: NDArray[Any] | None = None,
) -> Doubt:
    """Return the doubt that follows from scores (n, outputs) of rows that calibrate, and from which
    of them belong together."""
    known = conformal.learn(scores, targets, decision, coverage)
    return Doubt(known if known.n else None, selective.learn(scores, targets, decision, clusters))
