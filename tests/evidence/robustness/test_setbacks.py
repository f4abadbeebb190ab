"""What is told of a fit that went back."""

from __future__ import annotations

from metier.evidence.robustness.setbacks import setbacks


def test_each_time_that_a_fit_went_back_is_told_with_its_interval() -> None:
    turn = {"rows": 64, "steps": 1, "withstood": 60, "left": 3, "epoch": 7.0}
    (finding,) = setbacks({"steps": 90, "turns": [turn]})
    assert finding.level == "warning" and finding.value == 3 / 60 and finding.n == 60
    assert finding.low is not None and finding.high is not None
    assert finding.low < 3 / 60 < finding.high
    for told in ("after 7 epochs", "60 of 64", "one step", "2 steps"):
        assert told in finding.verdict
    assert len(setbacks({"turns": [turn, {**turn, "steps": 2}]})) == 2
    assert setbacks({"steps": 90}) == ()
