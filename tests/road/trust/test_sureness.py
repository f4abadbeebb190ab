"""From a run to a bundle that knows its doubt, to answers that are held back, to a page."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import metier
from metier import api, cli
from metier.data.read import read
from metier.road.labelled import read_labelled
from metier.road.trust.sureness import measure_sureness


def rows(n: int, seed: int) -> pl.DataFrame:
    """A table whose answer is partly a matter of chance."""
    random = np.random.default_rng(seed)
    size, age = random.normal(50, 10, n), random.integers(20, 70, n)
    colour = random.choice(["red", "blue"], n)
    odds = (size - 50) / 6 + (colour == "red")
    return pl.DataFrame(
        {
            "size": size.round(2),
            "age": age,
            "colour": colour,
            "label": np.where(random.random(n) < 1 / (1 + np.exp(-odds)), "yes", "no"),
        }
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sure")
    rows(500, 0).write_csv(folder / "train.csv")
    rows(400, 1).write_csv(folder / "test.csv")
    done = api.specialize(
        folder / "train.csv",
        test=folder / "test.csv",
        strategies=["linear"],
        trials=1,
        coverage=0.8,
        out=folder / "run",
    )
    report = done.report.sureness
    assert report is not None and report.main is not None and report.main.asked == 0.8
    assert report.main.as_expected
    assert "How sure it is" in done.page.read_text(encoding="utf-8")
    card = (done.bundle / "README.md").read_text(encoding="utf-8")
    assert "when it does not answer" in card and "80 % of rows like those" in card
    told = (done.folder / "findings.jsonl").read_text(encoding="utf-8")
    assert {"coverage", "calibration_test"} <= {json.loads(x)["name"] for x in told.splitlines()}
    return done.folder


def test_the_bundle_measures_its_sureness_again(run: Path) -> None:
    bundle = metier.load(run)
    assert bundle.doubt.domain is not None and bundle.doubt.domain.looks
    found = measure_sureness(bundle, read_labelled(bundle, read(run.parent / "test.csv")))
    again = measure_sureness(bundle, read_labelled(bundle, read(run.parent / "test.csv")))
    assert found == again
    assert {"coverage", "unlike", "risk_coverage_area"} <= {f.name for f in found.findings}


def test_evaluate_tells_it(run: Path) -> None:
    names = [finding.name for finding in api.evaluate(run, run.parent / "test.csv")]
    assert names.count("calibration_error") == 1 and "coverage" in names


def test_predict_on_the_command_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run.parent / "out.csv"
    words = ["predict", str(run), str(run.parent / "test.csv"), "--out", str(out)]
    assert cli.main([*words, "--abstain", "--coverage", "0.9"]) == 0
    told = capsys.readouterr().err
    assert "were left without an answer (row" in told and "could not be read" not in told
    lines = list(csv.DictReader(out.open(encoding="utf-8")))
    assert len(lines) == 400
    for line in lines:
        labels = [label for label in line["set"].split("|") if label]
        assert (line["prediction"] == "") == bool(line["reason"])
        if line["prediction"]:
            assert labels == [line["prediction"]]


def test_rows_of_another_kind_are_left_without_an_answer(run: Path) -> None:
    odd = rows(50, 3).with_columns(pl.col("size") + 500)
    found = metier.load(run).predict(odd, abstain=True)
    assert found.answers == [None] * 50
    assert set(found.reasons.values()) == {"unlike the training data"}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--coverage", "1"], "between 0 and 1"),
        (["--coverage", "0.9999"], "only all labels could promise that"),
        (["--coverage", "most"], "no number"),
        (["--max-error", "0.0001"], "cannot promise so few errors"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_2(
    run: Path, words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["predict", str(run), str(run.parent / "test.csv"), *words]) == 2
    told = capsys.readouterr()
    assert line in told.err and told.err.count("\n") == 1 and told.out == ""


def test_a_coverage_that_is_no_share_stops_a_run_before_it_begins(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["specialize", str(run.parent / "train.csv"), "--coverage", "90"]
    assert cli.main([*words, "--out", str(run.parent / "never")]) == 2
    assert "between 0 and 1" in capsys.readouterr().err
    assert not (run.parent / "never").exists()
