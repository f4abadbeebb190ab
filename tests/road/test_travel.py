"""Whole runs: the same again, killed and resumed, out of disk, short of time."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import metier
from metier.api import Result, predict, specialize
from metier.errors import DataError, InputError
from metier.evidence.cost import size_of
from tests import tiny

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small table."""
    numbers = np.random.default_rng(0)
    size, weight = numbers.normal(size=(2, 240))
    label = np.where(size + 0.5 * weight + 0.4 * numbers.normal(size=240) > 0, "yes", "no")
    path = tmp_path_factory.mktemp("data") / "rows.csv"
    pl.DataFrame({"size": size, "weight": weight, "label": label}).write_csv(path)
    return path


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "texts.csv"
    tiny.labelled_texts(120, "multiclass").frame.write_csv(path)
    return path


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.save_bert(tmp_path_factory.mktemp("bert")))


def probabilities(folder: Path, data: Path) -> Any:
    return predict(folder, data).probabilities


def without_times(result: Result) -> dict[str, Any]:
    told = result.to_json()
    return {k: v for k, v in told.items() if k not in ("bundle", "report", "seconds", "digest")}


@pytest.fixture(scope="module")
def whole(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return specialize(rows, target="label", trials=2, out=tmp_path_factory.mktemp("r") / "run")


def test_the_same_trials_and_seed_give_the_same_predictions(
    whole: Result, rows: Path, tmp_path: Path
) -> None:
    again = specialize(rows, target="label", trials=2, out=tmp_path / "run")
    np.testing.assert_array_equal(
        probabilities(again.folder, rows), probabilities(whole.folder, rows)
    )
    assert without_times(again) == without_times(whole)


def test_resuming_a_run_that_ended_tells_the_same(whole: Result, rows: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in whole.folder.rglob("*")}
    again = specialize(rows, target="label", trials=2, out=whole.folder, resume=True)
    assert again.to_json() == whole.to_json()
    assert {p: p.stat().st_mtime_ns for p in whole.folder.rglob("*")} == before


@pytest.mark.parametrize("changed", [{"seed": 1}, {"metric": "f1_macro"}, {"trials": 3}])
def test_resuming_with_something_else_is_refused(
    whole: Result, rows: Path, changed: dict[str, Any]
) -> None:
    asked = {"target": "label", "trials": 2, **changed}
    with pytest.raises(InputError, match=f"--{next(iter(changed))}"):
        specialize(rows, out=whole.folder, resume=True, **asked)


def test_resuming_with_other_data_is_refused(whole: Result, rows: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    pl.read_csv(rows).head(200).write_csv(other)
    with pytest.raises(InputError, match="other data"):
        specialize(other, target="label", trials=2, out=whole.folder, resume=True)


def test_what_lies_in_a_run_folder(whole: Result) -> None:
    names = {p.name for p in whole.folder.iterdir()}
    assert names >= {
        "run.toml", "study.journal", "findings.jsonl", "cache", "specialist", "weights",
        "report.html",
    }  # fmt: skip
    for path in whole.folder.rglob("*"):
        assert path.suffix not in (".pkl", ".pickle", ".bin", ".pt") or "cache" in path.parts
        if path.is_file():
            head = path.read_bytes()[:2]
            assert head not in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), path
    assert not [p for p in whole.folder.rglob("*") if p.name.endswith((".aside", ".lock"))]
    assert whole.report.chosen is not None
    assert whole.report.chosen.bytes == sum(
        path.stat().st_size for path in (whole.folder / "specialist").iterdir()
    )


def test_the_run_toml_asks_for_the_same_again(whole: Result, rows: Path, tmp_path: Path) -> None:
    from metier.cli import main

    config = str(whole.folder / "run.toml")
    assert main(["specialize", str(rows), "--config", config, "--out", str(tmp_path / "r")]) == 0
    np.testing.assert_array_equal(
        probabilities(tmp_path / "r", rows), probabilities(whole.folder, rows)
    )


def start(data: Path, out: Path, *options: str) -> subprocess.Popen[bytes]:
    words = ["specialize", str(data), "--out", str(out), "--resume", *options]
    code = f"import sys; from metier.cli import main; sys.exit(main({words!r}))"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def kill_at_random(data: Path, out: Path, seconds: float, times: int, *options: str) -> None:
    chance = random.Random(str(out))
    for _ in range(times):
        process = start(data, out, *options)
        time.sleep(chance.uniform(0.2, 0.95) * seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 2, 4])
