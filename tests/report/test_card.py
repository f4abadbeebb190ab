"""The card: metadata that the hub can read, and no row of anyone's data."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import yaml

from metier.report.card import render_card
from metier.report.content import Report
from metier.types import Finding
from tests.report.conftest import MARKED

HOSTILE = "<script>x</script> | `tick` # *a* \n---\nkey: value \x00 \u2028 [link](http://x)"


def metadata(card: str) -> dict[str, Any]:
    assert card.startswith("---\n")
    found: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return found


def test_metadata_of_a_text_classifier(tickets: Report) -> None:
    found = metadata(render_card(tickets, snippet="print(1)"))
    assert found["library_name"] == "metier"
    assert found["pipeline_tag"] == "text-classification"
    assert {"metier", "onnx", "text"} <= set(found["tags"])
    assert found["metrics"][:3] == ["accuracy", "balanced_accuracy", "f1"]
    (result,) = found["model-index"][0]["results"]
    assert result["task"]["type"] == "text-classification"
    assert result["metrics"][0] == {"type": "accuracy", "name": "Accuracy", "value": 0.911}


def test_hub_library_reads_it(tickets: Report, prices: Report, photos: Report) -> None:
    hub = pytest.importorskip("huggingface_hub")
    for report in (tickets, prices, photos):
        data = hub.ModelCard(render_card(report, snippet="print(1)")).data
        assert data.library_name == "metier"
        assert data.model_name == report.name
        assert [r.metric_value for r in data.eval_results] == [f.value for f in report.proof]


@pytest.mark.parametrize(
    ("modality", "kind", "tag"),
    [
        ("image", "multiclass", "image-classification"),
        ("tabular", "binary", "tabular-classification"),
        ("tabular", "regression", "tabular-regression"),
        ("text", "multilabel", "text-classification"),
        ("text", "regression", None),
    ],
)
def test_pipeline_tag(tickets: Report, modality: Any, kind: Any, tag: str | None) -> None:
    card = render_card(replace(tickets, modality=modality, task_kind=kind), snippet="")
    found = metadata(card)
    assert found.get("pipeline_tag") == tag
    assert ("model-index" in found) == (tag is not None)


def test_base_model_is_named_only_for_hub_ids(tickets: Report) -> None:
    assert "base_model" not in metadata(render_card(tickets, snippet=""))
    hub = replace(tickets, source="sentence-transformers/all-MiniLM-L6-v2")
    assert metadata(render_card(hub, snippet=""))["base_model"] == hub.source


def test_not_a_number_never_gets_into_the_metadata(tickets: Report) -> None:
    proof = (Finding("accuracy", "", float("nan")), Finding("mcc", "", 0.5))
    (result,) = metadata(render_card(replace(tickets, proof=proof), snippet=""))["model-index"][0][
        "results"
    ]
    assert [metric["type"] for metric in result["metrics"]] == ["matthews_correlation"]


def test_card_tells_results_limits_and_use_but_no_row(
    tickets: Report, odd_cells: tuple[Finding, ...]
) -> None:
    card = render_card(tickets, snippet="print('plain')")
    headings = re.findall(r"^## (.*)$", card, flags=re.M)
    assert headings == ["Intended use", "Training data", "Results", "Limits", "How to use it",
                        "Lineage"]  # fmt: skip
    assert "| Accuracy (decides) | 0.911 | 0.867 to 0.946 | 180 |" in card
    assert "before the refit" in card and "print('plain')" in card
    assert "300 rows for train" in card and "wrongly labelled" in card
    assert "chargd" not in card and "parcel" not in card
    odd = render_card(replace(tickets, data_findings=odd_cells), snippet="")
    assert "5 cells" in odd and MARKED not in odd and "7.80511e+07" not in odd


def test_what_the_ten_lines_need_is_told(tickets: Report) -> None:
    assert "Or with onnxruntime alone:" in render_card(tickets, snippet="import onnxruntime")
    own = "from metier.runtime.preprocess import restore"
    assert "Or with onnxruntime and metier's reader" in render_card(tickets, snippet=own)


def test_hostile_names_stay_text(tickets: Report) -> None:
    report = replace(
        tickets, name=HOSTILE, verdict=HOSTILE, target=HOSTILE, source=HOSTILE,
        labels=(HOSTILE, "b"), inputs={HOSTILE: "text"}, label_counts={HOSTILE: 1, "b": 2},
        notes=(HOSTILE,), versions={HOSTILE: HOSTILE}, rows={HOSTILE: 1},
    )  # fmt: skip
    card = render_card(report, snippet="x = '```'")
    found = metadata(card)
    assert found["model-index"][0]["name"].startswith("<script>x</script>")
    assert "key" not in found
    body = card.split("---\n", 2)[2]
    assert "<script" not in body and "](http" not in body.replace("\\]", "")
    assert "````python\nx = '```'\n````" in body
