"""Cut tokenizers read what they know as before, and spell out what they do not know."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from metier.errors import ChainError
from metier.training.compression.lexicon import Lexicon

LINES = [
    "the card was lost on the way to the shop and nobody found the card",
    "my invoice is wrong, please send me another invoice before monday",
    "the shopkeeper refunded the lost invoices without another word",
    "where is the refund that was promised to me on the card statement",
    "nobody answers, nobody refunds, and the statement is wrong again",
] * 4
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def word_piece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=150, special_tokens=[*SPECIAL, "[unused0]"], show_progress=False
    )
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return tokenizer


def byte_pairs() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.add_special_tokens(["<mask>"])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


def prefixed_pairs() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", continuing_subword_prefix="##"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=200,
        special_tokens=SPECIAL,
        continuing_subword_prefix="##",
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=90,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.add_special_tokens(["<mask>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def words() -> Tokenizer:
    known = [*SPECIAL, *dict.fromkeys(" ".join(LINES).replace(",", " ").split())]
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(known)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


KINDS = [word_piece, byte_pairs, prefixed_pairs, unigram, words]
Make = Callable[[], Tokenizer]


def cut_to(made: Tokenizer, lines: list[str]) -> tuple[Tokenizer, np.ndarray, Lexicon]:
    """A tokenizer with no more than some lines need."""
    lexicon = Lexicon(made.to_str().encode())
    used = np.unique([i for line in lines for i in made.encode(line).ids])
    wanted = lexicon.closed(np.concatenate([lexicon.indispensable, used]))
    content, kept = lexicon.cut(wanted)
    return Tokenizer.from_buffer(content), kept, lexicon


@pytest.mark.parametrize("make", KINDS)
def test_what_is_known_is_read_as_before(make: Make) -> None:
    made = make()
    lines = LINES[:2]
    smaller, kept, _ = cut_to(made, lines)
    assert len(kept) < made.get_vocab_size()
    for line in [*lines, "the invoice is lost", "another card, please", ""]:
        before, after = made.encode(line), smaller.encode(line)
        if set(before.ids) <= set(kept.tolist()):
            assert kept[after.ids].tolist() == before.ids
            assert after.tokens == before.tokens and after.type_ids == before.type_ids
    assert all(kept[smaller.encode(line).ids].tolist() == made.encode(line).ids for line in lines)


@pytest.mark.parametrize("make", KINDS[:-1])
def test_what_is_not_known_is_spelt_out(make: Make) -> None:
    made = make()
    smaller, kept, lexicon = cut_to(made, LINES[:1])
    line = "refunded statement"
    assert not set(made.encode(line).ids) <= set(kept.tolist())
    names = {new: token for token, new in smaller.get_vocab().items()}
    unknown = {lexicon.ids[name] for name in ("[UNK]", "<unk>") if name in lexicon.ids}
    found = smaller.encode(line).ids
    assert not {int(i) for i in kept[found]} & unknown
    spelt = "".join(names[i] for i in found)
    for mark in ("##", "[CLS]", "[SEP]", "<s>", "</s>", "▁", "Ġ"):
        spelt = spelt.replace(mark, "")
    assert spelt == line.replace(" ", "")


@pytest.mark.parametrize("make", KINDS)
def test_everything_kept_is_the_same_tokenizer(make: Make) -> None:
    made = make()
    lexicon = Lexicon(made.to_str().encode())
    content, kept = lexicon.cut(np.arange(made.get_vocab_size()))
    assert kept.tolist() == list(range(made.get_vocab_size()))
    assert Tokenizer.from_buffer(content).get_vocab() == made.get_vocab()
    for line in LINES:
        assert Tokenizer.from_buffer(content).encode(line).ids == made.encode(line).ids


def test_places_that_were_left_free_are_no_language() -> None:
    lexicon = Lexicon(word_piece().to_str().encode())
    assert lexicon.ids["[unused0]"] not in lexicon.by_frequency
    assert lexicon.ids["the"] in lexicon.by_frequency


def test_a_likely_token_of_a_unigram_tokenizer_comes_first() -> None:
    made = unigram()
    lexicon = Lexicon(made.to_str().encode())
    scores = dict(json.loads(lexicon.content)["model"]["vocab"])
    names = {i: token for token, i in lexicon.ids.items()}
    found = [scores[names[int(i)]] for i in lexicon.by_frequency]
    assert found == sorted(found, reverse=True)


def test_pairs_written_as_one_string_are_read() -> None:
    made = byte_pairs()
    settings = json.loads(made.to_str())
    settings["model"]["merges"] = [" ".join(pair) for pair in settings["model"]["merges"]]
    older = Lexicon(json.dumps(settings).encode())
    newer = Lexicon(made.to_str().encode())
    some = np.arange(300, 320)
    assert older.closed(some).tolist() == newer.closed(some).tolist()
    assert len(newer.closed(some)) > len(some)


def test_what_cannot_be_cut_says_so() -> None:
    settings = json.loads(words().to_str())
    settings["model"]["type"] = "Novel"
    with pytest.raises(ChainError, match="of kind Novel"):
        Lexicon(json.dumps(settings).encode())
