"""Specialists made smaller: `metier compress`, and `metier specialize` under limits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from metier.api import compress, specialize
from metier.api.watching import Silent
from metier.cli import main
from metier.data.known import Known
from metier.data.read import read
from metier.errors import DataError, InputError, OptionError
from metier.evidence.cost import size_of
from metier.road.bundles.compress import Asked, _parts, _proof, _shared
from metier.road.labelled import Labelled, read_labelled
from metier.runtime.groups import GroupColumn, GroupThresholds
from metier.runtime.manifest import read_manifest
from metier.runtime.session import load
from metier.search.front import Limits
from metier.strategies.boost import Boost
from metier.strategies.classical import Classical
from metier.strategies.finetune import Finetune
from metier.tasks import build
from metier.training.reopen import reopen
from metier.types import Finding, Roles, Table
from tests import tiny
from tests.made import make_bundle


@pytest.fixture(scope="module")
def texts() -> Table:
    return tiny.labelled_texts(160, "multiclass")


@pytest.fixture(scope="module")
def valid(texts: Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "valid.csv"
    texts.frame.write_csv(path)
    return path


def wide_bert(folder: Path) -> Path:
    """A network whose weights outweigh what a graph holds beside them."""
    return tiny.save_bert(folder, hidden_size=96, intermediate_size=192)


@pytest.fixture(scope="module")
def run(texts: Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from metier.sources import open_source

    source = open_source(str(wide_bert(tmp_path_factory.mktemp("bert"))), "text")
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    return make_bundle(folder, Finetune(epochs=2), texts, "multiclass", source)


def test_rows_of_a_group_and_equal_rows_are_dealt_to_one_part() -> None:
    random = np.random.default_rng(0)
    x = random.permutation(np.repeat(np.arange(150.0), 2))
    who = [f"p{k % 40}" for k in range(300)]
    frame = pl.DataFrame({"x": x, "who": who, "y": np.where(x % 3 > 0, "a", "b")})
    for group in ("who", None):
        table = Table(frame, Roles({"x": "number"}, ("y",), group=group))
        rows = Labelled(build("binary", table), table, (), ())
        parts = _parts(rows, Asked(Path("run"), None, Limits(), (), None, None, 0, ""))
        told = frame.with_columns(part=parts)
        assert set(parts.tolist()) == {0, 1, 2}
        same = told.group_by(group or "x").agg(pl.col("part").n_unique())
        assert same["part"].max() == 1


def test_what_is_handed_over_is_smaller_and_predicts(run: Path, valid: Path, texts: Table) -> None:
    limit = int(0.7 * size_of(run / "specialist"))
    asked = {"max_loss": 100.0, "strategies": ("quantize",), "budget": "2m"}
    found = compress(run, valid, max_size=limit, **asked)
    assert size_of(found.bundle) <= limit
    assert found.folder == run.with_name("tiny-small")
    assert [each.name for each in found.compression.tried] == ["quantize"]
    only = found.compression.tried[0]
    assert only.side is not None and only.side.bytes < found.compression.parent.bytes
    bundle = load(found.bundle)
    assert bundle.digest == found.digest
    assert np.isfinite(bundle.scores(texts.columns())).all()
    facts = read_manifest(found.bundle)[0].facts
    assert facts["compression"]["made_from"] == load(run).digest
    # Measured anew: what its parent was proven to be is not what it is.
    assert facts["proof"]["name"] == "accuracy"
    assert facts["proof"]["n"] == facts["compression"]["proof"]["n"]
    assert facts["proof"] != read_manifest(run / "specialist")[0].facts.get("proof")
    page = found.page.read_text(encoding="utf-8")
    assert "Smaller and faster" in page and "quantize" in page
    assert not (found.folder / "trials").exists() and not (found.folder / "cache").exists()


def test_the_folder_that_is_handed_over_is_what_was_measured(
    run: Path, valid: Path, tmp_path: Path
) -> None:
    asked: Any = {"strategies": ("quantize",), "out": tmp_path / "small", "budget": "2m"}
    for limits in ({"max_size": "1GB"}, {"max_size": "1KB", "max_loss": 100.0}):
        found = compress(run, valid, **{**asked, **limits})
        (taken,) = [t.side for t in found.compression.tried] or [found.compression.parent]
        assert taken is not None
        assert taken.bytes == pytest.approx(size_of(found.bundle), rel=0.03)
        asked["out"] = tmp_path / "smaller"


def test_a_chain_whose_network_changes_is_tried(run: Path, valid: Path, tmp_path: Path) -> None:
    out = tmp_path / "small"
    found = compress(run, valid, out=out, max_loss=100, strategies=("prune",), budget="2m")
    only = found.compression.tried[0]
    assert only.side is not None, only.reason
    assert only.side.bytes < found.compression.parent.bytes


def test_what_would_be_too_large_is_not_trained(run: Path, valid: Path, tmp_path: Path) -> None:
    asked: Any = {"strategies": ("prune", "trim", "quantize"), "max_loss": 100, "budget": "3m"}
    found = compress(run, valid, out=tmp_path / "small", max_size="1KB", **asked)
    tried = {each.name: each for each in found.compression.tried}
    trained = [name for name in tried if "prune" in name]
    skipped = [name for name in trained if tried[name].state == "skipped"]
    assert len(trained) == 3 and len(skipped) == 2
    assert all("found without training it" in tried[name].reason for name in skipped)
    (smallest,) = set(trained) - set(skipped)
    assert tried[smallest].side is not None, tried[smallest].reason
    plain = [name for name in tried if "trim" in name and name not in trained]
    measured = [name for name in plain if tried[name].side is not None]
    assert len(plain) == 3 and len(measured) == 1
    assert next(iter(tried)) == "quantize" and tried["quantize"].side is not None


def test_what_fits_is_tried_and_what_does_not_is_not(
    run: Path, valid: Path, tmp_path: Path
) -> None:
    asked: Any = {"strategies": ("prune", "trim", "quantize"), "max_loss": 100, "budget": "3m"}
    whole = compress(run, valid, out=tmp_path / "int8", strategies=("quantize",), max_loss=100)
    limit = int(0.75 * size_of(whole.bundle))
    found = compress(run, valid, out=tmp_path / "small", max_size=limit, **asked)
    tried = {each.name: each for each in found.compression.tried}
    assert found.compression.met and size_of(found.bundle) <= limit
    skipped = [each for each in tried.values() if each.state == "skipped"]
    too_large = [each.name for each in skipped if "would be about" in each.reason]
    twins = [each.name for each in skipped if "would come out as" in each.reason]
    assert too_large and len(too_large) + len(twins) == len(skipped)
    assert all(tried[name].reason.split(" as ")[1].split(" does")[0] in tried for name in twins)


def test_limits_that_nothing_meets_end_with_three(
    run: Path, valid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compress", str(run), "--data", str(valid), "--out", str(tmp_path / "small")]
    code = main([*words, "--max-size", "1KB", "--strategy", "quantize", "--json"])
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert code == 3
    assert told["met"] is False
    assert "nothing meets at most 0.001 MB" in told["verdict"]
    assert (tmp_path / "small" / "specialist" / "metier.json").exists()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"max_size": "huge"}, "expected something like"),
        ({"max_latency": "soon"}, "expected something like"),
        ({"max_loss": -1.0}, "points"),
        ({"strategies": ("shrink",)}, "unknown strategy"),
        ({"strategies": ("linear",)}, "cannot make this specialist smaller"),
        ({"budget": "never"}, "budget"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    run: Path, valid: Path, tmp_path: Path, asked: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        compress(run, valid, out=tmp_path / "small", **asked)
    assert not (tmp_path / "small").exists()


def test_too_few_rows_are_refused(run: Path, texts: Table, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="40 are the least"):
        compress(run, texts.frame.head(20), out=tmp_path / "small")
    assert not (tmp_path / "small").exists()


def test_what_nothing_makes_smaller_is_said(texts: Table, valid: Path, tmp_path: Path) -> None:
    run = make_bundle(tmp_path / "terms", Classical(), texts, "multiclass")
    with pytest.raises(OptionError, match="nothing is known"):
        compress(run, valid, out=tmp_path / "small")


def numbers_table(n: int) -> Table:
    random = np.random.default_rng(0)
    size, weight = random.normal(size=(2, n))
    label = np.where(size + 0.5 * weight + random.normal(size=n) > 0, "yes", "no")
    frame = pl.DataFrame({"size": size, "weight": weight, "label": label})
    return Table(frame, Roles({"size": "number", "weight": "number"}, ("label",)))


def test_boosters_get_fewer_trees(tmp_path: Path) -> None:
    table = numbers_table(400)
    run = make_bundle(tmp_path / "trees", Boost(trees=200), table, "binary")
    found = compress(run, table.frame, out=tmp_path / "small", max_loss=100, budget="1m")
    assert found.compression.chosen == "thin"
    assert size_of(found.bundle) < size_of(run / "specialist")


def test_rows_are_judged_by_the_thresholds_of_their_groups(tmp_path: Path) -> None:
    """The groups alone decide here: `f` is answered yes, `m` no, and so it is."""
    rows = numbers_table(600)
    sex = np.random.default_rng(1).choice(["f", "m"], len(rows))
    label = np.where(sex == "f", "yes", "no")
    frame = rows.frame.with_columns(sex=pl.Series(sex), label=pl.Series(label))
    groups = GroupThresholds((GroupColumn("sex"),), {"f": 0.0, "m": 1.1})
    learned = replace(rows, frame=frame)
    many, few = (
        make_bundle(tmp_path / f"trees-{n}", Boost(trees=n), learned, "binary", groups=groups)
        for n in (200, 2)
    )
    found = compress(many, frame, out=tmp_path / "small", max_loss=100, budget="1m")
    (thin,) = found.compression.tried
    assert found.compression.parent.value == 1.0 and thin.side is not None
    assert (thin.side.value, thin.loss) == (1.0, 0.0)
    small = load(found.bundle)
    assert small.doubt.selective is not None and small.doubt.selective.steps[-1].error == 0.0
    bundle = load(many)
    given = read_labelled(bundle, read(frame, known=Known.of_bundle(bundle.manifest)))
    proof = _proof(reopen(few), reopen(many), given, np.arange(len(given)), bundle)
    assert proof is not None and proof["difference"] == 0.0


class Heard(Silent):
    """Whoever hears the warnings of a run."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def warn(self, text: str) -> None:
        self.told.append(text)