def test_a_table_run_killed_at_any_moment_comes_to_the_same_end(
    whole: Result, rows: Path, tmp_path: Path, kills: int
) -> None:
    options = ("--target", "label", "--trials", "2")
    kill_at_random(rows, tmp_path / "run", whole.seconds, kills, *options)
    process = start(rows, tmp_path / "run", *options)
    _, told = process.communicate()
    assert process.returncode == 0, told.decode()
    np.testing.assert_array_equal(
        probabilities(tmp_path / "run", rows), probabilities(whole.folder, rows)
    )


@pytest.mark.slow
def test_a_text_run_killed_at_any_moment_comes_to_the_same_end(
    texts: Path, bert: str, tmp_path: Path
) -> None:
    options = ("--target", "target", "--trials", "3", "--source", bert)
    began = time.monotonic()
    process = start(texts, tmp_path / "whole", *options)
    _, told = process.communicate()
    assert process.returncode == 0, told.decode()
    seconds = time.monotonic() - began
    for i in range(2):
        kill_at_random(texts, tmp_path / f"run-{i}", seconds, 2, *options)
        process = start(texts, tmp_path / f"run-{i}", *options)
        _, told = process.communicate()
        assert process.returncode == 0, told.decode()
        np.testing.assert_array_equal(
            probabilities(tmp_path / f"run-{i}", texts), probabilities(tmp_path / "whole", texts)
        )


class Watching:
    """Watches a run, and lets the disk be full at a moment."""

    def __init__(self, full_at: str = "") -> None:
        self.full_at = full_at
        self.warned: list[str] = []

    def stage(self, name: str) -> None: ...
    def best(self, name: str, value: float, low: float | None, high: float | None) -> None: ...
    def until(self, deadline: float | None) -> None: ...

    def trial(self, rung: str, parameters: Any) -> None:
        if rung == self.full_at:
            raise OSError(errno.ENOSPC, "No space left on device")

    def warn(self, text: str) -> None:
        self.warned.append(text)


def test_a_full_disk_leaves_what_is_valid_and_resume_goes_on(
    whole: Result, rows: Path, tmp_path: Path
) -> None:
    run: dict[str, Any] = {"target": "label", "trials": 2, "out": tmp_path / "run"}
    with pytest.raises(OSError, match="No space"):
        specialize(rows, progress=Watching("boost"), **run)
    assert metier.load(tmp_path / "run").predict(pl.read_csv(rows)).answers  # a baseline
    ended = specialize(rows, resume=True, **run)
    assert without_times(ended) == without_times(whole)


def test_two_processes_do_not_share_a_folder(rows: Path, tmp_path: Path) -> None:
    class Second(Watching):
        said = ""

        def trial(self, rung: str, parameters: Any) -> None:
            if not self.said:
                with pytest.raises(InputError, match="another process") as caught:
                    specialize(rows, target="label", trials=1, out=tmp_path / "run", resume=True)
                self.said = str(caught.value)

    second = Second()
    specialize(rows, target="label", trials=1, out=tmp_path / "run", progress=second)
    assert second.said


def test_a_second_is_enough_for_a_model(rows: Path, tmp_path: Path) -> None:
    watch = Watching()
    result = specialize(rows, target="label", budget="1s", out=tmp_path / "run", progress=watch)
    assert any("too small for more than a baseline" in text for text in watch.warned)
    assert result.report.strategy in ("majority", "linear")
    assert len(predict(result.folder, rows).answers) == 240


def test_rows_that_were_learned_from_prove_nothing(rows: Path, tmp_path: Path) -> None:
    watch, out = Watching(), tmp_path / "run"
    result = specialize(
        rows, target="label", test=rows, trials=1, strategies=["boost"], out=out, progress=watch
    )
    known = "240 of 240 test rows (100.0%) are in the training rows too"
    assert any(known in text for text in watch.warned)
    assert known in result.report.verdict and result.report.verdict_level == "bad"
    assert known in (result.bundle / "README.md").read_text(encoding="utf-8")


