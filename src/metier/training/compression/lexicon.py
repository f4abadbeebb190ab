"""A `tokenizer.json` cut down to some of its tokens.

What is left splits a text into the same tokens as before, provided that all of them were kept:

- WordPiece (Schuster and Nakajima, 2012) takes the longest token that fits, and the longest of all
  is the longest of those left.
- BPE (Sennrich et al., 2016) joins pairs in a fixed order. With a token every pair on the way to it
  is kept, so the order of the joins stays.
- Unigram (Kudo, 2018) takes the likeliest split, and the likeliest of all is the likeliest of those
  left.

Characters are always kept, so that a word whose token is gone is spelt out in smaller ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from metier.errors import ChainError

Ids = NDArray[np.int64]
KINDS = ("WordPiece", "BPE", "Unigram", "WordLevel")
SPACE = "▁"
"""What SentencePiece writes for a blank."""
BYTE = re.compile(r"<0x[0-9A-F]{2}>")
RESERVED = re.compile(r"\[unused\d+\]|<unused\d+>|<extra_id_\d+>|madeupword\d+")
"""Names of places that were left free: no text becomes one of these."""


@dataclass(frozen=True)
class Lexicon:
    """The tokens of a tokenizer, and what each is needed for.

    Args:
        content: a `tokenizer.json`.

    Raises:
        ChainError: for a kind of tokenizer that cannot be cut.
    """

    content: bytes

    def __post_init__(self) -> None:
        kind = self._model.get("type")
        if kind not in KINDS:
            raise ChainError(
                f"trim cannot cut a tokenizer of kind {kind} (it can: {', '.join(KINDS)})"
            )

    @cached_property
    def _settings(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.content)
        return found

    @property
    def _model(self) -> dict[str, Any]:
        model: dict[str, Any] = self._settings["model"]
        return model

    @cached_property
    def ids(self) -> dict[str, int]:
        """The number of every token, added ones included."""
        found: dict[str, int] = Tokenizer.from_buffer(self.content).get_vocab()
        return found

    @cached_property
    def _own(self) -> dict[str, int]:
        """The tokens of the model itself, in their order."""
        if self._model["type"] == "Unigram":
            return {token: i for i, (token, _) in enumerate(self._model["vocab"])}
        return dict(sorted(self._model["vocab"].items(), key=lambda item: item[1]))

    @cached_property
    def indispensable(self) -> Ids:
        """Special and added tokens, and what any word can be spelt out in, ascending."""
        found = {self.ids[token["content"]] for token in self._settings["added_tokens"]}
        found |= {i for token, i in self._own.items() if BYTE.fullmatch(token)}
        found |= {self._own[token] for token in self._letters() if token in self._own}
        unknown = self._model.get("unk_token")
        if unknown in self._own:
            found.add(self._own[unknown])
        if self._model["type"] == "Unigram":
            if self._model.get("unk_id") is not None:
                found.add(int(self._model["unk_id"]))
            # What an unknown letter costs is counted from the unlikeliest token.
            found.add(int(np.argmin([score for _, score in self._model["vocab"]])))
        return np.array(sorted(found), dtype=np.int64)

    def _letters(self) -> Iterable[str]:
        kind = self._model["type"]
        if kind == "BPE":
            made = {a + self._tail(b) for a, b in self._merges}
            return [token for token in self._own if token not in made]
        if kind == "WordPiece":
            prefix = self._model["continuing_subword_prefix"]
            return [token for token in self._own if len(token.removeprefix(prefix)) == 1]
        if kind == "Unigram":
            return [t for t in self._own if t == SPACE or len(t.removeprefix(SPACE)) == 1]
        return []

    @cached_property
    def by_frequency(self) -> Ids:
        """Tokens that a text can have, the most frequent of general language first.

        Vocabularies are written down in about that order: WordPiece by how often a token was seen
        or joined, BPE in the order of its joins, Unigram by likelihood.
        """
        usable = [(t, i) for t, i in self._own.items() if not RESERVED.fullmatch(t)]
        if self._model["type"] == "Unigram":
            scores = [float(score) for _, score in self._model["vocab"]]
            usable.sort(key=lambda item: -scores[item[1]])
        return np.array([i for _, i in usable], dtype=np.int64)

    def closed(self, wanted: Ids) -> Ids:
        """Return the wanted tokens with all that leads to them, ascending."""
        if self._model["type"] != "BPE":
            return np.unique(wanted)
        ways: dict[str, list[str]] = {}
        for a, b in self._merges:
            ways.setdefault(a + self._tail(b), []).extend((a, b))
        names = {i: token for token, i in self._own.items()}
        found = {int(i) for i in wanted}
        waiting = [names[i] for i in found if i in names]
        while waiting:
            for part in ways.get(waiting.pop(), ()):
                if part in self._own and self._own[part] not in found:
                    found.add(self._own[part])
                    waiting.append(part)
        return np.array(sorted(found), dtype=np.int64)

    def cut(self, wanted: Ids) -> tuple[bytes, Ids]:
        """Return a tokenizer of the wanted tokens alone, and their numbers before, in the order of
        their new ones.

        The wanted ones have to be closed and to include the indispensable ones.

        Raises:
            ChainError: when the tokenizer numbers its tokens in a way that cannot be kept.
        """
        chosen = {int(i) for i in wanted}
        own = [(token, i) for token, i in self._own.items() if i in chosen]
        beside = sorted((i, t) for t, i in self.ids.items() if i in chosen and t not in self._own)
        places = {token: new for new, (token, _) in enumerate(own)}
        places |= {token: len(own) + k for k, (_, token) in enumerate(beside)}
        content = self._rewritten(places)
        if Tokenizer.from_buffer(content).get_vocab() != places:
            raise ChainError("trim cannot number the tokens of this tokenizer anew")
        return content, np.array([*(i for _, i in own), *(i for i, _ in beside)], dtype=np.int64)

    def _rewritten(self, places: Mapping[str, int]) -> bytes:
        settings = json.loads(self.content)
        model = settings["model"]
        if model["type"] == "Unigram":
            unknown = model.get("unk_id")
            if unknown is not None:
                model["unk_id"] = places[model["vocab"][unknown][0]]
            model["vocab"] = [[t, score] for t, score in model["vocab"] if t in places]
        else:
            model["vocab"] = {t: places[t] for t in self._own if t in places}
        if model["type"] == "BPE":
            model["merges"] = [
                [a, b]
                for a, b in self._merges
                if a in places and b in places and a + self._tail(b) in places
            ]
        for token in settings["added_tokens"]:
            token["id"] = places[token["content"]]
        settings["post_processor"] = _renumbered(settings["post_processor"], places)
        settings["padding"] = settings["truncation"] = None
        return json.dumps(settings, ensure_ascii=False).encode()

    @cached_property
    def _merges(self) -> list[tuple[str, str]]:
        """The pairs in the order of their joins; older files write each as one string."""
        pairs = (m.split(" ", 1) if isinstance(m, str) else m for m in self._model["merges"])
        return [(a, b) for a, b in pairs]

    def _tail(self, token: str) -> str:
        return token.removeprefix(self._model.get("continuing_subword_prefix") or "")


def _renumbered(part: Any, places: Mapping[str, int]) -> Any:
    """Put new numbers wherever a post-processor names special tokens by number."""
    if isinstance(part, list):
        return [_renumbered(inner, places) for inner in part]
    if not isinstance(part, dict):
        return part
    found = {key: _renumbered(value, places) for key, value in part.items()}
    for key in ("sep", "cls"):
        if isinstance(part.get(key), list):
            found[key] = [part[key][0], places[part[key][0]]]
    if part.get("type") == "TemplateProcessing":
        for name, token in part["special_tokens"].items():
            ids = [places[own] for own in token["tokens"]]
            found["special_tokens"][name] = {**token, "ids": ids}
    return found
