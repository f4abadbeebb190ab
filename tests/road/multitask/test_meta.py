"""A learned start: a source on disk that says what it is worth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from metier import api
from metier.api.watching import Silent
from metier.cli import main
from metier.data.read import read
from metier.data.table import build_table
from metier.data.unite import unite
from metier.errors import InputError
from metier.evidence.episodes import Shape
from metier.road.intake import met_before
from metier.road.multitask import meta
from metier.sources import open_source
from metier.training.multitask.meta import How
from metier.types import Roles
from tests import tiny

WORDS = ["card", "lost", "invoice", "wrong", "help", "refund"]


def rows_of(path: Path, classes: int = 6, each: int = 14, noise: int = 3) -> Path:
    """Texts whose class is the word that stands in them most."""
    random = np.random.default_rng(0)
    found: dict[str, str] = {}
    while len(found) < classes * each:
        own = WORDS[len(found) % classes]
        words = [own, own, *random.choice(tiny.WORDS, noise)]
        text = " ".join(random.permutation(words))
        if text not in found:
            found[text] = own
    frame = pl.DataFrame({"text": list(found), "label": list(found.values())})
    frame.write_csv(path)
    return path


def some_of(path: Path, labels: range, each: int, copies: int = 0) -> Path:
    """Rows of numbered classes that are the same in every file, and copies of the first of them
    under one name of the file's own."""
    rows = [(f"{'abcdefghij'[k % 10] * 9} {k} {i} lost card {i * k}", f"topic {k}")
            for k in labels for i in range(each)]  # fmt: skip
    rows += [(text, "own") for text, _ in rows[:copies]]
    pl.DataFrame(rows, schema=["text", "label"], orient="row").write_csv(path)
    return path