def test_rows_of_training_that_judge_too_are_said_with_the_verdict(tmp_path: Path) -> None:
    frame = numbers_table(400).frame
    make_bundle(tmp_path / "trees", Boost(trees=20), numbers_table(400), "binary")
    heard = Heard()
    asked: Any = {"max_loss": 100, "budget": "1m", "progress": heard}
    found = compress(tmp_path / "trees", frame, train=frame, out=tmp_path / "a", **asked)
    said = (
        "400 of the 400 rows that judge and prove are among those of --train: what is measured on "
        "them proves nothing: give rows that are not among them"
    )
    assert said in heard.told and found.compression.verdict.endswith(f"; {said}")
    assert said in found.page.read_text(encoding="utf-8")
    assert said in (found.bundle / "README.md").read_text(encoding="utf-8")


def test_rows_and_groups_of_training_are_met_again_among_those_that_judge() -> None:
    frame = numbers_table(200).frame.with_columns(
        who=pl.Series([f"p{k // 10}" for k in range(200)])
    )
    roles = Roles({"size": "number", "weight": "number"}, ("label",))

    def met(judging: slice, group: str | None = None) -> list[Finding]:
        table = Table(frame, replace(roles, group=group))
        rows = np.arange(200)
        return _shared(table.take(rows[:100]), table.take(rows[judging]))

    assert met(slice(100, 200)) == met(slice(100, 200), "who") == []
    (some,) = met(slice(98, 198))
    assert (some.level, some.n, some.value) == ("warning", 100, 0.02)
    assert some.verdict.endswith("those of --train: what is measured on them may be too good")
    (many,) = met(slice(60, 160))
    assert many.level == "problem" and many.value == 0.4
    (grouped,) = met(slice(95, 195), "who")
    assert "or of a group of theirs" in grouped.verdict and grouped.value == 0.05
    odd = Table(frame.with_columns(who=pl.lit("p0"), size=pl.int_range(200) + 0.5), roles)
    odd = replace(odd, roles=replace(roles, group="who"))
    learned = replace(odd, frame=frame)
    (of_one_group,) = _shared(learned, odd)
    assert of_one_group.level == "problem" and of_one_group.value == 1.0


