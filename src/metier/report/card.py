"""The model card: what a stranger should know before using the specialist, in the hub's format."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from metier.evidence.words import sentence
from metier.report import wording
from metier.report.content import Report, ranked
from metier.report.fairness import fairness_lines
from metier.report.snippet import needs_of
from metier.report.snippet import plain_snippet as plain_snippet
from metier.types import Finding

PIPELINES = {
    ("text", "binary"): "text-classification",
    ("text", "multiclass"): "text-classification",
    ("text", "multilabel"): "text-classification",
    ("image", "binary"): "image-classification",
    ("image", "multiclass"): "image-classification",
    ("image", "multilabel"): "image-classification",
    ("tabular", "binary"): "tabular-classification",
    ("tabular", "multiclass"): "tabular-classification",
    ("tabular", "multilabel"): "tabular-classification",
    ("tabular", "regression"): "tabular-regression",
}
"""The hub's name of a task. It has none for numbers from texts or images, so there is none here."""

HUB_METRICS = {
    "mcc": "matthews_correlation",
    "r2": "r_squared",
    "spearman": "spearmanr",
    "ece": "expected_calibration_error",
}
BYTES, BYTES_OF_CLASSES, BYTES_OF_A_LABEL, BYTES_OF_AN_INPUT = 3800, 2200, 610, 60
"""About how long cards come out: of numbers, what there is more of classes, of each of their labels
and of each input."""
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+\Z")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]+")
_MARKUP = re.compile(r"([\\`*_\[\]|#~$])")


def render_card(report: Report, *, snippet: str) -> str:
    """Return a model card: YAML front matter, then Markdown.

    Counts and numbers only: no value of any row is in it.

    Args:
        report: what is to be told.
        snippet: Python that predicts without metier, as `plain_snippet` writes it.
    """
    sections = (
        _front_matter(report),
        f"# {as_markdown(report.name)}\n\n{as_markdown(report.verdict)}",
        _intended_use(report),
        _training_data(report),
        _results(report),
        _served(report),
        _sureness(report),
        _limits(report),
        _use(report, snippet),
        _origin(report),
    )
    return "\n\n".join(section for section in sections if section) + "\n"


def as_long_as_a_card(labels: int, inputs: int) -> str:
    """Return a text about as long as the card of a specialist with so many labels and inputs, for
    bundles whose size is measured before there is anything to tell."""
    classes = BYTES_OF_CLASSES + BYTES_OF_A_LABEL * labels if labels else 0
    return "-" * (BYTES + classes + BYTES_OF_AN_INPUT * inputs)


def _front_matter(report: Report) -> str:
    """Return the metadata. Every value is JSON, which YAML reads as it is."""
    pipeline = PIPELINES.get((report.modality, report.task_kind))
    metrics = list(dict.fromkeys(_hub_metric(found.name) for found in report.proof))
    fields: dict[str, Any] = {
        "library_name": "metier",
        "pipeline_tag": pipeline,
        "base_model": report.source if _HUB_ID.match(report.source) else None,
        "tags": ["metier", "onnx", report.modality, report.task_kind],
        "metrics": metrics or None,
        "model-index": _model_index(report, pipeline),
    }
    lines = (f"{key}: {_yaml(value)}" for key, value in fields.items() if value)
    return "\n".join(["---", *lines, "---"])


def _model_index(report: Report, pipeline: str | None) -> list[dict[str, Any]] | None:
    measured = [
        {"type": _hub_metric(found.name), "name": wording.title(found.name), "value": found.value}
        for found in report.proof
        if found.value is not None and math.isfinite(found.value)
    ]
    if not measured or pipeline is None:
        return None
    rows = report.headline.n if report.headline else None
    result = {
        "task": {"type": pipeline},
        "dataset": {
            "type": "local",
            "name": f"{rows} held-out rows" if rows else "held-out rows",
        },
        "metrics": measured,
    }
    return [{"name": report.name, "results": [result]}]


