"""Integrated gradients: they sum to the answer, and each word and region gets what is its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import ByteLevel, Metaspace
from tokenizers.processors import TemplateProcessing

from metier.cache import Cache
from metier.errors import OptionError
from metier.evidence.explanations.players import Game, Target, parts_of
from metier.evidence.explanations.regions import seen_by
from metier.runtime.postprocess import Decision
from metier.strategies.classical import Classical
from metier.strategies.finetune import Finetune
from metier.strategies.probe import Probe
from metier.tasks import build
from metier.training.gradients import Gradients, gradients_of
from metier.types import Problem, Run, Specialist, Strategy, Table

pytest.importorskip("captum")
Tables = Callable[..., Table]


def learned(source: Any, table: Table, strategy: Strategy | None = None) -> Specialist:
    task = build("multiclass", table)
    strategy = strategy or Probe()
    return strategy(Specialist(source, task), Problem(task, table), Run(Cache()))


def game_of(specialist: Specialist, table: Table, row: int) -> Game:
    model: Any = specialist.model
    look = seen_by(model.preprocess)[1]
    parts = parts_of(table.columns(), row, table.roles.inputs, [row], look)
    decision = Decision("multiclass", specialist.task.labels)
    which = int(specialist.scores(table.take([row]))[0].argmax())
    return Game(row, parts, lambda c: np.zeros((0, 0)), Target(decision, which))


@pytest.mark.parametrize("name", ["bert", "roberta", "long", "vit", "mobilenet"])
def test_the_shares_sum_to_what_the_answer_moves_by(
    name: str, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources[name]
    table = tiny_table(source, 30)
    specialist = learned(source, table)
    explain = replace(gradients_of(specialist.model), steps=64)
    for row in range(2):
        game = game_of(specialist, table, row)
        found = explain(game)
        margin = game.target.margin(specialist.scores(table.take([row])))[0]
        assert found.output == pytest.approx(margin, abs=1e-4)
        assert found.values.shape == (len(game),) and np.isfinite(found.values).all()
        # A random net of ReLU6 is so jagged on the way that the sum is off, and said so.
        assert found.holds == (found.error <= 0.05) and (found.holds or name == "mobilenet")
        if source.modality == "image":
            assert found.pixels is not None
            assert found.pixels.sum() == pytest.approx(found.values.sum(), abs=1e-5)


def test_the_same_is_found_again_and_the_net_is_left_as_it_was(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    table = tiny_table(tiny_sources["bert"], 30)
    specialist = learned(tiny_sources["bert"], table, Finetune(epochs=1.0))
    explain, game = gradients_of(specialist.model), game_of(specialist, table, 0)
    before = specialist.scores(table)
    one, other = explain(game, 0), explain(game, 1)
    assert (one.values == other.values).all() and not explain.drawn
    assert (specialist.scores(table) == before).all()


def test_two_columns_of_text_each_get_their_own_words(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    import polars as pl

    source = tiny_sources["bert"]
    table = tiny_table(source, 30)
    frame = table.frame.with_columns(title=pl.lit("refund now"))
    inputs: Any = {"title": "text", "text": "text"}
    both = replace(table, frame=frame, roles=replace(table.roles, inputs=inputs))
    specialist = learned(source, both)
    game = game_of(specialist, both, 1)
    found = gradients_of(specialist.model)(game)
    assert [player.name for player in game.players[:2]] == ["refund", "now"]
    words = dict(zip([p.name for p in game.players], found.values.tolist(), strict=True))
    assert abs(words["refund"]) > 0 and found.values[2:].any()


@pytest.mark.parametrize(
    ("mark", "divide"),
    [("▁", Metaspace()), ("Ġ", ByteLevel(add_prefix_space=True))],
)
def test_a_word_keeps_its_share_where_tokens_begin_with_the_blank_before_it(
    mark: str, divide: Any, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    table = tiny_table(tiny_sources["bert"], 30)
    specialist = learned(tiny_sources["bert"], table)
    model: Any = specialist.model
    game = game_of(specialist, table, 0)
    wanted = Gradients(model)(game)
    told = json.loads(model.preprocess.tokenizer)
    vocabulary = {
        word if word.startswith("[") else mark + word: number
        for word, number in told["model"]["vocab"].items()
    }
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = divide
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    reads = replace(model.preprocess, tokenizer=tokenizer.to_str().encode())
    found = Gradients(replace(model, preprocess=reads))(game)
    assert len(found.values) > 1 and np.count_nonzero(found.values) == len(found.values)
    np.testing.assert_allclose(found.values, wanted.values, atol=1e-6)


def test_what_is_no_network_is_refused(tiny_sources: dict[str, Any], tiny_table: Tables) -> None:
    source = tiny_sources["bert"]
    counted = learned(source, tiny_table(source, 30), Classical())
    for model in (counted.model, None):
        with pytest.raises(OptionError, match="needs the weights of a network"):
            gradients_of(model)
    assert isinstance(gradients_of(learned(source, tiny_table(source, 30)).model), Gradients)
