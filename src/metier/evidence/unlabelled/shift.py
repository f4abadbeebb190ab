"""How unlike two sets of rows are: those with labels, and those that a specialist is wanted for.

A classifier is asked to tell rows of one set from rows of the other, always on rows that it did not
learn from. What it cannot tell apart is no shift (Lopez-Paz and Oquab, 2017); what it tells apart,
it also weighs: its odds are how much more common a row is among the others (Bickel et al., 2009).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.errors import DataError
from metier.evidence.answers import Answers, Array
from metier.evidence.catalogue import METRICS
from metier.evidence.intervals import intervals
from metier.evidence.unlabelled.labelshift import LabelShift, estimate_shares, label_shift_from_json
from metier.evidence.words import number, sentence, whole
from metier.threads import few_threads
from metier.types import Finding, Floats

Ends = tuple[float, float, float]
"""A value and its interval."""
FOLDS = 5
MOST_ROWS = 3000
"""Rows of each set that one classifier learns from: it is no better with more."""
NARROW = 64
"""Columns up to which their squares are looked at too: the log odds of two normal distributions of
unlike width are quadratic. A wide embedding has directions enough without."""
STRENGTHS = (0.01, 0.1, 1.0, 10.0)
"""Inverse regularisation that the classifier chooses from, on columns of unit variance."""
HEAVIEST = 20.0
"""The most that a row may weigh, where the mean is 1: a few rows must not decide everything."""
CHANCE = 0.05
ROUNDS = 500
"""Cutting the heaviest lowers the mean, so it is done until nothing is above."""
SLIGHT = 0.55
"""The area under the ROC curve below which a shift that is there does not matter."""
THIN = 0.1
"""The effective share of the rows below which weights rest on hardly any."""


@dataclass(frozen=True, eq=False)
class Shift:
    """How unlike the rows without labels are to the labelled ones.

    Args:
        auc: the area under the ROC curve of telling the sets apart on rows left out, from
            `auc_low` to `auc_high`: 0.5 when nothing tells them apart.
        distance: the proxy A-distance, 2 (1 - 2 error) of that classifier (Ben-David et al., 2007),
            0 to 2, from `distance_low` to `distance_high`.
        p: the p-value of rows from one and the same distribution.
        weights: (n,) how much more common each labelled row is among the unlabelled ones, clipped,
            of mean 1.
        effective: how many rows the labelled ones count for when they are weighed (Kish, 1965).
        own, others: (n,) and (m,) the chance of each labelled and unlabelled row of being an
            unlabelled one, were there as many of both.
        labels: the estimated share of each class among the unlabelled rows, where classes were
            given.
    """

    auc: float
    auc_low: float
    auc_high: float
    distance: float
    distance_low: float
    distance_high: float
    p: float
    weights: Array
    effective: float
    own: Array = field(repr=False)
    others: Array = field(repr=False)
    labels: LabelShift | None = None

    @property
    def shifted(self) -> bool:
        """Whether there is a shift that is more than chance, and more than slight."""
        return self.p < CHANCE and self.auc >= SLIGHT

    @property
    def overlap(self) -> float:
        """The share of the unlabelled rows that labelled ones can stand for, 1 at most.

        The ratio of densities has the mean 1 over the labelled rows, unless a part of the
        unlabelled ones lies where no labelled row is.
        """
        return min(1.0, float(np.mean(self.own / np.maximum(1.0 - self.own, 1e-12))))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The same as claims, for the report and for --json."""
        told = [self._test(), self._apart(), self._weighed()]
        return (*told, *(self.labels.findings if self.labels is not None else ()))

    def _test(self) -> Finding:
        said = {
            True: "the unlabelled rows come from elsewhere: a quick model tells them from the "
            "labelled ones",
            False: "nothing says that the unlabelled rows come from elsewhere",
        }[self.shifted]
        if not self.shifted and self.p < CHANCE:
            said = "the unlabelled rows differ a little from the labelled ones"
        text = (
            f"{said} (area under the ROC curve {self.auc:.3f}, 95 % interval {self.auc_low:.3f} to "
            f"{self.auc_high:.3f}, {_chance(self.p)}, {self._rows})"
        )
        details = {"p": self.p, "labelled": len(self.own), "unlabelled": len(self.others)}
        ends = (self.auc, self.auc_low, self.auc_high, len(self.own) + len(self.others))
        return Finding(
            "shift", sentence(text), *ends, "warning" if self.shifted else "info", details=details
        )

    def _apart(self) -> Finding:
        ends = (self.distance, self.distance_low, self.distance_high)
        text = (
            f"proxy A-distance {ends[0]:.2f} (95 % interval {ends[1]:.2f} to {ends[2]:.2f}), "
            f"from 0, the same, to 2, nothing in common ({self._rows})"
        )
        return Finding("a_distance", sentence(text), *ends, len(self.own) + len(self.others))

    def _weighed(self) -> Finding:
        n = len(self.own)
        share = self.effective / n
        thin = share < THIN
        text = (
            f"weighed by how common they are among the unlabelled rows, the {whole(n)} labelled "
            f"rows count for {number(self.effective)}"
        )
        if thin:
            text += ": hardly any labelled row is like the others, so weighing them says little"
        return Finding(
            "effective_rows",
            sentence(text),
            self.effective,
            n=n,
            level="warning" if thin else "info",
            details={"heaviest": float(self.weights.max())},
        )

    @property
    def _rows(self) -> str:
        return f"{whole(len(self.own))} labelled and {whole(len(self.others))} unlabelled rows"


