"""The training rows that a model sees as near to a row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.cache import Cache
from metier.deploy.arrays import matrix
from metier.deploy.booster import Booster
from metier.types import Floats, Model, Rows, Table

BY_FEATURES = "how alike the features are that the network makes of two rows (cosine)"
BY_LEAVES = "the share of the trees in which two rows end in the same leaf"


def nearness(model: Model | None, rows: Table, train: Table) -> tuple[Floats, str] | None:
    """Return how alike each row and each training row are to a model, and how that is measured.

    Networks: the cosine of their features. Boosters: the share of the trees in which two rows fall
    into the same leaf (the proximity of Breiman, 2001). Others know no likeness: None.

    Returns:
        float32 (rows, training rows), 1 for the same, and the measure in words.
    """
    if isinstance(model, Booster):
        return _by_leaves(model, rows, train), BY_LEAVES
    if model is None or model.form != "net":
        return None
    return _by_features(model, rows, train), BY_FEATURES


def nearest(likeness: Floats, count: int) -> Rows:
    """Return the places of the most alike training rows, (rows, count), the nearest first."""
    return np.argsort(-likeness, axis=1, kind="stable")[:, :count].astype(np.int64)


def _by_leaves(model: Booster, rows: Table, train: Table) -> Floats:
    ours, theirs = (_leaves(model, table) for table in (rows, train))
    return np.stack([(theirs == each).mean(axis=1) for each in ours]).astype(np.float32)


def _leaves(model: Booster, table: Table) -> NDArray[np.int32]:
    numbers = matrix(model.preprocess, table)
    found = [
        np.asarray(member.booster.predict(numbers, pred_leaf=True)).reshape(len(table), -1)
        for member in model.members
    ]
    return np.concatenate(found, axis=1).astype(np.int32)


def _by_features(model: Any, rows: Table, train: Table) -> Floats:
    from metier.training.feed import Feed

    ours, theirs = (
        Feed(model.net.backbone, model.preprocess, table, Cache()).features()
        for table in (rows, train)
    )
    first, second = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (ours, theirs))
    return np.asarray(first @ second.T, dtype=np.float32)
