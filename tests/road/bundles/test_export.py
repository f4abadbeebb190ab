"""Bundles in other shapes: plain ONNX and stock classes of transformers, with the same answers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import metier
from metier.api import export
from metier.cli import main
from metier.deploy.hub import TOLERANCE
from metier.errors import OptionError
from metier.sources.text import open_text
from metier.strategies.finetune import Finetune
from metier.strategies.linear import Linear
from metier.strategies.probe import Probe
from metier.types import Roles, Table
from tests import tiny
from tests.made import make_bundle

Tables = Callable[..., Table]


@pytest.fixture(scope="module")
def cls_sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Text encoders of many architectures that feel their first token, as sources."""
    import json

    from transformers import (
        DistilBertConfig,
        DistilBertModel,
        ElectraConfig,
        ElectraModel,
        ModernBertConfig,
        ModernBertModel,
    )

    folder = tmp_path_factory.mktemp("cls")
    tiny.save_bert(folder / "bert", spare=20)
    tiny.save_roberta(folder / "roberta", spare=20)
    common = {"vocab_size": tiny.save_tokenizer(folder / "electra", 32), "pad_token_id": 0}
    tiny.save_tokenizer(folder / "distilbert", 32)
    tiny.save_tokenizer(folder / "modernbert", 32)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    wide = {**sizes, "intermediate_size": 48, "max_position_embeddings": 32}
    ElectraModel(ElectraConfig(**common, **wide, embedding_size=32)).save_pretrained(
        folder / "electra"
    )
    DistilBertModel(
        DistilBertConfig(
            **common, dim=32, n_layers=2, n_heads=4, hidden_dim=48, max_position_embeddings=32
        )
    ).save_pretrained(folder / "distilbert")
    ModernBertModel(
        ModernBertConfig(**common, **wide, global_attn_every_n_layers=1)
    ).save_pretrained(folder / "modernbert")
    listing = [
        {"idx": 0, "name": "0", "path": "", "type": "x.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "x.Pooling"},
    ]
    for each in folder.iterdir():
        (each / "modules.json").write_text(json.dumps(listing))
        (each / "1_Pooling").mkdir()
        (each / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    return {each.name: open_text(str(each)) for each in folder.iterdir()}


def pipeline_answers(folder: Path, task: str, rows: list[Any], labels: tuple[str, ...]) -> Any:
    """Probabilities (n, labels) as the pipeline gives them."""
    from transformers import pipeline

    answer: Any = pipeline(task, model=str(folder))
    given = {"truncation": True} if task == "text-classification" else {}
    found = [answer(row, top_k=max(len(labels), 1), **given) for row in rows]
    if not labels:
        return np.array([[each[0]["score"]] for each in found])
    return np.array([[{e["label"]: e["score"] for e in row}[n] for n in labels] for row in found])


def expected(bundle: Path, rows: list[Any]) -> Any:
    loaded = metier.load(bundle)
    found = loaded.predict(rows)
    if found.probabilities is None:
        return np.array([[answer] for answer in found.answers])
    return found.probabilities


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("bert", "binary"),
        ("bert", "multilabel"),
        ("bert", "regression"),
        ("roberta", "multiclass"),
        ("distilbert", "multiclass"),
        ("electra", "multiclass"),
        ("electra", "multilabel"),
    ],
)
def test_texts_through_a_pipeline(
    name: str, kind: str, cls_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    source = cls_sources[name]
    table = tiny_table(source, 60, kind)
    warm = {} if kind == "regression" else {"temperature": 1.7}
    run = make_bundle(tmp_path / "run", Probe(), table, kind, source, **warm)
    folder = export(run, "transformers", tmp_path / "out")
    rows = [*tiny.texts(12, seed=5), " ".join(["lost"] * 60)]
    bundle = metier.load(run)
    found = pipeline_answers(folder, "text-classification", rows, bundle.labels)
    # What the export allows is a share of the spread of the scores; processors round otherwise.
    scores = bundle.scores({bundle.manifest.columns[0].name: rows})
    scale, spread = (1e5, 1.0) if kind == "regression" else (1.0, max(1.0, float(np.ptp(scores))))
    allowed = TOLERANCE * spread
    np.testing.assert_allclose(found / scale, expected(run, rows) / scale, atol=allowed)


@pytest.mark.parametrize(("name", "kind"), [("vit", "multilabel"), ("mobilenet", "multiclass")])
def test_images_through_a_pipeline(
    name: str, kind: str, tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    source = tiny_sources[name]
    table = tiny_table(source, 30, kind)
    strategy = Finetune(epochs=1) if name == "vit" else Probe()
    run = make_bundle(tmp_path / "run", strategy, table, kind, source, temperature=0.8)
    folder = export(run, "transformers", tmp_path / "out")
    rows = table.columns()["image"][:8]
    found = pipeline_answers(folder, "image-classification", rows, metier.load(run).labels)
    np.testing.assert_allclose(found, expected(run, rows), atol=1e-3)


def test_what_pools_in_another_way_is_refused_with_the_reason(
    tiny_sources: dict[str, Any],
    tiny_table: Tables,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = tiny_sources["bert"]  # reads the mean of its tokens
    run = make_bundle(tmp_path / "run", Probe(), tiny_table(source), "multiclass", source)
    assert main(["export", str(run), "--format", "transformers"]) == 2
    said = capsys.readouterr().err
    assert "the mean of all tokens" in said and "BertForSequenceClassification" in said
    assert "--format onnx" in said and said.count("\n") == 1
    assert not (run / "transformers").exists()
    assert not list(run.glob(".writing-*"))


def test_layers_that_cannot_do_nothing_are_refused(
    cls_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    source = cls_sources["modernbert"]
    run = make_bundle(tmp_path / "run", Probe(), tiny_table(source), "multiclass", source)
    with pytest.raises(OptionError, match="ModernBertForSequenceClassification has layers"):
        export(run, "transformers")


def test_windows_and_tables_are_refused(
    tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    source = tiny_sources["long"]
    run = make_bundle(tmp_path / "long", Probe(), tiny_table(source), "multiclass", source)
    with pytest.raises(OptionError, match="windows"):
        export(run, "transformers")
    frame = pl.DataFrame({"x": range(40), "y": ["a", "b"] * 20})
    table = Table(frame, Roles({"x": "number"}, ("y",)))
    run = make_bundle(tmp_path / "table", Linear(), table, "binary")
    with pytest.raises(OptionError, match="no text or image network"):
        export(run, "transformers")


def test_the_card_says_what_a_pipeline_does_not_do(
    cls_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    source = cls_sources["bert"]
    table = tiny_table(source, 60, "binary")
    run = make_bundle(tmp_path / "run", Probe(), table, "binary", source, thresholds=(0.25,))
    card = (export(run, "transformers") / "README.md").read_text()
    assert "thresholds: [0.25]" in card and "# A test" in card
    assert card.startswith("---\nlibrary_name: transformers\n")


def test_onnx_predicts_without_metier(
    tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    source = tiny_sources["bert"]
    run = make_bundle(tmp_path / "run", Probe(), tiny_table(source), "multiclass", source)
    folder = export(run, "onnx")
    assert folder == (run / "onnx").resolve()
    code = (folder / "predict.py").read_text()
    assert "metier import" not in code and "import metier" not in code
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path={sys.path[1:]!r}; exec({code!r})"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    answers = metier.load(run).predict(["the first text", "the second"]).answers
    assert all(f"'{answer}'" in done.stdout for answer in answers)
    assert metier.load(folder).digest == metier.load(run).digest


def test_refusals_leave_nothing_behind(
    tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    source = tiny_sources["bert"]
    run = make_bundle(tmp_path / "run", Probe(), tiny_table(source), "multiclass", source)
    with pytest.raises(OptionError, match="did you mean 'onnx'"):
        export(run, "onx")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    with pytest.raises(OptionError, match="is there already"):
        export(run, "onnx", tmp_path / "full")
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine.txt"]
