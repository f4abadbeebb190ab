from __future__ import annotations

import tomllib
from pathlib import Path

import polars as pl
import pytest

from metier.errors import DataError, OptionError
from metier.road.asked import check_same, claimed
from metier.road.intake import Data, read_data
from metier.road.options import Options, check_words, parse_effort


@pytest.fixture
def data() -> Data:
    frame = pl.DataFrame({"x": range(20), "label": ["a", "b"] * 10})
    return read_data(frame, Options(target="label"))


def test_the_folder_is_claimed_and_says_what_was_asked(tmp_path: Path, data: Data) -> None:
    folder = tmp_path / "runs" / "one"
    odd = Options(target='la"bel\\ \u00e9\U0001f600', sources=("a", "b"), trials=3, examples=False)
    with claimed(folder, data, odd):
        found = tomllib.loads((folder / "run.toml").read_text(encoding="utf-8"))
    assert found["options"]["target"] == odd.target
    assert found["options"]["source"] == ["a", "b"]
    assert found["options"]["no-examples"] is True
    assert "budget" not in found["options"]
    assert found["data"]["rows"] == 20
    assert not (folder / "run.lock").exists()


def test_a_refusal_takes_the_new_folders_away(tmp_path: Path, data: Data) -> None:
    with (
        pytest.raises(DataError),
        claimed(tmp_path / "runs" / "one", data, Options(target="label")),
    ):
        raise DataError("not after all")
    assert not (tmp_path / "runs").exists()


def test_a_fault_keeps_what_was_written(tmp_path: Path, data: Data) -> None:
    with pytest.raises(OSError), claimed(tmp_path / "one", data, Options(target="label")):
        raise OSError(28, "No space left on device")
    assert (tmp_path / "one" / "run.toml").exists()


def test_a_refused_resume_takes_nothing_away(tmp_path: Path, data: Data) -> None:
    with claimed(tmp_path / "one", data, Options(target="label")):
        pass
    other = Options(target="label", seed=7)
    with pytest.raises(OptionError, match="--seed"), claimed(tmp_path / "one", data, other):
        pass
    assert (tmp_path / "one" / "run.toml").exists()


def test_more_time_may_be_given(tmp_path: Path, data: Data) -> None:
    with claimed(tmp_path / "one", data, Options(target="label", budget="1m")):
        pass
    check_same(tmp_path / "one", data, Options(target="label", budget="2m", examples=False))


def test_words_are_checked() -> None:
    check_words(Options(task="binary", sampler="grid"))
    for wrong in (Options(prefer="fast"), Options(refit="some"), Options(task="binery")):  # type: ignore[arg-type]
        with pytest.raises(OptionError, match="known"):
            check_words(wrong)
    assert parse_effort("1m", None) == 60.0
    assert parse_effort("1m", 5) is None
    with pytest.raises(OptionError, match="trials"):
        parse_effort("1m", 0)
