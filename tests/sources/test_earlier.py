"""The network of an earlier run as a start: what it gives, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import metier
from metier import api
from metier.cache import Cache
from metier.data.remembered import remember, row_hashes
from metier.deploy.bundle import write_bundle
from metier.errors import InputError, SourceError
from metier.road.intake import met_before
from metier.runtime.postprocess import Decision
from metier.sources import open_source
from metier.sources.earlier import Earlier
from metier.strategies.chain import Chain
from metier.strategies.classical import Classical
from metier.strategies.finetune import Finetune
from metier.strategies.lora import Lora
from metier.strategies.probe import Probe
from metier.strategies.prune import Prune
from metier.strategies.quantize import Quantize
from metier.strategies.scratch import Scratch
from metier.strategies.trim import Trim
from metier.tasks import build
from metier.training.feed import Feed
from metier.training.net import NetModel
from metier.training.start import preprocess_of
from metier.types import Problem, Run, Specialist, Strategy, Table

Tables = Callable[..., Table]


def run_with(strategy: Strategy, source: Any, rows: Table, folder: Path) -> Specialist:
    """Make a specialist and write it as a finished run."""
    task = build("multiclass", rows)
    made = strategy(Specialist(source, task), Problem(task, rows), Run(Cache()))
    write_bundle(
        made,
        folder / "specialist",
        decision=Decision(task.kind, task.labels),
        sample=rows,
        table=rows,
        remembered=remember(rows),
        card="",
        facts={},
    )
    return made


@pytest.mark.parametrize("name", ["bert", "long", "roberta", "vit", "mobilenet"])
def test_a_run_starts_where_its_specialist_ended(
    name: str, tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    source = tiny_sources[name]
    rows = tiny_table(source, 40, "multiclass")
    made = run_with(Finetune(train="all", epochs=1), source, rows, tmp_path / "run")
    found = open_source(str(tmp_path / "run"), source.modality)
    assert isinstance(found, Earlier) and isinstance(made.model, NetModel)
    assert found.digest == metier.load(tmp_path / "run").digest
    reading = preprocess_of(found, rows)
    mine, theirs = (
        Feed(net, reading, rows, Cache()).features()
        for net in (found.load(), made.model.net.backbone)
    )
    np.testing.assert_allclose(mine, theirs, atol=1e-5)
    other = tiny_table(source, 50, "binary", 3)
    task = build("binary", other)
    again = Finetune(epochs=1)(Specialist(found, task), Problem(task, other), Run(Cache()))
    assert np.isfinite(again.scores(other)).all()


@pytest.mark.parametrize(
    "strategy",
    [
        Lora(epochs=1),
        Chain((Probe(), Prune(heads=0.25, units=0.5, blocks=0.4, epochs=1))),
        Chain((Probe(), Trim(rank=8))),
        Chain((Probe(), Quantize())),
    ],
    ids=["lora", "pruned", "trimmed", "quantised"],
)
def test_what_was_merged_cut_or_quantised_is_a_start(
    strategy: Strategy, tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    if isinstance(strategy, Lora):
        pytest.importorskip("peft")
    source = tiny_sources["bert"]
    rows = tiny_table(source, 40, "multiclass")
    run_with(strategy, source, rows, tmp_path / "run")
    found = open_source(str(tmp_path / "run" / "specialist"), "text")
    task = build("multiclass", rows)
    made = Probe()(Specialist(found, task), Problem(task, rows), Run(Cache()))
    assert np.isfinite(made.scores(rows)).all()


def test_from_scratch_it_is_the_architecture_alone(
    tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    rows = tiny_table(tiny_sources["bert"], 40, "multiclass")
    run_with(Probe(), tiny_sources["bert"], rows, tmp_path / "run")
    found = open_source(str(tmp_path / "run"), "text")
    task = build("multiclass", rows)
    made = Scratch(epochs=1)(Specialist(found, task), Problem(task, rows), Run(Cache()))
    assert np.isfinite(made.scores(rows)).all()


def test_the_new_bundle_says_from_which_run_it_came(
    tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    rows = tiny_table(tiny_sources["bert"], 40, "multiclass")
    run_with(Probe(), tiny_sources["bert"], rows, tmp_path / "first")
    found: Any = open_source(str(tmp_path / "first"), "text")
    run_with(Finetune(epochs=1), found, rows, tmp_path / "second")
    manifest = metier.load(tmp_path / "second").manifest
    assert manifest.source["digest"] == metier.load(tmp_path / "first").digest
    told = manifest.facts["started_from"]
    assert told["run"] == "first" and told["strategies"] == ["probe"]
    assert told["source"]["digest"] == tiny_sources["bert"].digest


def test_rows_that_it_learned_from_are_known_again(
    tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    rows = tiny_table(tiny_sources["bert"], 40, "multiclass")
    run_with(Probe(), tiny_sources["bert"], rows, tmp_path / "run")
    found: Any = open_source(str(tmp_path / "run"), "text")
    other = tiny_table(tiny_sources["bert"], 40, "multiclass", 9)
    assert found.has_seen(rows) == 1.0
    assert found.has_seen(rows.take(range(20))) == 0.5
    assert found.has_seen(other) < 0.3
    (told,) = met_before([tiny_sources["bert"], found], rows)
    assert told.level == "problem" and "100 %" in told.verdict
    assert told.details["source"] == str(tmp_path / "run")
    (told,) = met_before([found], rows.take(range(20)), rows.take(range(20, 40)))
    assert told.level == "problem" and "100 %" in told.verdict
    new = tiny_table(tiny_sources["bert"], 40, "multiclass", 9)
    known = set(row_hashes(rows))
    unmet = new.take([k for k, name in enumerate(row_hashes(new)) if name not in known])
    (told,) = met_before([found], rows, unmet)
    assert told.level == "warning" and "test rows are none of those" in told.verdict


def changed(run: Path) -> None:
    path = run / "weights" / "head.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def changed_graph(run: Path) -> None:
    path = run / "specialist" / "model.onnx"
    path.write_bytes(path.read_bytes() + b" ")


def without_weights(run: Path) -> None:
    shutil.rmtree(run / "weights")


def broken_manifest(run: Path) -> None:
    (run / "specialist" / "metier.json").write_text("{}")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (changed, "was changed"),
        (changed_graph, "was changed"),
        (without_weights, "weights/"),
        (broken_manifest, "not a valid manifest"),
    ],
)
def test_a_tampered_run_is_refused(
    spoil: Callable[[Path], None],
    said: str,
    tiny_sources: dict[str, Any],
    tiny_table: Tables,
    tmp_path: Path,
) -> None:
    rows = tiny_table(tiny_sources["bert"], 40, "multiclass")
    run_with(Probe(), tiny_sources["bert"], rows, tmp_path / "run")
    spoil(tmp_path / "run")
    with pytest.raises(SourceError, match=said):
        open_source(str(tmp_path / "run"), "text")


def test_what_is_no_network_or_reads_something_else_is_refused(
    tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    rows = tiny_table(tiny_sources["bert"], 40, "multiclass")
    run_with(Classical(), tiny_sources["bert"], rows, tmp_path / "counted")
    with pytest.raises(SourceError, match="made by classical"):
        open_source(str(tmp_path / "counted"), "text")
    run_with(Probe(), tiny_sources["bert"], rows, tmp_path / "run")
    with pytest.raises(SourceError, match="reads texts"):
        open_source(str(tmp_path / "run"), "image")


def test_earlier_runs_are_ranked_beside_the_sources(
    tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    rows = tiny_table(tiny_sources["bert"], 60, "multiclass")
    runs = tmp_path / "runs"
    run_with(Finetune(train="all", epochs=2), tiny_sources["bert"], rows, runs / "net")
    run_with(Classical(), tiny_sources["bert"], rows, runs / "deep" / "counted")
    data = tmp_path / "more.csv"
    tiny_table(tiny_sources["bert"], 80, "multiclass", 5).frame.write_csv(data)
    found = api.rank(data, target="target", sources=[tiny_sources["bert"].name], runs=runs)
    told = {row["source"]: row["reason"] for row in found.rows}
    assert told[str(runs / "net")] == "" and "classical" in told[str(runs / "deep" / "counted")]
    assert len(told) == 3 and json.dumps(found.to_json())
    for none in (tmp_path / "no", "~nobody-of-this-name/runs"):
        with pytest.raises(InputError, match="--runs"):
            api.rank(data, target="target", sources=[tiny_sources["bert"].name], runs=none)
