"""Text to token ids, in one window or in several, exactly as the model's own tokenizer does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from metier.runtime.preprocess import Arrays, Columns, Encoded, Example, Preprocess, joined_texts

FILE = "tokenizer.json"
ROWS_AT_A_TIME = 1024
CHARACTERS_A_TOKEN = 12


@dataclass(frozen=True)
class Frame:
    """What the tokenizer puts around a text: special tokens before and after, and token types."""

    head: list[int]
    tail: list[int]
    types: tuple[list[int], list[int], list[int]]


@dataclass(frozen=True)
class Text:
    """Text columns to windows of token ids.

    Several columns become one text (see `joined_texts`). A text of more than `max_length` tokens
    is cut (`windows="cut"`) or read in several windows (`windows="pool"`), whose features the graph
    averages with the weights in `assign`.

    Args:
        columns: the text columns, in order.
        tokenizer: content of a `tokenizer.json`; its own padding and truncation are ignored.
        max_length: tokens in a window, special ones included.
        windows: "cut" or "pool".
        overlap: tokens that neighbouring windows share ("pool").
        limit: windows read of one text at most ("pool"), so that one huge cell cannot stop a run.
        pad_id: the id that fills the shorter rows of a batch.
        inputs: the names that the graph takes, among input_ids, attention_mask, token_type_ids.

    Raises:
        ValueError: when a window leaves no room for text, or the overlap none to move on.
    """

    kind: ClassVar[str] = "text"

    columns: tuple[str, ...]
    tokenizer: bytes
    max_length: int
    windows: Literal["cut", "pool"] = "cut"
    overlap: int = 0
    limit: int = 16
    pad_id: int = 0
    inputs: tuple[str, ...] = ("input_ids", "attention_mask")

    def __post_init__(self) -> None:
        if self.room < 1:
            raise ValueError(f"max_length {self.max_length} leaves no room for text")
        if not 0 <= self.overlap < self.room:
            raise ValueError(f"overlap {self.overlap} must be from 0 to {self.room - 1}")

    @cached_property
    def _plain(self) -> Tokenizer:
        found: Tokenizer = Tokenizer.from_buffer(self.tokenizer)
        found.no_padding()
        found.no_truncation()
        return found

    @cached_property
    def frame(self) -> Frame:
        """What the tokenizer puts around every text."""
        probe = self._plain.encode("a")
        word = [i for i, special in enumerate(probe.special_tokens_mask) if not special]
        start, stop = (word[0], word[-1] + 1) if word else (len(probe.ids), len(probe.ids))
        return Frame(
            head=probe.ids[:start],
            tail=probe.ids[stop:],
            types=(probe.type_ids[:start], probe.type_ids[start:stop][:1], probe.type_ids[stop:]),
        )

    @property
    def room(self) -> int:
        """Tokens of text in one window, special tokens left out."""
        return self.max_length - len(self.frame.head) - len(self.frame.tail)

    @property
    def _most(self) -> int:
        """Tokens of one text that can be of any use."""
        if self.windows == "cut":
            return self.room
        return self.room + (self.limit - 1) * (self.room - self.overlap)

    def encode(self, columns: Columns) -> Encoded:
        """Return the windows of each row. Every row can be read: missing text is empty text."""
        texts = joined_texts(columns, self.columns)
        examples: list[Example | None] = []
        for start in range(0, len(texts), ROWS_AT_A_TIME):
            found = self._tokens(texts[start : start + ROWS_AT_A_TIME])
            examples.extend(self._windowed(tokens) for tokens in found)
        return Encoded(examples, {})

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        cut = self._most * CHARACTERS_A_TOKEN + 256
        short = [text if len(text) <= cut else "" for text in texts]
        encodings = self._plain.encode_batch_fast(short, add_special_tokens=False)
        return [
            encoding.ids if len(text) <= cut else self._tokens_of_long(text, cut)
            for text, encoding in zip(texts, encodings, strict=True)
        ]

    def _tokens_of_long(self, text: str, cut: int) -> list[int]:
        """Tokenise only as much of a long text as is needed, with the ids of the whole text.

        The word that the cut went through may come out differently, so the needed tokens must end
        before it; otherwise more of the text is read.
        """
        while True:
            encoding = self._plain.encode(text[:cut], add_special_tokens=False)
            words = encoding.word_ids
            enough = len(words) > self._most and words[self._most - 1] != words[-1]
            if enough or cut >= len(text):
                return list(encoding.ids[: self._most])
            cut *= 4

    def _windowed(self, tokens: list[int]) -> Example:
        head, tail = self.frame.head, self.frame.tail
        body = tokens[: self._most]
        step = self.room - self.overlap
        starts = range(0, max(len(body) - self.overlap, 1), step)
        windows = [head + body[start : start + self.room] + tail for start in starts]
        # A model without special tokens still needs one position for an empty text.
        return tuple(np.asarray(window or [self.pad_id], dtype=np.int64) for window in windows)

    def cost(self, example: Example) -> int:
        """Tokens of all windows of the row."""
        return sum(len(window) for window in example)

    def collate(self, examples: Sequence[Example]) -> Arrays:
        """Return `inputs`, int64 (windows, longest), and for "pool" also `assign`.

        `assign` is float32 (rows, windows). Each row sums to 1: a window weighs as much as it has
        tokens.
        """
        windows = [window for example in examples for window in example]
        lengths = np.array([len(window) for window in windows], dtype=np.int64)
        shape = (len(windows), int(lengths.max(initial=1)))
        ids = np.full(shape, self.pad_id, dtype=np.int64)
        for row, window in zip(ids, windows, strict=True):
            row[: len(window)] = window
        mask = (np.arange(shape[1]) < lengths[:, None]).astype(np.int64)
        arrays: Arrays = {"input_ids": ids, "attention_mask": mask}
        if "token_type_ids" in self.inputs:
            arrays["token_type_ids"] = self._token_types(lengths, shape)
        arrays = {name: arrays[name] for name in self.inputs}
        if self.windows == "pool":
            arrays["assign"] = _assignment(examples, lengths)
        return arrays

    def _token_types(self, lengths: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.int64]:
        before, middle, after = self.frame.types
        types = np.zeros(shape, dtype=np.int64)
        if any((*before, *middle, *after)):
            for row, length in zip(types, lengths, strict=True):
                row[:length] = middle[0] if middle else 0
                row[: len(before)] = before
                row[length - len(after) : length] = after
        return types

    def spec(self) -> dict[str, Any]:
        """Return the fields as JSON; the tokenizer lies in its own file."""
        return {
            "kind": self.kind,
            "columns": list(self.columns),
            "file": FILE,
            "max_length": self.max_length,
            "windows": self.windows,
            "overlap": self.overlap,
            "limit": self.limit,
            "pad_id": self.pad_id,
            "inputs": list(self.inputs),
        }

    def files(self) -> dict[str, bytes]:
        """Return the tokenizer without padding and truncation, so plain `tokenizers` agrees."""
        content = json.loads(self.tokenizer)
        content["padding"] = content["truncation"] = None
        return {FILE: json.dumps(content, ensure_ascii=False).encode()}


def _assignment(examples: Sequence[Example], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
    weights = np.zeros((len(examples), len(lengths)), dtype=np.float32)
    start = 0
    for row, example in zip(weights, examples, strict=True):
        stop = start + len(example)
        row[start:stop] = lengths[start:stop] / lengths[start:stop].sum()
        start = stop
    return weights


def restore(spec: Mapping[str, Any], folder: Path) -> Preprocess:
    """Build the preprocessor from its `spec()` and the folder that holds its tokenizer."""
    return Text(
        columns=tuple(spec["columns"]),
        tokenizer=(folder / FILE).read_bytes(),
        max_length=int(spec["max_length"]),
        windows=spec["windows"],
        overlap=int(spec["overlap"]),
        limit=int(spec["limit"]),
        pad_id=int(spec["pad_id"]),
        inputs=tuple(spec["inputs"]),
    )
