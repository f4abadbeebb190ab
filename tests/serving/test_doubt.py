"""Sets, intervals and answers held back, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from schemathesis import GenerationMode

from metier.runtime.session import load
from tests.runtime.test_doubt import TEXTS
from tests.serving.conftest import Doubtful, Live, eventually, form, live
from tests.serving.test_app import png
from tests.serving.test_contract import check_contract

ROWS = [{"text": text} for text in TEXTS]


@pytest.fixture(scope="module")
def doubtful(own: Doubtful) -> Iterator[tuple[Live, Path]]:
    folder = own("text")
    with live(folder) as server:
        yield server, folder


def test_what_is_asked_beside_answers_is_what_the_bundle_says(doubtful: tuple[Live, Path]) -> None:
    server, folder = doubtful
    bundle = load(folder)
    asked: list[dict[str, Any]] = [
        {},
        {"coverage": 0.9},
        {"abstain": True},
        {"abstain": True, "coverage": 0.95},
        {"max_error": 0.05},
        {"abstain": None, "coverage": None},
    ]
    for each in asked:
        found = server.ask("/predict", {"rows": ROWS, **each}).json["predictions"]
        given = {k: v for k, v in each.items() if v is not None}
        wanted = bundle.predict(TEXTS, **given)
        assert [row["prediction"] for row in found] == wanted.answers
        assert [row["reason"] for row in found] == [wanted.reasons.get(r) for r in range(4)]
        assert all(row["probabilities"] is not None for row in found), "held back, not unread"
        if wanted.sets is None:
            assert all("set" not in row for row in found)
        else:
            assert [row["set"] for row in found] == wanted.sets


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"coverage": 1.5}, "coverage 1.5: is no share between 0 and 1"),
        ({"coverage": 10**400}, "coverage inf: is no share between 0 and 1"),
        ({"max_error": -(10**400)}, "max_error -inf: is no share between 0 and 1"),
        ({"coverage": "0.9"}, "`coverage` must be a number"),
        ({"coverage": 0.9999}, "has 300; ask for at most 0.996"),
        ({"abstain": 1}, "`abstain` must be true or false"),
        ({"max_error": 0.001}, "max_error 0.001: 300 calibration rows cannot promise"),
    ],
)
def test_what_cannot_be_is_refused(
    asked: dict[str, Any], line: str, doubtful: tuple[Live, Path]
) -> None:
    found = doubtful[0].ask("/predict", {"rows": ROWS, **asked})
    assert found.status == 422 and line in found.json["error"] and "--" not in found.json["error"]


def test_a_bundle_without_doubt_says_so_in_its_contract(text: Live) -> None:
    found = text.ask("/predict", {"rows": ROWS, "coverage": 0.9})
    assert found.status == 422 and "no calibration scores" in found.json["error"]
    contract = text.ask("/openapi.json").json["paths"]["/predict"]["post"]["requestBody"]
    fields = contract["content"]["application/json"]["schema"]["properties"]
    assert fields["coverage"]["type"] == "null" and fields["abstain"]["enum"] == [False, None]


def test_the_contract_says_what_can_be_promised(doubtful: tuple[Live, Path]) -> None:
    contract = doubtful[0].ask("/openapi.json").json["paths"]["/predict"]["post"]["requestBody"]
    fields = contract["content"]["application/json"]["schema"]["properties"]
    assert fields["coverage"]["maximum"] == pytest.approx(300 / 301)
    assert fields["max_error"]["minimum"] == 0.033


def test_what_is_usual_is_told_to_clients(doubtful: tuple[Live, Path], text: Live) -> None:
    assert doubtful[0].ask("/metadata").json["coverage"] == 0.9
    assert text.ask("/metadata").json["coverage"] is None


def test_images_are_asked_about_in_a_form(own: Doubtful) -> None:
    with live(own("image")) as server:
        body, kind = form(("files", png()), ("files", b"none"), ("coverage", b"0.9"))
        first, broken = server.ask("/predict", body, headers=kind).json["predictions"]
        assert isinstance(first["set"], list) and broken["set"] is None
        wrong, kind = form(("files", png()), ("coverage", b"much"))
        assert server.ask("/predict", wrong, headers=kind).status == 422


def test_intervals_of_numbers(own: Doubtful) -> None:
    with live(own("table")) as server:
        rows = [{"size": 3, "colour": "red"}]
        (row,) = server.ask("/predict", {"rows": rows, "coverage": 0.8}).json["predictions"]
        assert row["low"] < row["prediction"] < row["high"]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_the_contract_is_kept(mode: GenerationMode, doubtful: tuple[Live, Path]) -> None:
    check_contract(doubtful[0], mode)


def test_the_drift_of_answers_that_were_held_back_is_watched(own: Doubtful) -> None:
    with live(own("text")) as server:
        body = {"rows": ROWS * 4, "abstain": True}
        for _ in range(20):
            assert server.ask("/predict", body).status == 200
        assert eventually(lambda: server.ask("/drift").json["drift"]["rows"] >= 320)
        shifts = server.ask("/drift").json["drift"]["shifts"]
        told = next(shift for shift in shifts if shift["signal"] == "prediction")
        assert told["bin"] != "missing"


def test_what_is_held_back_is_not_counted_as_unreadable(own: Doubtful) -> None:
    with live(own("image")) as server:
        body, kind = form(("files", png("black")), ("files", b"none"), ("abstain", b"true"))
        held, broken = server.ask("/predict", body, headers=kind).json["predictions"]
        assert held["prediction"] is broken["prediction"] is None
        wanted = {
            'metier_rows_total{outcome="answered"} 0.0',
            'metier_rows_total{outcome="withheld"} 1.0',
            'metier_rows_total{outcome="unreadable"} 1.0',
        }
        assert eventually(lambda: wanted <= set(counted(server)), 3), counted(server)


def counted(server: Live) -> list[str]:
    lines = server.ask("/metrics").content.decode().splitlines()
    return [line for line in lines if line.startswith("metier_rows_total")]
