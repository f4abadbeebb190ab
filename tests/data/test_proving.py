"""Half of the target domain proves, and nothing that belongs to the proof is learned from."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from metier.data.pool import Apart, set_apart
from metier.data.proving import Halves, proving_half
from metier.data.raw import Raw
from metier.errors import DataError
from metier.types import Roles

ROLES = Roles({"text": "text"}, ("label",), domain="domain")


def rows(n: int = 400) -> Apart:
    frame = pl.DataFrame(
        {
            "text": [f"a sentence about thing {i}" for i in range(n)],
            "label": ["good" if i % 3 else "bad" for i in range(n)],
            "domain": ["books" if i % 2 else "games" for i in range(n)],
            "user": [f"user {i // 2 % 40}" for i in range(n)],
            "day": [f"{1 + i // 28 % 12}/{1 + i % 28}/2024" for i in range(n)],
            "step": [i for i in range(n)],
        }
    )
    return set_apart(Raw(frame, None, "reviews", "0"), "domain", "books")


def halves_of(apart: Apart, roles: Roles) -> Halves:
    found = proving_half(apart, roles)
    assert found is not None
    return found


def test_the_proving_half_follows_from_content_alone() -> None:
    apart = rows(800)
    halves = halves_of(apart, ROLES)
    proof, rest = (set(half.frame["text"].to_list()) for half in (halves.proof, halves.rest))
    assert not proof & rest and len(proof | rest) == 400 and 140 < len(proof) < 260
    assert halves.labelled.frame.height == 400 and not halves.notes
    ours = apart.target
    shuffled = replace(ours, frame=ours.frame.sample(fraction=1.0, shuffle=True, seed=1))
    again = halves_of(replace(apart, target=shuffled), ROLES)
    assert set(again.proof.frame["text"].to_list()) == proof
    few = ours.frame.with_columns(
        label=pl.when(pl.int_range(pl.len()) < 40).then(pl.lit("label")).otherwise(None)
    )
    assert proving_half(replace(apart, target=replace(ours, frame=few)), ROLES) is None


def test_no_group_of_the_proof_is_learned_from() -> None:
    apart = rows()
    lonely = apart.target.frame.with_columns(
        user=pl.when(pl.int_range(pl.len()) >= 5).then("user"),
        label=pl.when(pl.int_range(pl.len()) < 190).then("label"),
    )
    apart = replace(apart, target=replace(apart.target, frame=lonely))
    halves = halves_of(apart, replace(ROLES, group="user"))
    users = set(halves.proof.frame["user"].drop_nulls())
    assert 15 <= len(users) <= 25 and 80 <= halves.proof.frame.height <= 110
    for part in (halves.labelled, halves.rest):
        assert part.frame.height and not users & set(part.frame["user"].drop_nulls())
    kept = sum(part.frame.height for part in (halves.proof, halves.labelled, halves.rest))
    (told,) = halves.notes
    assert told.startswith(f"{400 - kept} rows are left out") and "share 'user'" in told


@pytest.mark.parametrize("time", ["day", "step"])
def test_nothing_is_learned_from_what_came_after_the_proof_began(time: str) -> None:
    halves = halves_of(rows(330), replace(ROLES, time=time))
    read = (lambda c: c.str.to_date("%m/%d/%Y")) if time == "day" else (lambda c: c)
    start = read(halves.proof.frame[time]).min()
    for part in (halves.labelled, halves.rest):
        assert part.frame.height and (read(part.frame[time]) < start).all()
    assert 75 <= halves.proof.frame.height <= 90
    (told,) = halves.notes
    assert "no earlier by" in told


def test_a_proof_of_all_groups_or_of_one_time_is_refused() -> None:
    apart = rows()
    one = replace(
        apart.target,
        frame=apart.target.frame.with_columns(user=pl.lit("a"), step=0 * pl.col("step")),
    )
    with pytest.raises(DataError, match=r"no row is left to learn from .* share 'user'"):
        proving_half(replace(apart, target=one), replace(ROLES, group="user"))
    with pytest.raises(DataError, match="too few distinct times"):
        proving_half(replace(apart, target=one), replace(ROLES, time="step"))


def test_groups_and_times_together() -> None:
    frame = rows().target.frame.with_columns(user=pl.col("step") // 20)
    others = rows().labelled.frame.with_columns(user=pl.col("step") // 20)
    apart = Apart(Raw(others, None, "r", "0"), Raw(frame, None, "r", "0"))
    halves = halves_of(apart, replace(ROLES, group="user", time="step"))
    for part in (halves.labelled, halves.rest):
        assert not set(halves.proof.frame["user"]) & set(part.frame["user"])
        assert part.frame["step"].max() < halves.proof.frame["step"].min()
