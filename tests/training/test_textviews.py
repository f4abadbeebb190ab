from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metier.training.textviews import changed_text

TEXT = "please help me because my card was lost in the big city yesterday evening"


def changed(seed: int, strength: Any, text: str = TEXT, near: Any = None) -> str:
    return changed_text(text, np.random.default_rng(seed), strength, near)


@pytest.mark.parametrize("strength", ["light", "strong"])
def test_a_text_is_changed_but_most_of_it_stays(strength: Any) -> None:
    words = set(TEXT.split())
    seen = [changed(seed, strength) for seed in range(40)]
    assert len(set(seen)) > 20
    stays = [len(words & set(text.split())) / len(words) for text in seen]
    assert 0.55 < np.mean(stays) < 1.0
    assert all(text.strip() for text in seen)


def test_strong_changes_more_than_light_and_none_nothing() -> None:
    def kept(strength: Any) -> float:
        words = set(TEXT.split())
        return float(np.mean([len(words & set(changed(s, strength).split())) for s in range(60)]))

    assert kept("strong") < kept("light") < kept("none") == len(TEXT.split())
    assert changed(0, "none") == TEXT


def test_a_seed_gives_the_same_text() -> None:
    assert changed(3, "strong") == changed(3, "strong")


@pytest.mark.parametrize("text", ["", "  ", "card", "a b", "é ü", "x" * 500])
def test_texts_of_any_kind_are_survived(text: str) -> None:
    for seed in range(30):
        found = changed(seed, "strong", text)
        assert found.strip() or not text.strip()


def test_words_are_replaced_by_their_neighbours_only() -> None:
    near = {"card": ("ticket",), "lost": ("missing",)}
    seen = {word for s in range(80) for word in changed(s, "strong", near=near).split()}
    assert {"ticket", "missing"} <= seen
    light = {word for s in range(80) for word in changed(s, "light", near=near).split()}
    assert light <= set(TEXT.split())
