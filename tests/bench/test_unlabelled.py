"""The tables of few labels and of other domains say what the results say."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench import domains, elsewhere, records, semi, unlabelled


def enter(claim: str, folder: Path, right: int, **key: object) -> None:
    flags = np.arange(100) < right
    cell = {**key, "right": elsewhere.pack(flags), "n": 100, "accuracy": right / 100}
    records.append(claim, {**cell, "seconds": 2.0, "limit": None}, 1, folder)


def test_what_is_packed_comes_back() -> None:
    flags = np.random.default_rng(0).random(37) < 0.5
    assert (elsewhere.unpack(elsewhere.pack(flags), 37) == flags).all()


def test_a_method_is_compared_with_the_supervised_winner(tmp_path: Path) -> None:
    for seed in (0, 1):
        for method, right in (("probe", 60), ("finetune", 50), ("pseudolabel(probe)", 75)):
            enter(semi.CLAIM, tmp_path, right, set="banking77", seed=seed, method=method)
    (_, lead, made) = unlabelled.semis(tmp_path)
    assert "Holm" in lead and "| `probe` | 0.600 | the winner |" in made
    assert "| `pseudolabel(probe)` | 0.750 | +15.0 (" in made


def test_a_pair_that_loses_is_named(tmp_path: Path) -> None:
    for pair, picked in (("books>dvd", 80), ("dvd>books", 40)):
        for method, right in ((domains.PLAIN, 60), ("align mcc", picked), ("pretrain", 70)):
            enter(domains.CLAIM, tmp_path, right, pair=pair, seed=0, method=method)
        key = {"pair": pair, "seed": 0, "method": domains.PICKED, "chosen": "align mcc"}
        enter(domains.CLAIM, tmp_path, picked, **key)
    *_, made, end = unlabelled.domain_pairs(tmp_path)
    assert "| align mcc | +20.0 (" in made
    assert "Mean gain of `picked` over 2 pairs: +0.0 points" in end
    assert "significantly worse: dvd>books. Mean gain of `first` over 2 pairs: +10.0" in end
    assert end.endswith("significantly worse: none.")


def test_the_surest_estimate_is_picked() -> None:
    cells = {
        name: {"estimates": {"confident": [value, value - 0.1, value + 0.1]}}
        for name, value in ((domains.PLAIN, 0.6), ("align mcc", 0.7), ("align mmd", 0.65))
    }
    assert domains.pick(cells) == "align mcc"
