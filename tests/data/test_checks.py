"""Each check finds what was planted, and names the rows."""

import shutil
import warnings
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from PIL import Image

from metier.data.checks import SHARED, check, shared_rows
from metier.data.read import read
from metier.data.roles import infer_roles
from metier.data.table import build_table, target_keys
from metier.types import Roles, Table

TOPICS = {
    "billing": "invoice refund charged payment money twice account price",
    "delivery": "parcel courier late arrived shipping tracking address door",
    "login": "password locked reset sign username forgot screen email",
}


@dataclass(frozen=True)
class Fake:
    """Only what checks ask of a task."""

    kind: str
    labels: tuple[str, ...] = ()

    def encode(self, table):
        if self.kind == "regression":
            return table.target.to_numpy().astype(np.float32)
        if self.kind == "multilabel":
            return np.array([[n in row for n in self.labels] for row in table.target.to_list()])
        return np.array([self.labels.index(key) for key in target_keys(table)])


def classes(table):
    labels = tuple(sorted(set(target_keys(table))))
    return Fake("binary" if len(labels) == 2 else "multiclass", labels)


def tickets(count=240, seed=0):
    chance = np.random.default_rng(seed)
    names = list(TOPICS)
    labels = [names[i % 3] for i in range(count)]
    texts = [
        " ".join([*chance.choice(TOPICS[label].split(), 6), f"number{i}"])
        for i, label in enumerate(labels)
    ]
    return texts, labels


def of(texts, labels):
    return Table(
        pl.DataFrame({"text": texts, "label": labels}), Roles({"text": "text"}, ("label",))
    )


def named(findings, name):
    return [finding for finding in findings if finding.name == name]


def test_wrong_labels_are_found():
    texts, labels = tickets()
    wrong = [3, 40, 77, 101, 200]
    for row in wrong:
        labels[row] = "billing" if labels[row] != "billing" else "login"
    table = of(texts, labels)
    (finding,) = named(check(table, classes(table)), "label errors")
    assert set(wrong) <= set(finding.rows) and len(finding.rows) <= 8
    best = finding.details["suggestions"][0]
    assert best["given"] == labels[finding.rows[0]] and best["likelier"] in TOPICS


def test_features_may_be_handed_in_and_rows_are_those_of_the_file():
    texts, labels = tickets()
    true = [list(TOPICS).index(label) for label in labels]
    labels[10], labels[0] = "billing", None
    raw = read({"text": texts, "label": labels})
    table, _ = build_table(raw, infer_roles(raw, target="label"))
    vectors = np.eye(3)[true[1:]] + np.random.default_rng(0).normal(size=(239, 3)) * 0.05
    (finding,) = named(check(table, classes(table), features=lambda _: vectors), "label errors")
    assert finding.rows == (10,)


def test_clean_labels_raise_no_alarm():
    texts, labels = tickets()
    table = of(texts, labels)
    assert check(table, classes(table)) == []


def test_duplicates_and_contradictions():
    texts, labels = tickets()
    texts[6] = texts[3].upper()
    texts[12] = texts[3] + "s"
    texts[20], labels[20], labels[21] = texts[21], "billing", "login"
    found = check(of(texts, labels), classes(of(texts, labels)))
    assert {3, 6, 20, 21} == set(named(found, "exact duplicates")[0].rows)
    assert {3, 6, 12} <= set(named(found, "near duplicates")[0].rows)
    assert named(found, "contradicting labels")[0].rows == (20, 21)


def test_rows_shared_with_the_test_set():
    table, test = of(*tickets()), of(*tickets(30, seed=1))
    assert not named(check(table, classes(table), test=test), "duplicates in test")
    shared = of([*test.frame["text"][:29], table.frame["text"][5]], test.frame["label"].to_list())
    (finding,) = named(check(table, classes(table), test=shared), "duplicates in test")
    assert finding.rows == (5,) and finding.details["test_rows"] == [29]
    assert finding.value == pytest.approx(1 / 30) and finding.level == "warning"
    (finding,) = named(check(table, classes(table), test=table), "duplicates in test")
    assert finding.level == "problem" and "240 of 240 test rows (100.0%)" in finding.verdict


@pytest.mark.parametrize(
    ("values", "copied", "level"),
    [(8, 0, "info"), (10**6, 10, "warning"), (10**6, 40, "problem"), (8, 200, "problem")],
)
def test_rows_of_a_table_may_be_in_the_test_set_by_chance_alone(values, copied, level):
    chance = np.random.default_rng(0)
    cells = chance.integers(0, values, (800, 3))
    cells[600 : 600 + copied] = cells[:copied]
    frame = pl.DataFrame(cells, schema=["a", "b", "c"])
    frame = frame.with_columns(pl.Series("label", list("yn" * 400)))
    roles = Roles({name: "number" for name in "abc"}, ("label",))
    (finding,) = named(shared_rows(Table(frame[:600], roles), Table(frame[600:], roles)), SHARED)
    assert finding.level == level


