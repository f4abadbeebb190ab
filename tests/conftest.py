"""What every test may use. Nothing here needs a network."""

from __future__ import annotations

import os
from pathlib import Path

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
