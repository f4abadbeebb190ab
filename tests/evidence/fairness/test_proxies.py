"""What the inputs tell about a column that is none of them."""

from __future__ import annotations

import numpy as np
import polars as pl

from metier.data.sensitive import groups_of
from metier.evidence.fairness.proxies import Told, find_proxies, told_by
from metier.types import Roles, Table


def table(telling: float, n: int = 600) -> Table:
    random = np.random.default_rng(0)
    sex = random.integers(0, 2, n)
    frame = pl.DataFrame(
        {
            "sex": np.where(sex == 1, "f", "m"),
            "height": telling * sex + random.normal(size=n),
            "noise": random.normal(size=n),
        }
    )
    return Table(frame, Roles({"height": "number", "noise": "number"}, sensitive=("sex",)))


def test_the_input_that_carries_the_group_is_named() -> None:
    rows = table(2.0)
    found = find_proxies("sex", groups_of(rows)["sex"], told_by(rows))
    assert found.name == "proxy[sex]" and found.level == "warning"
    assert found.value and found.low and found.value > 0.85 and found.low > 0.8
    assert next(iter(found.details["carried"])) == "height"
    assert "where always" in found.verdict and "height" in found.verdict


def test_inputs_that_tell_nothing_are_said_to() -> None:
    rows = table(0.0)
    found = find_proxies("sex", groups_of(rows)["sex"], told_by(rows))
    assert found.level == "info" and "hardly tell" in found.verdict


def test_the_sensitive_column_itself_is_not_read_even_where_it_is_an_input() -> None:
    rows = table(0.0)
    roles = Roles({**rows.roles.inputs, "sex": "category"}, sensitive=("sex",))
    told = told_by(Table(rows.frame, roles))
    assert set(told.inputs) == {"height", "noise"}


def test_what_gives_a_person_away_is_no_proxy_where_rows_are_of_persons() -> None:
    called = 0
    for seed in range(12):
        random = np.random.default_rng(seed)
        who = np.repeat(np.arange(60), 15)
        told = Told(random.normal(size=(60, 4)).astype(np.float32)[who], {})
        sex = np.array(["f", "m"])[random.integers(0, 2, 60)][who].tolist()
        found = find_proxies("sex", sex, told, seed=seed, clusters=who)
        called += found.level == "warning"
    assert called <= 2
    assert "(900 rows in 60 groups left out in turn)" in found.verdict


def test_an_input_that_tells_is_found_among_persons_and_few_of_them_tell_nothing() -> None:
    rows = table(2.0)
    who = np.arange(600) // 2
    sex = np.repeat(np.asarray(groups_of(rows)["sex"])[::2], 2).tolist()
    told = Told(told_by(rows).features + 4 * (np.asarray(sex) == "f")[:, None], {})
    found = find_proxies("sex", sex, told, clusters=who)
    assert found.level == "warning" and found.details["accuracy"] > 0.9
    few = find_proxies("sex", ["f"] * 300 + ["m"] * 300, told, clusters=np.arange(600) // 75)
    assert few.value is None and "too few" in few.verdict


def test_texts_tell_too_and_one_group_tells_nothing() -> None:
    words = ["she likes her garden", "he likes his garage"] * 60
    frame = pl.DataFrame({"text": words, "sex": ["f", "m"] * 60})
    rows = Table(frame, Roles({"text": "text"}, sensitive=("sex",)))
    assert (find_proxies("sex", groups_of(rows)["sex"], told_by(rows)).value or 0) > 0.95
    alone = find_proxies("sex", ["f"] * 120, told_by(rows))
    assert alone.value is None and "too few rows" in alone.verdict


def test_no_input_that_differs_can_tell_nothing() -> None:
    rows = table(2.0)
    groups = groups_of(rows)["sex"]
    itself = Table(rows.frame, Roles({"sex": "category"}, sensitive=("sex",)))
    still = Table(rows.frame.with_columns(height=1.0, noise=2.0), rows.roles)
    for each in (itself, still):
        found = find_proxies("sex", groups, told_by(each))
        assert found.value is None and found.n == 600 and found.level == "info"
        assert "none can tell it" in found.verdict