def test_more_rows_than_chance_repeats_are_a_flaw_and_no_more() -> None:
    def rows(values: list[int]) -> Table:
        frame = pl.DataFrame({"x": values, "y": ["a", "b"] * (len(values) // 2)})
        return Table(frame, Roles({"x": "number"}, ("y",)))

    learned = rows([*range(50), *range(100, 125), *range(100, 125)])
    (some,) = _shared(learned, rows([*range(50), *range(100, 115), *range(500, 535)]))
    assert (some.level, some.value) == ("warning", 0.65)
    assert _shared(learned, rows([*range(50), *range(500, 550)])) == []


def test_a_run_fits_its_limits_and_proves_what_it_hands_over(valid: Path, tmp_path: Path) -> None:
    bert = str(wide_bert(tmp_path / "bert"))
    asked = {"trials": 1, "sources": [bert], "strategies": ["finetune"], "max_loss": 100.0}
    found = specialize(valid, target="target", out=tmp_path / "run", max_size="10MB", **asked)
    assert found.report.compression is not None and found.report.compression.met
    assert found.report.compression.chosen == ""
    whole = size_of(found.bundle)
    limit = int(0.8 * whole)
    assert found.report.compression.tried == ()
    smaller = specialize(valid, target="target", out=tmp_path / "s", max_size=limit, **asked)
    told = smaller.report.compression
    assert told is not None and told.met, told
    assert size_of(smaller.bundle) <= limit
    assert smaller.report.strategy.endswith("quantize")
    assert smaller.report.chosen is not None and smaller.report.chosen.name.endswith("-small")
    assert "Smaller and faster" in smaller.page.read_text(encoding="utf-8")
