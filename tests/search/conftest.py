"""The fake strategy is registered as a third party would: through an entry point."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def guess(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("installed")
    about = folder / "guess-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: guess\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[metier.strategies]\nguess = tests.search.fakes:Guess\n"
    )
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
