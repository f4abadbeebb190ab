"""Robustness of finished bundles: texts, images and tables, from the rows to the page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from metier.cli import main
from metier.data.read import read
from metier.errors import OptionError
from metier.evidence.robustness.curves import Robustness
from metier.report.document import Document, render_document
from metier.report.robustness import robustness_sections, score_lines
from metier.road.labelled import read_labelled
from metier.road.trust.robustness import measure_robustness
from metier.runtime.session import load
from metier.strategies.boost import Boost
from metier.strategies.classical import Classical
from metier.strategies.finetune import Finetune
from metier.types import Roles, Table
from tests.made import make_bundle

TUNE = Finetune(train="all", epochs=4, rate=2e-3, patience=0)


def measure(folder: Path, data: Any, **more: Any) -> Robustness:
    bundle = load(folder)
    return measure_robustness(bundle, read_labelled(bundle, read(data)), folder, 6.0, **more)


@pytest.fixture(scope="module")
def texts(
    tiny_sources: dict[str, Any], tiny_table: Callable[..., Any], tmp_path_factory: Any
) -> tuple[Path, pl.DataFrame]:
    source = tiny_sources["bert"]
    table = tiny_table(source, 80, "binary")
    folder = tmp_path_factory.mktemp("texts") / "run"
    return make_bundle(folder, TUNE, table, "binary", source), table.frame


@pytest.fixture(scope="module")
def pictures(
    tiny_sources: dict[str, Any], tiny_table: Callable[..., Any], tmp_path_factory: Any
) -> tuple[Path, pl.DataFrame]:
    source = tiny_sources["mobilenet"]
    table = tiny_table(source, 60, "multiclass")
    folder = tmp_path_factory.mktemp("pictures") / "run"
    frame = table.frame.with_columns(
        image=pl.Series([str(table.base / name) for name in table.frame["image"]])
    )
    return make_bundle(folder, TUNE, table, "multiclass", source), frame


def columns(n: int = 240) -> pl.DataFrame:
    random = np.random.default_rng(0)
    size, weight = random.normal(size=(2, n))
    colour = random.choice(["red", "green", "blue"], n)
    value = size + 0.8 * (colour == "red")
    bought = np.where(value > 0.3, "yes", "no")
    frame = {"size": size, "weight": weight, "colour": colour, "bought": bought}
    return pl.DataFrame({**frame, "price": 100 + 20 * value})


def table_bundle(folder: Path, target: str, kind: Any) -> Path:
    roles = Roles({"size": "number", "weight": "number", "colour": "category"}, (target,))
    return make_bundle(folder, Boost(trees=30, bags=1), Table(columns(), roles), kind)


def test_pictures_are_damaged_and_attacked(pictures: tuple[Path, pl.DataFrame]) -> None:
    folder, frame = pictures
    found = measure(folder, frame, examples=True)
    names = ["noise", "blur", "JPEG compression", "brightness", "rotation"]
    assert [curve.name for curve in found.curves] == names
    by_name = {each.name: each for each in found.assaults}
    assert list(by_name) == [
        "FGSM 4/255",
        "PGD 1/255",
        "PGD 2/255",
        "PGD 4/255",
        "PGD 8/255",
        "Square 4/255",
    ]
    scores = {name: each.score.value for name, each in by_name.items()}
    row = 1 / (by_name["PGD 1/255"].score.n or 1)  # an attack may miss a row by its random start
    assert scores["PGD 8/255"] <= scores["PGD 4/255"] + row <= scores["PGD 1/255"] + 2 * row
    assert scores["PGD 4/255"] <= scores["FGSM 4/255"] + row
    assert scores["PGD 8/255"] < found.untouched.value
    for each in found.assaults:
        assert each.change.n == found.untouched.n and each.p_adjusted >= each.change.p
        assert set(each.broken) <= set(range(60))
    assert found.signs and found.signs[0].name.startswith("masked_gradients")
    page = rendered(found)
    assert page.count("data:image/png") == 2 * len(found.examples) > 0


def test_texts_are_damaged_and_words_replaced(
    texts: tuple[Path, pl.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, frame = texts
    # Random embeddings have no neighbours as near as those of a network that has learned.
    from metier.training import neighbours

    monkeypatch.setattr(neighbours.neighbours, "__defaults__", (8, -1.0))
    found = measure(folder, frame, examples=True)
    assert [curve.name for curve in found.curves] == ["typos", "casing", "missing words"]
    (attack,) = found.assaults
    assert attack.name == "Word substitution" and attack.change.difference < 0
    assert len(attack.broken) and found.examples
    for each in found.examples:
        assert each.before != each.after and len(each.before.split()) == len(each.after.split())
        assert each.row in attack.broken and each.truth != each.answered
    page = rendered(found)
    assert "<strong>" in page and "need not mean the same" in page


@pytest.mark.parametrize(("target", "kind"), [("bought", "binary"), ("price", "regression")])
def test_tables_are_damaged_and_columns_moved(target: str, kind: str, tmp_path: Path) -> None:
    folder = table_bundle(tmp_path / "run", target, kind)
    found = measure(folder, columns())
    assert [curve.name for curve in found.curves] == ["missing values", "jittered numbers"]
    shares = [each.radius for each in found.assaults]
    assert shares == [0.1, 0.25, 0.5]
    changes = [each.change.difference for each in found.assaults]
    assert changes[0] <= 0 and changes[2] < changes[0], "more room does more harm"
    assert not found.signs and not found.examples
    assert rendered(found)
    free = measure(folder, columns(), categories=["colour"])
    assert free.assaults[0].change.difference < changes[0]
    with pytest.raises(OptionError, match=r"'colours'.*did you mean 'colour'"):
        measure(folder, columns(), categories=["colours"])


def test_without_weights_texts_are_damaged_only_and_pictures_seen_by_their_scores(
    texts: tuple[Path, pl.DataFrame], pictures: tuple[Path, pl.DataFrame], tmp_path: Path
) -> None:
    alone = []
    for name, (folder, _) in (("texts", texts), ("pictures", pictures)):
        shutil.copytree(folder / "specialist", tmp_path / name / "specialist")
        alone.append(tmp_path / name)
    words = measure(alone[0], texts[1])
    assert words.curves and not words.assaults and "no weights" in words.notes[0]
    seen = measure(alone[1], pictures[1])
    assert [each.family for each in seen.assaults] == ["square"] and not seen.signs
    assert "no weights" in rendered(seen)


def test_what_no_attack_is_known_for_is_damaged_only(
    texts: tuple[Path, pl.DataFrame], tmp_path: Path
) -> None:
    _, frame = texts
    table = Table(frame, Roles({"text": "text"}, ("target",)))
    folder = make_bundle(tmp_path / "run", Classical(), table, "binary")
    found = measure(folder, frame)
    assert len(found.curves) == 3 and not found.assaults and "No attack" in found.notes[0]
    assert "No attack" in rendered(found)


def test_the_command_prints_a_table_and_one_json_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = table_bundle(tmp_path / "run", "bought", "binary")
    columns().write_csv(tmp_path / "rows.csv")
    words = ["evaluate", str(folder), str(tmp_path / "rows.csv"), "--robustness"]
    assert main([*words, "--seconds", "2", "--json"]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert any("slight to severe" in line for line in lines)
    told = json.loads(lines[-1])
    assert {"findings", "robustness"} == told.keys()
    assert any(f["name"] == "attack[Columns moved by 0.1 sd]" for f in told["findings"])
    assert len(told["robustness"]["curves"]) == 2


@pytest.mark.parametrize(
    ("more", "told"),
    [(["--seconds", "5"], "--robustness"), (["--robustness", "--seconds", "0"], "above 0")],
)
def test_bad_options_are_refused_in_one_line(
    more: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "run", "rows.csv", *more]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert told in line


def rendered(found: Robustness) -> str:
    """The page of what was found; its lines for the terminal are made too."""
    assert len(score_lines(found)) == 1 + len(found.curves) + len(found.assaults)
    sections = robustness_sections(found)
    page = Document("metier audit", "a test", "2026-01-01", "neutral", "", "", "", sections)
    return render_document(page)
