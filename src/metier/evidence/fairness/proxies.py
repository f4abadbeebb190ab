"""How much the inputs tell about a sensitive column that is none of them.

A quick model predicts the group of a row from the inputs, on rows that it did not learn from. Where
it does better than always naming the largest group, leaving the column out does not keep a model
from treating groups differently; the inputs that carry most of it are named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.data.vectors import plain_features
from metier.evidence.answers import Answers
from metier.evidence.answers import whole as all_rows
from metier.evidence.catalogue import METRICS
from metier.evidence.fairness.rates import FEWEST
from metier.evidence.intervals import intervals
from metier.evidence.readable import read_features
from metier.evidence.words import percent, points, whole
from metier.threads import few_threads
from metier.types import Finding, Floats, Table

FOLDS = 3
MOST_ROWS = 3000
"""More rows than this are sampled: a quick model learns no more from them."""
MOST_NAMED = 5
TELLING = 0.6
"""The area under the ROC curve from which the inputs are said to tell the group."""
TREES = 40
FEWEST_GROUPS = 6
"""Groups of rows, where rows come in groups, that a sensitive group must have rows in: of fewer a
bootstrap knows too little."""


def told_by(table: Table) -> Told:
    """Return the inputs of a table as a quick model reads them; what is sensitive is left out."""
    features, names = read_features(table, sensitive=False)
    places: dict[str, list[int]] = {}
    for i, feature in enumerate(names):
        places.setdefault(feature.column, []).append(i)
    if table.roles.modality != "tabular":
        features = np.concatenate([features, plain_features(table)], axis=1)
    return Told(features, places if len(places) > 1 else {})


@dataclass(frozen=True)
class Told:
    """Inputs as a quick model reads them: features (n, features), and by input the places of those
    that can be named; none where there is one input only."""

    features: Floats
    inputs: dict[str, list[int]]


def find_proxies(
    column: str,
    groups: Sequence[str],
    told: Told,
    *,
    seed: int = 0,
    clusters: NDArray[np.int64] | None = None,
) -> Finding:
    """Return how well the inputs tell the group of a row, named `proxy[sex]`.

    `value` is the area under the ROC curve (of several groups, the mean of one against the rest),
    with its interval; `details` hold the accuracy, the share of the largest group, and in `carried`
    what each input carries: points of the area that are lost when it is shuffled. Rows of one of
    `clusters` (n,) are left out together, and resampled together for the interval. There is no
    value where groups are too few or small, or no input is left to tell them.
    """
    name = f"proxy[{column}]"
    every = np.asarray(groups, dtype=str)
    known, counts = np.unique(every, return_counts=True)
    large = known[counts >= min(FEWEST, len(every) // 10)]
    if clusters is not None:
        many = [len(np.unique(clusters[every == name])) for name in large]
        large = large[np.array(many, dtype=np.int64) >= FEWEST_GROUPS]
    kept = np.flatnonzero(np.isin(every, large))
    names, codes = np.unique(every[kept], return_inverse=True)
    if len(names) < 2 or len(codes) < 10 * FOLDS:
        said = f"{column}: too few rows of more than one group to tell what the inputs say of it"
        return Finding(name, said, n=len(codes))
    if not told.features.shape[1]:
        said = f"{column}: no input that is not sensitive differs between rows, so none can tell it"
        return Finding(name, said, n=len(codes))
    if len(codes) > MOST_ROWS:
        some = np.sort(np.random.default_rng((seed, 3)).choice(len(codes), MOST_ROWS, False))
        kept, codes = kept[some], codes[some]
    features, own = told.features[kept], None if clusters is None else clusters[kept]
    with few_threads(features.size):
        chances, carried = _out_of_fold(features, codes, len(names), told.inputs, seed, own)
    answers = _answers(names.tolist(), codes, chances)
    metrics = [METRICS["roc_auc"], METRICS["accuracy"]]
    area, accuracy = intervals(metrics, answers, seed=seed, clusters=own)
    return _finding(name, column, area, accuracy, codes, names.tolist(), carried)


def _out_of_fold(
    features: Floats,
    codes: NDArray[np.int64],
    count: int,
    inputs: dict[str, list[int]],
    seed: int,
    clusters: NDArray[np.int64] | None,
) -> tuple[NDArray[np.float64], dict[str, float]]:
    """Return the chances of each group for rows left out, and what each input carries."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    chances = np.zeros((len(codes), count))
    lost: dict[str, float] = {}
    random = np.random.default_rng((seed, 5))
    kind = StratifiedKFold if clusters is None else StratifiedGroupKFold
    folds = kind(FOLDS, shuffle=True, random_state=seed)
    for k, (fit, held) in enumerate(folds.split(features, codes, clusters)):
        model = HistGradientBoostingClassifier(
            max_iter=TREES, max_leaf_nodes=15, early_stopping=False, random_state=seed
        )
        model.fit(features[fit], codes[fit])
        columns = model.classes_.astype(int)
        chances[np.ix_(held, columns)] = model.predict_proba(features[held])
        if k > 0:
            continue
        whole_area = _area(codes[held], chances[held])
        for name, places in inputs.items():
            mixed = features[held].copy()
            mixed[:, places] = mixed[random.permutation(len(held))][:, places]
            own = np.zeros((len(held), count))
            own[:, columns] = model.predict_proba(mixed)
            lost[name] = whole_area - _area(codes[held], own)
    ranked = sorted(lost.items(), key=lambda item: -item[1])
    return chances, {name: value for name, value in ranked[:MOST_NAMED] if value > 0.005}


def _answers(
    names: Sequence[str], codes: NDArray[np.int64], chances: NDArray[np.float64]
) -> Answers:
    kind: Any = "binary" if len(names) == 2 else "multiclass"
    return Answers(kind, tuple(names), codes, chances.argmax(axis=1), chances)


def _area(codes: NDArray[np.int64], chances: NDArray[np.float64]) -> float:
    names = [str(k) for k in range(chances.shape[1])]
    return float(METRICS["roc_auc"].value(all_rows(_answers(names, codes, chances)))[0])


def _finding(
    name: str,
    column: str,
    area: Finding,
    accuracy: Finding,
    codes: NDArray[np.int64],
    names: Sequence[str],
    carried: dict[str, float],
) -> Finding:
    counts = np.bincount(codes)
    largest = float(counts.max() / len(codes))
    together = f" in {whole(area.details['groups'])} groups" if "groups" in area.details else ""
    telling = area.low is not None and area.low > 0.5 and (area.value or 0.0) >= TELLING
    said = (
        f"{column}: the inputs {'tell' if telling else 'hardly tell'} the group: area under the "
        f"ROC curve {area.value or 0:.2f} ({area.low or 0:.2f} to {area.high or 0:.2f}); right in "
        f"{percent(accuracy.value or 0)} % ({percent(accuracy.low or 0)} to "
        f"{percent(accuracy.high or 0)}), where always {names[int(counts.argmax())]} is right in "
        f"{percent(largest)} % ({whole(len(codes))} rows{together} left out in turn)"
    )
    if carried and telling:
        most = ", ".join(f"{each} ({points(v)})" for each, v in carried.items())
        said += f"; carried most by {most}: points of the area that go when it is shuffled"
    details = {"column": column, "accuracy": accuracy.value, "largest": largest,
               "accuracy_low": accuracy.low, "accuracy_high": accuracy.high,
               "carried": carried, "telling": telling}  # fmt: skip
    level: Any = "warning" if telling else "info"
    return Finding(name, said, area.value, area.low, area.high, len(codes), level, details=details)
