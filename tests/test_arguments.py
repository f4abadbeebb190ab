"""What can be said on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from metier.arguments import parse
from metier.errors import OptionError


def said(*words: str) -> dict[str, object]:
    """The options of a command line, without the command and its data."""
    found = vars(parse(words))
    return {name: value for name, value in found.items() if name not in ("command", "data")}


def test_options_not_given_are_absent() -> None:
    assert said("specialize", "a.csv") == {}


def test_every_option_reaches_its_name() -> None:
    found = said(
        "specialize", "a.csv", "--target", "y", "--test", "b.csv", "--out", "o", "--trials", "3",
        "--source", "s1", "--source", "s2", "--strategy", "probe", "--task", "binary", "--metric",
        "f1", "--cost", "fn=5,fp=1", "--group", "g", "--time", "t", "--prefer", "small",
        "--refit", "none", "--sampler", "gp", "--seed", "7", "--resume", "--no-examples", "--json",
    )  # fmt: skip
    assert found == {
        "target": ["y"],
        "test": Path("b.csv"),
        "out": Path("o"),
        "trials": 3,
        "sources": ["s1", "s2"],
        "strategies": ["probe"],
        "task": "binary",
        "metric": "f1",
        "cost": "fn=5,fp=1",
        "group": "g",
        "time": "t",
        "prefer": "small",
        "refit": "none",
        "sampler": "gp",
        "seed": 7,
        "resume": True,
        "examples": False,
        "json": True,
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["specialise", "a.csv"], "did you mean 'specialize'"),
        (["specialize"], "DATA"),
        (["specialize", "a.csv", "--budgt", "5m"], "unknown option --budgt .*'--budget'"),
        (["specialize", "a.csv", "--budgt=5m"], "unknown option --budgt .*'--budget'"),
        (["specialize", "a.csv", "b.csv"], "'b.csv' is one word too many; quote"),
        (
            ["check", "a.csv", "--target", "x", "y"],
            "'y' is one word too many; give --target once more",
        ),
        (["specialize", "a.csv", "--prefer", "bst"], "bst"),
        (["specialize", "a.csv", "--trials", "0"], "'0' is no whole number from 1"),
        (["specialize", "a.csv", "--trials", "x"], "'x' is no whole number from 1"),
        (["specialize", "a.csv", "--budget", "5m", "--trials", "3"], "not allowed with"),
        (["predict", "bundle"], "DATA"),
    ],
)
def test_mistakes_are_one_line_that_helps(words: list[str], message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        parse(words)
    assert "\n" not in str(caught.value)


def config(folder: Path, text: str) -> str:
    """A configuration file that holds `text`."""
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_config_gives_options(tmp_path: Path) -> None:
    path = config(tmp_path, 'target = "y"\nsource = ["a", "b"]\ntrials = 4\nno_examples = true\n')
    found = said("specialize", "a.csv", "--config", path)
    del found["config"]
    assert found == {"target": ["y"], "sources": ["a", "b"], "trials": 4, "examples": False}


def test_command_line_wins_over_config(tmp_path: Path) -> None:
    path = config(tmp_path, 'source = ["a", "b"]\nseed = 4\nbudget = "9m"\n')
    found = said("specialize", "a.csv", "--config", path, "--source", "c", "--trials", "2")
    assert found["sources"] == ["c"]
    assert found["seed"] == 4
    assert found["trials"] == 2
    assert "budget" not in found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('targt = "y"', "unknown option 'targt'.*did you mean 'target'"),
        ("seed = ", "not valid TOML"),
        ('trials = "many"', "run.toml.*'many' is no whole number"),
        ("target = {a = 1}", "target must be"),
        ('resume = "yes"', "run.toml.*resume"),
    ],
)
def test_config_mistakes_name_the_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse(["specialize", "a.csv", "--config", config(tmp_path, text)])


def test_config_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no such file"):
        parse(["specialize", "a.csv", "--config", str(tmp_path / "none.toml")])


def test_data_whose_name_begins_with_a_dash(tmp_path: Path) -> None:
    path = config(tmp_path, "seed = 3")
    assert parse(["specialize", "--config", path, "--", "-odd.csv"]).data == Path("-odd.csv")
