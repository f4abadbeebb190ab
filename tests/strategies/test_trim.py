"""A trimmed net says what it said, with fewer tokens; a factored table is really smaller."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from metier.cache import Cache
from metier.errors import ChainError
from metier.sources.factored import Factored
from metier.sources.text import TextSource, open_text
from metier.strategies.chain import Chain
from metier.strategies.finetune import Finetune
from metier.strategies.fuse import Fuse
from metier.strategies.linear import Linear
from metier.strategies.lora import Lora
from metier.strategies.probe import Probe
from metier.strategies.trim import Trim
from metier.tasks import build
from metier.training.net import NetModel
from metier.training.start import feed_for
from metier.training.vocabulary import compacted
from metier.types import Floats, Problem, Run, Specialist, Strategy, Table
from tests import tiny
from tests.training.compression.test_lexicon import LINES, word_piece

Tables = Callable[..., Table]
ByGraph = Callable[[Specialist, Table], Floats]


def net_of(specialist: Specialist) -> NetModel:
    assert isinstance(specialist.model, NetModel)
    return specialist.model


def table_of(specialist: Specialist) -> Any:
    encoder: Any = net_of(specialist).net.backbone.model
    return encoder.get_input_embeddings()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> TextSource:
    """A two-block BERT whose tokenizer knows pieces of words."""
    folder = tmp_path_factory.mktemp("pieces")
    made: Tokenizer = word_piece()
    PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="[UNK]", pad_token="[PAD]", model_max_length=40
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=made.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=40,
        initializer_range=0.3,
    )
    BertModel(config).save_pretrained(folder)
    return open_text(str(folder))


@pytest.fixture(scope="module")
def rows() -> Table:
    """Texts with no word that only one of them has."""
    words = [f"the {a} is {b}" for a in ("card", "invoice", "shop") for b in ("lost", "wrong")] * 4
    return tiny.text_table(words, target=[text.split()[1] for text in words])


def learned(source: Any, table: Table) -> tuple[Specialist, Problem]:
    task = build("multiclass", table)
    problem = Problem(task, table)
    return Probe()(Specialist(source, task), problem, Run(Cache())), problem


def trimmed(start: Specialist, problem: Problem, **settings: Any) -> Specialist:
    return Trim(**settings)(start, problem, Run(Cache()))


def test_what_is_kept_is_said_as_before(source: TextSource, rows: Table, by_graph: ByGraph) -> None:
    start, problem = learned(source, rows)
    small = trimmed(start, problem)
    before, after = table_of(start), table_of(small)
    assert len(after.weight) < len(before.weight) and after.padding_idx == before.padding_idx
    np.testing.assert_allclose(small.scores(rows), start.scores(rows), atol=1e-5)
    np.testing.assert_allclose(by_graph(small, rows), start.scores(rows), atol=1e-4)
    known = tiny.text_table(["the invoice is lost, the card is wrong", "is is", ""])
    np.testing.assert_allclose(small.scores(known), start.scores(known), atol=1e-5)
    new = tiny.text_table([*LINES, "Zwölf Boxkämpfer", "\u4f60\u597d"])
    assert np.isfinite(small.scores(new)).all()
    notes = small.lineage[-1].notes
    assert notes["tokens"] == len(after.weight) and notes["of"] == len(before.weight)
    config: Any = net_of(small).net.backbone.model.config
    assert config.vocab_size == len(after.weight)


def test_words_that_one_row_has_keep_general_language(source: TextSource, rows: Table) -> None:
    one_more = Table(
        pl.concat([rows.frame, pl.DataFrame({"text": [LINES[4]], "target": ["card"]})]), rows.roles
    )
    sizes = []
    for table in (rows, one_more):
        start, problem = learned(source, table)
        sizes += [
            trimmed(start, problem, gone=gone).lineage[-1].notes["tokens"]
            for gone in (0.5, 0.05, 0.001)
        ]
    assert sizes[0] == sizes[1] == sizes[2], "no row of these tells of words yet unseen"
    assert sizes[3] < sizes[4] < sizes[5]


def test_rare_tokens_may_go(source: TextSource, rows: Table) -> None:
    start, problem = learned(source, rows)
    assert (
        trimmed(start, problem, least=100, gone=1.0).lineage[-1].notes["tokens"]
        < trimmed(start, problem, gone=1.0).lineage[-1].notes["tokens"]
    )


def test_a_factored_table_is_smaller_and_nearly_says_the_same(
    source: TextSource, rows: Table, by_graph: ByGraph
) -> None:
    start, problem = learned(source, rows)
    whole = trimmed(start, problem)
    small = trimmed(start, problem, rank=16)
    table = table_of(small)
    assert isinstance(table, Factored) and table.embedding_dim == 32
    saved = len(table.rows.weight) * (32 - 16) - 16 * 32
    assert net_of(whole).parameters - net_of(small).parameters == saved > 0
    np.testing.assert_allclose(by_graph(small, rows), small.scores(rows), atol=1e-4)
    size = [s.model.graph().ByteSize() for s in (whole, small) if s.model is not None]
    assert size[1] < size[0]
    far = np.abs(small.scores(rows) - whole.scores(rows)).mean()
    rough = np.abs(trimmed(start, problem, rank=4).scores(rows) - whole.scores(rows)).mean()
    assert far < rough
    again = trimmed(small, problem, rank=8)
    assert table_of(again).rows.weight.shape[1] == 8
    with pytest.raises(ChainError, match="rank 32 saves nothing"):
        trimmed(start, problem, rank=32)


@pytest.mark.parametrize("rank", [0, 16])
@pytest.mark.parametrize(
    "then", [Finetune(train="all", epochs=2, rate=1e-2), Lora(epochs=1), Probe(), Trim(gone=0.02)]
)
def test_what_was_trimmed_goes_on(
    then: Strategy, rank: int, source: TextSource, rows: Table
) -> None:
    start, problem = learned(source, rows)
    small = trimmed(start, problem, rank=rank)
    before = small.scores(rows)
    after = Chain((Trim(rank=rank), then))(start, problem, Run(Cache()))
    assert (small.scores(rows) == before).all()
    assert np.isfinite(after.scores(rows)).all()
    if isinstance(then, Finetune):
        name = "rows.weight" if rank else "weight"
        weights = [dict(table_of(s).named_parameters())[name] for s in (small, after)]
        assert not torch.equal(*weights)


def test_training_sees_only_the_rows_in_use_of_a_factored_table(
    source: TextSource, rows: Table
) -> None:
    start, problem = learned(source, rows)
    small = net_of(trimmed(start, problem, rank=16))
    feed = feed_for(small, rows, Run(Cache()))
    encoder: Any = small.net.backbone.model
    factored = encoder.get_input_embeddings()
    factored.requires_grad_(True)
    whole = len(factored.rows.weight)
    inputs = feed.inputs(np.arange(4))
    with torch.no_grad():
        wanted = small.net(inputs)
        with compacted(small.net, [feed]):
            assert len(factored.rows.weight) < whole
            torch.testing.assert_close(small.net(inputs), wanted)
    assert len(factored.rows.weight) == whole


@pytest.mark.parametrize("name", ["bert", "long", "roberta"])
def test_other_networks_and_tokenizers(
    name: str, tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    table = tiny_table(tiny_sources[name], 40, "multiclass")
    start, problem = learned(tiny_sources[name], table)
    small = trimmed(start, problem)
    assert len(table_of(small).weight) < len(table_of(start).weight) - 10
    np.testing.assert_allclose(small.scores(table), start.scores(table), atol=1e-5)
    assert table_of(small).padding_idx == table_of(start).padding_idx


def test_what_reads_no_text_is_refused(tiny_sources: dict[str, Any], tiny_table: Tables) -> None:
    table = tiny_table(tiny_sources["vit"], 20, "multiclass")
    start, problem = learned(tiny_sources["vit"], table)
    with pytest.raises(ChainError, match="reads text"):
        trimmed(start, problem)
    table = tiny_table(tiny_sources["bert"], 20, "multiclass")
    fused = Fuse(Linear(strength=1.0))(
        Specialist(tiny_sources["bert"], build("multiclass", table)),
        Problem(build("multiclass", table), table),
        Run(Cache()),
    )
    with pytest.raises(ChainError, match="reads text"):
        trimmed(fused, problem)