def _hub_metric(name: str) -> str:
    base = name.split("_")[0]
    return HUB_METRICS.get(name, base if base in ("f1", "precision", "recall") else name)


def _intended_use(report: Report) -> str:
    what = {
        "binary": f"one of two classes: {_labels(report)}",
        "multiclass": f"one of {len(report.labels)} classes: {_labels(report)}",
        "multilabel": f"any of {len(report.labels)} labels: {_labels(report)}",
        "regression": "a number",
    }[report.task_kind]
    given = ", ".join(f"{as_markdown(name)} ({kind})" for name, kind in report.inputs.items())
    lines = [
        "## Intended use",
        f"Predicts **{as_markdown(report.target)}**, {what}.",
        f"Inputs: {given}." if given else "",
        "It is meant for rows of the same kind and origin as those it was trained on. It has been "
        "measured on nothing else.",
    ]
    return "\n\n".join(line for line in lines if line)


def _labels(report: Report, most: int = 100) -> str:
    shown = ", ".join(as_markdown(label) for label in report.labels[:most])
    return shown + (", …" if len(report.labels) > most else "")


def _training_data(report: Report) -> str:
    if not (report.rows or report.label_counts):
        return ""
    parts = [f"{n:,} rows for {as_markdown(part)}" for part, n in report.rows.items()]
    lines = ["## Training data"]
    if parts:
        lines.append(f"{', '.join(parts)}. No row is part of this bundle.")
    if counts := report.label_counts:
        fewest, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
        lines.append(
            f"Rows for a label: from {counts[fewest]:,} ({as_markdown(fewest)}) "
            f"to {counts[most]:,} ({as_markdown(most)})."
        )
    return "\n\n".join(lines)


def _results(report: Report) -> str:
    if not report.proof:
        return ""
    level = f"{100 * report.confidence:.0f} %"
    table = _table(
        ("Measure", "Value", f"{level} interval", "Rows"),
        (
            (
                wording.title(found.name) + (" (decides)" if found.name == report.metric else ""),
                wording.value_of(found),
                wording.interval_of(found),
                "" if found.n is None else f"{found.n:,}",
            )
            for found in report.proof
        ),
    )
    looks = f"These rows were looked at {wording.times(report.looks)}." if report.looks else ""
    parts = ["## Results", f"{as_markdown(report.proof_on)} {looks}".strip(), table]
    if report.comparisons:
        parts.append("\n".join(f"- {_claim(found)}" for found in report.comparisons))
    baselines = [entry for entry in ranked(report) if entry.state in ("chosen", "baseline")]
    if len(baselines) > 1:
        metric = wording.title(report.metric)
        parts += [
            as_markdown(report.leaderboard_on)
            or "Against the baselines, on the rows of the selection:",
            _table(
                ("Model", metric, f"{level} interval"),
                (
                    (
                        entry.name,
                        wording.number(entry.value),
                        wording.interval(entry.low, entry.high),
                    )
                    for entry in baselines
                ),
            ),
        ]
    return "\n\n".join(part for part in parts if part)


def _sureness(report: Report) -> str:
    found = report.sureness
    if found is None or not found.findings:
        return ""
    promised = ""
    if found.main is not None:
        what = "Intervals" if found.kind == "regression" else "Sets of labels"
        promised = (
            f"{what} hold the truth in at least {100 * found.asked:g} % of rows like those of "
            "training, on average over calibrations: exactly so if one model had scored all rows "
            "of calibration. Several fits of the same recipe did, and one more, on all rows, is "
            "handed over; so the coverage was also counted, see above. It says nothing of rows of "
            "another kind."
        )
    lines = [
        "## How sure it is, and when it does not answer",
        "\n".join(f"- {as_markdown(each.verdict)}" for each in found.findings),
        promised,
        "`metier predict --coverage 0.9` adds sets or intervals; `--abstain` leaves an answer "
        "empty where a row is unlike the training data (a false alarm for about 1 in 20 that are "
        "like it) or, for labels, where not exactly one may be true, and says why.",
    ]
    return "\n\n".join(line for line in lines if line)


