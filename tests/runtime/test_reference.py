"""Statistics that are honest about new rows, and keep nothing of single ones."""

from __future__ import annotations

import json

import numpy as np
import pytest

from metier.errors import BundleError
from metier.runtime.bins import Scale
from metier.runtime.knownwords import Known
from metier.runtime.reference import from_json, learn, reference_of
from metier.runtime.signals import Signals, hashed_words

NOTHING: dict[str, frozenset[str]] = {}


def answers(n: int) -> Signals:
    draw = np.random.default_rng(9)
    return Signals({"confidence": draw.uniform(0.5, 1, n)}, {"prediction": ["a"] * n})


def words(n: int, seed: int) -> list[str]:
    """Rows of words of which some are frequent and most are rare, as in any language."""
    draw = np.random.default_rng(seed)
    ranks = np.minimum(draw.zipf(1.3, (n, 12)), 50_000)
    letters = np.array(list("abcdefghij"))
    return [" ".join("".join(letters[[int(c) for c in str(r)]]) for r in row) for row in ranks]


def test_bins_hold_like_shares_and_the_missing_have_their_own() -> None:
    values = np.concatenate([np.random.default_rng(0).normal(size=1000), [np.nan] * 250])
    scale = learn(Signals({"x": values}), answers(9), NOTHING).scales["x"]
    assert len(scale.edges) == 9 and len(scale.names) == len(scale.shares) == 11
    assert scale.shares[:-1] == pytest.approx([0.08] * 10, abs=0.001)
    assert scale.shares[-1] == pytest.approx(0.2)


def test_a_value_that_many_rows_share_is_a_bin() -> None:
    values = np.array([0.0] * 900 + [1.0, 2.0, 3.0, 4.0] * 25)
    scale = learn(Signals({"x": values}), answers(9), NOTHING).scales["x"]
    assert scale.shares[0] == pytest.approx(0.9)
    assert scale.codes(np.array([0.0])).tolist() == [0]


@pytest.mark.parametrize("values", [[], [np.nan, np.nan], [5.0, 5.0, 5.0]])
def test_columns_without_values_are_no_trouble(values: list[float]) -> None:
    numbers = np.array(values)
    found = learn(Signals({"x": numbers}), answers(9), NOTHING)
    again = from_json(json.loads(json.dumps(found.to_json())), NOTHING)
    assert again.scales["x"].codes(np.array([5.0, np.nan])).shape == (2,)
    assert sum(again.scales["x"].shares) == pytest.approx(1.0 if len(values) else 0.0)


def test_rare_categories_are_not_named() -> None:
    cells = ["often"] * 50 + ["secret"] * 2 + [None] * 3
    known = {"who": frozenset({"often", "secret"})}
    choice = learn(Signals({}, {"who": cells}), answers(9), known).choices["who"]
    assert choice.values == ("often",)
    assert choice.codes(["often", "secret", "new", None]).tolist() == [0, 1, 2, 3]
    assert choice.unlike(["often", "secret", "new", None]).tolist() == [False, False, True, False]


def test_what_a_vocabulary_has_no_room_for_is_as_usual_as_in_training() -> None:
    cells = [f"city {place}" for place in np.random.default_rng(0).integers(0, 50, 600)]
    known = {"city": frozenset(f"city {place}" for place in range(20))}
    inputs = Signals({}, {"city": [*cells, "city 0", "alone", None]})
    found = learn(inputs, Signals(), {"city": known["city"] | {"alone"}})
    here = found.flags(inputs).mean()
    assert here == pytest.approx(0.6, abs=0.05)
    assert found.unlike == pytest.approx(here + 1 / 603), "no other row would know what is alone"


def test_a_category_is_alone_when_no_row_of_training_has_it_beside_one() -> None:
    rows: list[str | None] = [f"city {place}" for place in range(40)]
    known = {"city": frozenset(f"city {place}" for place in range(40))}
    some = Signals({}, {"city": rows})
    assert learn(some, Signals(), known).unlike == 1
    assert learn(some, Signals(), known, {"city": [*rows, *rows[:30]]}).unlike == 0.25


