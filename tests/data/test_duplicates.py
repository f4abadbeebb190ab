"""Near-duplicates are found, and only they."""

import random

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from metier.data.duplicates import equal_clusters, members, near_clusters
from metier.data.minhash import LIKENESS, likeness
from metier.types import Roles, Table

WORDS = [
    "the",
    "a",
    "order",
    "parcel",
    "card",
    "late",
    "lost",
    "bank",
    "blue",
    "red",
    "shop",
    "near",
    "open",
    "help",
    "please",
    "when",
    "why",
]


def texts(values):
    return Table(pl.DataFrame({"text": values}), Roles({"text": "text"}))


def sentences(count, words, seed=0):
    chance = random.Random(seed)
    return [
        " ".join(f"{chance.choice(WORDS)}{chance.randrange(99)}" for _ in range(words))
        for _ in range(count)
    ]


@pytest.mark.parametrize("words", [8, 60, 400])
def test_texts_with_small_edits_are_found(words):
    base = sentences(200, words)
    edited = [text[: len(text) // 2] + "x" + text[len(text) // 2 :] for text in base]
    clusters = near_clusters(texts(base + edited))
    alike = np.array([likeness(a, b) >= LIKENESS for a, b in zip(base, edited, strict=True)])
    assert alike.mean() > 0.9
    assert (clusters[:200] == clusters[200:])[alike].mean() >= 0.98
    assert len(np.unique(clusters[:200])) == 200


def test_short_texts_must_be_equal_but_for_case_and_space():
    clusters = near_clusters(
        texts(["Yes", "yes ", "yes!", "no", None, None, "", "not  now", "Not now"])
    )
    assert [group.tolist() for group in members(clusters)] == [[0, 1], [7, 8]]


def test_signs_do_not_tell_longer_texts_apart():
    clusters = near_clusters(
        texts(
            ["The mail never came. Checked spam.", "the mail never came, checked spam", "C++", "C#"]
        )
    )
    assert [group.tolist() for group in members(clusters)] == [[0, 1]]


@settings(max_examples=50, deadline=None)
@given(values=st.lists(st.text("ab cd", max_size=40), min_size=1, max_size=25), data=st.data())
def test_every_cluster_is_linked_by_true_pairs_in_any_order(values, data):
    order = data.draw(st.permutations(range(len(values))))
    clusters = near_clusters(texts(values))
    moved = near_clusters(texts([values[i] for i in order]))
    same = clusters[list(order)]
    assert ((same[:, None] == same) == (moved[:, None] == moved)).all()
    plain = [" ".join(value.lower().split()) for value in values]
    for group in members(clusters):
        for i in group:
            others = [plain[j] for j in group if j != i]
            assert any(plain[i] == o or likeness(plain[i], o) >= LIKENESS for o in others)


def test_rows_of_tables_are_each_on_their_own_but_equal_ones_are_seen():
    frame = pl.DataFrame({"a": [1, 1, 2, None, None], "b": ["x", "x", "x", "y", "y"]})
    table = Table(frame, Roles({"a": "number", "b": "category"}))
    assert len(np.unique(near_clusters(table))) == 5
    assert [group.tolist() for group in members(equal_clusters(table))] == [[0, 1], [3, 4]]


def drawing(seed, size=96):
    chance = random.Random(seed)
    picture = Image.new("RGB", (size, size), tuple(chance.randrange(256) for _ in range(3)))
    pen = ImageDraw.Draw(picture)
    for _ in range(8):
        x, y = chance.randrange(size), chance.randrange(size)
        colour = tuple(chance.randrange(256) for _ in range(3))
        pen.ellipse([x - 20, y - 12, x + 20, y + 12], fill=colour)
    return picture


def test_recompressed_and_resized_images_are_found(tmp_path):
    names = []
    for seed in range(40):
        drawing(seed).save(tmp_path / f"{seed}.png")
        names.append(f"{seed}.png")
    for seed in range(40):
        drawing(seed).resize((64, 64)).save(tmp_path / f"{seed}.jpg", quality=60)
        names.append(f"{seed}.jpg")
    Image.new("RGB", (50, 50), "white").save(tmp_path / "white.png")
    Image.new("RGB", (50, 50), "black").save(tmp_path / "black.png")
    (tmp_path / "broken.png").write_bytes(b"nothing")
    names += ["white.png", "black.png", "broken.png"]
    clusters = near_clusters(Table(pl.DataFrame({"i": names}), Roles({"i": "image"}), tmp_path))
    assert (clusters[:40] == clusters[40:80]).all()
    assert len(np.unique(clusters)) == 43
