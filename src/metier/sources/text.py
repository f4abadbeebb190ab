"""Pretrained text encoders, read as their own files say (as sentence-transformers would)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from metier.errors import SourceError
from metier.sources.directory import digest_of, locate, read_json
from metier.types import Modality

if TYPE_CHECKING:
    from torch import nn

    from metier.runtime.text import Text
    from metier.sources.backbone import Backbone, Inputs, Pooling

LONGEST = 512
"""Tokens read when a model's files name no limit."""
AFTER_PADDING = {
    *("roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod", "camembert"),
    *("mpnet", "longformer", "data2vec-text", "ibert", "esm", "luke", "lilt", "markuplm"),
    "layoutlmv3",
}
"""Architectures whose position numbers begin after the padding index, which is 1 if not higher."""
MODES: dict[str, Pooling] = {
    "mean": "mean",
    "cls": "cls",
    "max": "max",
    "mean_tokens": "mean",
    "cls_token": "cls",
    "max_tokens": "max",
}
"""The poolings that are read, as sentence-transformers names them and as it did before."""


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
        if config.get("model_type") in AFTER_PADDING:
            positions -= max(2, 1 + (config.get("pad_token_id") or 0))
        # Where sentence-transformers keeps the limit, and where it and transformers do since.
        asked = None
        for file, key in (
            ("sentence_bert_config.json", "max_seq_length"),
            ("tokenizer_config.json", "model_max_length"),
        ):
            if asked is None and (self.folder / file).exists():
                asked = read_json(self.folder / file).get(key)
        return int(min(asked or positions, positions))

    @cached_property
    def pooling(self) -> tuple[Pooling, bool]:
        """How tokens become one feature, and whether it is scaled to length 1."""
        listing = self.folder / "modules.json"
        if not listing.exists():
            return "mean", False
        pooling: Pooling = "mean"
        normalise = False
        for module in json.loads(listing.read_text(encoding="utf-8")):
            kind = str(module["type"]).rsplit(".", 1)[-1]
            if kind == "Pooling":
                asked = _pooling_of(read_json(self.folder / module["path"] / "config.json"))
                if asked not in MODES:
                    raise SourceError(
                        f"source {self.name!r}: it pools its tokens by {asked}, which metier does "
                        "not read; remove modules.json to take their mean"
                    )
                pooling = MODES[asked]
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
        try:
            return Text(
                columns=tuple(columns),
                tokenizer=self._tokenizer,
                max_length=self.max_length,
                windows=self.windows,
                inputs=names,
            )
        except ValueError as error:
            raise SourceError(f"source {self.name!r}: no usable tokenizer ({error})") from error

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
        asked = self.folder / "sentence_bert_config.json"
        lower = asked.exists() and read_json(asked).get("do_lower_case")
        return _lowercasing(self._stored_tokenizer()) if lower else self._stored_tokenizer()

    def _stored_tokenizer(self) -> bytes:
        path = self.folder / "tokenizer.json"
        if path.exists():
            return path.read_bytes()
        from transformers import AutoTokenizer

        try:
            found: Any = AutoTokenizer.from_pretrained(self.folder, trust_remote_code=False)
            # Without any file of its own, transformers makes one that knows no word.
            if len(found) <= len(found.all_special_ids):
                raise ValueError("it has no vocabulary: add its tokenizer.json")
            return str(found.backend_tokenizer.to_str()).encode()
        except (OSError, ValueError, AttributeError, ImportError) as error:
            reason = str(error).strip().splitlines()[0]
            raise SourceError(f"source {self.name!r}: no usable tokenizer ({reason})") from error


def open_text(name: str, windows: Literal["cut", "pool"] = "cut") -> TextSource:
    """Return the text source of a name: `embedded`, a directory or a hub id."""
    return TextSource(name=name, folder=locate(name), windows=windows)


def _pooling_of(config: dict[str, Any]) -> str:
    """The pooling that a file of sentence-transformers names, in its new or in its old form."""
    named = config.get("pooling_mode")
    if named is not None:
        return named if isinstance(named, str) else " and ".join(named)
    prefix = "pooling_mode_"
    flags = [
        key.removeprefix(prefix) for key, on in config.items() if on and key.startswith(prefix)
    ]
    return " and ".join(flags) or "mean"


def _lowercasing(tokenizer: bytes) -> bytes:
    """Return a `tokenizer.json` that reads small letters, as sentence-transformers changes it."""
    content = json.loads(tokenizer)
    before = content.get("normalizer")
    steps = [] if before is None else before.get("normalizers", [before])
    if not any(step["type"] == "Lowercase" for step in steps):
        content["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *steps]}
    return json.dumps(content, ensure_ascii=False).encode()


@lru_cache(maxsize=4)
def _load(name: str, folder: Path, pooling: tuple[Pooling, bool], pairs: bool) -> Backbone:
    return _build(name, folder, pooling, pairs, None)


def _build(
    name: str, folder: Path, pooling: tuple[Pooling, bool], pairs: bool, seed: int | None
) -> Backbone:
    """Read the weights (`seed` None) or draw them with a seed."""
    import torch

    from metier.sources.backbone import Backbone
    from metier.sources.loading import first_pass, load_encoder

    model, _ = load_encoder(name, folder, seed)
    ids = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 7], [7, 6, 5, 4, 3, 0, 0, 0]])
    probe = {
        "input_ids": ids,
        "attention_mask": (torch.arange(8) < torch.tensor([[8], [5]])).long(),
    }
    if pairs:
        probe["token_type_ids"] = torch.zeros_like(ids)
    with first_pass(name, "texts"):
        _drop_pooler(model, probe)
        return Backbone(model, *pooling, probe=probe)


def _drop_pooler(model: nn.Module, probe: Inputs) -> None:
    """Take off a pooler, which nothing reads here, if the model's pass goes without it."""
    import torch

    encoder: Any = model
    pooler = getattr(encoder, "pooler", None)
    if pooler is None:
        return
    encoder.pooler = None
    try:
        with torch.no_grad():
            encoder.eval()(**probe, return_dict=True)
    except TypeError:  # it calls the pooler without asking whether there is one
        encoder.pooler = pooler
