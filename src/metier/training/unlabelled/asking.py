"""Choosing rows for labels, played through where the labels are known: does it beat chance?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.evidence.metrics import measure
from metier.evidence.unlabelled.labelling import By, choose_rows
from metier.runtime.postprocess import Decision
from metier.training.heads import fit_head
from metier.types import Floats, Rows, Task


@dataclass(frozen=True)
class Play:
    """One play: after each round, how many rows have labels, and the deciding metric on rows that
    nobody chooses from."""

    sizes: tuple[int, ...]
    values: tuple[float, ...]


def play(
    features: Floats,
    targets: NDArray[Any],
    task: Task,
    by: By | None,
    *,
    judged: Rows,
    start: int,
    step: int,
    rounds: int,
    seed: int = 0,
) -> Play:
    """Start with a few labelled rows, ask for more in rounds, and fit a linear head after each.

    Args:
        features: (n, d) of all rows.
        targets: what `Task.encode` returns.
        task: what is learned; its first metric is measured.
        by: how rows are chosen; None draws them by chance.
        judged: rows that are only measured on.
        start: rows that have a label at first, drawn by chance.
        step: rows asked for in a round.
        rounds: how many rounds.
        seed: of all draws; the same start for every `by`.
    """
    random = np.random.default_rng(seed)
    free = random.permutation(np.setdiff1d(np.arange(len(features)), judged))
    decision = Decision(task.kind, task.labels)
    known, rest = free[:start], free[start:]
    sizes, values = [], []
    for number in range(rounds + 1):
        head = fit_head(features[known], targets[known], task.kind, task.outputs, seed=seed)
        scores = (features @ head.weight.T + head.bias).astype(np.float32)
        sizes.append(len(known))
        values.append(measure(task.metrics[0], targets[judged], scores[judged], decision))
        if number == rounds or not len(rest):
            break
        if by is None:
            asked = np.arange(min(step, len(rest)))
        else:
            chances = None
            if task.kind != "regression":
                chances = decision.probabilities(scores[rest])
            own = seed + 1009 * number
            asked = choose_rows(chances, features[rest], task.kind, step, by=by, seed=own)
        known, rest = np.concatenate([known, rest[asked]]), np.delete(rest, asked)
    return Play(tuple(sizes), tuple(values))
