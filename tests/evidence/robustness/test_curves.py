"""The natural part: paired on the same rows, honest about chance, within its time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metier.evidence.robustness.corruptions import SEVERITIES
from metier.evidence.robustness.curves import MOST_ROWS, Robustness, Rows, measure_natural
from metier.runtime.postprocess import Decision
from metier.types import Floats

RULE = Decision("binary", ("no", "yes"))


def reads_good(columns: Mapping[str, Sequence[Any]]) -> Floats:
    """Yes when the word "good" is there, as it is written."""
    yes = np.array([float("good" in text.split()) for text in columns["text"]])
    return np.stack([0.5 - yes, yes - 0.5], axis=1).astype(np.float32)


def never_minds(columns: Mapping[str, Sequence[Any]]) -> Floats:
    """Yes for every second row, whatever it says."""
    yes = np.array([float(text.split()[-1][-1] in "13579") for text in columns["text"]])
    return np.stack([0.5 - yes, yes - 0.5], axis=1).astype(np.float32)


def rows(n: int = 300) -> Rows:
    truth = np.arange(n) % 2
    texts = [f"this one is {'good' if t else 'poor'} number {i}" for i, t in enumerate(truth)]
    return Rows({"text": texts}, {"text": "text"}, truth, np.arange(n), RULE)


def test_what_breaks_the_model_is_told_and_what_does_not_is_not() -> None:
    natural = measure_natural(reads_good, rows(), "accuracy", seconds=30.0)
    assert natural.clean.value == 1.0 and natural.clean.n == 300
    curves = {curve.name: curve for curve in natural.curves}
    assert list(curves) == ["typos", "casing", "missing words"]
    for curve in natural.curves:
        assert [dose.severity for dose in curve.doses] == list(SEVERITIES)
        values = [dose.score.value for dose in curve.doses]
        assert values[-1] < 0.9 and values == sorted(values, reverse=True)
        for dose in curve.doses:
            assert dose.score.n == dose.change.n == 300
            assert dose.change.b == 1.0 and dose.p_adjusted >= dose.change.p
            assert dose.score.low <= dose.score.value <= dose.score.high
    findings = Robustness("accuracy", natural.clean, natural.curves, "binary").findings
    assert [f.level for f in findings] == ["warning"] * 3
    assert "loses" in findings[1].verdict and findings[1].n == 300


def test_a_model_that_does_not_read_loses_nothing() -> None:
    natural = measure_natural(never_minds, rows(), "accuracy", seconds=30.0)
    casing = next(curve for curve in natural.curves if curve.name == "casing")
    assert all(dose.change.difference == 0.0 for dose in casing.doses)
    findings = Robustness("accuracy", natural.clean, (casing,), "binary").findings
    assert findings[0].level == "info" and "told from chance" in findings[0].verdict


def test_the_same_seed_gives_the_same_numbers() -> None:
    one, two = (measure_natural(reads_good, rows(80), "accuracy", seed=3) for _ in range(2))
    assert one == two


def test_rows_are_drawn_when_the_time_is_short() -> None:
    asked: list[int] = []

    def slow(columns: Mapping[str, Sequence[Any]]) -> Floats:
        asked.append(len(columns["text"]))
        return reads_good(columns)

    natural = measure_natural(slow, rows(MOST_ROWS + 500), "accuracy", seconds=1e-4)
    assert natural.clean.n == 50 and max(asked) == 50
    assert measure_natural(slow, rows(20), "accuracy", seconds=1e-4).clean.n == 20


def test_a_table_is_damaged_column_by_column() -> None:
    seen: list[dict[str, list[Any]]] = []

    def watch(columns: Mapping[str, Sequence[Any]]) -> Floats:
        seen.append({name: list(cells) for name, cells in columns.items()})
        return np.tile(np.array([[0.0, 1.0]], dtype=np.float32), (len(columns["age"]), 1))

    table: dict[str, list[Any]] = {
        "age": list(range(60)),
        "job": ["a", "b"] * 30,
        "text": ["stays"] * 60,
    }
    kinds: Any = {"age": "number", "job": "category"}
    given = Rows(table, kinds, np.arange(60) % 2, np.arange(60), RULE)
    measure_natural(watch, given, "accuracy")
    gaps = [sum(v is None for v in each["age"]) for each in seen]
    assert max(gaps) > 15 and {cell for each in seen for cell in each["text"]} == {"stays"}
    apart = [[a is None for a in each["age"]] != [b is None for b in each["job"]] for each in seen]
    assert any(apart), "columns have gaps of their own"