def test_what_judges_in_one_file_is_learned_in_none(
    tiny_sources: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [
        some_of(tmp_path / "a.csv", range(10), 8),
        some_of(tmp_path / "b.csv", range(3, 16), 8),
        some_of(tmp_path / "c.csv", range(3), 8, copies=24),
    ]
    seen: list[tuple[Any, Any]] = []
    divide = meta._divide

    def watched(tables: Any, united: Any, wanted: Any) -> Any:
        seen.append((divide(tables, united, wanted), united))
        return seen[-1][0]

    monkeypatch.setattr(meta, "_divide", watched)
    for seed in range(3):
        made = api.meta(files, out=tmp_path / f"{seed}", target="label", ways=2, shots=3, steps=1,
                        source=tiny_sources["bert"].name, seed=seed)  # fmt: skip
        divided, united = seen[-1]
        learned, held = (
            {int(row) for file in divided for own in getattr(file, part).values() for row in own}
            for part in ("learned", "held")
        )
        assert held and not learned & held
        texts = united.table.frame["text"].to_list()
        assert not {texts[row] for row in learned} & {texts[row] for row in held}
        names = [{n for own in part.values() for n in own}
                 for part in (made.found.learned, made.found.held)]  # fmt: skip
        assert names[0] and names[1] and not names[0] & names[1]
        assert all(len(own) >= 2 for own in made.found.held.values())


def test_a_file_of_too_few_classes_is_not_said_to_be_learned(
    tiny_sources: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [some_of(tmp_path / "a.csv", range(6), 8), some_of(tmp_path / "b.csv", range(7, 9), 8)]
    warned: list[str] = []
    watch = Silent()
    monkeypatch.setattr(watch, "warn", warned.append)
    made = api.meta(files, out=tmp_path / "s", target="label", ways=3, shots=3, steps=1,
                    source=tiny_sources["bert"].name, progress=watch)  # fmt: skip
    assert set(made.found.learned) == {"a"}
    assert [told for told in warned if told.startswith("b: ")]
    rows, _ = build_table(read(files[1]), Roles({"text": "text"}, ("label",)))
    assert met_before([open_source(str(tmp_path / "s"), "text")], rows) == []


def test_files_of_other_classes_each_hold_some(tmp_path: Path) -> None:
    frames = [read(some_of(tmp_path / f"{k}.csv", range(6 * k, 6 * k + 6), 8)) for k in range(3)]
    tables = [
        (raw.name, build_table(raw, Roles({"text": "text"}, ("label",)))[0]) for raw in frames
    ]
    wanted = meta.Wanted((), (), None, How(shape=Shape(2, 3)), 0, "")
    divided = meta._divide(tables, unite([table for _, table in tables]), wanted)
    assert [(len(file.learned), len(file.held)) for file in divided] == [(4, 2)] * 3


def test_too_few_classes_left_to_learn_from_are_refused(
    tiny_sources: dict[str, Any], tmp_path: Path
) -> None:
    """All rows of the second file are those of the first, and other classes of them judge."""
    first = some_of(tmp_path / "a.csv", range(4), 8)
    frame = pl.read_csv(first).with_columns(label=pl.lit("other ") + pl.col("label"))
    frame.write_csv(tmp_path / "b.csv")
    with pytest.raises(InputError, match="left to learn from"):
        api.meta([first, tmp_path / "b.csv"], out=tmp_path / "s", target="label", ways=2, shots=3,
                 steps=1, source=tiny_sources["bert"].name)  # fmt: skip
    assert not (tmp_path / "s").exists()


def test_a_start_that_was_learned_is_found_again(
    tiny_sources: dict[str, Any], tmp_path: Path
) -> None:
    data, out = rows_of(tmp_path / "a.csv"), tmp_path / "start"
    out.mkdir()

    def learn(shots: int = 3) -> meta.Handed:
        return api.meta(
            data,
            out=out,
            ways=2,
            shots=shots,
            source=tiny_sources["bert"].name,
            steps=3,
            resume=True,
        )

    first = learn()
    assert learn().to_json() == first.to_json() and learn().found == first.found
    with pytest.raises(InputError, match="asked something else"):
        learn(shots=2)


@pytest.mark.parametrize("method", ["prototypical", "reptile", "fomaml"])
def test_the_result_is_a_source(method: str, tiny_sources: dict[str, Any], tmp_path: Path) -> None:
    data, out = rows_of(tmp_path / "a.csv"), tmp_path / "start"
    made = api.meta(
        data, out=out, ways=2, shots=3, method=method, source=tiny_sources["bert"].name, steps=12
    )
    assert made.found.steps == 12 and made.found.carried.n > 100
    told = json.dumps(made.to_json())
    assert "bert" in told and made.found.verdict.startswith("The learned start")
    learned, held = made.found.learned["a"], made.found.held["a"]
    assert not set(learned) & set(held) and len(held) >= 2
    found: Any = open_source(str(out), "text")
    before, after = (s.load().state_dict() for s in (tiny_sources["bert"], found))
    moved = [name for name in after if not (before[name] == after[name]).all()]
    assert moved and all("layer.2" in name for name in moved), "the lower blocks stay"
    rows, _ = build_table(read(data), Roles({"text": "text"}, ("label",)))
    (told_again,) = met_before([tiny_sources["bert"], found], rows)
    assert told_again.level == "problem" and "100 %" in told_again.verdict
    card = (out / "README.md").read_text()
    assert tiny_sources["bert"].digest in card and "Lineage" in card
    assert "<html" in (out / "report.html").read_text()


def test_the_same_seed_gives_the_same_source(tiny_sources: dict[str, Any], tmp_path: Path) -> None:
    data, digests = rows_of(tmp_path / "a.csv"), []
    for name in ("one", "two"):
        api.meta(data, out=tmp_path / name, ways=2, source=tiny_sources["bert"].name, steps=5)
        content = (tmp_path / name / "model.safetensors").read_bytes()
        digests.append(content)
    assert digests[0] == digests[1]


def test_pictures_of_a_batch_norm_net(
    tiny_sources: dict[str, Any], tiny_table: Callable[..., Any], tmp_path: Path
) -> None:
    source = tiny_sources["mobilenet"]
    table = tiny_table(source, 48, "multiclass")
    frame = table.frame.with_row_index("k").with_columns(
        image=pl.col("image").map_elements(lambda v: str(table.base / v), pl.String),
        target=pl.col("target") + "-" + (pl.col("k") % 2).cast(pl.String),
    )
    frame.drop("k").write_csv(tmp_path / "pictures.csv")
    made = api.meta(
        tmp_path / "pictures.csv", out=tmp_path / "start", target="target", ways=2, shots=2,
        source=source.name, steps=4,
    )  # fmt: skip
    found: Any = open_source(str(made.folder), "image")
    assert found.preprocess("image") == source.preprocess("image")


def test_a_learned_start_serves_any_strategy(tiny_sources: dict[str, Any], tmp_path: Path) -> None:
    data, out = rows_of(tmp_path / "a.csv"), tmp_path / "start"
    api.meta(data, out=out, ways=2, source=tiny_sources["bert"].name, steps=3)
    result = api.specialize(
        data, out=tmp_path / "run", sources=[str(out)], strategies=["probe"], trials=1
    )
    assert (result.bundle / "metier.json").exists()


REFUSED: list[tuple[list[str], str]] = [
    (["--shots", "20"], "20 shots"),
    (["--ways", "4"], "8 are needed"),
    (["--method", "reptil"], "did you mean 'reptile'"),
    (["--target", "lable"], "lable"),
    (["--ways", "1"], "--ways 1"),
]


@pytest.mark.parametrize(("options", "said"), REFUSED)
def test_what_makes_no_episode_is_refused_in_one_line(
    options: list[str],
    said: str,
    tiny_sources: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, out = rows_of(tmp_path / "a.csv"), tmp_path / "start"
    words = ["meta", str(data), "--out", str(out), "--source", tiny_sources["bert"].name]
    assert main([*words, "--steps", "2", *options]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error:") and said in error
    assert not out.exists() and [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_numbers_are_no_classes(tiny_sources: dict[str, Any], tmp_path: Path) -> None:
    frame = tiny.labelled_texts(40, "regression").frame
    frame.write_csv(tmp_path / "n.csv")
    with pytest.raises(InputError, match="episodes are drawn from classes"):
        api.meta(tmp_path / "n.csv", out=tmp_path / "s", target="target",
                 source=tiny_sources["bert"].name, steps=1)  # fmt: skip


def test_a_budget_without_time_for_a_fit_is_refused(
    tiny_sources: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["meta", str(rows_of(tmp_path / "a.csv")), "--ways", "2"]
    words += ["--out", str(tmp_path / "out"), "--source", tiny_sources["bert"].name]
    assert main([*words, "--budget", "0.01s"]) == 2
    assert "budget is too small" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
