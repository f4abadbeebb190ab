from __future__ import annotations

import numpy as np

from metier.training.tables.copula import fit_copula
from metier.training.tables.madeup import Cells

RANDOM = np.random.default_rng(0)
SIZE = RANDOM.lognormal(size=600)
WEIGHT = SIZE**2 + 0.1 * RANDOM.random(600)
GAPS = np.where(RANDOM.random(600) < 0.25, np.nan, RANDOM.normal(size=600))
KIND = (SIZE > 1.0).astype(np.int64)
RARE = (RANDOM.random(600) < 0.05).astype(np.int64) * 2
CELLS = Cells(np.stack([SIZE, WEIGHT, GAPS], axis=1), np.stack([KIND, RARE], axis=1))


def drawn(count: int = 4000) -> Cells:
    random = np.random.default_rng(1)
    return fit_copula(CELLS, random).draw(count, random)


def test_each_column_is_as_it_was() -> None:
    made = drawn()
    for column in (0, 1):
        own, real = made.numbers[:, column], CELLS.numbers[:, column]
        assert real.min() <= own.min() and own.max() <= real.max()
        for share in (0.1, 0.5, 0.9):
            assert np.isclose(np.quantile(own, share), np.quantile(real, share), rtol=0.15)
    assert abs(np.isnan(made.numbers[:, 2]).mean() - 0.25) < 0.05
    assert abs((made.codes[:, 1] == 2).mean() - (RARE == 2).mean()) < 0.02
    assert set(np.unique(made.codes[:, 1])) <= {0, 2}, "no category that nobody has"


def test_columns_go_together_as_they_did() -> None:
    made = drawn()
    ranks = [np.argsort(np.argsort(made.numbers[:, k])) for k in (0, 1)]
    assert np.corrcoef(*ranks)[0, 1] > 0.9
    large = made.numbers[:, 0] > 1.0
    assert made.codes[large, 0].mean() > made.codes[~large, 0].mean() + 0.4


def test_columns_of_one_kind_and_constant_ones_are_survived() -> None:
    random = np.random.default_rng(0)
    for cells in (
        Cells(CELLS.numbers[:5], np.zeros((5, 0), np.int64)),
        Cells(np.zeros((5, 0)), CELLS.codes[:5]),
        Cells(np.full((5, 2), 3.0), np.zeros((5, 1), np.int64)),
        Cells(np.full((5, 1), np.nan), np.zeros((5, 1), np.int64)),
    ):
        made = fit_copula(cells, random).draw(7, random)
        assert made.numbers.shape == (7, cells.numbers.shape[1])
        assert made.codes.shape == (7, cells.codes.shape[1])
