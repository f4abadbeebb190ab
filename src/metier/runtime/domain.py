"""Is a row unlike those that a model was made for? Two looks at it, one false-alarm rate.

How far its features lie from those of training (Lee et al., 2018; the precision is that of a few
principal directions and one number for the rest, so that it stays small), and the energy of its
logits (Liu et al., 2020), which is low where no label draws them. Each is ranked among rows that
are known to be alike, and the more unusual of the two decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metier.runtime.postprocess import TaskKind
from metier.runtime.ranked import Doubles, Ranked, p_values, read, written
from metier.runtime.scoring import Reads

Floats = NDArray[np.float32]

ALARM = 0.05
"""How many rows of the usual kind are called unlike it."""
OF_DISTANCES = 0.8
"""The share of the false alarms that is left to distances where there are energies too."""
FEWEST = 100
DIRECTIONS = 32
FOLDS = 5
IN_A_CLASS = 10
FLOOR = 1e-3
"""A direction is never taken for narrower than this share of the mean one."""
MOST_CODES = 30
MOST_WIDE = 2048
HALF: Literal["<f2"] = "<f2"
"""Directions are kept in two bytes a number, and used as they are kept."""


@dataclass(frozen=True)
class Cloud:
    """Where the features of usual rows lie.

    Args:
        centres: (classes, d), one for all where classes have few rows.
        basis: (directions, d), orthonormal.
        spreads: (directions,), variance along each.
        rest: variance of each of the other directions.
    """

    centres: Floats
    basis: Floats
    spreads: Floats
    rest: float

    def distances(self, features: NDArray[Any]) -> Doubles:
        """Return the squared Mahalanobis distance to the nearest centre, by direction."""
        best = np.full(len(features), np.inf)
        for centre in self.centres:
            away = np.asarray(features, np.float64) - centre
            along = away @ self.basis.T
            inside = (along**2 / self.spreads).sum(axis=1)
            outside = np.maximum((away**2).sum(axis=1) - (along**2).sum(axis=1), 0)
            best = np.minimum(best, inside + outside / self.rest)
        return np.asarray(best / features.shape[1])

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "width": int(self.centres.shape[1]),
            "centres": written(self.centres),
            "basis": written(self.basis, HALF),
            "spreads": written(self.spreads),
            "rest": self.rest,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Cloud:
        """Build it from `to_json()`. Raises KeyError, TypeError or ValueError."""
        width = int(data["width"])
        centres = read(data["centres"]).reshape(-1, width)
        basis = read(data["basis"], HALF).reshape(-1, width)
        found = cls(centres, basis, read(data["spreads"]), float(data["rest"]))
        if len(found.spreads) != len(basis) or not len(centres) or not found.rest > 0:
            raise ValueError("directions and spreads differ in number")
        return found


@dataclass(frozen=True)
class Scaling:
    """From the numbers of a table row to features: on one scale, categories as flags.

    Args:
        sizes: for each number of a row how many categories it counts; 0 for a plain number, -1 for
            one that is left out.
        means, scales: of the plain numbers, in order.
    """

    sizes: tuple[int, ...]
    means: Floats
    scales: Floats

    def apply(self, numbers: NDArray[Any]) -> Doubles:
        """Return features (n, d). A missing number is like the mean, a missing category no flag."""
        places = [i for i, size in enumerate(self.sizes) if size == 0]
        plain = (numbers[:, places].astype(np.float64) - self.means) / self.scales
        parts = [np.where(np.isnan(plain), 0.0, plain)]
        for i, size in enumerate(self.sizes):
            if size > 0:
                parts.append((numbers[:, [i]] == np.arange(size)).astype(np.float64))
        return np.concatenate(parts, axis=1)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "sizes": list(self.sizes),
            "means": written(self.means),
            "scales": written(self.scales),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Scaling:
        """Build it from `to_json()`. Raises KeyError, TypeError or ValueError."""
        return cls(tuple(data["sizes"]), read(data["means"]), read(data["scales"]))


@dataclass(frozen=True)
class Domain:
    """What is known of usual rows; each part may be missing.

    Args:
        alarm: the rate of false alarms.
        reads: where features come from: that output of the graph, or its input of numbers.
        scaling: what is done to numbers first.
        cloud: where features lie.
        distances: of usual rows, each from a cloud that it had no part in.
        energies: of usual rows that the model had not learned from.
    """

    alarm: float = ALARM
    reads: Reads | None = None
    scaling: Scaling | None = None
    cloud: Cloud | None = None
    distances: Ranked | None = None
    energies: Ranked | None = None

    def p_values(self, scores: NDArray[Any], features: NDArray[Any] | None) -> Doubles:
        """Return for each row how few usual ones look as unusual: 0 never, 1 all.

        With two looks, each has its share of the false alarms (Bonferroni, weighted: distances
        tell foreign rows far better).
        """
        found = []
        both = self.looks == 2 and features is not None
        if self.energies is not None:
            share = 1 - OF_DISTANCES if both else 1.0
            found.append(p_values(energy(scores), self.energies) / share)
        if self.cloud is not None and self.distances is not None and features is not None:
            share = OF_DISTANCES if both else 1.0
            distances = self.cloud.distances(self.prepare(features))
            found.append(p_values(distances, self.distances) / share)
        if not found:
            return np.ones(len(scores))
        return np.asarray(np.minimum(1.0, np.min(found, axis=0)))

    def unlike(self, scores: NDArray[Any], features: NDArray[Any] | None) -> NDArray[np.bool_]:
        """Tell which rows are unlike the usual ones."""
        return np.asarray(self.p_values(scores, features) <= self.alarm)

    def prepare(self, features: NDArray[Any]) -> NDArray[Any]:
        """Return features as the cloud takes them."""
        return features if self.scaling is None else self.scaling.apply(features)

    @property
    def looks(self) -> int:
        """How many looks at a row there are."""
        return (self.energies is not None) + (self.cloud is not None)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        parts = {
            "scaling": self.scaling,
            "cloud": self.cloud,
            "distances": self.distances,
            "energies": self.energies,
        }
        told = {name: None if part is None else part.to_json() for name, part in parts.items()}
        return {"alarm": self.alarm, "reads": self.reads, **told}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Domain:
        """Build it from `to_json()`. Raises KeyError, TypeError or ValueError."""

        def part(kind: Any, name: str) -> Any:
            return None if data[name] is None else kind.from_json(data[name])

        return cls(
            float(data["alarm"]),
            data["reads"],
            part(Scaling, "scaling"),
            part(Cloud, "cloud"),
            part(Ranked, "distances"),
            part(Ranked, "energies"),
        )


def energy(scores: NDArray[Any]) -> Doubles:
    """Return the free energy of logits (n, labels): high where nothing draws them.

    >>> energy(np.array([[0.0, 0.0], [5.0, 0.0]])).round(2)
    array([-0.69, -5.01])
    """
    values = np.asarray(scores, dtype=np.float64)
    top = values.max(axis=1)
    return -np.asarray(top + np.log(np.exp(values - top[:, None]).sum(axis=1)))


def learn(
    kind: TaskKind,
    unseen: NDArray[Any],
    features: NDArray[Any] | None,
    reads: Reads | None,
    classes: NDArray[Any] | None = None,
    sizes: Sequence[int] = (),
) -> Domain:
    """Work out what is usual.

    Args:
        kind: the shape of the answer.
        unseen: scores (n, outputs) of rows that their model had not learned from.
        features: (m, d) of the model that will answer; None where it has none.
        reads: where they come from.
        classes: (m,), where a row has one class.
        sizes: of numbers: as in `Scaling`.
    """
    energies = None
    unseen = unseen[np.isfinite(unseen).all(axis=1)]
    # The margins of trees, the sums over several labels and numbers draw nothing.
    if kind in ("binary", "multiclass") and reads != "numbers" and len(unseen) >= FEWEST:
        energies = Ranked.of(energy(unseen))
    if features is None or len(features) < FEWEST or features.shape[1] > MOST_WIDE:
        return Domain(energies=energies)
    scaling = None if reads != "numbers" else _scaling(features, sizes)
    prepared = features if scaling is None else scaling.apply(features)
    own = np.zeros(len(prepared), np.int64) if classes is None else np.asarray(classes)
    distances = np.empty(len(prepared))
    folds = np.arange(len(prepared)) % FOLDS
    for fold in range(FOLDS):
        out = folds == fold
        distances[out] = cloud_of(prepared[~out], own[~out]).distances(prepared[out])
    cloud = cloud_of(prepared, own)
    return Domain(ALARM, reads, scaling, cloud, Ranked.of(distances), energies)


def cloud_of(features: NDArray[Any], classes: NDArray[Any]) -> Cloud:
    """Describe where features (n, d) lie; classes share one precision."""
    values = np.asarray(features, dtype=np.float64)
    names, places, counts = np.unique(classes, return_inverse=True, return_counts=True)
    if counts.min() < IN_A_CLASS:
        names, places = names[:1], np.zeros(len(values), np.int64)
    centres = np.stack([values[places == k].mean(axis=0) for k in range(len(names))])
    away = values - centres[places]
    width = values.shape[1]
    directions = max(1, min(DIRECTIONS, width, len(values) // FOLDS))
    _, lengths, basis = np.linalg.svd(away, full_matrices=False)
    spreads = lengths**2 / max(len(values) - len(names), 1)
    least = FLOOR * max(float(spreads.sum()) / width, 1e-12)
    left = max(width - directions, 1)
    rest = float(spreads[directions:].sum()) / left
    return Cloud(
        centres.astype(np.float32),
        basis[:directions].astype(np.float16).astype(np.float32),
        np.maximum(spreads[:directions], least).astype(np.float32),
        max(rest, least),
    )


def _scaling(numbers: NDArray[Any], sizes: Sequence[int]) -> Scaling:
    known = [size if size <= MOST_CODES else -1 for size in sizes] or [0] * numbers.shape[1]
    plain = np.array([size == 0 for size in known])
    there = np.isfinite(numbers).any(axis=0)
    known = [-1 if p and not t else size for size, p, t in zip(known, plain, there, strict=True)]
    chosen = numbers[:, [size == 0 for size in known]].astype(np.float64)
    means, scales = np.nanmean(chosen, axis=0), np.nanstd(chosen, axis=0)
    kept = np.where(scales > 0, scales, 1.0)
    return Scaling(tuple(known), means.astype(np.float32), kept.astype(np.float32))