@pytest.mark.parametrize("absolute", [False, True])
def test_images_shared_with_the_test_set(tmp_path, absolute):
    chance = np.random.default_rng(0)
    tables = []
    for part, count in (("train", 8), ("test", 3)):
        (tmp_path / part).mkdir()
        for i in range(count):
            pixels = chance.integers(0, 256, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / part / f"{i}.png")
        names = [f"{i}.png" for i in range(count)]
        paths = [str(tmp_path / part / name) for name in names] if absolute else names
        frame = pl.DataFrame({"image": paths, "label": ["a", "b", *"a" * (count - 2)]})
        tables.append(Table(frame, Roles({"image": "image"}, ("label",)), tmp_path / part))
    table, test = tables
    assert not named(check(table, classes(table), test=test), "duplicates in test")
    shutil.copy(tmp_path / "train" / "6.png", tmp_path / "test" / "1.png")
    (finding,) = named(check(table, classes(table), test=test), "duplicates in test")
    assert finding.rows == (6,) and finding.details["test_rows"] == [1]


def test_leaks_are_found_and_good_columns_are_not_called_leaks():
    chance = np.random.default_rng(0)
    target = chance.choice(["no", "yes"], 400, p=[0.8, 0.2])
    frame = pl.DataFrame(
        {
            "told": np.where(target == "yes", 3.5, 1.0) + chance.normal(size=400) * 0.01,
            "code": np.where(target == "yes", "B", "A"),
            "good": (target == "yes") + chance.normal(size=400),
            "label": target,
        }
    )
    roles = Roles({"told": "number", "code": "category", "good": "number"}, ("label",))
    table = Table(frame, roles)
    leaks = named(check(table, classes(table)), "target leakage")
    assert {leak.details["column"] for leak in leaks} == {"told", "code"}
    assert {leak.level for leak in leaks} == {"problem"}


def test_a_label_that_stands_in_the_text_is_a_leak():
    texts, labels = tickets()
    told = [f"{text} category {label}" for text, label in zip(texts, labels, strict=True)]
    table = of(told, labels)
    assert named(check(table, classes(table)), "target leakage")
    table = of(texts, labels)
    assert not named(check(table, classes(table)), "target leakage")


def test_columns_classes_and_targets():
    chance = np.random.default_rng(0)
    columns = {
        "id": list(range(300)),
        "same": ["x"] * 300,
        "age": [None if i % 3 == 0 else i % 50 for i in range(300)],
        "text": [f"some words {chance.integers(1e9)} to read here" for _ in range(300)],
        "label": ["rare"] * 4 + ["often"] * 296,
    }
    columns["text"][8] = "  "
    raw = read(columns)
    table, _ = build_table(raw, infer_roles(raw, target="label"))
    found = check(table, classes(table))
    assert named(found, "id column") and named(found, "constant column")
    assert named(found, "missing values")[0].value == pytest.approx(1 / 3)
    assert named(found, "empty texts")[0].rows == (8,)
    assert named(found, "tiny classes")[0].rows == (0, 1, 2, 3)
    assert named(found, "imbalance")[0].value == pytest.approx(74)


def test_categories_that_are_all_but_numbers_are_named():
    codes = [*(str(250 + i % 60) for i in range(290)), *["V57"] * 10]
    frame = pl.DataFrame({"code": codes, "label": ["a", "b"] * 150})
    table = Table(frame, Roles({"code": "category"}, ("label",)))
    (finding,) = named(check(table, classes(table)), "odd numbers")
    assert finding.rows == tuple(range(290, 300)) and "row 290" in finding.verdict
    assert finding.details["examples"] == ["V57"] and "V57" not in finding.verdict


def test_outliers_of_a_regression_target():
    chance = np.random.default_rng(0)
    target = chance.normal(size=300)
    target[17] = 1e6
    frame = pl.DataFrame({"x": chance.normal(size=300), "y": target})
    table = Table(frame, Roles({"x": "number"}, ("y",)))
    (finding,) = check(table, Fake("regression"))
    assert finding.rows == (17,) and finding.details["examples"] == ["1e+06"]
    assert "1e+06" not in finding.verdict


def test_tiny_labels_of_several():
    labels = [["a"], ["a", "b"]] * 20 + [["rare"]]
    frame = pl.DataFrame({"x": np.arange(41.0), "tags": labels})
    table = Table(frame, Roles({"x": "number"}, ("tags",)))
    found = check(table, Fake("multilabel", ("a", "b", "rare")))
    assert named(found, "tiny classes")[0].rows == (40,)


def test_labels_that_are_numbers_with_a_unit_are_told():
    raw = read({"a": list(range(60)), "price": [f"$ {i % 30 + 100}" for i in range(60)]})
    table, _ = build_table(raw, infer_roles(raw, target="price"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = check(table, classes(table))
    assert "'$ 100'" in named(found, "numbers with units")[0].verdict
