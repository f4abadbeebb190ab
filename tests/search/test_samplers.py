"""What is proposed depends on the history alone, and outlives a kill."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from metier.errors import OptionError, Pruned
from metier.search.samplers import SAMPLERS, Studies, grid
from metier.space import Choice, Float, Int, Range

SPACE: dict[str, Range] = {
    "rate": Float(0.1, 10.0, log=True),
    "depth": Int(2, 12),
    "wide": Choice((True, False, 0.5)),
}
DEFAULT: dict[str, Any] = {"rate": 1.0, "depth": 4, "wide": True}


def search(journal: Path, sampler: str, trials: int, *, reopen: bool = False) -> list[Any]:
    """Run a search; with `reopen` as if every step were a process that was killed."""
    studies = Studies(journal, 0, sampler)
    found = []
    for _ in range(trials):
        proposal = studies.propose("rung", SPACE, DEFAULT)
        if reopen:
            studies = Studies(journal, 0, sampler)
            assert studies.propose("rung", SPACE, DEFAULT) == proposal
        rate = proposal.parameters["rate"]
        try:
            for step in (1, 2, 3):
                studies.reporter(proposal)(step, -abs(rate - 3.0))
            studies.tell(proposal, -abs(rate - 3.0))
        except Pruned:
            studies.tell(proposal, None)
        found.append(proposal)
    return found


@pytest.mark.parametrize("sampler", ["grid", *SAMPLERS])
def test_a_search_that_is_killed_at_every_step_proposes_the_same(
    tmp_path: Path, sampler: str
) -> None:
    whole = search(tmp_path / "whole", sampler, 7)
    assert search(tmp_path / "pieces", sampler, 7, reopen=True) == whole
    assert whole[0].parameters == DEFAULT
    assert len({json.dumps(p.parameters) for p in whole}) >= 4


def test_the_journal_is_plain_json_that_optuna_opens(tmp_path: Path) -> None:
    journal = tmp_path / "study.journal"
    search(journal, "tpe", 5)
    for line in journal.read_text().splitlines():
        assert "op_code" in json.loads(line)
    study = optuna.load_study(
        study_name="rung", storage=JournalStorage(JournalFileBackend(str(journal)))
    )
    assert len(study.trials) == 5
    assert study.best_value <= 0
    assert [p.name for p in tmp_path.iterdir()] == ["study.journal"]


def test_what_a_killed_process_left_does_not_stand_in_the_way(tmp_path: Path) -> None:
    journal = tmp_path / "study.journal"
    before = search(journal, "tpe", 3)
    os.symlink(str(journal), f"{journal}.lock")
    with journal.open("ab") as file:
        file.write(b'{"op_code":5,"worker_id":"x')
    assert [p for p in search(journal, "tpe", 3) if p in before] == []
    assert not os.path.lexists(f"{journal}.lock")


@pytest.mark.parametrize("lines", range(1, 9))
def test_a_proposal_that_was_half_written_is_the_same_again(tmp_path: Path, lines: int) -> None:
    whole = tmp_path / "whole"
    proposal = Studies(whole, 0, "tpe").propose("rung", SPACE, DEFAULT)
    cut = tmp_path / "cut"
    cut.write_text("".join(whole.read_text().splitlines(keepends=True)[:lines]))
    assert Studies(cut, 0, "tpe").propose("rung", SPACE, DEFAULT) == proposal


def test_a_few_choices_are_gone_through(tmp_path: Path) -> None:
    space: dict[str, Range] = {"balanced": Choice((False, True)), "by": Choice(("a", "b"))}
    default = {"balanced": False, "by": "b"}
    studies = Studies(tmp_path / "journal", 0, "tpe")
    assert studies.room(space, default) == 4
    assert studies.room(SPACE, DEFAULT) == float("inf")
    assert studies.room({}, {}) == 1
    found = []
    for _ in range(4):
        proposal = studies.propose("rung", space, default)
        studies.tell(proposal, 0.0)
        found.append(tuple(proposal.parameters.items()))
    assert len(set(found)) == 4


def test_a_default_outside_of_its_choices_is_one_more_choice(tmp_path: Path) -> None:
    space: dict[str, Range] = {"train": Choice(("top", "all")), "rate": Float(0.0, 1.0)}
    studies = Studies(tmp_path / "journal", 0, "random")
    proposal = studies.propose("rung", space, {"train": "auto", "rate": 2.0})
    assert proposal.parameters == {"train": "auto", "rate": 2.0}
    studies.tell(proposal, 1.0)
    assert studies.propose("rung", space, {"train": "auto", "rate": 2.0}).number == 1


def test_hopeless_fits_are_cut(tmp_path: Path) -> None:
    studies = Studies(tmp_path / "journal", 0, "random")
    for value in (0.9, 0.9, 0.9, 0.9):
        proposal = studies.propose("rung", SPACE, DEFAULT)
        for step in (1, 2, 3):
            studies.reporter(proposal)(step, value)
        studies.tell(proposal, value)
    report = studies.reporter(studies.propose("rung", SPACE, DEFAULT))
    with pytest.raises(Pruned):
        for step in (1, 2, 3):
            report(step, 0.1)


def test_unknown_samplers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="did you mean 'tpe'"):
        Studies(tmp_path / "journal", 0, "tp")


def test_grids_hold_every_point_once() -> None:
    points = grid(SPACE, 0)
    assert len(points) == 27 == len({tuple(p.items()) for p in points})
    assert grid(SPACE, 0) == points != grid(SPACE, 1)
