"""Fairness as costs of errors: labels and weights under which a plain learner is a fairer one.

Agarwal et al. (2018, "A reductions approach to fair classification"): the constraint enters the
loss with a multiplier for each group, and the loss is that of weighted rows, some of them with the
other label. Fairlearn finds the multipliers with a quick linear learner; what is handed over is one
model, fitted by their mean, and no lottery among many.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import MutableMapping, Sequence
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metier.errors import MissingExtraError
from metier.evidence.answers import Array
from metier.threads import few_threads
from metier.types import Floats

Kind = Literal["parity", "odds"]
MOST_ROWS = 4000
"""Rows that the multipliers are found on; more are sampled."""
ROUNDS = 12
SLACK = 0.02
"""Difference between a group and all that the multipliers no longer press upon."""
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
    """
    named = merged(groups)
    if len(set(named)) < 2 or len(np.unique(targets)) < 2:
        return np.where(targets > 0, 1.0, -1.0)
    kept = {} if known is None else known
    key = _key(features, targets, named, kind, seed)
    if key not in kept:
        sample = _sample(named, targets, seed)
        kept[key] = _multipliers(features[sample], targets[sample], named[sample], kind)
    moment = _moment(kind)
    moment.load_data(features, _series(targets), sensitive_features=_series(named))
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
    features: Floats, targets: NDArray[np.int64], groups: NDArray[np.str_], kind: Kind
) -> Any:
    """Return the mean multiplier of each constraint, as a pandas series."""
    from sklearn.linear_model import LogisticRegression

    learner = LogisticRegression(C=1.0, max_iter=60, tol=1e-2)
    found = _fairlearn().ExponentiatedGradient(
        learner, _moment(kind), eps=SLACK, max_iter=ROUNDS, run_linprog_step=False
    )
    with warnings.catch_warnings(), few_threads(features.size):
        # Nearly converged presses as hard.
        warnings.simplefilter("ignore")
        found.fit(features, targets, sensitive_features=groups)
    return found.lambda_vecs_EG_.mean(axis=1)


def _moment(kind: Kind) -> Any:
    reductions = _fairlearn()
    chosen = reductions.DemographicParity if kind == "parity" else reductions.EqualizedOdds
    return chosen(difference_bound=SLACK)


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
        from fairlearn import reductions
    except ImportError as error:
        raise MissingExtraError("fairlearn", "fair", "the strategy constrain") from error
    return reductions
