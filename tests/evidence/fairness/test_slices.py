"""Regions that nobody named: a planted one is found and worded, and noise gives none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from metier.evidence.answers import answers_of
from metier.evidence.fairness.slices import Condition, find_slices, told, worst_regions
from metier.evidence.readable import read_features
from metier.runtime.postprocess import Decision
from metier.types import Roles, Table


def people(n: int = 1200) -> Table:
    random = np.random.default_rng(0)
    ages = random.integers(18, 80, n).astype(float).tolist()
    ages[5] = None
    frame = pl.DataFrame(
        {
            "age": ages,
            "housing": random.choice(["own", "rent", "free"], n),
            "noise": random.normal(size=n),
        }
    )
    return Table(frame, Roles({"age": "number", "housing": "category", "noise": "number"}))


def answers(table: Table, worse: Any) -> Any:
    random = np.random.default_rng(1)
    truth = random.integers(0, 2, len(table))
    wrong = random.random(len(table)) < np.where(worse, 0.55, 0.15)
    scores = np.eye(2)[np.where(wrong, 1 - truth, truth)]
    return answers_of(truth, scores, Decision("binary", ("no", "yes")))


def test_a_planted_region_is_found_and_told_in_words() -> None:
    table = people(3000)
    young = (table.frame["age"].fill_null(99) < 40).to_numpy()
    worse = young & (table.frame["housing"] == "rent").to_numpy()
    features, names = read_features(table)
    rows = np.arange(len(table)) + 1000
    *found, summary = find_slices(answers(table, worse), features, names, rows)
    assert summary.name == "slices" and len(found) >= 1
    best = found[0]
    assert "age ≤" in best.verdict and "housing = rent" in best.verdict
    assert "right against" in best.verdict and f"n = {best.n}" in best.verdict
    assert best.low is not None and best.low > 0 and best.details["p_adjusted"] < 0.05
    inside = set(np.flatnonzero(worse) + 1000)
    assert len(inside & set(best.rows)) > 0.8 * len(best.rows)


def test_noise_gives_no_region() -> None:
    table = people()
    features, names = read_features(table)
    found = find_slices(
        answers(table, np.zeros(len(table), bool)), features, names, np.arange(1200)
    )
    assert [each.name for each in found] == ["slices"] and found[0].value == 0


def by_person(seed: int, people: int = 60, rows: int = 20) -> tuple[Any, Any, Any, Any]:
    """Answers that are wrong by person, features that are the person's, and who each row is of."""
    random = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), rows)
    features = random.normal(size=(people, 5)).astype(np.float32)[who]
    right = (random.random(len(who)) >= random.beta(2, 8, people)[who]).astype(int)
    scores = np.eye(2)[right]
    told = answers_of(np.ones(len(who), int), scores, Decision("binary", ("no", "yes")))
    names = read_features(people_of(features))[1]
    return told, features, names, who


def people_of(features: Any) -> Table:
    frame = pl.DataFrame({f"x{k}": features[:, k] for k in range(features.shape[1])})
    return Table(frame, Roles(dict.fromkeys(frame.columns, "number")))


def test_what_some_people_have_in_common_by_chance_is_no_region() -> None:
    called = 0
    for seed in range(30):
        told, features, names, who = by_person(seed)
        found = find_slices(told, features, names, np.arange(len(who)), seed, who)
        called += len(found) > 1
    assert called <= 3
    assert "(600 rows in 30 groups)" in found[-1].verdict


def test_a_region_is_found_among_people_too() -> None:
    random = np.random.default_rng(0)
    who = np.repeat(np.arange(120), 20)
    features = random.normal(size=(120, 5)).astype(np.float32)[who]
    wrong = random.random(len(who)) < np.where(features[:, 2] > 0.5, 0.5, 0.1)
    told = answers_of(
        np.ones(len(who), int), np.eye(2)[1 - wrong], Decision("binary", ("no", "yes"))
    )
    names = read_features(people_of(features))[1]
    best, *_ = find_slices(told, features, names, np.arange(len(who)), 0, who)
    assert "x2 >" in best.verdict and best.low is not None and best.low > 0
    assert "groups" in best.verdict


def test_one_person_with_nearly_all_rows_leaves_nothing_to_judge_by() -> None:
    told, features, names, who = by_person(0)
    (only,) = find_slices(told, features, names, np.arange(1200), 0, np.maximum(who, 58))
    assert only.value is None and "too few groups of rows" in only.verdict


def test_few_rows_are_not_searched() -> None:
    table = people(150)
    features, names = read_features(table)
    (only,) = find_slices(answers(table, np.zeros(150, bool)), features, names, np.arange(150))
    assert only.value is None and "from 200 rows on" in only.verdict


def test_numbers_are_judged_by_their_error() -> None:
    table = people()
    random = np.random.default_rng(2)
    rent = (table.frame["housing"] == "rent").to_numpy()
    truth = random.normal(size=1200)
    guess = truth + random.normal(size=1200) * np.where(rent, 3.0, 1.0)
    features, names = read_features(table)
    found = find_slices(
        answers_of(truth, guess[:, None], Decision("regression")), features, names, np.arange(1200)
    )
    assert found[0].verdict.startswith("housing = rent: mean absolute error")


def test_the_tightest_end_of_a_feature_is_told() -> None:
    _, names = read_features(people())
    age = next(i for i, n in enumerate(names) if n.name == "age" and not n.missing)
    region = (Condition(age, 50.0, False), Condition(age, 30.0, False), Condition(age, 20.0, True))
    assert told(region, names) == "age ≤ 30.0 and age > 20.0"


def test_a_region_needs_more_loss_than_the_rest() -> None:
    features = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    assert worst_regions(features, np.zeros(400)) == []


def test_texts_and_pictures_can_be_read_too(tmp_path: Path) -> None:
    texts = Table(
        pl.DataFrame({"text": ["Why not?", "12 ÄÖ", None, "yes"]}), Roles({"text": "text"})
    )
    values, names = read_features(texts)
    by_name = {n.name: values[:, i].tolist() for i, n in enumerate(names)}
    assert by_name["words of text"] == [2, 2, 0, 1]
    assert by_name["question marks of text"] == [1, 0, 0, 0]
    assert by_name["negations of text"] == [1, 0, 0, 0]
    for shade, size in ((10, (20, 10)), (250, (10, 20))):
        Image.new("RGB", size, (shade,) * 3).save(tmp_path / f"{shade}.png")
    pictures = Table(
        pl.DataFrame({"image": ["10.png", "250.png", "gone.png"]}),
        Roles({"image": "image"}),
        tmp_path,
    )
    values, names = read_features(pictures)
    light = next(i for i, n in enumerate(names) if n.name == "brightness of image")
    assert values[0, light] == pytest.approx(10 / 255, abs=0.01)
    assert values[1, light] == pytest.approx(250 / 255, abs=0.01)
