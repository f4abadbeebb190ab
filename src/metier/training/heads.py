"""Linear heads on frozen features, their regularisation chosen by cross-validation."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.errors import Pruned
from metier.runtime.postprocess import TaskKind
from metier.threads import few_threads
from metier.training.climb import climb
from metier.training.folds import MADE, Fold, inner_folds
from metier.types import Floats, Table

STRENGTHS: tuple[float, ...] = tuple(round(10.0 ** (half / 2), 6) for half in range(-5, 7))
"""Inverse regularisation (C) on features of unit variance, from strong to weak."""
ALPHAS: tuple[float, ...] = tuple(np.logspace(-2, 5, 22).tolist())
"""Regularisation of ridge, from weak to strong."""
Weights = NDArray[np.float64] | None
"""How much each row counts, (n,); None when all count alike."""
ENOUGH = 5000
"""Rows from which a single split tells the strengths apart."""
SHORT = 5_000_000
"""Numbers times outputs up to which a fit takes a moment, and may begin late: the first fit of a
run also waits for its library."""
FOR_CHOOSING = 0.6
"""The share of the time that may go into choosing the strength."""


@dataclass(frozen=True)
class Head:
    """A linear map: scores = features @ weight.T + bias, with the strength that was chosen."""

    weight: Floats
    bias: Floats
    strength: float


def fit_head(
    features: Floats,
    targets: NDArray[Any],
    kind: TaskKind,
    outputs: int,
    *,
    balanced: bool = False,
    strength: float | None = None,
    seed: int = 0,
    weights: Weights = None,
    folds: Sequence[Fold] | None = None,
    deadline: float | None = None,
) -> Head:
    """Fit logistic regression (ridge for regression) on features (n, width).

    Features are centred and divided by one common number, so that directions in which a good
    encoder varies more go on counting more. `strength` fixes C (1 / alpha for ridge); None
    chooses it by cross-validated log loss (squared error), on `folds` or, when they are None, on
    rows left out by chance. `balanced` weighs classes alike, `weights` (n,) weigh rows. With a
    `deadline`, a time.monotonic() instant, fewer strengths are tried, and Pruned is raised when it
    has gone by before a long last fit could begin.
    """
    refuse_late(deadline)
    until = choosing_until(deadline)
    centre = features.mean(axis=0)
    spread = float(np.sqrt(((features - centre) ** 2).mean())) or 1.0
    scaled = np.ascontiguousarray((features - centre) / spread, dtype=np.float32)
    with few_threads(scaled.size):
        if kind == "regression":
            if strength is None and folds is not None:
                strength = _choose_ridge(scaled, targets, folds, weights, until)
            weight, bias, strength = _ridge(scaled, targets, strength, weights)
        else:
            marks, even = _marks(targets) if kind == "multilabel" else (targets, targets)
            strength = strength or _choose(
                scaled, even, balanced, _folds(even, seed, folds), weights, until
            )
            if scaled.size * outputs > SHORT:
                refuse_late(deadline)
            fit = _each_label if kind == "multilabel" else _logistic
            weight, bias = fit(scaled, marks, outputs, strength, balanced, weights)
    weight = (weight / spread).astype(np.float32)
    bias = (bias - weight @ centre).astype(np.float32)
    return Head(weight, bias, strength)


def bound_folds(table: Table, targets: NDArray[Any], seed: int) -> list[Fold] | None:
    """Return folds on which a strength is chosen where rows of a table belong together or follow
    each other: a row left out by chance would know its answer from its group, or from later rows.
    Or where some were made up, which judge nothing.

    None where every row stands for itself, and where too few rows or groups can be left out.
    """
    bound = table.roles.group is not None or table.roles.time is not None
    if not bound and MADE not in table.frame.columns:
        return None
    return inner_folds(table, targets, 1 if len(targets) >= ENOUGH else 5, seed) or None


def choosing_until(deadline: float | None) -> float | None:
    """The instant after which no further strength is tried; None without a deadline."""
    now = time.monotonic()
    return None if deadline is None else now + FOR_CHOOSING * (deadline - now)


def refuse_late(deadline: float | None) -> None:
    """Raise Pruned when a deadline has gone by: a fit that cannot be stopped must not begin."""
    if deadline is not None and time.monotonic() > deadline:
        raise Pruned("there was no time to fit it")


def _marks(targets: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Several labels as 0 and 1 (n, labels), and the most even label (n,)."""
    marks = targets.astype(np.int64)
    return marks, marks[:, int(np.abs(marks.mean(axis=0) - 0.5).argmin())]