def _limits(report: Report) -> str:
    lines = [as_markdown(note) for note in report.notes]
    lines += [
        _claim(found) for found in report.data_findings if found.level in ("problem", "warning")
    ]
    if weak := _weakest(report):
        lines.append(f"Weakest classes, by the share of their rows that is found: {weak}.")
    if report.task_kind != "regression":
        lines.append(
            "A class that was not in the training data is answered as one that was, unless "
            "`--abstain` notices."
        )
    lines.append(
        "The license of the weights follows from their source "
        f"({as_markdown(report.source)}) and from your data; none is claimed here."
    )
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _served(report: Report) -> str:
    """Who is served worse, in words."""
    if report.fairness is None:
        return ""
    found = report.fairness
    by = as_markdown(", ".join(found.columns))
    opening = f"Measured on {found.n:,} {as_markdown(found.on)}, by {by}."
    lines = [f"- {as_markdown(sentence(line))}" for line in fairness_lines(found)]
    if report.tradeoff is not None:
        lines.insert(0, f"- {as_markdown(sentence(report.tradeoff.verdict))}")
    return "\n\n".join(("## Who is served worse", opening, "\n".join(lines)))


def _weakest(report: Report, most: int = 3) -> str:
    if report.confusion is None or len(report.confusion.labels) < 3:
        return ""
    shares = [
        (row[i] / sum(row), label, sum(row))
        for i, (label, row) in enumerate(
            zip(report.confusion.labels, report.confusion.matrix, strict=True)
        )
        if sum(row)
    ]
    return ", ".join(
        f"{as_markdown(label)} ({100 * share:.0f} % of {n})"
        for share, label, n in sorted(shares)[:most]
    )


def _use(report: Report, snippet: str) -> str:
    given = {
        "text": '["a text", "another"]',
        "image": '["one.jpg", "two.jpg"]',
        "tabular": 'polars.read_csv("new.csv")',
    }[report.modality]
    first = "import metier, polars" if report.modality == "tabular" else "import metier"
    own = f'{first}\nprint(metier.load(".").predict({given}).answers)\n'
    return "\n\n".join(
        (
            "## How to use it",
            "In this folder, with metier (neither torch nor transformers is needed):",
            _code(own),
            f"Or with {needs_of(snippet)}:",
            _code(snippet),
        )
    )


def _origin(report: Report) -> str:
    steps = [as_markdown(report.source), *(as_markdown(step.strategy) for step in report.lineage)]
    made = ", ".join(f"{as_markdown(name)} {as_markdown(v)}" for name, v in report.versions.items())
    lines = ["## Lineage", " → ".join(steps), f"Made on {as_markdown(report.created)}."]
    lines.append(f"Versions: {made}." if made else "")
    lines += [_claim(found) for found in report.cost]
    return "\n\n".join(line for line in lines if line)


def _claim(found: Finding) -> str:
    value = wording.value_of(found) if found.value is not None and not found.verdict else ""
    said = as_markdown(found.verdict) or value
    return f"**{as_markdown(wording.title(found.name))}**: {said}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---", *("---:" for _ in head[1:]))]
    lines += [tuple(as_markdown(cell) for cell in row) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _code(text: str) -> str:
    """Return a code block whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}python\n{text.rstrip()}\n{fence}"


def as_markdown(text: str) -> str:
    """Return text that Markdown shows as it is: no markup, no HTML, one line."""
    quiet = _MARKUP.sub(r"\\\1", _CONTROLS.sub(" ", text).strip())
    return quiet.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _yaml(value: Any) -> str:
    return json.dumps(_clean(value), ensure_ascii=False)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _CONTROLS.sub(" ", value)
    if isinstance(value, Mapping):
        return {key: _clean(each) for key, each in value.items()}
    return [_clean(each) for each in value] if isinstance(value, list) else value
