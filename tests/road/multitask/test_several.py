"""Several tasks: a bundle for each, what was chosen, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import metier
from metier import api
from metier.api.watching import Silent
from metier.cli import main
from metier.data.unite import unite
from metier.errors import InputError
from metier.road.multitask.divided import divide
from metier.road.multitask.tasks import read_tasks
from metier.sources.earlier import Earlier, open_earlier
from tests import tiny


def one_file(folder: Path, n: int = 90) -> Path:
    """Texts with a class, labels of two classes with gaps, and a number."""
    frame = tiny.labelled_texts(n, "multiclass").frame.rename({"target": "topic"})
    value = [float(len(text.split())) + 0.5 for text in frame["text"]]
    urgent = [None if k % 9 == 0 else ("yes" if "lost" in t else "no")
              for k, t in enumerate(frame["text"])]  # fmt: skip
    frame = frame.with_columns(urgent=pl.Series(urgent), length=pl.Series(value))
    frame.write_csv(folder / "tickets.csv")
    return folder / "tickets.csv"


def test_columns_of_one_file_become_bundles(
    tiny_sources: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = one_file(tmp_path), tmp_path / "out"
    words = ["multitask", str(data), "--out", str(out), "--source", tiny_sources["bert"].name]
    words += ["--trials", "1", "--json"]
    words += [word for name in ("topic", "urgent", "length") for word in ("--target", name)]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [task["name"] for task in told["tasks"]] == ["topic", "urgent", "length"]
    assert told["parameters"]["hybrid"] <= told["parameters"]["separate"]
    assert {"report.html", "multitask.json"} <= {path.name for path in out.iterdir()}
    assert not (out / "cache").exists()
    for task in told["tasks"]:
        bundle = metier.load(out / task["name"])
        assert bundle.digest == task["digest"]
        assert [column.name for column in bundle.manifest.columns] == ["text"]
        assert len(metier.predict(out / task["name"], data)) == 90
        assert metier.evaluate(out / task["name"], data)
        assert task["proven"]["n"] == task["single"]["n"] == task["shared"]["n"]
        facts = bundle.manifest.facts["multitask"]
        assert facts["way"] == task["chosen"]
        assert isinstance(open_earlier(str(out / task["name"]), "text"), Earlier)
    page = (out / "report.html").read_text()
    assert "Negative transfer" in page and "urgent" in page


def test_several_files_with_tests_of_their_own(
    tiny_sources: dict[str, Any], tmp_path: Path
) -> None:
    files = []
    for seed, (name, column) in enumerate((("a", "text"), ("b", "review"))):
        for part, n in (("train", 80), ("test", 30)):
            table = tiny.labelled_texts(n, "binary", 10 * seed + (part == "test"))
            (tmp_path / name).mkdir(exist_ok=True)
            table.frame.rename({"text": column}).write_csv(tmp_path / name / f"{part}.csv")
        files.append(tmp_path / name / "train.csv")
    made = api.multitask(
        files, target="target", test=[f.with_name("test.csv") for f in files],
        out=tmp_path / "out", source=tiny_sources["bert"].name, trials=1,
    )  # fmt: skip
    assert [each.name for each in made.found.tasks] == ["a", "b"]
    assert all(each.proven.n == 30 for each in made.found.tasks)
    assert (tmp_path / "out" / "a" / "looks.json").exists()
    assert "Proven once, on the test rows" in made.found.proof_on


def test_rows_that_are_learned_and_prove_are_told(
    tiny_sources: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test rows of one task are the training rows of the other one, in another case."""
    first, second = (tiny.labelled_texts(60, "binary", seed).frame for seed in (0, 1))
    other = tiny.labelled_texts(40, "binary", 2).frame
    crossed = pl.concat([first.head(20), other.head(30)]).with_columns(
        review=pl.col("text").str.to_uppercase()
    )
    fresh = other.tail(10).with_columns(text=pl.lit("refund refund ") + pl.col("text"))
    for name, frame in (
        ("a", first.rename({"target": "a"})),
        ("b", second.rename({"target": "b", "text": "review"})),
        ("a-test", fresh.rename({"target": "a"})),
        ("b-test", crossed.drop("text").rename({"target": "b"})),
    ):
        frame.write_csv(tmp_path / f"{name}.csv")
    warned: list[str] = []
    watch = Silent()
    monkeypatch.setattr(watch, "warn", warned.append)
    made = api.multitask(
        [tmp_path / "a.csv", tmp_path / "b.csv"], target=["a", "b"],
        test=[tmp_path / "a-test.csv", tmp_path / "b-test.csv"], out=tmp_path / "out",
        source=tiny_sources["bert"].name, trials=1, progress=watch,
    )  # fmt: skip
    assert made.found.tasks[1].proven.n == 50, "the rows that were given are left as they are"
    (told,) = [note for note in made.found.notes if "test rows" in note]
    count = int(told.removeprefix("b: ").split()[0])
    assert 19 <= count < 50 and told in warned
    assert told.startswith("b: ") and "of 50 test rows" in told


