"""Which rows teach, which rows choose, and which rows prove."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metier.data.dealing import deal, hash_rows
from metier.data.duplicates import join, near_clusters
from metier.data.table import group_codes, target_keys
from metier.errors import DataError
from metier.runtime.postprocess import TaskKind
from metier.types import Rows, Table

UNUSED, SELECT, CALIBRATE, PROVE = -1, 0, 1, 2
"""What the out-of-fold score of a row may be used for; UNUSED rows have none."""
FEW = 1000
"""Below this many rows none are held out: the proof is out-of-fold."""
MANY = 5000
"""Above this many rows three folds are enough."""
_BINS = 10


@dataclass(frozen=True)
class Fold:
    """Rows to fit on and rows to score, as positions in the table that was split."""

    train: Rows
    valid: Rows


@dataclass(frozen=True)
class Split:
    """A table, divided.

    Args:
        proof: rows held out for the proof; empty when there is a test set or rows are few.
        folds: train and valid parts of the remaining rows. Every remaining row is valid in one
            fold, but for the earliest when splits go by time.
        purpose: int8 (rows of the table,): what the out-of-fold score of a row may be used for.
            Rows of `proof` are PROVE, and rows without such a score are UNUSED.
        free: rows that may be learned from before the proof: all but those of `proof` and, when
            splits go by time, their group mates and near-duplicates among earlier rows.
    """

    proof: Rows
    folds: tuple[Fold, ...]
    purpose: NDArray[np.int8]
    free: Rows


def split(
    table: Table,
    kind: TaskKind,
    *,
    test_given: bool,
    folds: int | None = None,
    holdout: float = 0.2,
    seed: int = 0,
    clusters: NDArray[np.int64] | None = None,
) -> Split:
    """Divide a table, the same way for the same rows and seed, whatever their order.

    Stratified by class (regression: by tenths of the target; several labels: by the rarest label
    of a row). Rows of one group (`roles.group`) or one cluster of near-duplicates stay together.
    With `roles.time`, the proof is the latest share and each fold trains on what lies before its
    valid rows; training rows that are near-duplicates of later rows are then left out.

    Args:
        table: the rows, with targets.
        kind: the task.
        test_given: the proof has rows of its own, so none are held out.
        folds: how many; by default 5, and 3 above 5,000 rows.
        holdout: the share of rows held out for the proof.
        seed: chooses among equally good divisions.
        clusters: `near_clusters(table)` when it is known already.

    Raises:
        DataError: fewer than two rows or groups, or group and time that exclude each other.
    """
    near = near_clusters(table) if clusters is None else clusters
    units = units_of(table, near)
    strata = _strata(table, kind)
    hashes = _content(table, seed)
    if table.roles.time is not None:
        return _split_by_time(table, units, strata, hashes, test_given, folds, holdout)
    count = len(np.unique(units))
    if count < 2:
        things = "rows" if table.roles.group is None else "groups"
        raise DataError(f"{count} distinct {things} cannot be split: give at least two")
    held = _hold_out(strata, units, hashes, holdout, test_given)
    rest = np.flatnonzero(~held)
    wanted = min(folds or (3 if len(rest) > MANY else 5), len(np.unique(units[rest])))
    if wanted < 2:
        raise DataError("the rows outside the proof are one group: give more groups")
    parts = deal(strata[rest], units[rest], hash_rows(hashes[rest], 2), [1 / wanted] * wanted)
    made = tuple(Fold(rest[parts != k], rest[parts == k]) for k in range(wanted))
    proof = np.flatnonzero(held)
    purpose = _purposes(strata, units, hashes, rest, proof, test_given)
    return Split(proof, made, purpose, rest)


def refuse_too_few(found: Split, table: Table, *, test_given: bool) -> None:
    """Raise DataError where no row is left to choose by, or none to prove by."""
    needed = {SELECT} if test_given else {SELECT, PROVE}
    if needed - set(found.purpose.tolist()):
        raise DataError(
            f"{len(table)} labelled {'row' if len(table) == 1 else 'rows'}: too few to learn from "
            "some, to choose by others and to prove by the rest; give more rows that differ"
        )


def units_of(table: Table, near: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return sets of rows that stay together: of one group, or near-duplicates, or linked so."""
    first_near = _first_of(near)
    if table.roles.group is None:
        return first_near
    first_group = _first_of(group_codes(table.frame[table.roles.group]))
    rows = np.arange(len(table))
    pairs = [(int(a), int(b)) for a, b in zip(rows, first_near, strict=True) if a != b]
    pairs += [(int(a), int(b)) for a, b in zip(rows, first_group, strict=True) if a != b]
    return join(len(table), pairs)