def test_a_limit_of_size_is_held_against_the_folder_that_is_handed_over(tmp_path: Path) -> None:
    size, weight = np.random.default_rng(0).normal(size=(2, 240))
    label = np.where(size * weight > 0, "yes", "no")
    rows = pl.DataFrame({"size": size, "weight": weight, "label": label})
    run: dict[str, Any] = {"target": "label", "trials": 1, "strategies": ["boost"]}
    result = specialize(rows, out=tmp_path / "run", max_size="20KB", max_loss=100, **run)
    found, whole = result.report.compression, size_of(result.bundle)
    assert found is not None and found.chosen == "thin"
    side = found.tried[0].side
    assert side is not None and side.bytes == pytest.approx(whole, rel=0.1)
    assert found.met is (whole <= 20_000)


def test_columns_beside_a_text_that_are_not_read_are_told(texts: Path, tmp_path: Path) -> None:
    rows = pl.read_csv(texts).with_row_index("days")
    run: dict[str, Any] = {"target": "target", "trials": 1, "strategies": ["classical"]}
    result = specialize(rows, out=tmp_path / "run", **run)
    (told,) = (note for note in result.report.notes if "reads nothing of" in note)
    assert "the column days: beside texts only fuse does, which was not tried" in told


def test_two_rows_are_refused_in_one_line(tmp_path: Path) -> None:
    rows = pl.DataFrame({"size": [0.1, 0.9], "label": ["u", "v"]})
    with pytest.raises(DataError, match="2 labelled rows: too few") as caught:
        specialize(rows, target="label", trials=1, out=tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_a_budget_goes_on_with_the_time_that_was_left(rows: Path, tmp_path: Path) -> None:
    run: dict[str, Any] = {"target": "label", "budget": 30, "out": tmp_path / "run"}
    with pytest.raises(OSError, match="No space"):
        specialize(rows, progress=Watching("boost"), **run)
    used = json.loads((tmp_path / "run" / "clock.json").read_text())["used"]
    assert 0 < used < 30
    began = time.monotonic()
    result = specialize(rows, resume=True, **run)
    assert time.monotonic() - began < 30 - used + 3
    assert result.seconds < 33


def test_tables_are_learned_from_without_torch(rows: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from metier.api import specialize; "
        f"specialize({str(rows)!r}, target='label', trials=1, out={str(tmp_path / 'run')!r}); "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode == 0


@pytest.mark.slow
def test_a_source_that_does_not_help_is_not_what_the_user_gets(bert: str, tmp_path: Path) -> None:
    random_ = np.random.default_rng(0)
    words = [[f"{stem}{i}" for i in range(8)] for stem in ("alpha", "beta", "gamma")]
    labels = random_.integers(0, 3, 150)
    told = [" ".join(random_.choice(words[k], 6)) for k in labels]  # all unknown to the network
    frame = pl.DataFrame({"text": told, "label": [f"class {k}" for k in labels]})
    result = specialize(frame, target="label", trials=2, sources=[bert], out=tmp_path / "run")
    assert result.report.strategy == "classical"
    assert result.report.source == "none"
    assert "Negative transfer" in result.report.verdict
    assert result.report.verdict_level != "good"
    assert "classical" in result.to_json()["baselines"]


@pytest.mark.slow
def test_a_network_that_onnx_cannot_say_gives_way_to_the_next_best(tmp_path: Path) -> None:
    random_ = np.random.default_rng(0)
    lengths = [2, 9] * 60  # which an untrained network can tell, and a count of words cannot
    told = [" ".join(random_.choice(tiny.WORDS, n)) for n in lengths]
    frame = pl.DataFrame({"text": told, "label": [f"{n} words" for n in lengths]})
    source = str(tiny.save_fnet(tmp_path / "fnet"))
    result = specialize(
        frame,
        target="label",
        trials=1,
        strategies=["probe"],
        sources=[source],
        max_size=10_000_000,
        out=tmp_path / "run",
    )
    passed = [entry for entry in result.report.leaderboard if entry.strategy == "probe"]
    assert passed and all(entry.state != "chosen" for entry in passed)
    assert any("its bundle could not be written" in note for note in result.report.notes)
    assert set(predict(result.folder, frame).answers) <= {"2 words", "9 words"}
