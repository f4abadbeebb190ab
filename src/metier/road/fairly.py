"""Who a bundle, or the end of a run, serves worse: measured on labelled rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from metier.data.raw import Raw
from metier.data.sensitive import split_cuts, with_cuts
from metier.data.table import row_numbers
from metier.errors import DataError
from metier.evidence.answers import answers_of
from metier.evidence.fairness.served import Served, serve
from metier.road.labelled import Labelled
from metier.runtime.session import Bundle
from metier.runtime.signals import columns_read
from metier.search.finals import Final
from metier.search.race import Race
from metier.types import Roles, Table

WHERE = {"test": "test rows", "held-out": "held-out rows", "out-of-fold": "out-of-fold rows"}


def serve_whom(
    bundle: Bundle, labelled: Labelled, raw: Raw, sensitive: Sequence[str], seed: int = 0
) -> Served:
    """Measure who a bundle serves worse, on labelled rows.

    Args:
        bundle: the specialist.
        labelled: the rows, as `read_labelled` gives them.
        raw: the data that they were read from.
        sensitive: columns, `age:25,60` with cuts; none looks for slices alone.
        seed: of resamples and halves.

    Raises:
        DataError: a column is not there, is the target, or makes no groups.
        OptionError: for cuts that do not rise.
    """
    manifest = bundle.manifest
    known = manifest.facts.get("sensitive", {})
    table = with_sensitive(labelled.table, raw, sensitive, known)
    scores = labelled.scores(bundle)
    decision = manifest.decision.at(labelled.columns())
    reads = {each.name for each in columns_read(manifest.columns, manifest.preprocess)}
    read = [name for name in table.roles.sensitive if name in reads]
    notes = cut_notes(table.roles, sensitive)
    if read:
        notes = (
            *notes,
            f"the specialist reads {', '.join(read)}: it was trained without --sensitive",
        )
    return serve(
        answers_of(labelled.truth, scores, decision),
        table,
        on=f"rows of {raw.name}",
        rows=labelled.numbers,
        notes=notes,
        seed=seed,
    )


def serve_proof(race: Race, final: Final, sensitive: Sequence[str], proxies: bool = True) -> Served:
    """Measure who the specialist of a run serves worse, on the rows of its proof.

    Without time for `proxies` it is not looked at what the inputs tell of the groups.
    """
    proof = final.proof
    table = proof.table.take(proof.rows)
    return serve(
        answers_of(proof.targets, proof.chosen.scores, proof.chosen.decision),
        table,
        on=WHERE[proof.where],
        rows=row_numbers(table),
        notes=cut_notes(table.roles, sensitive),
        seed=race.seed,
        proxies=proxies,
    )


def with_sensitive(
    table: Table, raw: Raw, sensitive: Sequence[str], known: Mapping[str, Sequence[float]]
) -> Table:
    """Return the rows with roles that name the sensitive columns.

    `known` are the cuts that the bundle was measured by before; cuts that are given come first.
    Raises as `serve_whom`.
    """
    names, cuts = split_cuts(sensitive, raw.frame.columns)
    for name in names:
        if name in table.roles.target:
            raise DataError(
                f"column {name!r} is the target: who is served worse is measured by another column"
            )
    roles = replace(table.roles, sensitive=names)
    before = {name: tuple(known[name]) for name in names if known.get(name)}
    return replace(table, roles=with_cuts(roles, table.frame, {**before, **cuts}))


def cut_notes(roles: Roles, asked: Sequence[str]) -> tuple[str, ...]:
    """Say where the groups of numbers begin, and who said so."""
    given = {each.rpartition(":")[0] for each in asked}
    return tuple(
        f"groups of {name} begin at {', '.join(f'{cut:g}' for cut in cuts)}: "
        f"{'as given' if name in given else 'its quartiles'}"
        for name, cuts in roles.cuts.items()
    )