def _first_of(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    _, first, place = np.unique(codes, return_index=True, return_inverse=True)
    return np.asarray(first[place], dtype=np.int64)


def _content(table: Table, seed: int) -> NDArray[np.uint64]:
    """Hash each row's inputs and target with the seed: what the division depends on."""
    targets = pl.Series(target_keys(table), dtype=pl.String).hash(seed=0).to_numpy()
    return hash_rows(table.digests * np.uint64(3) + targets, seed)


def _strata(table: Table, kind: TaskKind) -> NDArray[np.int64]:
    """Return a stratum number for each row that does not depend on the order of rows."""
    if kind == "regression":
        target = table.frame[table.roles.target[0]].cast(pl.Float64)
        bins = max(1, min(_BINS, len(table) // 10))
        ranks = (target.rank("average") - 0.5).to_numpy() * bins / len(table)
        return np.asarray(ranks, dtype=np.int64)
    keys = target_keys(table)
    if kind == "multilabel":
        keys = _rarest(table)
    return np.unique(np.array(keys, dtype=object).astype(str), return_inverse=True)[1]


def _rarest(table: Table) -> list[str]:
    target = table.target
    if isinstance(target, pl.DataFrame):
        names = target.columns
        lists = [[n for n, v in zip(names, row, strict=True) if v] for row in target.rows()]
    else:
        lists = target.to_list()
    counts = Counter(label for labels in lists for label in set(labels))
    return [min(labels, key=lambda one: (counts[one], one)) if labels else "" for labels in lists]


def _hold_out(
    strata: NDArray[np.int64],
    units: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    holdout: float,
    test_given: bool,
) -> NDArray[np.bool_]:
    if test_given or len(units) < FEW:
        return np.zeros(len(units), dtype=bool)
    rare = _units_of_rare(strata, units)
    free = np.flatnonzero(~np.isin(units, rare))
    held = np.zeros(len(units), dtype=bool)
    if len(free):
        parts = deal(strata[free], units[free], hash_rows(hashes[free], 1), [1 - holdout, holdout])
        held[free] = parts == 1
    return held


def _units_of_rare(strata: NDArray[np.int64], units: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the units that hold a class with fewer than three units: these must teach."""
    pairs = np.unique(np.stack([strata, units]), axis=1)
    counts = np.bincount(pairs[0], minlength=int(strata.max(initial=0)) + 1)
    return np.unique(pairs[1][counts[pairs[0]] < 3])


def _purposes(
    strata: NDArray[np.int64],
    units: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    scored: Rows,
    proof: Rows,
    test_given: bool,
) -> NDArray[np.int8]:
    shares = [2 / 3, 1 / 3] if test_given or len(proof) else [0.5, 0.15, 0.35]
    purpose = np.full(len(units), UNUSED, dtype=np.int8)
    purpose[proof] = PROVE
    purpose[scored] = deal(strata[scored], units[scored], hash_rows(hashes[scored], 3), shares)
    return purpose


def _split_by_time(
    table: Table,
    units: NDArray[np.int64],
    strata: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    test_given: bool,
    folds: int | None,
    holdout: float,
) -> Split:
    times = table.frame[str(table.roles.time)].rank("dense").to_numpy().astype(np.int64)
    held = np.zeros(len(times), dtype=bool)
    if not test_given and len(times) >= FEW:
        held = times > _instant(times, 1 - holdout)
    rest = _before(np.flatnonzero(~held), np.flatnonzero(held), units, table.roles.group)
    wanted = folds or (3 if len(rest) > MANY else 5)
    cuts = sorted({_instant(times[rest], k / (wanted + 1)) for k in range(1, wanted + 1)})
    made = []
    for low, high in zip(cuts, [*cuts[1:], int(times[rest].max())], strict=True):
        valid = rest[(times[rest] > low) & (times[rest] <= high)]
        if len(valid):
            train = _before(rest[times[rest] <= low], valid, units, table.roles.group)
            made.append(Fold(train, valid))
    if not made:
        raise DataError(
            f"column {table.roles.time!r} has too few distinct times to split by: leave --time out"
        )
    scored = np.sort(np.concatenate([fold.valid for fold in made]))
    proof = np.flatnonzero(held)
    purpose = _purposes(strata, units, hashes, scored, proof, test_given)
    return Split(proof, tuple(made), purpose, rest)


def _instant(times: NDArray[np.int64], share: float) -> int:
    """Return the time at or before which about `share` of the rows lie."""
    ordered = np.sort(times)
    return int(ordered[max(0, min(len(times) - 1, round(share * len(times)) - 1))])


def _before(earlier: Rows, later: Rows, units: NDArray[np.int64], group: str | None) -> Rows:
    """Return the earlier rows that have no near-duplicate (or group mate) among the later."""
    kept = earlier[~np.isin(units[earlier], units[later])]
    if len(kept) < 0.5 * len(earlier):
        cause = f"most groups of {group!r} span" if group else "most near-duplicates span"
        raise DataError(f"{cause} the whole time: split by group or by time, not by both")
    return kept
