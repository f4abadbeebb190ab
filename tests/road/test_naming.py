"""What a run is called."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from metier.road.naming import command_of, run_folder, small_folder, tasks_folder
from metier.road.options import Options


def test_run_folders_are_named_after_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_folder("a/tickets.csv", None, resume=False) == Path("runs/tickets")
    assert run_folder("a/tickets/train.csv", None, resume=False) == Path("runs/tickets")
    assert run_folder(pl.DataFrame(), None, resume=False) == Path("runs/run")
    Path("runs/tickets").mkdir(parents=True)
    assert run_folder("a/tickets.csv", None, resume=False) == Path("runs/tickets-2")
    assert run_folder("a/tickets.csv", None, resume=True) == Path("runs/tickets")
    assert run_folder("a/others.csv", None, resume=True) == Path("runs/others")
    Path("runs/tickets-2").mkdir()
    Path("runs/tickets-small").mkdir()
    assert run_folder("a/tickets.csv", None, resume=True) == Path("runs/tickets-2")
    Path("runs/tickets-11").mkdir()
    assert run_folder("a/tickets.csv", None, resume=True) == Path("runs/tickets-11")
    assert run_folder("a/tickets.csv", None, resume=False) == Path("runs/tickets-12")
    assert tasks_folder("a/tickets.csv", resume=True) == Path("runs/tickets-tasks")


def test_the_command_is_told_as_one_could_type_it() -> None:
    options = Options(
        target=("a", "b c"), test=pl.DataFrame({"x": [1]}), trials=3, examples=False, sources=("s",)
    )
    told = command_of(Path("d.csv"), options)
    assert told.startswith("metier specialize d.csv --target a --target 'b c' --test TEST")
    assert told.endswith("--trials 3 --source s --no-examples") or "--source s" in told
    assert "--budget" not in told
    assert command_of("d.csv", Options()) == "metier specialize d.csv"
    assert command_of("d.csv", Options(max_size="2MB")).endswith("--max-size 2MB")


def test_what_is_made_smaller_lies_beside_its_run(tmp_path: Path) -> None:
    run = tmp_path / "tickets"
    (run / "specialist").mkdir(parents=True)
    assert small_folder(run) == tmp_path / "tickets-small"
    assert small_folder(run / "specialist") == tmp_path / "tickets-small"
    (tmp_path / "tickets-small").mkdir()
    assert small_folder(run) == tmp_path / "tickets-small-2"
