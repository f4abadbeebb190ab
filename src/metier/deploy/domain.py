"""What a bundle will call unlike the training data, worked out when it is written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metier.deploy.reference import HeldOut
from metier.runtime.columns import Numbers
from metier.runtime.domain import Domain, learn
from metier.runtime.preprocess import Preprocess
from metier.runtime.scoring import Reads
from metier.types import Floats, Rows, Specialist, Table


@dataclass(frozen=True)
class Seen:
    """What a graph made of a sample: the rows that it could read, and features (n, width) of all.

    `reads` is where the features come from.
    """

    rows: Rows
    reads: Reads | None
    features: Floats | None


def domain_of(specialist: Specialist, sample: Table, seen: Seen, held_out: HeldOut) -> Domain:
    """Return what is usual: features as the graph gives them, energies of rows not learned from.

    The features are of rows that the specialist has learned from where it learned from all: each is
    held against the others, but what a network remembers of it cannot be taken out again.
    """
    model = specialist.model
    kind = held_out.decision.kind
    if model is None or seen.features is None:
        return learn(kind, held_out.scores, None, None)
    classes: NDArray[np.int64] | None = None
    if kind in ("binary", "multiclass"):
        classes = specialist.task.encode(sample)[seen.rows]
    sizes = _sizes(model.preprocess) if seen.reads == "numbers" else ()
    features = seen.features[seen.rows]
    return learn(kind, held_out.scores, features, seen.reads, classes, sizes)


def _sizes(preprocess: Preprocess) -> tuple[int, ...]:
    """For each number of a row, how many categories it counts; 0 for a plain number."""
    if not isinstance(preprocess, Numbers):
        return ()
    return tuple(
        len(spec.vocabulary) if spec.encoding == "code" else 0
        for spec in preprocess.columns
        for _ in spec.names
    )
