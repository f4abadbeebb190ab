"""Chains that make a specialist smaller, and recipes that end in them."""

from __future__ import annotations

import pytest

from metier.errors import ChainError, OptionError
from metier.search.plans import NETS, plans
from metier.search.recipe import Recipe, Then, settle
from metier.types import Modality

TRIMS = ("", "(gone=0.02)", "(gone=0.04)")
"""How much of the vocabulary goes, gentle first."""


@pytest.mark.parametrize("modality", ["text", "image"])
def test_every_plan_for_a_net_can_be(modality: Modality) -> None:
    found = plans("net", modality)
    assert len(found) == len(NETS[modality])
    assert all(plan.build().gives == "graph" for plan in found)
    assert len({plan.name for plan in found}) == len(found)


def test_what_is_asked_for_is_what_is_tried() -> None:
    names = [plan.name for plan in plans("net", "text", ("trim", "quantize"))]
    assert names == ["quantize", *(f"trim{much} > quantize" for much in TRIMS)]
    assert [plan.name for plan in plans("net", "text", ("prune",))] == ["prune"]


def test_what_cannot_follow_is_refused() -> None:
    with pytest.raises(OptionError, match="unknown strategy"):
        plans("net", "text", ("shrink",))
    with pytest.raises(OptionError, match="takes"):
        plans("booster", "tabular", ("prune",))


def test_a_recipe_can_go_on() -> None:
    recipe = Recipe("finetune", "embedded", {"epochs": 2}).followed_by([Then("quantize")])
    assert recipe.called == "finetune > quantize"
    assert recipe.build().gives == "graph"
    assert Recipe.from_json(recipe.to_json()) == recipe
    with pytest.raises(ChainError, match="cannot follow"):
        Recipe("boost", "lightgbm").followed_by([Then("prune")]).build()


def test_each_step_of_a_chain_is_settled_by_its_own_notes() -> None:
    recipe = Recipe("finetune", "embedded").followed_by([Then("distill"), Then("quantize")])
    first, second = ({"epochs": 2.0}, {"epochs": 5.0})
    frozen = settle(recipe, [{"chain": [first, second, {}], **first}])
    assert frozen.parameters["epochs"] == 2.0
    assert frozen.then[0].parameters["epochs"] == 5.0
    assert frozen.then[1] == Then("quantize")


def test_an_outline_cuts_without_training() -> None:
    found = plans("net", "text", ("distill", "trim", "quantize"))
    plan = next(each for each in found if each.trains)
    assert plan.cuts and not found[0].trains and not found[0].cuts
    assert found[1].cuts and not found[1].trains
    assert [step.strategy for step in plan.cutting] == ["distill", "trim"]
    assert [step.strategy for step in plan.ending] == ["quantize"]
    first, second = plan.outlines()
    assert first.few and not second.few
    assert first.strategy.epochs == 0
    assert first.strategy.blocks == 0.67 == plan.cutting[0].parameters["blocks"]
    assert [first.name, second.name] == ["distill(blocks=0.67)", "distill(blocks=0.67) > trim"]
    assert second.strategy == plan.cutting[1].build()