def test_rows_that_the_source_has_seen_count_once(
    tiny_sources: dict[str, Any], tmp_path: Path
) -> None:
    data = one_file(tmp_path, 90)
    frame = pl.read_csv(data)
    frame.head(45).write_csv(tmp_path / "half.csv")
    early = api.specialize(frame, target="topic", out=tmp_path / "early", strategies=["probe"],
                           sources=[tiny_sources["bert"].name], trials=1)  # fmt: skip
    made = api.multitask(
        tmp_path / "half.csv", target=["topic", "urgent"], test=tmp_path / "half.csv",
        out=tmp_path / "out", source=str(early.folder), trials=1,
    )  # fmt: skip
    (told,) = [note for note in made.found.notes if "has learned from these rows" in note]
    assert "about 50 %" in told


def test_nothing_that_proves_one_task_teaches_another(tmp_path: Path) -> None:
    """Rows of two files that differ in case alone are on one side."""
    frame = tiny.labelled_texts(80, "binary").frame
    frame.rename({"target": "a"}).write_csv(tmp_path / "a.csv")
    frame.rename({"target": "b"}).with_columns(pl.col("text").str.to_uppercase()).write_csv(
        tmp_path / "b.csv"
    )
    tasks = read_tasks([tmp_path / "a.csv", tmp_path / "b.csv"], ["a", "b"], ())
    united = unite([each.table for each in tasks])
    held, _ = divide(united, tasks, 0)
    texts = united.table.frame["text"].fill_null("").str.to_lowercase().to_numpy()
    learned = np.delete(texts, held)
    assert len(held) and len(united.table) > 150
    assert not ({*texts[held].tolist()} & {*learned.tolist()}) - {""}


def test_the_same_seed_gives_the_same_bundles(tiny_sources: dict[str, Any], tmp_path: Path) -> None:
    data = one_file(tmp_path, 60)
    texts = pl.read_csv(data)["text"].fill_null("").to_list()
    found = []
    for name in ("one", "two"):
        api.multitask(data, target=["topic", "urgent"], out=tmp_path / name,
                      source=tiny_sources["bert"].name, trials=1, seed=3)  # fmt: skip
        bundle = metier.load(tmp_path / name / "topic")
        found.append(bundle.scores({"text": texts}).tobytes())
    assert found[0] == found[1]


