"""Constraints while learning: on trees and linear models by costs, on networks by a penalty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from metier.errors import ChainError
from metier.strategies.boost import Boost
from metier.strategies.constrain import Constrain
from metier.strategies.contrast import Contrast
from metier.strategies.finetune import Finetune
from metier.strategies.linear import Linear
from metier.tasks import build
from metier.types import Kind, Roles, Specialist

from .people import apart, people


@pytest.mark.parametrize("inner", [Linear(), Boost(bags=1, trees=60)])
@pytest.mark.parametrize("kind", ["parity", "odds"])
def test_groups_come_closer_the_harder_it_presses(
    inner: Any, kind: Any, learn: Callable[..., Specialist]
) -> None:
    pytest.importorskip("fairlearn")
    table, others = people(), people(2000, seed=9)
    task = build("binary", table)
    found = [
        apart(learn(strategy, table, "binary"), task, others, kind)
        for strategy in (
            inner,
            Constrain(inner, strength=0.4, disparity=kind),
            Constrain(inner, strength=1.0, disparity=kind),
        )
    ]
    assert found[1] < found[0] and found[2] < 0.6 * found[0]
    assert kind == "odds" or found[2] < found[1]


def test_the_same_seed_gives_the_same_model(learn: Callable[..., Specialist]) -> None:
    pytest.importorskip("fairlearn")
    table = people(300)
    one, two = (learn(Constrain(Linear()), table, "binary", seed=3).scores(table) for _ in "ab")
    assert (one == two).all()


def test_a_network_is_pressed_by_a_penalty(
    learn: Callable[..., Specialist], tiny_sources: dict[str, Any]
) -> None:
    table = people(400)
    inputs: dict[str, Kind] = {"text": "text"}
    words = {"tall": "card", "small": "lost", "strong": "invoice", "weak": "refund"}
    random = np.random.default_rng(0)
    # Texts differ: rows of equal content would be one row to the penalty.
    texts = [
        " ".join([*(words[w] for w in t.split()), *random.choice(["my", "is", "now", "help"], 6)])
        for t in table.frame["text"].to_list()
    ]
    frame = table.frame.with_columns(text=np.array(texts))
    table = replace(table, frame=frame, roles=Roles(inputs, ("hired",), sensitive=("sex",)))
    task = build("binary", table)
    inner = Finetune(epochs=4, patience=0, train="all", rate=1e-3)
    given: dict[str, Any] = {"source": tiny_sources["bert"]}
    plain = learn(inner, table, "binary", **given)
    pressed = learn(Constrain(inner, strength=3.0, disparity="parity"), table, "binary", **given)
    assert apart(plain, task, table) > 0.2
    assert apart(pressed, task, table) < 0.7 * apart(plain, task, table)
    assert pressed.lineage[0].notes["epochs"] > 0


def test_more_than_two_classes_are_refused(learn: Callable[..., Specialist]) -> None:
    table = people(120)
    labels = np.array(["a", "b", "c"])[np.arange(120) % 3]
    three = replace(table, frame=table.frame.with_columns(hired=labels))
    with pytest.raises(ChainError, match="two classes: use reweigh"):
        learn(Constrain(Linear()), three, "multiclass")


def test_what_fits_its_head_at_the_end_is_refused(learn: Callable[..., Specialist]) -> None:
    with pytest.raises(ChainError, match="no head until its features have learned: use reweigh"):
        learn(Constrain(Contrast()), people(120), "binary")
