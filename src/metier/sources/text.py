"""Pretrained text encoders, read as their own files say (as sentence-transformers would)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from metier.errors import SourceError
from metier.sources.directory import digest_of, locate, read_json
from metier.types import Modality

if TYPE_CHECKING:
    from metier.runtime.text import Text
    from metier.sources.backbone import Backbone, Pooling

LONGEST = 512
"""Tokens read when a model's files name no limit."""


@dataclass(frozen=True)
class TextSource:
    """A transformer encoder in a directory.

    Args:
        name: what the user called it.
        folder: where its files lie.
        windows: texts longer than the limit are "cut", or read in windows whose features are
            averaged ("pool").
    """

    name: str
    folder: Path
    windows: Literal["cut", "pool"] = "cut"
    modality: ClassVar[Modality] = "text"

    @cached_property
    def digest(self) -> str:
        return digest_of(self.folder)

    @cached_property
    def max_length(self) -> int:
        """The most tokens of a window, special tokens included."""
        config = read_json(self.folder / "config.json")
        positions = config.get("max_position_embeddings") or LONGEST
        if config.get("model_type") in {"roberta", "xlm-roberta", "camembert", "mpnet"}:
            positions -= 2  # their position numbers begin after the padding index
        asked = positions
        sentence = self.folder / "sentence_bert_config.json"
        if sentence.exists():
            asked = read_json(sentence).get("max_seq_length") or positions
        elif (self.folder / "tokenizer_config.json").exists():
            asked = read_json(self.folder / "tokenizer_config.json").get("model_max_length")
        return int(min(asked or positions, positions))

    @cached_property
    def pooling(self) -> tuple[Pooling, bool]:
        """How tokens become one feature, and whether it is scaled to length 1."""
        listing = self.folder / "modules.json"
        if not listing.exists():
            return "mean", False
        import json

        pooling: Pooling = "mean"
        normalise = False
        for module in json.loads(listing.read_text(encoding="utf-8")):
            kind = str(module["type"]).rsplit(".", 1)[-1]
            if kind == "Pooling":
                pooling = _pooling_of(read_json(self.folder / module["path"] / "config.json"))
            elif kind == "Normalize":
                normalise = True
            elif kind not in {"Transformer"}:
                raise SourceError(
                    f"source {self.name!r}: its modules.json asks for a {kind} layer, which metier "
                    "does not read; remove modules.json to use the encoder alone"
                )
        return pooling, normalise

    def preprocess(self, columns: Sequence[str]) -> Text:
        """Return the tokenisation of these text columns, without fixed padding."""
        from metier.runtime.text import Text

        names: tuple[str, ...] = ("input_ids", "attention_mask")
        if len(columns) == 2 and self._knows_pairs:
            names = (*names, "token_type_ids")
        return Text(
            columns=tuple(columns),
            tokenizer=self._tokenizer,
            max_length=self.max_length,
            windows=self.windows,
            inputs=names,
        )

    def load(self, *, pretrained: bool = True, seed: int = 0) -> Backbone:
        """Return the network: shared and read-only when pretrained (copy what is to learn), with
        fresh random weights otherwise."""
        if pretrained:
            return _load(self.name, self.folder, self.pooling, self._knows_pairs)
        return _build(self.name, self.folder, self.pooling, self._knows_pairs, seed)

    @property
    def _knows_pairs(self) -> bool:
        return int(read_json(self.folder / "config.json").get("type_vocab_size") or 0) > 1

    @cached_property
    def _tokenizer(self) -> bytes:
        path = self.folder / "tokenizer.json"
        if path.exists():
            return path.read_bytes()
        from transformers import AutoTokenizer

        try:
            found: Any = AutoTokenizer.from_pretrained(self.folder, trust_remote_code=False)
            return str(found.backend_tokenizer.to_str()).encode()
        except (OSError, ValueError, AttributeError) as error:
            raise SourceError(f"source {self.name!r}: no usable tokenizer ({error})") from error


def open_text(name: str, windows: Literal["cut", "pool"] = "cut") -> TextSource:
    """Return the text source of a name: `embedded`, a directory or a hub id."""
    return TextSource(name=name, folder=locate(name), windows=windows)


def _pooling_of(config: dict[str, Any]) -> Pooling:
    mode = config.get("pooling_mode")
    if mode in {"mean", "cls", "max"}:
        return mode  # type: ignore[no-any-return]
    if config.get("pooling_mode_cls_token"):
        return "cls"
    if config.get("pooling_mode_max_tokens"):
        return "max"
    return "mean"


@lru_cache(maxsize=4)
def _load(name: str, folder: Path, pooling: tuple[Pooling, bool], pairs: bool) -> Backbone:
    return _build(name, folder, pooling, pairs, None)


def _build(
    name: str, folder: Path, pooling: tuple[Pooling, bool], pairs: bool, seed: int | None
) -> Backbone:
    """Read the weights (`seed` None) or draw them with a seed."""
    import torch

    from metier.sources.backbone import Backbone
    from metier.sources.loading import load_encoder

    model, _ = load_encoder(name, folder, seed)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # type: ignore[assignment]
    ids = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 7], [7, 6, 5, 4, 3, 0, 0, 0]])
    probe = {"input_ids": ids, "attention_mask": (torch.arange(8) < torch.tensor([[8], [5]])).long()}
    if pairs:
        probe["token_type_ids"] = torch.zeros_like(ids)
    return Backbone(model, *pooling, probe=probe)
