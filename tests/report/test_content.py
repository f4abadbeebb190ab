"""Reports go to JSON and back unchanged, and know their own order."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np

from metier.report.content import Curve, Entry, Report, from_json, ranked, to_json
from metier.types import Finding


def test_report_survives_json(tickets: Report, prices: Report, photos: Report) -> None:
    for report in (tickets, prices, photos):
        assert from_json(json.loads(json.dumps(to_json(report), allow_nan=False))) == report


def test_gaps_in_curves_come_back_as_not_a_number(tickets: Report) -> None:
    gap = Curve("a", (1.0, 2.0), (), (0.5, math.nan))
    back = from_json(to_json(replace(tickets, curves=(gap,))))
    assert back.curves[0].valid[0] == 0.5
    assert math.isnan(back.curves[0].valid[1])


def test_numpy_and_unknown_values_become_plain() -> None:
    finding = Finding("a", "b", details={"x": np.float32(0.5), "y": np.arange(2), "z": 1j})
    assert to_json(finding)["details"] == {"x": 0.5, "y": [0, 1], "z": "1j"}


def test_ranking_follows_the_direction_of_the_metric(tickets: Report, prices: Report) -> None:
    assert ranked(tickets)[0].name == "finetune 7"
    assert [entry.name for entry in ranked(prices)] == ["boost 4", "linear", "mean"]
    assert [entry.value for entry in ranked(tickets)[-2:]] == [None, None]


def test_of_equals_the_chosen_comes_first(tickets: Report) -> None:
    same = (Entry("a", "a", "", value=0.5), Entry("b", "b", "", value=0.5, state="chosen"))
    assert ranked(replace(tickets, leaderboard=same))[0].name == "b"


def test_headline_and_chosen(tickets: Report) -> None:
    assert tickets.headline is not None and tickets.headline.value == 0.911
    assert tickets.chosen is not None and tickets.chosen.name == "finetune 7"
    assert replace(tickets, proof=(), leaderboard=()).headline is None


def test_report_room_loads_no_training_library() -> None:
    code = (
        "import sys, metier.report.page, metier.report.card, metier.report.terminal\n"
        "assert not {'torch', 'transformers', 'sklearn', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
