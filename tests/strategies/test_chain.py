"""Strategies one after the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metier.cache import Cache
from metier.errors import ChainError
from metier.strategies.adversarial import Adversarial
from metier.strategies.align import Align
from metier.strategies.boost import Boost
from metier.strategies.chain import Chain
from metier.strategies.consistency import Consistency
from metier.strategies.constrain import Constrain
from metier.strategies.defensive_distillation import DefensiveDistillation
from metier.strategies.finetune import Finetune
from metier.strategies.linear import Linear
from metier.strategies.oversample import Oversample
from metier.strategies.probe import Probe
from metier.strategies.pseudolabel import Pseudolabel
from metier.strategies.reweigh import Reweigh
from metier.strategies.scratch import Scratch
from metier.strategies.synthesize import Synthesize
from metier.strategies.thin import Thin
from metier.strategies.threshold import Threshold
from metier.tasks import build
from metier.types import Problem, Run, Specialist, Strategy, Table

WRAPPERS = (
    *(Adversarial, Align, Consistency, Constrain, DefensiveDistillation),
    *(Oversample, Pseudolabel, Reweigh, Synthesize, Threshold),
)


def test_a_chain_is_a_strategy_and_nests() -> None:
    chain = Chain((Chain((Probe(),)), Finetune()))
    assert isinstance(chain, Strategy)
    assert (chain.accepts, chain.gives) == (("source", "net"), "net")
    assert chain.modalities == ("text", "image")


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        ((), "at least one"),
        ((Probe(), Scratch()), "scratch cannot follow probe"),
        ((Linear(), Boost()), "boost cannot follow linear"),
        ((Boost(), Oversample(Linear())), "takes source, and boost gives booster"),
        ((Boost(), Reweigh(Oversample(Linear()))), "reweigh cannot follow boost"),
        ((Finetune(), Adversarial(Scratch())), "adversarial cannot follow finetune"),
        ((Linear(), Oversample(Thin())), "takes booster, and linear gives"),
        ((Boost(), Constrain(Thin())), "takes nothing"),
    ],
)
def test_what_cannot_follow_is_refused_when_composed(steps: Any, why: str) -> None:
    with pytest.raises(ChainError, match=why):
        Chain(steps)


@pytest.mark.parametrize("outer", WRAPPERS)
def test_what_wraps_takes_what_it_wraps_takes(outer: Callable[..., Strategy]) -> None:
    inner = Boost() if "booster" in outer().accepts else Finetune()
    assert set(outer(inner).accepts) == set(inner.accepts)
    assert outer(Linear()).accepts == ("source",)
    Chain((inner, outer(inner)))
    with pytest.raises(ChainError, match="cannot follow"):
        Chain((inner, outer(Linear())))


def test_steps_run_in_order_each_with_its_own_checkpoints(
    tiny_sources: dict[str, Any], tiny_table: Callable[..., Table], tmp_path: Path
) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 60, "multiclass")
    task = build("multiclass", table)
    start, problem = Specialist(source, task), Problem(task, table)
    run = Run(Cache(), folder=tmp_path)
    probe, tune = Probe(), Finetune(train="top", epochs=1.0)
    made = Chain((probe, tune))(start, problem, run)
    assert [step.strategy for step in made.lineage] == ["probe", "finetune"]
    by_hand = tune(probe(start, problem, Run(Cache())), problem, Run(Cache()))
    np.testing.assert_array_equal(made.scores(table), by_hand.scores(table))
    with pytest.raises(ChainError, match="takes source or net, not linear"):
        Chain((probe,))(Linear()(_of_numbers(), *_numbers()), problem, run)


def _of_numbers() -> Specialist:
    problem, _ = _numbers()
    from metier.sources.tabular import open_tabular

    return Specialist(open_tabular("lightgbm"), problem.task)


def _numbers() -> tuple[Problem, Run]:
    import polars as pl

    from metier.types import Roles

    frame = pl.DataFrame({"x": [0.0, 1.0] * 20, "label": ["a", "b"] * 20})
    table = Table(frame, Roles({"x": "number"}, target=("label",)))
    return Problem(build("binary", table), table), Run(Cache())
