"""Text features against sentence-transformers, and against transformers done at length."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metier.cache import Cache
from metier.errors import SourceError
from metier.sources.text import TextSource, open_text
from metier.training.feed import Feed
from metier.types import Roles, Table
from tests.tiny import save_tokenizer

MESSY = [
    "I lost my card!",
    "",
    "ok",
    "Ünïcödé – “quotes” and 漢字 and 🙂",
    "The same word again. " * 200,
    "a\nb\tc   d",
    "My invoice of 3 March shows 12,50 EUR twice; please refund one of them.",
]


def features(source: TextSource, texts: list[str]) -> np.ndarray[Any, Any]:
    import polars as pl

    table = Table(pl.DataFrame({"text": texts}), Roles(inputs={"text": "text"}))
    return Feed(source.load(), source.preprocess(["text"]), table, Cache()).features()


def as_sentence_transformer(folder: Path, mode: str, normalise: bool, limit: int = 12) -> Path:
    """Add the files that make a directory one of sentence-transformers."""
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    if normalise:
        modules.append(("2_Normalize", "Normalize"))
    listing = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(listing))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    pooling = {
        "word_embedding_dimension": 32,
        "pooling_mode_cls_token": mode == "cls",
        "pooling_mode_mean_tokens": mode == "mean",
        "pooling_mode_max_tokens": mode == "max",
    }
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    limits = {"max_seq_length": limit, "do_lower_case": False}
    (folder / "sentence_bert_config.json").write_text(json.dumps(limits))
    return folder


def test_the_embedded_model_is_read_as_sentence_transformers_reads_it(embedded: str):
    library = pytest.importorskip("sentence_transformers", reason="to compare with, not to run")
    source = open_text(embedded)
    assert source.max_length == 256
    assert source.pooling == ("mean", True)
    peer = library.SentenceTransformer(str(source.folder), device="cpu")
    wanted = peer.encode(MESSY, convert_to_numpy=True)
    np.testing.assert_allclose(features(source, MESSY), wanted, atol=1e-5)


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("mode", ["mean", "cls", "max"])
def test_pooling_is_what_the_files_ask_for(
    bert: Path, tmp_path: Path, texts: Table, mode: str, normalise: bool
):
    library = pytest.importorskip("sentence_transformers", reason="to compare with, not to run")
    folder = shutil.copytree(bert, tmp_path / "model")
    as_sentence_transformer(folder, mode, normalise)
    rows = texts.frame["text"].to_list()
    wanted = library.SentenceTransformer(str(folder), device="cpu").encode(rows)
    np.testing.assert_allclose(features(open_text(str(folder)), rows), wanted, atol=1e-5)


@pytest.mark.parametrize("before", [None, "NFKC", "Sequence", "Lowercase"])
def test_small_letters_are_read_where_the_files_ask_for_them(
    bert: Path, tmp_path: Path, before: str | None
):
    library = pytest.importorskip("sentence_transformers", reason="to compare with, not to run")
    folder = shutil.copytree(bert, tmp_path / "model")
    as_sentence_transformer(folder, "mean", False)
    (folder / "sentence_bert_config.json").write_text(
        json.dumps({"max_seq_length": 12, "do_lower_case": True})
    )
    kept = json.loads((folder / "tokenizer.json").read_text())
    inner = {"normalizers": [{"type": "NFC"}]} if before == "Sequence" else {}
    kept["normalizer"] = None if before is None else {"type": before, **inner}
    (folder / "tokenizer.json").write_text(json.dumps(kept))
    rows = ["My CARD is Lost", "my card is lost"]
    found = features(open_text(str(folder)), rows)
    wanted = library.SentenceTransformer(str(folder), device="cpu").encode(rows)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    np.testing.assert_array_equal(found[0], found[1])


def test_a_plain_encoder_is_averaged_over_its_tokens(bert: Path, texts: Table):
    from transformers import AutoModel, AutoTokenizer

    rows = texts.frame["text"].to_list()
    tokenizer, model = AutoTokenizer.from_pretrained(bert), AutoModel.from_pretrained(bert).eval()
    wanted = []
    for row in rows:
        ids = tokenizer(row, truncation=True, return_tensors="pt")
        with torch.no_grad():
            wanted.append(model(**ids).last_hidden_state[0].mean(dim=0).numpy())
    np.testing.assert_allclose(features(open_text(str(bert)), rows), np.stack(wanted), atol=1e-5)


def test_features_do_not_depend_on_the_company(embedded: str):
    source = open_text(embedded)
    together = features(source, MESSY)
    alone = np.concatenate([features(source, [text]) for text in MESSY])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(features(source, MESSY[::-1]), together[::-1], atol=1e-5)


def test_features_of_a_random_encoder_do_not_depend_on_the_company(bert: Path, texts: Table):
    source, rows = open_text(str(bert)), texts.frame["text"].to_list()
    alone = np.concatenate([features(source, [text]) for text in rows])
    np.testing.assert_allclose(features(source, rows), alone, atol=1e-5)


def test_a_long_text_read_in_windows_is_the_mean_of_its_windows(bert: Path):
    source = open_text(str(bert), windows="pool")
    words = ["card", "lost", "refund", "now", "help"] * 14  # two windows of 30 words and 10 more
    found = features(source, [" ".join(words), "card"])
    parts = [" ".join(words[start : start + 30]) for start in (0, 30, 60)]
    each = features(open_text(str(bert)), parts)
    weights = np.array([32, 32, 12]) / 76  # tokens, special ones included
    np.testing.assert_allclose(found[0], weights @ each, atol=1e-5)
    np.testing.assert_allclose(found[1], features(open_text(str(bert)), ["card"])[0], atol=1e-5)


def test_a_long_text_is_cut_at_the_limit(bert: Path):
    source = open_text(str(bert))
    assert source.max_length == 32
    words = ["card", "lost"] * 50
    found = features(source, [" ".join(words), " ".join(words[:30])])
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_two_columns_become_one_text(bert: Path):
    import polars as pl

    source = open_text(str(bert))
    frame = pl.DataFrame({"subject": ["card", "refund"], "body": ["my card is lost", "now"]})
    table = Table(frame, Roles(inputs={"subject": "text", "body": "text"}))
    found = Feed(source.load(), source.preprocess(["subject", "body"]), table, Cache()).features()
    joined = features(source, ["card : my card is lost", "refund : now"])
    np.testing.assert_allclose(found, joined, atol=1e-5)


def test_the_same_weights_are_shared_and_random_ones_follow_the_seed(bert: Path):
    source = open_text(str(bert))
    assert source.load() is source.load()
    one, same, other = (source.load(pretrained=False, seed=seed) for seed in (1, 1, 2))
    weights = [next(b.parameters()) for b in (one, same, other, source.load())]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[3])


def test_a_layer_that_would_change_features_is_refused(bert: Path, tmp_path: Path):
    folder = shutil.copytree(bert, tmp_path / "model")
    as_sentence_transformer(folder, "mean", False)
    listing = json.loads((folder / "modules.json").read_text())
    listing.append({"idx": 2, "path": "2_Dense", "type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(listing))
    with pytest.raises(SourceError, match=r"Dense.*remove modules\.json"):
        open_text(str(folder)).load()


def test_an_encoder_without_a_tokenizer_is_refused(bert: Path, tmp_path: Path):
    folder = shutil.copytree(bert, tmp_path / "model")
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(SourceError, match="no usable tokenizer"):
        open_text(str(folder)).preprocess(["text"])


def encoder_of(folder: Path, kind: str, longest: int = 32, **settings: Any) -> TextSource:
    """A small encoder of an architecture, with the tokenizer of whole words."""
    from transformers import AutoConfig, AutoModel

    words = save_tokenizer(folder, longest)
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{"vocab_size": words, **settings})
    AutoModel.from_config(config).save_pretrained(folder)
    return open_text(str(folder))


NARROW = {
    "hidden_size": 16,
    "embedding_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "max_position_embeddings": 32,
}


@pytest.mark.parametrize("kind", ["squeezebert", "layoutlm"])
def test_a_pass_that_needs_its_pooler_keeps_it(kind: str, tmp_path: Path):
    groups = {f"{part}_groups": 1 for part in ("q", "k", "v", "post_attention", "intermediate")}
    source = encoder_of(tmp_path, kind, **NARROW, **groups, output_groups=1)
    assert np.isfinite(features(source, ["my card is lost"])).all()


def test_an_architecture_that_does_not_run_on_texts_alone_is_refused(tmp_path: Path):
    small = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 2, "num_heads": 2}
    source = encoder_of(tmp_path, "t5", **small)
    with pytest.raises(SourceError, match="does not run on texts alone") as told:
        source.load()
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("pad", [1, 3])
@pytest.mark.parametrize("kind", ["data2vec-text", "esm", "roberta-prelayernorm"])
def test_positions_that_begin_after_the_padding_index_are_not_run_out_of(
    kind: str, pad: int, tmp_path: Path
):
    source = encoder_of(tmp_path, kind, 10**9, **NARROW, pad_token_id=pad)
    assert source.max_length == 32 - 1 - pad
    assert np.isfinite(features(source, ["card lost " * 40])).all()
