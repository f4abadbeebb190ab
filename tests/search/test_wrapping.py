"""Wrappers by name: what is wrapped is found, built, searched and settled as if it stood alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from metier import registry
from metier.errors import OptionError
from metier.search.ladder import rungs
from metier.search.recipe import Recipe, settle
from metier.search.wrapping import build, default, innermost, ranges, unwrap
from metier.space import Float, Int, tune
from metier.types import Form, Modality, Problem, Roles, Run, Specialist, Strategy


@dataclass(frozen=True)
class Inside:
    rate: float = tune(0.1, Float(0.01, 1.0))
    epochs: int = tune(4, Int(1, 9))
    accepts: ClassVar[tuple[Form, ...]] = ("source",)
    gives: ClassVar[Form] = "net"
    modalities: ClassVar[tuple[Modality, ...]] = ("text",)

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        return start

    def settled(self, notes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {"epochs": max(each["epochs"] for each in notes)}


@dataclass(frozen=True)
class Around:
    inner: Strategy | None = None
    rate: float = tune(0.5, Float(0.1, 1.0))
    accepts: ClassVar[tuple[Form, ...]] = ("source",)
    gives: ClassVar[Form] = "net"
    modalities: ClassVar[tuple[Modality, ...]] = ("text",)

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        return start


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, kind in (("inside", Inside), ("around", Around)):
        monkeypatch.setitem(registry.BUILT_IN["strategies"], name, f"{__name__}:{kind.__name__}")


def test_each_wrapper_gets_its_own_parameters() -> None:
    built: Any = build(
        "around(around(inside))", {"rate": 0.2, "inner.rate": 0.3, "inner.inner.rate": 0.4}
    )
    assert (built.rate, built.inner.rate, built.inner.inner.rate) == (0.2, 0.3, 0.4)
    assert isinstance(built.inner.inner, Inside)


def test_what_is_wrapped_is_searched_too() -> None:
    assert list(ranges("around(inside)")) == ["rate", "inner.rate", "inner.epochs"]
    assert default("around(inside)", "inner.epochs") == 4 and default("around", "rate") == 0.5
    assert innermost("around(inside)", {"rate": 1, "inner.rate": 2}) == ("inside", {"rate": 2})


def test_what_the_folds_found_out_settles_what_is_wrapped() -> None:
    recipe = Recipe("around(inside)", "a", {"rate": 0.2, "inner.epochs": 9})
    assert settle(recipe, [{"epochs": 3}, {"epochs": 5}]).parameters == {
        "rate": 0.2,
        "inner.epochs": 5,
    }


@pytest.mark.parametrize("name", ["around(inside", "around)inside(", "(inside)", "around()"])
def test_brackets_that_do_not_match_are_refused(name: str) -> None:
    with pytest.raises(OptionError, match="each bracket closed"):
        unwrap(name)


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("inside(around)", {}, "wraps no other"),
        ("around(insde)", {}, "did you mean 'inside'"),
        ("around(inside)", {"inner.rat": 1}, "inside has no parameter 'rat' .did you mean 'rate'"),
        ("around", {"inner.rate": 1}, "name what it wraps"),
        ("around(inside)", {"inner": 1}, "no parameter 'inner'"),
    ],
)
def test_what_cannot_be_built_is_refused(name: str, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        build(name, parameters)


def test_the_ladder_wraps_its_own_rungs() -> None:
    text = Roles({"text": "text"})
    (rung,) = rungs(text, "binary", ["small"], ["around(finetune-top)"])[3:]
    assert rung.name == "around(finetune-top)" and rung.strategy == "around(finetune)"
    assert rung.fixed == {"inner.train": "top"} and "inner.train" not in rung.space
    assert rung.defaults.keys() == rung.space.keys() >= {"rate", "inner.rate"}
    assert rungs(text, "binary", ["small"], ["around"])[3:] == [rung]
    twice = rungs(text, "binary", ["small"], ["around(around(inside))"])[3]
    assert twice.strategy == "around(around(inside))"
    with pytest.raises(OptionError, match="works on text"):
        rungs(Roles({"x": "number"}), "binary", ["lightgbm"], ["around(boost)"])
    with pytest.raises(OptionError, match="wraps no other"):
        rungs(text, "binary", ["small"], ["lora(inside)"])
