"""An alarm when what is asked has changed, silence when it has not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metier.runtime.reference import Reference, from_json, learn
from metier.runtime.signals import CONFIDENCE, Signals
from metier.serving.drift import FEWEST, Monitor, stability
from tests.serving import bundles
from tests.serving.conftest import eventually, live

LABELS = ("a", "b", "c")


def rows(n: int, seed: int, mean: float = 0.0, weights: tuple[float, ...] = (0.5, 0.3, 0.2)) -> Any:
    """Signals of inputs and answers from one source."""
    draw = np.random.default_rng(seed)
    kinds = [str(v) for v in draw.choice(LABELS, n, p=weights)]
    inputs = Signals({"size": draw.normal(mean, 1, n)}, {"kind": kinds})
    told = [str(v) for v in draw.choice(["yes", "no"], n)]
    answers = Signals({CONFIDENCE: draw.beta(8, 2, n)}, {"prediction": told})
    return inputs, answers


def reference(n: int = 400, seed: int = 0) -> Reference:
    return learn(*rows(n, seed), {"kind": frozenset(LABELS)})


def monitor_of(n: int, seed: int, **more: Any) -> Monitor:
    monitor = Monitor(reference())
    inputs, answers = rows(n, seed, **more)
    monitor.observe(inputs.and_also(answers))
    return monitor


def test_rows_of_the_same_source_stay_quiet() -> None:
    loud = [
        seed
        for seed in range(100)
        for n in (FEWEST, 200, 1000)
        if monitor_of(n, seed + 1).report().level != "steady"
    ]
    assert len(loud) <= 1


@pytest.mark.parametrize(
    ("more", "signal"),
    [({"mean": 1.5}, "size"), ({"weights": (0.1, 0.2, 0.7)}, "kind")],
)
def test_what_has_changed_is_named(more: dict[str, Any], signal: str) -> None:
    drift = monitor_of(300, 1, **more).report()
    assert drift.level == "alarm"
    worst = drift.shifts[0]
    assert (worst.signal, worst.level) == (signal, "alarm")
    assert abs(worst.recent - worst.usual) > 0.05


def test_a_small_change_is_not_an_alarm() -> None:
    levels = [monitor_of(1000, seed, mean=0.35).report().level for seed in range(10)]
    assert set(levels) <= {"steady", "watch"} and "watch" in levels


def test_nothing_is_said_of_few_rows() -> None:
    drift = monitor_of(FEWEST - 1, 1, mean=9).report()
    assert drift.level == "waiting" and drift.rows == FEWEST - 1
    assert {shift.level for shift in drift.shifts} == {"waiting"}
    assert Monitor(reference()).report().shifts == ()


def test_only_the_last_rows_count() -> None:
    monitor = Monitor(reference(), window=100)
    for seed, mean in ((1, 5.0), (2, 0.0)):
        for part in range(5):
            inputs, answers = rows(37, 10 * seed + part, mean=mean)
            monitor.observe(inputs.and_also(answers))
        drift = monitor.report()
        assert drift.level == ("alarm" if mean else "steady") and drift.rows == 100
    inputs, answers = rows(1000, 7)
    monitor.observe(inputs.and_also(answers))
    assert monitor.report().level == "steady"


def test_a_category_may_have_the_name_of_a_bin() -> None:
    named = {"a": "others", "b": "missing", "c": "unknown"}

    def renamed(n: int, seed: int) -> Any:
        inputs, answers = rows(n, seed)
        kinds = [named[kind] for kind in inputs.categories["kind"]]
        return Signals(inputs.numbers, {"kind": kinds}), answers

    monitor = Monitor(learn(*renamed(400, 0), {"kind": frozenset(named.values())}))
    inputs, answers = renamed(200, 1)
    monitor.observe(inputs.and_also(answers))
    drift = monitor.report()
    assert drift.level == "steady" and drift.unlike < 0.1
    assert {shift.signal for shift in drift.shifts} >= {"kind", "size", "prediction"}


def test_rows_unlike_any_of_training_are_counted() -> None:
    monitor = Monitor(reference())
    inputs, answers = rows(200, 1)
    inputs.numbers["size"][:100] = 50.0
    inputs.categories["kind"][50:150] = ["new"] * 100
    monitor.observe(inputs.and_also(answers))
    drift = monitor.report()
    assert 0.75 <= drift.unlike < 0.8 and drift.level == "alarm" and drift.unlike_usual < 0.05


def test_being_surer_than_usual_is_no_alarm_and_being_less_sure_is_one() -> None:
    for sure, level in ((0.999, "steady"), (0.3, "alarm")):
        monitor = Monitor(reference())
        inputs, answers = rows(200, 1)
        answers.numbers[CONFIDENCE][:] = sure
        monitor.observe(inputs.and_also(answers))
        assert monitor.report().level == level


def test_the_index_is_that_of_the_textbook() -> None:
    before, after = np.array([500.0, 300.0, 200.0]), np.array([300.0, 300.0, 400.0])
    p, q = before / before.sum(), after / after.sum()
    index, noise = stability(before, after, 0.01)
    assert index == pytest.approx(float(((q - p) * np.log(q / p)).sum()), rel=0.01)
    assert noise == pytest.approx(9.21 * (1 / 1000 + 1 / 1000), rel=0.01)  # chi-squared, 2, 99 %


def test_chance_alone_exceeds_the_bound_as_rarely_as_it_says() -> None:
    draw = np.random.default_rng(0)
    shares = np.array([0.4, 0.3, 0.2, 0.1])
    beyond = 0
    for _ in range(2000):
        before, after = (draw.multinomial(n, shares).astype(float) for n in (400, 300))
        index, noise = stability(before, after, 0.05)
        beyond += index > noise
    assert 0.035 < beyond / 2000 < 0.065


def test_a_reference_goes_through_json() -> None:
    known = {"kind": frozenset(LABELS)}
    first = reference()
    second = from_json(first.to_json(), known)
    assert second.to_json() == first.to_json()
    inputs, answers = rows(50, 3)
    signals = inputs.and_also(answers)
    for name, codes in first.codes(signals).items():
        assert second.codes(signals)[name].tolist() == codes.tolist()


def test_a_server_says_so_when_its_texts_change(written: Callable[[str], Path]) -> None:
    with live(written("text")) as server:

        def send(texts: list[str]) -> str:
            seen = server.ask("/drift").json["drift"]["rows"]
            for start in range(0, len(texts), 100):
                rows = [{"text": text} for text in texts[start : start + 100]]
                assert server.ask("/predict", {"rows": rows}).status == 200
            wanted = min(seen + len(texts), 1000)
            assert eventually(lambda: server.ask("/drift").json["drift"]["rows"] == wanted)
            return str(server.ask("/drift").json["drift"]["level"])

        assert send(bundles.texts(500, seed=5)) == "steady"
        strange = ["wholly other words about gardens and rain " * 2] * 600
        assert send(strange) == "alarm"
        drift = server.ask("/drift").json["drift"]
        assert drift["unlike"] > 0.5
        assert "text: new words" in {s["signal"] for s in drift["shifts"] if s["level"] == "alarm"}
        told = server.ask("/metrics").content.decode()
        assert "metier_drift_level 2.0" in told


def test_a_bundle_without_statistics_is_served_and_says_so(written: Callable[[str], Path]) -> None:
    with live(written("image")) as server:
        assert server.ask("/drift").json == {"drift": None}
        assert "metier_drift_rows 0.0" in server.ask("/metrics").content.decode()