def _logistic(
    features: Floats,
    targets: NDArray[Any],
    outputs: int,
    strength: float,
    balanced: bool,
    weights: Weights,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Multinomial logistic regression as (outputs, width) and (outputs,), two rows for binary."""
    weight = np.zeros((outputs, features.shape[1]))
    bias = np.full(outputs, -20.0)
    present = np.unique(targets)
    if len(present) == 1:  # nothing to tell apart
        bias[present[0]] = 0.0
        return weight, bias
    model = _fit(_classifier(strength, balanced, len(targets)), features, targets, weights)
    if len(model.classes_) == 2:
        low, high = model.classes_
        weight[low], weight[high] = -model.coef_[0] / 2, model.coef_[0] / 2
        bias[low], bias[high] = -model.intercept_[0] / 2, model.intercept_[0] / 2
    else:
        weight[model.classes_], bias[model.classes_] = model.coef_, model.intercept_
    return weight, bias


def _classifier(strength: float, balanced: bool, n: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    # The penalty is per row here, so that a strength means the same for few rows and many.
    return LogisticRegression(
        C=strength / math.sqrt(n),
        max_iter=300,
        tol=1e-3,
        warm_start=True,
        class_weight="balanced" if balanced else None,
    )


def _fit(model: Any, features: Floats, targets: NDArray[Any], weights: Weights = None) -> Any:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # A head that is nearly converged predicts the same; the strength is chosen by its loss.
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Few rows of many classes are no mistake here.
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        return model.fit(features, targets, sample_weight=weights)


def _choose(
    features: Floats,
    targets: NDArray[Any],
    balanced: bool,
    folds: Sequence[Fold],
    weights: Weights,
    until: float | None,
) -> float:
    """The strength with the lowest log loss on rows left out, found by walking from the middle.

    Past the instant `until` neither a further strength nor a further fold is tried.
    """
    if not folds:
        return 1.0
    models = [_classifier(1.0, balanced, len(train)) for train, _ in folds]

    def loss(strength: float) -> float:
        found = []
        for model, (train, valid) in zip(models, folds, strict=True):
            model.C = strength / math.sqrt(len(train))
            own, judging = (None if weights is None else weights[rows] for rows in (train, valid))
            fitted = _fit(model, features[train], targets[train], own)
            found.append(_log_loss(fitted, features[valid], targets[valid], judging))
            if until is not None and time.monotonic() > until:
                break
        return float(np.mean(found))

    return climb(STRENGTHS, 1.0, loss, until)


def _log_loss(model: Any, features: Floats, targets: NDArray[Any], weights: Weights) -> float:
    with np.errstate(divide="ignore"):
        found = model.predict_log_proba(features)
    column = np.searchsorted(model.classes_, targets)
    known = (column < len(model.classes_)) & (
        model.classes_[np.minimum(column, len(model.classes_) - 1)] == targets
    )
    picked = np.full(len(targets), -20.0)
    picked[known] = np.maximum(found[np.flatnonzero(known), column[known]], -20.0)
    return float(-np.average(picked, weights=weights))


def _folds(targets: NDArray[Any], seed: int, given: Sequence[Fold] | None) -> list[Fold]:
    """The given folds, else `_by_chance`: those with more than one class to learn from."""
    found = _by_chance(targets, seed) if given is None else given
    found = [(train, valid) for train, valid in found if len(np.unique(targets[train])) > 1]
    return found[:1] if len(targets) >= ENOUGH else found


def _by_chance(targets: NDArray[Any], seed: int) -> list[Fold]:
    """Five stratified folds, or fewer; none when every class has a single row."""
    from sklearn.model_selection import StratifiedKFold

    biggest = int(np.unique(targets, return_counts=True)[1].max())
    if biggest < 2 or len(targets) < 10:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # tiny classes are in some folds only
        parts = StratifiedKFold(min(5, biggest), shuffle=True, random_state=seed)
        return list(parts.split(targets[:, None], targets))


def _each_label(
    features: Floats,
    marks: NDArray[np.int64],
    outputs: int,
    strength: float,
    balanced: bool,
    weights: Weights,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """One logistic regression a label, as (labels, width) and (labels,)."""
    weight = np.zeros((outputs, features.shape[1]))
    bias = np.zeros(outputs)
    for label in range(outputs):
        share = marks[:, label].mean()
        if share in (0.0, 1.0):
            bias[label] = 20.0 * (2 * share - 1)
            continue
        classifier = _classifier(strength, balanced, len(marks))
        model = _fit(classifier, features, marks[:, label], weights)
        weight[label], bias[label] = model.coef_[0], model.intercept_[0]
    return weight, bias


def _choose_ridge(
    features: Floats,
    targets: NDArray[Any],
    folds: Sequence[Fold],
    weights: Weights,
    until: float | None,
) -> float:
    """The strength with the lowest squared error on the folds, found by walking from the middle."""
    from sklearn.linear_model import Ridge

    def loss(alpha: float) -> float:
        found = []
        for train, valid in folds:
            own, judging = (None if weights is None else weights[rows] for rows in (train, valid))
            model = Ridge(alpha=alpha).fit(features[train], targets[train], own)
            errors = np.asarray(model.predict(features[valid]) - targets[valid], dtype=np.float64)
            found.append(np.average(errors**2, weights=judging))
            if until is not None and time.monotonic() > until:
                break
        return float(np.mean(found))

    return 1 / climb(ALPHAS, ALPHAS[len(ALPHAS) // 2], loss, until)


def _ridge(
    features: Floats, targets: NDArray[Any], strength: float | None, weights: Weights
) -> tuple[NDArray[Any], NDArray[Any], float]:
    from sklearn.linear_model import Ridge, RidgeCV

    if strength is None:
        model = RidgeCV(alphas=ALPHAS).fit(features, targets, weights)
        strength = float(1 / model.alpha_)
    else:
        model = Ridge(alpha=1 / strength).fit(features, targets, weights)
    return np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_), strength
