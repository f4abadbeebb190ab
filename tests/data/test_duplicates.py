"""Near-duplicates are found, and only they."""

import random

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scipy.sparse.csgraph import connected_components

from metier.data.alike import ALIKE, find_alike
from metier.data.duplicates import equal_clusters, join, members, near_clusters
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


FRAME = " ".join(f"confidential{i} notice{i}" for i in range(60))


def framed(count, kinds):
    """Sentences of one frame, and other ones; labels of as many kinds."""
    told = [f"{text} {FRAME}" for text in sentences(count, 8)] + sentences(count, 8, seed=1)
    frame = pl.DataFrame({"text": told, "label": [f"k{i % kinds}" for i in range(2 * count)]})
    return Table(frame, Roles({"text": "text"}, ("label",)))


def test_what_most_texts_share_does_not_make_them_alike():
    table = framed(60, kinds=3)
    again = table.take([*range(120), 4, 4])
    assert likeness(*table.frame["text"][:2]) >= LIKENESS
    clusters = near_clusters(again)
    assert [group.tolist() for group in members(clusters)] == [[4, 120, 121]]


def test_nearly_the_same_text_of_one_label_stays_together():
    table = framed(60, kinds=3)
    labels = ["a"] * 60 + [f"k{i % 3}" for i in range(60)]
    one = Table(table.frame.with_columns(label=pl.Series(labels)), table.roles)
    assert [len(group) for group in members(near_clusters(one))] == [60]
    unlabelled = Table(table.inputs, Roles({"text": "text"}))
    assert [len(group) for group in members(near_clusters(unlabelled))] == [60]


def test_a_camera_that_never_moves_does_not_make_images_alike(tmp_path):
    random = np.random.default_rng(0)
    part = np.full((96, 96), 40.0)
    part[20:76, 20:76] = 190.0
    names, labels = [], []
    for i in range(40):
        shown = part + random.normal(0, 8, part.shape)
        top, left = random.integers(20, 60, 2)
        shown[top : top + 14, left : left + 14] = 20.0 if i % 2 else 190.0
        name = f"{i}.png"
        Image.fromarray(shown.clip(0, 255).astype(np.uint8)).save(tmp_path / name)
        names.append(name)
        labels.append("scratched" if i % 2 else "whole")
    frame = pl.DataFrame({"i": [*names, names[1]], "label": [*labels, labels[1]]})
    clusters = near_clusters(Table(frame, Roles({"i": "image"}, ("label",)), tmp_path))
    groups = members(clusters)
    assert clusters[1] == clusters[40]
    scratched = [group for group in groups if set(group % 2) == {1} or 40 in group]
    assert sum(len(group) for group in groups) < 40
    assert max(len(group) for group in scratched) <= 4


def test_images_are_put_together_as_if_all_pairs_were_told():
    random = np.random.default_rng(0)
    centres = random.normal(0, 40, (12, 256))
    noise = random.normal(0, 4.2, (600, 256))
    pixels = (centres[random.integers(0, 12, 600)] + noise).astype(np.float32)
    told = list(find_alike(pixels))
    near = np.corrcoef(pixels) >= ALIKE
    parts, wanted = connected_components(near)
    assert 12 < parts < 600
    found = join(len(pixels), told)
    assert ((found[:, None] == found) == (wanted[:, None] == wanted)).all()


def test_the_pairs_of_images_that_are_all_alike_are_linear_in_them():
    image = np.random.default_rng(0).normal(100, 40, 256)
    pixels = image + np.random.default_rng(1).normal(0, 1, (3000, 256))
    assert len(list(find_alike(pixels.astype(np.float32)))) < 2 * 3000
