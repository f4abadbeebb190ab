"""Numbers in the target's own unit."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from metier.errors import DataError
from metier.tasks import build, known_rows
from metier.tasks.regress import Regress
from metier.types import Roles, Table, Task


def table(values: list[object]) -> Table:
    return Table(pl.DataFrame({"y": values}, strict=False), Roles(inputs={}, target=("y",)))


def test_values_come_back_in_their_unit() -> None:
    rows = table([1, 2.5, -3])
    task = build("regression", rows)
    assert isinstance(task, Task)
    assert task.encode(rows).tolist() == [1.0, 2.5, -3.0]
    assert (task.kind, task.labels, task.outputs, task.metrics[0]) == ("regression", (), 1, "rmse")


def test_missing_and_endless_numbers_are_refused_or_left_out() -> None:
    rows = table([1.0, None, float("inf"), float("nan"), 1e300])
    task = Regress()
    assert known_rows(task, rows).tolist() == [0]
    with pytest.raises(DataError, match="row 1 "):
        task.encode(rows)


def test_words_are_refused_with_the_row() -> None:
    with pytest.raises(DataError, match=r"row 2 .*'high'.*--task multiclass"):
        Regress.from_table(table(["1", "2", "high"]))
    assert Regress.from_table(table(["1", "2.5", ""])).encode(table(["4"])).tolist() == [4.0]


def test_a_constant_is_refused() -> None:
    with pytest.raises(DataError, match="all values are equal"):
        Regress.from_table(table([3, 3, 3]))
    with pytest.raises(DataError, match="no number at all"):
        Regress.from_table(table([None, None]))


@pytest.mark.parametrize("n", [50, 100])
def test_values_that_float32_cannot_tell_apart_are_refused(n: int) -> None:
    seconds = [1.7e9 + i for i in range(n)]
    with pytest.raises(DataError, match=r"from 1700000000 to 17000000\d\d .*subtract a constant"):
        Regress.from_table(table([*seconds]))
    with pytest.raises(DataError, match="smaller unit"):
        Regress.from_table(table([1e-46 * i for i in range(n)]))
    days = table([1.7e9 + 86400 * i for i in range(n)])
    assert len(set(Regress.from_table(days).encode(days).tolist())) == n


def test_the_spread_of_large_numbers_is_known() -> None:
    rows = table([1e20 * i for i in range(30)])
    assert Regress.from_table(rows).scale == pytest.approx(1e20 * np.arange(30).std())
    beyond = table([1.0, 2.0, 1e300])
    assert Regress.from_table(beyond).scale == pytest.approx(0.5)


def test_the_loss_has_no_unit_and_follows_the_metric() -> None:
    torch = pytest.importorskip("torch")
    truth = np.array([0.0, 10.0, 20.0], dtype=np.float32)
    guess = truth[:, None] + np.array([[1.0], [-2.0], [4.0]], dtype=np.float32)
    task = Regress.from_table(table(truth.tolist()))
    loss = float(task.loss(torch.from_numpy(guess), torch.from_numpy(truth)))
    assert loss == pytest.approx((1 + 4 + 16) / 3 / truth.var(), rel=1e-5)
    in_thousandths = Regress.from_table(table((truth * 1000).tolist()))
    scaled = in_thousandths.loss(torch.from_numpy(guess * 1000), torch.from_numpy(truth * 1000))
    assert float(scaled) == pytest.approx(loss, rel=1e-5)
    absolute = Regress.from_table(table(truth.tolist()), "mae")
    one = absolute.loss(torch.zeros((1, 1)), torch.full((1,), absolute.scale))
    assert float(one) == pytest.approx(1 - 0.05)
