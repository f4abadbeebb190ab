from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from metier.cache import Cache
from metier.errors import DataError
from metier.strategies.classical import Classical
from metier.types import Floats, Roles, Specialist, Table

from .conftest import in_groups

Learn = Callable[..., Specialist]
ByGraph = Callable[[Specialist, Table], Floats]
Awkward = Callable[[str], Table]

WORDS = {
    "money": ["refund", "charge", "invoice", "price", "paid", "bank", "card", "transfer"],
    "parcel": ["box", "courier", "delivery", "tracking", "door", "late", "street", "shipped"],
    "login": ["password", "account", "email", "reset", "locked", "sign", "code", "phone"],
}
FILLER = ["the", "my", "please", "is", "was", "it", "not", "again", "today", "still", "why", "help"]


def texts(n: int = 150, seed: int = 0) -> Table:
    rng = np.random.default_rng(seed)
    labels = rng.choice(list(WORDS), n)
    rows = [
        " ".join(rng.permutation([*rng.choice(WORDS[label], 3), *rng.choice(FILLER, 5)]))
        for label in labels
    ]
    base = {label: 100.0 * i for i, label in enumerate(WORDS)}
    frame = pl.DataFrame(
        {
            "text": rows,
            "label": labels,
            "value": [base[v] + 10 * r.count("refund") for v, r in zip(labels, rows, strict=True)],
            "money": (labels == "money").astype(int),
            "hurry": [int("today" in r) for r in rows],
        }
    )
    return Table(frame, Roles({"text": "text"}, ("label",)))


def towards(table: Table, *target: str) -> Table:
    return Table(table.frame, Roles(table.roles.inputs, target), table.base)


TARGETS = {
    "multiclass": ("label",),
    "binary": ("hurry",),
    "regression": ("value",),
    "multilabel": ("money", "hurry"),
}


@pytest.mark.parametrize("characters", [False, True])
@pytest.mark.parametrize("kind", TARGETS)
def test_graph_and_model_agree_on_strange_texts(
    kind: str, characters: bool, learn: Learn, by_graph: ByGraph
) -> None:
    specialist = learn(Classical(characters=characters), towards(texts(), *TARGETS[kind]), kind)
    strange = ["", None, "refund", "unbekannte Wörter ½ 漢字", "card " * 500, "today" * 3000]
    table = Table(pl.DataFrame({"text": strange}), Roles({"text": "text"}))
    expected = specialist.scores(table)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(by_graph(specialist, table), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kind", TARGETS)
def test_learns_from_words(kind: str, learn: Learn) -> None:
    table = towards(texts(300), *TARGETS[kind])
    specialist = learn(Classical(), table.take(range(200)), kind)
    held = table.take(range(200, 300))
    scores, truth = specialist.scores(held), specialist.task.encode(held)
    if kind == "regression":
        assert ((scores[:, 0] - truth) ** 2).mean() < 0.5 * truth.var()
    elif kind == "multilabel":
        assert ((scores > 0) == truth).mean() > 0.9
    else:
        assert (scores.argmax(axis=1) == truth).mean() > 0.9


def test_same_seed_same_scores(learn: Learn) -> None:
    table = texts()
    one, two = learn(Classical(), table, "multiclass"), learn(Classical(), table, "multiclass")
    assert (one.scores(table) == two.scores(table)).all()
    assert one.lineage[0].notes["terms"] > 10


@pytest.mark.parametrize("rows", [["", "", "", ""], ["a", "b", "", "a"], ["x y", "x", "y", "z"]])
def test_poor_texts_do_not_crash(rows: list[str], learn: Learn, by_graph: ByGraph) -> None:
    frame = pl.DataFrame({"text": rows, "label": ["u", "v", "v", "v"]})
    table = Table(frame, Roles({"text": "text"}, ("label",)))
    specialist = learn(Classical(), table, "binary")
    np.testing.assert_allclose(by_graph(specialist, table), specialist.scores(table), atol=1e-5)


def test_tables_are_not_its_trade(awkward: Awkward, learn: Learn) -> None:
    with pytest.raises(DataError, match="use boost or linear"):
        learn(Classical(), awkward("binary"), "binary")


@pytest.fixture
def pictures(tmp_path: Path) -> Table:
    """Red and blue noise, and one file that is no image."""
    rng = np.random.default_rng(0)
    names, labels = [], []
    for i in range(40):
        pixels = rng.integers(0, 120, (24, 24, 3), dtype=np.uint8)
        pixels[..., 0 if i % 2 else 2] += 100
        names.append(f"{i}.png")
        labels.append("red" if i % 2 else "blue")
        Image.fromarray(pixels).save(tmp_path / names[-1])
    (tmp_path / "broken.png").write_bytes(b"no image")
    frame = pl.DataFrame({"image": [*names, "broken.png"], "label": [*labels, "red"]})
    return Table(frame, Roles({"image": "image"}, ("label",)), tmp_path)


def test_images_by_colour(pictures: Table, learn: Learn, by_graph: ByGraph) -> None:
    specialist = learn(Classical(), pictures, "binary")
    good = pictures.take(range(40))
    scores = specialist.scores(good, Cache())
    assert (scores.argmax(axis=1) == specialist.task.encode(good)).all()
    np.testing.assert_allclose(by_graph(specialist, good), scores, atol=1e-4)
    assert np.isnan(specialist.scores(pictures)[40]).all()
    broken = pictures.take([40, 40])
    with pytest.raises(DataError):
        learn(Classical(), broken, "binary")


def test_images_of_groups_are_left_out_together(pictures: Table, learn: Learn) -> None:
    table = in_groups(pictures, "label")
    alone = replace(table, roles=replace(table.roles, group=None))
    by_group, by_row = (learn(Classical(), t, "binary") for t in (table, alone))
    chosen = [made.lineage[0].notes["strength"] for made in (by_group, by_row)]
    assert chosen[0] < chosen[1]


@pytest.mark.slow
def test_77_intents_in_well_under_a_minute(shared_data: Path, learn: Learn) -> None:
    frame = pl.read_csv(shared_data / "banking77" / "train.csv")
    table = Table(frame, Roles({"text": "text"}, ("label",)))
    rows = np.random.default_rng(0).permutation(len(table))
    held = table.take(rows[:1000])
    begun = time.process_time()
    specialist = learn(Classical(), table.take(rows[1000:]), "multiclass")
    assert time.process_time() - begun < 40
    truth = specialist.task.encode(held)
    assert (specialist.scores(held).argmax(axis=1) == truth).mean() > 0.8
