"""Exit codes, one-line errors, and what goes where."""

from __future__ import annotations

import argparse
import errno
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from metier import cli
from metier.arguments import build_parser
from metier.cli import COMMANDS, main
from metier.errors import DataError, MissingExtraError, ParityError


def raising(error: BaseException) -> dict[str, Callable[[argparse.Namespace], None]]:
    """Commands that fail in one way."""

    def run(args: argparse.Namespace) -> None:
        raise error

    return dict.fromkeys(COMMANDS, run)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DataError("a.csv:\n  not\n  readable"), 2, "error: a.csv: not readable"),
        (DataError("a.csv: empty"), 2, "error: a.csv: empty"),
        (MissingExtraError("peft", "lora", "lora"), 2, "pip install 'metier[lora]'"),
        (ParityError("differs by 1"), 1, "error: differs by 1"),
        (KeyboardInterrupt(), 130, "--resume goes on"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 2, "/x: permission denied"),
    ],
)
def test_errors_are_one_line_and_a_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["specialize", "a.csv"], raising(error)) == code
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert shown.out == ""


def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        main(["specialize", "a.csv"], raising(ZeroDivisionError()))


def test_every_command_of_the_parser_does_something() -> None:
    action = next(a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    assert set(action.choices) == set(COMMANDS)


def test_python_runs_it_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "metier", "strategies"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "finetune" in done.stdout
    wrong = [sys.executable, "-m", "metier", "specialize", "no-such.csv"]
    assert subprocess.run(wrong, capture_output=True, check=False).returncode == 2


def test_nothing_said_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 0
    assert "specialize" in capsys.readouterr().out


def test_json_is_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["strategies", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "probe" in {row["strategy"] for row in found["strategies"]}


def test_names_with_square_brackets_are_shown_as_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cli._print_rows([{"speed [km/h]": 1.0, "flow [/min]": 2.0}], title="[b]")
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("speed [km/h]", "flow [/min]", "[b]"))


def test_check_lists_its_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{word} number {i},{word}" for i in range(12) for word in ("apple", "pear")]
    data = tmp_path / "fruit.csv"
    data.write_text("\n".join(["text,label", *rows, *rows[:4]]), encoding="utf-8")
    assert main(["check", str(data), "--target", "label", "--json"]) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out.splitlines()[-1])["findings"]
    assert any("duplicate" in finding["name"] for finding in found)
    assert "reading the data" in shown.err


def test_check_shows_cells_to_who_has_the_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = ["078-05-1127" if i == 31 else f"{i}.5" for i in range(60)]
    data = tmp_path / "amounts.csv"
    rows = [f"{cell},{'ab'[i % 2]}" for i, cell in enumerate(cells)]
    data.write_text("\n".join(["amount,label", *rows]), encoding="utf-8")
    assert main(["check", str(data), "--target", "label"]) == 0
    assert "(first in row 31)" in (told := capsys.readouterr().out) and "'078-05-1127'" in told


@pytest.mark.parametrize(
    ("content", "target", "said"),
    [
        (None, "y", "none.csv"),
        ("", "y", "empty"),
        ("text,label\na,b\nc,d\n", "lable", "label"),
    ],
)
def test_bad_data_is_refused_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: str | None,
    target: str,
    said: str,
) -> None:
    data = tmp_path / "none.csv"
    if content is not None:
        data.write_text(content, encoding="utf-8")
    out = tmp_path / "run"
    assert main(["specialize", str(data), "--target", target, "--out", str(out)]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    assert said in error[0]
    assert not out.exists()
