"""Fairness as costs of errors: labels and weights under which a plain learner is a fairer one.

Agarwal et al. (2018, "A reductions approach to fair classification"): the constraint enters the
loss with a multiplier for each group, and the loss is that of weighted rows, some of them with the
other label. Fairlearn's account of the constraints says how far each is broken; the multipliers are
found with a quick linear learner. What is handed over is one model, fitted by their mean, and no
lottery among many.
"""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import MutableMapping, Sequence
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metier.errors import MissingExtraError, Pruned
from metier.evidence.answers import Array
from metier.threads import few_threads
from metier.types import Floats

Kind = Literal["parity", "odds"]
MOST_ROWS = 4000
"""Rows that the multipliers are found on; more are sampled."""
ROUNDS = 12
SLACK = 0.02
"""Difference between a group and all that the multipliers no longer press upon; the inverse bounds
their sum."""
RATE = 2.0
"""How fast they grow."""
SHARE = 0.3
"""Of the time that is left, what finding them may take."""
REST = "(rest)"
"""Groups too small to press for are one together."""
FEWEST = 50


def signed_weights(
    features: Floats,
    targets: NDArray[np.int64],
    groups: Sequence[str],
    kind: Kind,
    strength: float,
    seed: int = 0,
    known: MutableMapping[int, Any] | None = None,
    deadline: float | None = None,
) -> Array:
    """Return a signed weight of each row (n,): what calling it positive gains, above or below 0.

    Args:
        features: (n, width) for the quick learner.
        targets: (n,) 0 or 1.
        groups: of each row; those under 50 rows count as one.
        kind: what the groups shall have in common.
        strength: how many times the multipliers that the quick learner needs.
        seed: of the sample.
        known: multipliers that were found before; those of these rows are put there.
        deadline: a time.monotonic() instant after which Pruned is raised.
    """
    named = merged(groups)
    if len(set(named)) < 2 or len(np.unique(targets)) < 2:
        return np.where(targets > 0, 1.0, -1.0)
    kept = {} if known is None else known
    key = _key(features, targets, named, kind, seed)
    if key not in kept:
        some = _sample(named, targets, seed)
        kept[key] = _multipliers(features[some], targets[some], named[some], kind, deadline)
    moment = _loaded(kind, features, targets, named)
    multipliers = kept[key].reindex(moment.index, fill_value=0.0)
    pressed = strength * moment.signed_weights(multipliers).to_numpy()
    return np.asarray(np.where(targets > 0, 1.0, -1.0) + pressed)


def _key(
    features: Floats, targets: NDArray[np.int64], groups: NDArray[np.str_], kind: Kind, seed: int
) -> int:
    """What names these rows, however hard they are pressed."""
    content = hashlib.blake2b(f"{kind}/{seed}".encode(), digest_size=8)
    for part in (features, targets, groups):
        content.update(np.ascontiguousarray(part).tobytes())
    return int.from_bytes(content.digest(), "little")


def merged(groups: Sequence[str]) -> NDArray[np.str_]:
    """Return the groups, those under 50 rows as one."""
    found = np.asarray(groups, dtype=object).astype(str)
    names, counts = np.unique(found, return_counts=True)
    small = names[counts < FEWEST]
    return np.asarray(np.where(np.isin(found, small), REST, found), dtype=str)


def _multipliers(
    features: Floats,
    targets: NDArray[np.int64],
    groups: NDArray[np.str_],
    kind: Kind,
    deadline: float | None,
) -> Any:
    """Return the mean multiplier of each constraint, as a pandas series.

    Exponentiated gradient (algorithm 1 of the paper): a learner answers the multipliers, and those
    of the constraints that its answers break grow. With little time there are fewer rounds.
    """
    from sklearn.linear_model import LogisticRegression

    until = None if deadline is None else _moment_of(deadline)
    moment = _loaded(kind, features, targets, groups)
    plain = np.where(targets > 0, 1.0, -1.0)
    exponents = 0.0 * moment.bound()
    total, rounds = 0.0 * exponents, 0
    learner = LogisticRegression(C=1.0, max_iter=60, tol=1e-2)
    while rounds < ROUNDS and (rounds == 0 or until is None or time.monotonic() < until):
        pressing = np.exp(exponents)
        multipliers = pressing / SLACK / (1.0 + pressing.sum())
        signed = plain + moment.signed_weights(multipliers).to_numpy()
        total, rounds = total + multipliers, rounds + 1
        wanted = (signed > 0).astype(np.int64)
        answered = wanted
        if len(np.unique(wanted)) > 1:
            with warnings.catch_warnings(), few_threads(features.size):
                warnings.simplefilter("ignore")  # nearly converged presses as hard
                learner.fit(features, wanted, sample_weight=np.abs(signed))
            answered = learner.predict(features)
        broken = moment.gamma(lambda _, own=answered: own) - moment.bound()
        exponents = exponents + RATE * SLACK * broken
    return total / rounds


def _moment_of(deadline: float) -> float:
    """The instant at which the share of the time that the multipliers may take is over."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise Pruned("out of time")
    return time.monotonic() + SHARE * left


def _loaded(
    kind: Kind, features: Floats, targets: NDArray[np.int64], groups: NDArray[np.str_]
) -> Any:
    """Fairlearn's account of a constraint on these rows."""
    reductions = _fairlearn()
    chosen = reductions.DemographicParity if kind == "parity" else reductions.EqualizedOdds
    moment = chosen(difference_bound=SLACK)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas, about how Fairlearn uses it
        moment.load_data(features, _series(targets), sensitive_features=_series(groups))
    return moment


def _sample(groups: NDArray[np.str_], targets: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Rows for the quick learner; a few of each group and label are always among them."""
    n = len(targets)
    if n <= MOST_ROWS:
        return np.arange(n)
    order = np.random.default_rng((seed, 2)).permutation(n)
    first: dict[tuple[str, int], list[int]] = {}
    for row in order.tolist():
        own = first.setdefault((str(groups[row]), int(targets[row])), [])
        if len(own) < FEWEST // 2:
            own.append(row)
    kept = np.concatenate([*(np.asarray(rows) for rows in first.values()), order[:MOST_ROWS]])
    return np.unique(kept)


def _series(values: NDArray[Any]) -> Any:
    import pandas as pd

    return pd.Series(values)


def _fairlearn() -> ModuleType:
    """The library, asked for only when something is constrained."""
    try:
        import fairlearn.reductions as found
    except ImportError as error:
        raise MissingExtraError("fairlearn", "fair", "the strategy constrain") from error
    reductions: ModuleType = found
    return reductions