def test_groups_stay_together_and_metrics_decide(
    tiny_sources: dict[str, Any], tmp_path: Path
) -> None:
    data = one_file(tmp_path, 90)
    frame = pl.read_csv(data).with_columns(customer=pl.Series([k // 6 for k in range(90)]))
    frame.write_csv(data)
    made = api.multitask(
        data, target=["topic", "length"], metric=["f1_macro", "mae"], group="customer",
        out=tmp_path / "out", source=tiny_sources["bert"].name, trials=1,
    )  # fmt: skip
    assert [each.metric for each in made.found.tasks] == ["f1_macro", "mae"]
    assert "--metric f1_macro --metric mae --group customer" in made.found.command
    assert "over the groups of customer" in made.found.proof_on
    for each in made.found.tasks:
        measured = (each.single, each.shared, each.baseline)
        assert {one.details["groups"] for one in measured} == {3}
    manifest = metier.load(made.bundle("topic").parent).manifest
    assert "customer" not in [column.name for column in manifest.columns]
    tasks = read_tasks([data], ["topic", "length"], (), (), "customer")
    held, judged = divide(unite([each.table for each in tasks]), tasks, 0)
    customers = [{int(row) // 6 for row in rows} for rows in (held, *judged)]
    assert all(rows for rows in customers)
    assert sum(len(rows) for rows in customers) == len(set().union(*customers))


def test_a_group_holds_across_files(tmp_path: Path) -> None:
    files = []
    for seed, name in enumerate(("a", "b")):
        table = tiny.labelled_texts(80, "binary", seed)
        frame = table.frame.with_columns(
            text=pl.lit(name) + " " + pl.col("text"),
            customer=pl.Series([k // 4 for k in range(80)]),
        )
        frame.rename({"target": name}).write_csv(tmp_path / f"{name}.csv")
        files.append(tmp_path / f"{name}.csv")
    tasks = read_tasks(files, ["a", "b"], (), ("accuracy",), "customer")
    united = unite([each.table for each in tasks])
    held, judged = divide(united, tasks, 0)
    part = np.zeros(len(united.table), dtype=int)
    for number, rows in enumerate((held, *judged)):
        part[rows] = number
    for customer in range(20):
        own = [
            row
            for place, each in zip(united.places, tasks, strict=True)
            for row in place[(each.table.frame["customer"] == customer).to_numpy()]
        ]
        assert len(set(part[own].tolist())) == 1


def test_a_run_that_ended_is_found_again_and_one_that_did_not_begins_again(
    tiny_sources: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = one_file(tmp_path, 60), tmp_path / "out"
    out.mkdir()
    words = ["multitask", str(data), "--target", "topic", "--target", "urgent", "--trials", "1"]
    words += ["--out", str(out), "--source", tiny_sources["bert"].name, "--resume", "--json"]
    told = []
    for _ in range(2):
        assert main(words) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    assert main([word for word in words if word != "--resume"]) == 2
    assert "--resume to go on" in capsys.readouterr().err
    assert main([*words, "--seed", "3"]) == 2
    assert "asked something else" in capsys.readouterr().err.splitlines()[-1]
    known = json.loads((out / "asked.json").read_text())
    (out / "asked.json").write_text(json.dumps({"question": known["question"]}))
    (out / "multitask.json").unlink()
    assert main(words) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    before = json.loads(told[0].splitlines()[-1])
    for first, second in zip(before["tasks"], again["tasks"], strict=True):
        assert {**first, "digest": ""} == {**second, "digest": ""}
    assert (out / "multitask.json").exists()


def test_what_is_no_run_is_not_gone_on_with(tiny_sources: dict[str, Any], tmp_path: Path) -> None:
    data, out = one_file(tmp_path, 60), tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds no run"):
        api.multitask(data, target=["topic", "urgent"], out=out, trials=1, resume=True,
                      source=tiny_sources["bert"].name)  # fmt: skip
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def few(folder: Path) -> Path:
    frame = pl.read_csv(one_file(folder))
    rare = frame["urgent"].to_list()[:20] + [None] * (frame.height - 20)
    frame.with_columns(rare=pl.Series(rare)).write_csv(folder / "few.csv")
    return folder / "few.csv"


REFUSED: list[tuple[Callable[[Path], Path], list[str], str]] = [
    (one_file, ["--target", "topic"], "several --target"),
    (one_file, ["--target", "topic", "--target", "topik"], "did you mean 'topic'"),
    (one_file, ["--target", "topic", "--target", "topic"], "named twice"),
    (few, ["--target", "topic", "--target", "rare"], "40 are the least"),
    (one_file, ["--target", "topic", "--target", "urgent", "--test", "a", "--test", "b"], "2 test"),
    (one_file, ["--target", "topic", "--target", "urgent", "--budget", "soon"], "soon"),
    (one_file, ["--target", "topic", "--target", "urgent", "--group", "grup"], "grup"),
    (one_file, ["--target", "topic", "--target", "length", "--metric", "f1_macro"], "'length'"),
    (one_file, ["--target", "topic", "--target", "urgent", *["--metric", "f1"] * 3], "3 metrics"),
]


@pytest.mark.parametrize(("make", "options", "said"), REFUSED)
def test_refused_in_one_line_and_nothing_left(
    make: Callable[[Path], Path],
    options: list[str],
    said: str,
    tiny_sources: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    source = ["--source", tiny_sources["bert"].name]
    code = main(["multitask", str(make(tmp_path)), "--out", str(out), *source, *options])
    error = capsys.readouterr().err.splitlines()[-1]
    assert code == 2 and error.startswith("error:") and said in error
    assert not out.exists()


def test_clashing_files_are_refused(tiny_sources: dict[str, Any], tmp_path: Path) -> None:
    frame = tiny.labelled_texts(60, "binary").frame
    other = frame.with_columns(target=frame["target"].reverse())
    for name, each in (("a", frame), ("b", other)):
        each.write_csv(tmp_path / f"{name}.csv")
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    with pytest.raises(InputError, match="clashing labels"):
        api.multitask(files, target="target", out=tmp_path / "o", trials=1,
                      source=tiny_sources["bert"].name)  # fmt: skip
    twice = [files[0], files[0]]
    with pytest.raises(InputError, match="would be called"):
        api.multitask(twice, target="target", out=tmp_path / "o", trials=1,
                      source=tiny_sources["bert"].name)  # fmt: skip


@pytest.mark.parametrize("name", ["cache", "Report.html", "multitask.json", "asked.json"])
def test_a_task_cannot_be_called_what_the_run_writes(name: str, tmp_path: Path) -> None:
    data = one_file(tmp_path, 60)
    pl.read_csv(data).rename({"topic": name}).write_csv(data)
    with pytest.raises(InputError, match=f"a task would be called '{name}'"):
        api.multitask(data, target=[name, "urgent"], out=tmp_path / "o", trials=1)
    assert not (tmp_path / "o").exists()


def test_tables_share_no_network(tmp_path: Path) -> None:
    pl.DataFrame({"x": list(range(50)), "a": ["u", "v"] * 25, "b": [1.5, 2.5] * 25}).write_csv(
        tmp_path / "t.csv"
    )
    with pytest.raises(InputError, match="tables share no network"):
        api.multitask(tmp_path / "t.csv", target=["a", "b"], out=tmp_path / "o", trials=1)


def test_a_budget_without_time_for_a_fit_is_refused(
    tiny_sources: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["multitask", str(one_file(tmp_path)), "--target", "topic", "--target", "urgent"]
    words += ["--out", str(tmp_path / "out"), "--source", tiny_sources["bert"].name]
    assert main([*words, "--budget", "0.01s"]) == 2
    assert "budget is too small" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_test_file_is_read_as_the_file_that_it_proves(tmp_path: Path) -> None:
    """Its own rows alone would make numbers of the versions, which training read as text."""
    frame = tiny.labelled_texts(90, "binary").frame.rename({"target": "a"})
    version = pl.Series("b", [("2.10", "2.1", "beta")[k % 3] for k in range(90)])
    frame = frame.with_columns(version)
    frame.write_csv(tmp_path / "rows.csv")
    frame.filter(pl.col("b") != "beta").write_csv(tmp_path / "test.csv")
    tasks = read_tasks([tmp_path / "rows.csv"], ["a", "b"], [tmp_path / "test.csv"])
    table = tasks[1].test
    assert table is not None and len(table) == 60 and not tasks[1].notes
    assert set(table.frame["b"]) == {"2.10", "2.1"}
