"""A penalty on groups lying apart: none where they do not, and it brings them closer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from metier.tasks.classify import Classify
from metier.training.fairness.evened import Evened, codes_by_content
from metier.training.objectives import Batch, Supervised

TASK = Classify(("no", "yes"))


class Fixed:
    """A net that says what it was told to say."""

    def __init__(self, scores: torch.Tensor) -> None:
        self.scores = scores

    def __call__(self, inputs: Any, hidden: Any, at: int) -> torch.Tensor:
        return self.scores


def batch(targets: list[int]) -> Batch:
    digests = np.arange(len(targets), dtype=np.uint64)
    return Batch({}, None, 0, torch.tensor(targets), digests)


def penalty(margins: list[float], targets: list[int], sex: list[str], kind: Any) -> torch.Tensor:
    margin = torch.tensor(margins, requires_grad=True)
    net: Any = Fixed(torch.stack([torch.zeros(len(margins)), margin], dim=1))
    codes = codes_by_content(np.arange(len(sex), dtype=np.uint64), {"sex": sex})
    plain = Supervised(TASK)
    found = Evened(plain, codes, 1.0, kind)(net, batch(targets)) - plain(net, batch(targets))
    return found


def test_groups_that_are_scored_alike_cost_nothing() -> None:
    assert float(
        penalty([1.0, 1.0, -1.0, -1.0], [1, 1, 0, 0], ["f", "m", "f", "m"], "odds").detach()
    ) == pytest.approx(0.0, abs=1e-6)


def test_odds_look_within_a_label_and_parity_does_not() -> None:
    margins, targets = [2.0, 2.0, -2.0, -2.0], [1, 1, 0, 0]
    sex = ["f", "f", "m", "m"]
    assert float(penalty(margins, targets, sex, "odds").detach()) == pytest.approx(0.0, abs=1e-6)
    assert float(penalty(margins, targets, sex, "parity").detach()) > 0.5


@pytest.mark.parametrize("kind", ["odds", "parity"])
def test_the_gradient_brings_groups_closer(kind: Any) -> None:
    margin = torch.tensor([1.0, 1.0, -1.0, -1.0], requires_grad=True)
    net: Any = Fixed(torch.stack([torch.zeros(4), margin], dim=1))
    codes = codes_by_content(np.arange(4, dtype=np.uint64), {"sex": ["f", "f", "m", "m"]})
    one_label = batch([1, 1, 1, 1])
    (Evened(Supervised(TASK), codes, 100.0, kind)(net, one_label)).backward()
    assert margin.grad is not None
    assert (margin.grad[:2] > 0).all() and (margin.grad[2:] < 0).all()


def test_what_it_wraps_says_where_a_net_is_entered() -> None:
    class Around:
        enters, feeds = 0, ()

        def __call__(self, net: Any, given: Batch) -> torch.Tensor:
            return torch.zeros(())

    made: Callable[..., Any] = Evened(Around(), {}, 1.0)  # type: ignore[arg-type]
    assert made.enters == 0 and made.feeds == ()  # type: ignore[attr-defined]


def test_rows_of_unknown_groups_take_no_part() -> None:
    codes = codes_by_content(np.array([0, 1], dtype=np.uint64), {"sex": ["f", "m"]})
    net: Any = Fixed(torch.stack([torch.zeros(3), torch.tensor([1.0, 1.0, -9.0])], dim=1))
    plain = Supervised(TASK)
    given = batch([1, 1, 1])
    found = Evened(plain, codes, 1.0, "parity")(net, given) - plain(net, given)
    assert float(found) == pytest.approx(0.0, abs=1e-6)