def shift_from_json(data: Mapping[str, Any]) -> Shift:
    """Build a shift again from what `report.content.to_json` makes of it."""
    arrays = {name: np.asarray(data[name], np.float64) for name in ("weights", "own", "others")}
    labels = None if data["labels"] is None else label_shift_from_json(data["labels"])
    return Shift(**{**data, **arrays, "labels": labels})


def measure_shift(
    labelled: Floats,
    unlabelled: Floats,
    *,
    seed: int,
    classes: NDArray[np.int64] | None = None,
    names: Sequence[str] = (),
) -> Shift:
    """Measure how unlike two sets of rows are, from their features (n, d) and (m, d).

    The classifier is logistic regression, cross-fitted. Its p-value is a rank test (Mann and
    Whitney, 1947) in each fold, which holds whatever the classifier learned; the folds share rows,
    so twice their median is taken, which holds under any dependence (Meinshausen et al., 2009).
    With `classes` (n,), the codes of the labelled rows among `names`, the share of each class among
    the unlabelled rows is estimated too. Features that are missing count as the mean of all.

    Raises DataError for fewer than ten rows of either.
    """
    if min(len(labelled), len(unlabelled)) < 2 * FOLDS:
        raise DataError(
            f"{len(labelled)} labelled and {len(unlabelled)} unlabelled rows are too few to "
            f"compare: give {2 * FOLDS} of each"
        )
    features = _even(np.concatenate([labelled, unlabelled]))
    there = np.repeat([0, 1], [len(labelled), len(unlabelled)])
    with few_threads(features.size):
        chances, places = _out_of_fold(features, there, seed)
    auc, right = _told_apart(there, chances, seed)
    own, others = chances[there == 0], chances[there == 1]
    weights = clipped(own / np.maximum(1.0 - own, 1e-12))
    labels = None
    if classes is not None:
        n = len(labelled)
        labels = estimate_shares(features[:n], features[n:], classes, names, seed=seed)
    return Shift(
        *auc,
        *_distances(right),
        _p_of(there, chances, places),
        weights,
        effective(weights),
        own,
        others,
        labels,
    )


def clipped(ratios: Array) -> Array:
    """Return weights (n,) of mean 1 from ratios of densities, none above `HEAVIEST`.

    >>> round(float(clipped(np.array([1e9, *np.ones(99)])).max()), 1)
    20.0
    """
    found = np.asarray(ratios, dtype=np.float64)
    for _ in range(ROUNDS):
        cap = HEAVIEST * found.mean()
        if found.max() <= cap * (1 + 1e-9):
            break
        found = np.minimum(found, cap)
    return np.asarray(found / max(float(found.mean()), 1e-300))


def effective(weights: Array) -> float:
    """Return how many rows of weight 1 say as much as these (Kish, 1965).

    >>> effective(np.array([1.0, 1.0, 0.0, 0.0]))
    2.0
    """
    return float(weights.sum() ** 2 / (weights**2).sum())


