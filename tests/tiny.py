"""Tiny networks with random weights, saved as `transformers` saves them, and tables for them.

They train in moments, and what is right for them is right for the real ones: the same blocks, batch
norms, tokenizer files and processors.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import polars as pl
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertModel,
    FNetConfig,
    FNetModel,
    MobileNetV2Config,
    MobileNetV2ImageProcessor,
    MobileNetV2Model,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from metier.types import Roles, Table

WORDS = ["card", "lost", "my", "invoice", "is", "wrong", "please", "help", "refund", "now"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def save_tokenizer(folder: Path, longest: int = 32, spare: int = 0) -> int:
    """Write a tokenizer of whole words, `spare` of which no text uses; return how many it knows."""
    unused = [f"unused{i}" for i in range(spare)]
    # The spare words stand between those in use, so that compacting renumbers them.
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *unused, *WORDS])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=longest,
    ).save_pretrained(folder)
    return len(vocabulary)


def save_bert(folder: Path, *, spare: int = 0, **options: int) -> Path:
    """Write a three-block BERT of width 32 with a tokenizer of whole words."""
    words = save_tokenizer(folder, options.get("max_position_embeddings", 32), spare)
    torch.manual_seed(0)
    settings = {
        "vocab_size": words,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 32,
    }
    BertModel(BertConfig(**{**settings, **options})).save_pretrained(folder)
    return folder


def save_roberta(folder: Path, *, spare: int = 0) -> Path:
    """Write a two-block RoBERTa, which counts positions from its padding index, 1."""
    words = save_tokenizer(folder, 30, spare)
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=words,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=34,
        pad_token_id=1,
    )
    RobertaModel(config).save_pretrained(folder)
    return folder


def save_fnet(folder: Path) -> Path:
    """Write a two-block FNet, whose Fourier transforms ONNX has no operator for."""
    words = save_tokenizer(folder)
    torch.manual_seed(0)
    config = FNetConfig(
        vocab_size=words,
        hidden_size=32,
        num_hidden_layers=2,
        intermediate_size=48,
        max_position_embeddings=32,
    )
    FNetModel(config).save_pretrained(folder)
    return folder


def save_vit(folder: Path) -> Path:
    """Write a four-block vision transformer for images of 32 pixels."""
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=48,
        image_size=32,
        patch_size=8,
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def save_mobilenet(folder: Path) -> Path:
    """Write a thin MobileNetV2 for images of 48 pixels, whose batch norms have seen images."""
    torch.manual_seed(0)
    config = MobileNetV2Config(depth_multiplier=0.25, image_size=48, min_depth=8)
    model = MobileNetV2Model(config)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    coarse = torch.rand((16, 3, 6, 6)) + torch.randn((16, 1, 1, 1))
    with torch.no_grad():
        # Without statistics of their own, random layers give the same feature for every image.
        model.train()(torch.nn.functional.interpolate(coarse, (48, 48), mode="bilinear"))
    model.save_pretrained(folder)
    MobileNetV2ImageProcessor(
        size={"shortest_edge": 54}, crop_size={"height": 48, "width": 48}
    ).save_pretrained(folder)
    return folder


def texts(n: int, seed: int = 0, longest: int = 12) -> list[str]:
    """Distinct texts of 1 to `longest` words, one of them empty."""
    random = np.random.default_rng(seed)
    found: dict[str, None] = {"": None}
    while len(found) < n:
        found[" ".join(random.choice(WORDS, random.integers(1, longest + 1)))] = None
    return [list(found)[i] for i in random.permutation(n)]


def answers(kind: str, strength: Sequence[float]) -> dict[str, Any]:
    """Target columns of a kind that follow from one number a row."""
    value = np.asarray(strength, dtype=np.float64)
    low, high = np.quantile(value, [0.33, 0.66])
    if kind == "regression":
        return {"target": (1e5 + 2e3 * value).tolist()}
    if kind == "multilabel":
        return {
            "target": [[n for n, on in (("one", v > low), ("two", v > high)) if on] for v in value]
        }
    names = np.array(["card lost", "refund", "invoice"])
    rank = np.digitize(value, [low, high])
    return {"target": names[np.minimum(rank, 1) if kind == "binary" else rank].tolist()}


def labelled_texts(n: int, kind: str, seed: int = 0, longest: int = 12) -> Table:
    """Texts whose answer follows from the share of their words that are "card" or "lost"."""
    rows = texts(n, seed, longest)
    words = [row.split() for row in rows]
    share = [sum(w in ("card", "lost") for w in row) / max(len(row), 1) for row in words]
    # Untie the many equal shares, so that every class has rows.
    return text_table(
        rows, **answers(kind, [s + 1e-3 * len(w) for s, w in zip(share, words, strict=True)])
    )


def text_table(rows: list[str], **columns: Any) -> Table:
    """The texts in column `text`; further columns are targets."""
    return Table(pl.DataFrame({"text": rows, **columns}), Roles({"text": "text"}, tuple(columns)))


def labelled_images(folder: Path, n: int, kind: str, seed: int = 0) -> Table:
    """Small pictures of several sizes whose answer follows from their brightness."""
    random = np.random.default_rng((seed, n))
    folder.mkdir(parents=True, exist_ok=True)
    names, bright = [], random.uniform(0, 155, n)
    for i in range(n):
        height, width = random.integers(36, 90, 2).tolist()
        size = (height // 8 + 1, width // 8 + 1, 3)
        coarse = (random.integers(0, 100, size) + bright[i]).astype(np.uint8)
        image = PIL.Image.fromarray(coarse).resize((width, height), PIL.Image.Resampling.BICUBIC)
        names.append(f"{n}-{i}.png")
        image.save(folder / names[-1])
    frame = pl.DataFrame({"image": names, **answers(kind, bright.tolist())})
    return Table(frame, Roles({"image": "image"}, ("target",)), folder)
