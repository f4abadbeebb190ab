"""What every test may use. Nothing here needs a network."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Small layers on few cores: waiting threads that spin would cost more than they give.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def tickets() -> Path:
    """The support tickets of the demo."""
    return ROOT / "examples" / "tickets.csv"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data sets and models that developers lay beside the checkout; absent elsewhere."""
    return _present(ROOT.parent / "shared", "no folder `shared` beside the checkout")


@pytest.fixture(scope="session")
def shared_data(shared: Path) -> Path:
    """A folder of real data sets, one folder each."""
    return _present(shared / "data", "no data sets in the folder `shared`")


@pytest.fixture(scope="session")
def shared_models(shared: Path) -> Path:
    """A folder of real image networks, one model directory each."""
    return _present(shared / "models", "no models in the folder `shared`")


def _present(folder: Path, reason: str) -> Path:
    if not folder.is_dir():
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def tiny_sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Sources with random weights that train in moments: bert, long, roberta, vit, mobilenet.

    "long" is the BERT that reads long texts in windows.
    """
    from metier.sources.image import open_image_source
    from metier.sources.text import open_text
    from tests import tiny

    folder = tmp_path_factory.mktemp("tiny")
    bert = str(tiny.save_bert(folder / "bert", spare=20))
    return {
        "bert": open_text(bert),
        "long": open_text(bert, windows="pool"),
        "roberta": open_text(str(tiny.save_roberta(folder / "roberta", spare=20))),
        "vit": open_image_source(str(tiny.save_vit(folder / "vit"))),
        "mobilenet": open_image_source(str(tiny.save_mobilenet(folder / "mobilenet"))),
    }


@pytest.fixture(scope="session")
def tiny_table(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Make a table for a tiny source: `tiny_table(source, n, kind)`, labels that can be learned."""
    from tests import tiny

    folder = tmp_path_factory.mktemp("pictures")

    def make(source: Any, n: int = 60, kind: str = "multiclass", seed: int = 0) -> Any:
        if source.modality == "text":
            longest = 70 if source.windows == "pool" else 12
            return tiny.labelled_texts(n, kind, seed, longest)
        return tiny.labelled_images(folder / f"{seed}", n, kind, seed)

    return make
