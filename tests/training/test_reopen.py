"""What is taken up again predicts what its bundle predicts, and goes on learning."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

import metier
from metier.cache import Cache
from metier.deploy.bundle import write_bundle
from metier.deploy.finished import Finished
from metier.errors import BundleError
from metier.runtime.postprocess import Decision
from metier.sources.earlier import HASHES
from metier.sources.tabular import Tabular
from metier.strategies.boost import Boost
from metier.strategies.chain import Chain
from metier.strategies.classical import Classical
from metier.strategies.finetune import Finetune
from metier.strategies.fuse import Fuse
from metier.strategies.linear import Linear
from metier.strategies.majority import Majority, Mean
from metier.strategies.probe import Probe
from metier.strategies.prune import Prune
from metier.strategies.quantize import Quantize
from metier.strategies.trim import Trim
from metier.tasks import build
from metier.training.reopen import reopen
from metier.types import Problem, Run, Specialist, Strategy, Table
from tests.strategies.conftest import TARGETS, awkward_table, towards
from tests.strategies.test_conformance import with_numbers

Tables = Callable[..., Table]


def bundled(specialist: Specialist, rows: Table, run: Path) -> Path:
    """Write a specialist as a run folder."""
    write_bundle(
        specialist,
        run / "specialist",
        decision=Decision(specialist.task.kind, specialist.task.labels),
        sample=rows,
        card="",
        facts={"metric": specialist.task.metrics[0]},
    )
    return run


def made(strategy: Strategy, source: Any, rows: Table, kind: Any) -> Specialist:
    task = build(kind, rows)
    return strategy(Specialist(source, task), Problem(task, rows), Run(Cache()))


def same_as_bundle(run: Path, rows: Table) -> Specialist:
    """Reopen, and compare with what the bundle says of the rows."""
    found = reopen(run)
    wanted = metier.load(run).scores(rows.columns())
    np.testing.assert_allclose(found.scores(rows), wanted, atol=1e-4, rtol=1e-4)
    return found


@pytest.mark.parametrize("name", ["bert", "long", "roberta", "vit", "mobilenet"])
def test_a_net_comes_back_and_goes_on(
    name: str, tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    rows = tiny_table(tiny_sources[name], 40, "multiclass")
    first = made(Finetune(train="all", epochs=1), tiny_sources[name], rows, "multiclass")
    found = same_as_bundle(bundled(first, rows, tmp_path / "run"), rows)
    assert found.form == "net" and found.task == first.task
    assert found.source.digest == first.source.digest
    assert [step.strategy for step in found.lineage] == ["finetune"]
    again = Finetune(train="all", epochs=1)(found, Problem(found.task, rows), Run(Cache()))
    assert [step.strategy for step in again.lineage] == ["finetune", "finetune"]
    same_as_bundle(bundled(again, rows, tmp_path / "more"), rows)


SHARES = {"heads": 0.25, "units": 0.5, "channels": 0.5, "blocks": 0.4}


@pytest.mark.parametrize("name", ["bert", "roberta", "vit", "mobilenet"])
def test_what_was_cut_out_stays_out(
    name: str, tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    source = tiny_sources[name]
    rows = tiny_table(source, 40, "multiclass")
    chain = Chain((Probe(), Prune(**SHARES, epochs=1)))
    first = made(chain, source, rows, "multiclass")
    found = same_as_bundle(bundled(first, rows, tmp_path / "run"), rows)
    assert found.form == "net"
    assert found.model is not None and first.model is not None
    assert found.model.parameters == first.model.parameters
    again = Finetune(train="all", epochs=1)(found, Problem(found.task, rows), Run(Cache()))
    same_as_bundle(bundled(again, rows, tmp_path / "more"), rows)


@pytest.mark.parametrize("rank", [0, 8])
def test_a_trimmed_net_comes_back(
    rank: int, tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    source = tiny_sources["bert"]
    rows = tiny_table(source, 40, "multiclass")
    first = made(Chain((Probe(), Trim(rank=rank))), source, rows, "multiclass")
    found = same_as_bundle(bundled(first, rows, tmp_path / "run"), rows)
    assert found.model is not None and first.model is not None
    assert found.model.parameters == first.model.parameters
    again = Finetune(train="all", epochs=1)(found, Problem(found.task, rows), Run(Cache()))
    same_as_bundle(bundled(again, rows, tmp_path / "more"), rows)


def test_a_quantised_net_is_its_graph_with_its_origin(
    tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    source = tiny_sources["bert"]
    rows = tiny_table(source, 40, "multiclass")
    first = made(Chain((Probe(), Quantize())), source, rows, "multiclass")
    found = same_as_bundle(bundled(first, rows, tmp_path / "run"), rows)
    assert isinstance(found.model, Finished) and found.model.origin is not None
    assert found.model.origin.form == "net"


@pytest.mark.parametrize("kind", ["binary", "multilabel", "regression"])
def test_the_task_comes_back(
    kind: str, tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    rows = tiny_table(tiny_sources["bert"], 40, kind)
    first = made(Probe(), tiny_sources["bert"], rows, kind)
    found = same_as_bundle(bundled(first, rows, tmp_path / "run"), rows)
    assert (found.task.kind, found.task.labels) == (first.task.kind, first.task.labels)
    assert found.task.metrics == first.task.metrics
    if kind != "regression":
        assert found.task == first.task


@pytest.mark.parametrize(
    ("strategy", "kind"),
    [
        (Boost(trees=15, bags=2), "multiclass"),
        (Boost(trees=15, bags=2), "multilabel"),
        (Boost(trees=15, bags=2), "regression"),
        (Linear(strength=1.0), "binary"),
        (Majority(), "multiclass"),
        (Mean(), "regression"),
    ],
)
def test_a_model_of_tables_comes_back(strategy: Strategy, kind: str, tmp_path: Path) -> None:
    rows = towards(awkward_table(120), *TARGETS[kind])
    first = made(strategy, Tabular(), rows, kind)
    found = same_as_bundle(bundled(first, rows, tmp_path / "run"), rows)
    assert found.form == first.form
    assert found.model is not None and first.model is not None
    assert found.model.parameters == first.model.parameters
    np.testing.assert_array_equal(found.scores(rows), first.scores(rows))


def test_a_booster_is_grown_on(tmp_path: Path) -> None:
    rows = towards(awkward_table(120), *TARGETS["multiclass"])
    boost = Boost(trees=15, bags=1)
    found = reopen(bundled(made(boost, Tabular(), rows, "multiclass"), rows, tmp_path / "run"))
    again = boost(found, Problem(found.task, rows), Run(Cache()))
    assert again.model is not None and found.model is not None
    assert again.model.parameters > found.model.parameters


@pytest.mark.parametrize("name", ["bert", "vit"])
def test_counted_and_measured_inputs_come_back(
    name: str, tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    rows = tiny_table(tiny_sources[name], 40, "binary")
    first = made(Classical(strength=1.0), tiny_sources[name], rows, "binary")
    found = same_as_bundle(bundled(first, rows, tmp_path / "run"), rows)
    assert found.form == "linear"


@pytest.mark.parametrize("inner", [Boost(trees=10, bags=1), Linear(strength=1.0)])
@pytest.mark.parametrize("columns", [True, False])
def test_a_fused_model_comes_back(
    inner: Strategy,
    columns: bool,
    tiny_sources: dict[str, Any],
    tiny_table: Tables,
    tmp_path: Path,
) -> None:
    rows = tiny_table(tiny_sources["bert"], 40, "multiclass")
    rows = with_numbers(rows) if columns else rows
    first = made(Fuse(inner), tiny_sources["bert"], rows, "multiclass")
    same_as_bundle(bundled(first, rows, tmp_path / "run"), rows)


@pytest.fixture
def run(tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path) -> Path:
    """A run folder with a net."""
    rows = tiny_table(tiny_sources["bert"], 40, "binary")
    return bundled(made(Probe(), tiny_sources["bert"], rows, "binary"), rows, tmp_path / "run")


def test_the_inner_folder_will_do(run: Path) -> None:
    assert reopen(run / "specialist").form == reopen(str(run)).form == "net"


def test_without_weights_the_graph_is_the_model(
    run: Path, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    shutil.rmtree(run / "weights")
    rows = tiny_table(tiny_sources["bert"], 40, "binary")
    found = same_as_bundle(run, rows)
    assert found.form == "graph"
    assert found.model is not None and found.model.parameters > 10_000


def test_weights_of_another_bundle_are_refused(
    run: Path, tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    rows = tiny_table(tiny_sources["bert"], 40, "binary")
    tuned = made(Finetune(train="all", epochs=2, rate=1e-3), tiny_sources["bert"], rows, "binary")
    other = bundled(tuned, rows, tmp_path / "other")
    shutil.rmtree(run / "weights")
    shutil.copytree(other / "weights", run / "weights")
    with pytest.raises(BundleError, match=r"not those of the bundle .*is another"):
        reopen(run)
    without_hashes(run)
    with pytest.raises(BundleError, match=r"not those of the bundle .*scores differ"):
        reopen(run)


def without_hashes(run: Path) -> None:
    """Make the bundle an older one, which does not know what its weights were."""
    path = run / "specialist" / "metier.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    del manifest["facts"][HASHES]
    path.write_text(json.dumps(manifest), encoding="utf-8")


def test_weights_behind_a_changed_graph_are_held_to_their_hashes(
    run: Path, tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    rows = tiny_table(tiny_sources["bert"], 40, "binary")
    small = Quantize()(reopen(run), Problem(reopen(run).task, rows), Run(Cache()))
    folder = bundled(small, rows, tmp_path / "small")
    assert reopen(folder).form == "graph"
    head = folder / "weights" / "head.safetensors"
    save_file({name: -tensor for name, tensor in load_file(head).items()}, head)
    with pytest.raises(BundleError, match=r"head\.safetensors is another"):
        reopen(folder)


def test_damaged_weights_are_one_line(run: Path) -> None:
    path = run / "weights" / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BundleError, match=r"model\.safetensors"):
        reopen(run)
    path.write_bytes(whole)
    (run / "weights" / "net.json").write_text("{}")
    with pytest.raises(BundleError, match="get the weights again"):
        reopen(run)


def test_weights_that_are_no_encoder_are_one_line(run: Path) -> None:
    without_hashes(run)
    path = run / "weights" / "model.safetensors"
    tensors = load_file(path)
    del tensors["embeddings.LayerNorm.weight"]
    save_file(tensors, path)
    with pytest.raises(BundleError, match="weights are missing") as refused:
        reopen(run)
    assert "\n" not in str(refused.value)
    (run / "weights" / "config.json").write_text(json.dumps({"model_type": "of nobody"}))
    with pytest.raises(BundleError, match=r"config\.json"):
        reopen(run)


def test_links_are_refused(run: Path) -> None:
    head = run / "weights" / "head.safetensors"
    head.rename(run / "elsewhere")
    head.symlink_to(run / "elsewhere")
    with pytest.raises(BundleError, match="is a link"):
        reopen(run)


def test_a_changed_bundle_is_refused_before_its_weights_are_read(run: Path) -> None:
    (run / "specialist" / "README.md").write_text("another card")
    with pytest.raises(BundleError, match="changed"):
        reopen(run)
