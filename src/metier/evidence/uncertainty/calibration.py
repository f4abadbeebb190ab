"""Probabilities that mean what they say, and decisions that follow a metric or the user's costs.

What is fitted here must see rows that neither trained nor selected the model: out-of-fold scores.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from metier.errors import OptionError, suggest
from metier.evidence.answers import Array, answers_of
from metier.evidence.bootstrap import wilson
from metier.evidence.losses import claims, even_bins
from metier.runtime.postprocess import Decision, TaskKind

COLDEST, HOTTEST = 0.05, 20.0


def fit_temperature(scores: NDArray[Any], y: NDArray[Any], kind: TaskKind) -> float:
    """Return the temperature under which logits (n, outputs) fit the truth best.

    Minimises the log loss over one number (Guo et al., 2017), between 0.05 and 20. The truth is
    softened by 1 in n + 2 (Platt, 1999), so that scores which separate the classes perfectly get
    a finite temperature, and few rows a cautious one. Rows without finite scores are left out. 1
    for regression, and for no rows.

    >>> scores = np.array([[4.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 0.0]])
    >>> fit_temperature(scores, np.array([0, 0, 1, 1]), "binary") > 1
    True
    """
    readable = np.isfinite(scores).all(axis=1)
    scores, y = scores[readable], y[readable]
    if kind == "regression" or not len(y):
        return 1.0
    logits, targets = _soft(np.asarray(scores, np.float64), np.asarray(y), kind)

    def loss(log_temperature: float) -> float:
        scaled = logits * math.exp(-log_temperature)
        top = scaled.max(axis=1, keepdims=True)
        norm = top[:, 0] + np.log(np.exp(scaled - top).sum(axis=1))
        return float(np.mean(norm - (targets * scaled).sum(axis=1)))

    bounds = (math.log(COLDEST), math.log(HOTTEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(math.exp(found.x))


def _soft(logits: Array, y: NDArray[Any], kind: TaskKind) -> tuple[Array, Array]:
    """Return logits and softened one-hot targets, both (claims, outcomes)."""
    if kind == "multilabel":
        flags = (y > 0).ravel()
        logits = np.stack([np.zeros(logits.size), logits.ravel()], axis=1)
        y = flags.astype(np.int64)
    n, outcomes = logits.shape
    doubt = 1.0 / (n + 2.0)
    targets = np.full((n, outcomes), doubt / max(outcomes - 1, 1))
    targets[np.arange(n), y] = 1.0 - doubt
    return logits, targets


def cost_matrix(text: str, labels: tuple[str, ...]) -> tuple[tuple[float, float], ...]:
    """Return `costs[truth][answer]` for two classes, from what the user wrote: ``fn=5,fp=1``.

    `fn` is what missing a positive row costs (`labels[1]`), `fp` what a false alarm costs; one
    that is not given costs 1. Raises OptionError for anything else.

    >>> cost_matrix("fn=5", ("healthy", "ill"))
    ((0.0, 1.0), (5.0, 0.0))
    """
    if len(labels) != 2:
        raise OptionError(
            f"--cost {text}: costs of errors need two classes, and this target has "
            f"{len(labels) or 'none'}; leave --cost out"
        )
    costs: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name not in ("fn", "fp") or not equals:
            raise OptionError(f"--cost {text}: {part.strip()!r} is none of fn=, fp={_mend(name)}")
        if name in costs:
            raise OptionError(f"--cost {text}: {name} is given twice; give it once")
        costs[name] = _cost(text, value)
    if not any(costs.get(name, 1.0) for name in ("fn", "fp")):
        raise OptionError(f"--cost {text}: if no error costs anything, any answer will do")
    return ((0.0, costs.get("fp", 1.0)), (costs.get("fn", 1.0), 0.0))


def costs_told(costs: tuple[tuple[float, ...], ...], labels: tuple[str, ...]) -> str:
    """Return in words what errors cost; which of two labels is the positive one is told with it.

    >>> costs_told(((0.0, 1.0), (5.0, 0.0)), ("healthy", "ill"))
    "answering 'healthy' where 'ill' is true costs 5, 'ill' where 'healthy' is true costs 1"
    """
    no, yes = labels
    fn, fp = f"{costs[1][0]:g}", f"{costs[0][1]:g}"
    missed, alarm = f"{no!r} where {yes!r} is true", f"{yes!r} where {no!r} is true"
    return f"answering {missed} costs {fn}, {alarm} costs {fp}"


def _mend(name: str) -> str:
    return suggest(name, ("fn", "fp")) + "; write for example fn=5,fp=1"


def _cost(text: str, value: str) -> float:
    try:
        cost = float(value)
    except ValueError:
        cost = -1.0
    if not (math.isfinite(cost) and cost >= 0):
        raise OptionError(f"--cost {text}: {value!r} is no cost; give a number of 0 or more")
    return cost


class Bin(NamedTuple):
    """One bin of a reliability diagram: what was claimed and what came true, over n claims.

    `low` and `high` are Wilson's 95 % interval of `accuracy`.
    """

    confidence: float
    accuracy: float
    n: int
    low: float
    high: float


def reliability(
    y: NDArray[Any], scores: NDArray[Any], decision: Decision, bins: int = 10
) -> list[Bin]:
    """Return how often what was claimed with some confidence came true, least confident first.

    Bins hold equally many claims, so a model that is always sure has fewer of them. Binary: the
    probability of the positive class; several classes: of the answer; several labels: each
    label's. Empty for regression.
    """
    if decision.kind == "regression" or not len(y):
        return []
    confidences, outcomes, _ = claims(answers_of(y, scores, decision))
    place = even_bins(confidences, max(1, min(bins, len(confidences) // 5)))
    found = []
    for each in range(int(place.max()) + 1):
        own = place == each
        n = int(own.sum())
        low, high = wilson(float(outcomes[own].sum()), n, 0.95)
        found.append(Bin(float(confidences[own].mean()), float(outcomes[own].mean()), n, low, high))
    return found