def test_no_word_and_no_row_can_be_read_back() -> None:
    texts = words(300, 0)
    name = "text: new words"
    found = learn(Signals({}, {}, {name: [hashed_words(t) for t in texts]}), answers(9), NOTHING)
    written = json.dumps(found.to_json())
    assert not any(word in written for text in texts for word in text.split() if len(word) > 3)
    assert len(written) < 8000


def test_the_share_of_new_words_of_training_is_that_of_new_rows() -> None:
    name = "text: new words"
    hashed = [[hashed_words(t) for t in words(500, seed)] for seed in (0, 1)]
    found = learn(Signals({}, {}, {name: hashed[0]}), answers(9), NOTHING)
    new = found.measure(Signals({}, {}, {name: hashed[1]}))
    scale = found.scales[name]
    shares = np.bincount(scale.codes(new.numbers[name]), minlength=len(scale.shares)) / 500
    assert np.abs(shares - np.array(scale.shares)).max() < 0.06


def test_a_filter_knows_its_words_and_few_others() -> None:
    mine = np.random.default_rng(0).integers(0, 2**32, 5000, dtype=np.uint32)
    others = np.random.default_rng(1).integers(0, 2**32, 5000, dtype=np.uint32)
    known = Known.of(mine)
    assert known.new_shares([mine]).tolist() == [0.0]
    assert known.new_shares([others])[0] > 0.97
    assert np.isnan(known.new_shares([mine[:0]])[0])


def test_the_usual_share_of_unlike_rows_is_what_new_rows_show() -> None:
    def draw(n: int, seed: int) -> Signals:
        numbers = np.random.default_rng(seed).standard_t(4, (12, n))
        return Signals({f"x{i}": numbers[i] for i in range(12)})

    expected = [learn(draw(150, s), Signals(), NOTHING).unlike for s in range(20)]
    found = [
        learn(draw(150, s), Signals(), NOTHING).flags(draw(2000, 1000 + s)).mean()
        for s in range(20)
    ]
    assert np.mean(expected) == pytest.approx(np.mean(found), rel=0.35)


def test_bounds_of_one_side_say_which_way_is_for_the_worse() -> None:
    bounds = [(None, None), (0.0, 1.0), (0.5, None), (None, 0.5)]
    assert [Scale((), (), low, high).harm for low, high in bounds] == [0, 0, -1, 1]


def test_what_is_no_reference_is_refused() -> None:
    data = learn(Signals({"x": np.arange(9.0)}), answers(9), NOTHING).to_json()
    data["numbers"]["x"]["shares"] = [1.0]
    with pytest.raises(ValueError, match="x: 1 shares"):
        from_json(data, NOTHING)


def test_inputs_alone_tell_of_another_kind() -> None:
    rows = [hashed_words(text) for text in words(300, 0)]
    inputs = Signals({"x": np.random.default_rng(0).normal(size=300)}, {}, {"t: new words": rows})
    known = learn(inputs, answers(300), NOTHING)
    foreign = [hashed_words("quite other words than those"), hashed_words(words(1, 0)[0])]
    found = known.unlike_inputs(Signals({"x": np.zeros(2)}, {}, {"t: new words": foreign}))
    assert found.tolist() == [True, False]
    assert known.unlike_inputs(Signals({"x": np.array([0.0, 99.0])})).tolist() == [False, True]


def test_the_facts_of_a_bundle() -> None:
    inputs = Signals({"x": np.arange(300.0)})
    data = learn(inputs, answers(300), NOTHING).to_json()
    found = reference_of({"reference": data}, {"kind": "columns", "columns": ["x"]})
    assert found is not None and found.rows == 300
    assert reference_of({}, {}) is None
    with pytest.raises(BundleError, match="get the bundle again"):
        reference_of({"reference": {"rows": 3}}, {"kind": "columns", "columns": ["x"]})