def _even(features: Floats) -> Array:
    """Columns of mean 0 and variance 1; missing values at the mean; of few columns squares too."""
    known = np.asarray(features, dtype=np.float64)
    known = np.where(np.isfinite(known), known, np.nan)
    counts = np.maximum(np.isfinite(known).sum(axis=0), 1)
    centre = np.nansum(known, axis=0) / counts
    known = np.where(np.isnan(known), centre, known) - centre
    spread = known.std(axis=0)
    even = known / np.where(spread > 1e-12 * (1 + np.abs(centre)), spread, 1.0)
    even = even.clip(-10, 10)  # one wild number must not be all that is seen of a column
    return np.concatenate([even, even**2 - 1], axis=1) if even.shape[1] <= NARROW else even


def _out_of_fold(
    features: Array, there: NDArray[np.int64], seed: int
) -> tuple[Array, NDArray[np.int64]]:
    """Return each row's chance of being an unlabelled one, and the fold that it was left out of."""
    from sklearn.model_selection import StratifiedKFold

    random = np.random.default_rng((seed, 23))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    chances, places = np.zeros(len(there)), np.zeros(len(there), dtype=np.int64)
    strength: float | None = None
    for k, (fit, held) in enumerate(folds.split(features, there)):
        rows = np.concatenate([_some(fit[there[fit] == side], random) for side in (0, 1)])
        strength = strength or _choose(features[rows], there[rows], seed)
        model = _classifier(strength, len(rows)).fit(features[rows], there[rows])
        chances[held], places[held] = model.predict_proba(features[held])[:, 1], k
    return chances, places


def _some(rows: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    return rows if len(rows) <= MOST_ROWS else np.sort(random.choice(rows, MOST_ROWS, False))


def _classifier(strength: float, n: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(
        C=strength / np.sqrt(n), class_weight="balanced", max_iter=300, tol=1e-3
    )


def _choose(features: Array, there: NDArray[np.int64], seed: int) -> float:
    """The strength of the lowest log loss on a fifth left out of the rows of the first fold."""
    from sklearn.metrics import log_loss
    from sklearn.model_selection import train_test_split

    fit, held = train_test_split(
        np.arange(len(there)), test_size=0.2, stratify=there, random_state=seed
    )
    weights = np.where(there[held] == 1, 1 / (there[held] == 1).sum(), 1 / (there[held] == 0).sum())

    def loss(strength: float) -> float:
        model = _classifier(strength, len(fit)).fit(features[fit], there[fit])
        chances = model.predict_proba(features[held])
        return float(log_loss(there[held], chances, sample_weight=weights, labels=[0, 1]))

    return min(STRENGTHS, key=loss)


def _p_of(there: NDArray[np.int64], chances: Array, places: NDArray[np.int64]) -> float:
    from scipy.stats import mannwhitneyu

    found = []
    for fold in range(FOLDS):
        own = places == fold
        theirs, ours = (chances[own & (there == side)] for side in (1, 0))
        found.append(float(mannwhitneyu(theirs, ours, alternative="greater").pvalue))
    return min(1.0, 2.0 * float(np.median(found)))


def _told_apart(there: NDArray[np.int64], chances: Array, seed: int) -> tuple[Ends, Ends]:
    """The area under the ROC curve and the balanced accuracy, with their intervals."""
    both = np.stack([1 - chances, chances], axis=1)
    answers = Answers("binary", ("labelled", "unlabelled"), there, both.argmax(axis=1), both)
    wanted = [METRICS["roc_auc"], METRICS["balanced_accuracy"]]
    area, right = (
        (each.value or 0.0, each.low or 0.0, each.high or 0.0)
        for each in intervals(wanted, answers, seed=seed)
    )
    return area, right


def _distances(right: Ends) -> Ends:
    """The proxy A-distances that belong to balanced accuracies."""
    value, low, high = (max(0.0, 2.0 * (2.0 * each - 1.0)) for each in right)
    return value, low, high


def _chance(p: float) -> str:
    return "p below 0.001" if p < 0.001 else f"p {p:.3f}"
