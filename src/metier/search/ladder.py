"""The rungs that are climbed, from cheap to dear, and what to try next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metier.errors import OptionError
from metier.registry import find
from metier.space import Range, space
from metier.types import Roles, TaskKind


@dataclass(frozen=True)
class Rung:
    """One strategy on one source, with some parameters fixed and the others to be searched.

    `baseline` rungs always run, once, with their defaults: what a specialist has to beat.
    """

    name: str
    strategy: str
    source: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    baseline: bool = False

    @property
    def space(self) -> dict[str, Range]:
        """What may be searched."""
        ranges = space(find("strategies", self.strategy))
        return {name: over for name, over in ranges.items() if name not in self.fixed}

    @property
    def defaults(self) -> dict[str, Any]:
        """The defaults of what may be searched."""
        kind: Any = find("strategies", self.strategy)()
        return {name: getattr(kind, name) for name in self.space}


NEURAL: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    ("probe", "probe", {}),
    ("finetune-top", "finetune", {"train": "top"}),
    ("lora", "lora", {}),
    ("finetune-all", "finetune", {"train": "all"}),
)
"""Rungs on a pretrained network, from cheap to dear."""


def rungs(
    roles: Roles, kind: TaskKind, sources: Sequence[str], asked: Sequence[str] = ()
) -> list[Rung]:
    """Return the ladder for these inputs: baselines, then every source's rungs, cheap ones first.

    `asked` names the strategies that the user wants; the baselines run all the same.
    """
    constant = "mean" if kind == "regression" else "majority"
    if roles.modality == "tabular":
        return [
            Rung(constant, constant, "none", baseline=True),
            *_kept([Rung(n, n, sources[0]) for n in ("linear", "boost")], asked, sources),
        ]
    baselines = [
        Rung(constant, constant, "none", baseline=True),
        Rung("classical", "classical", "none", baseline=True),
    ]
    if kind != "regression":
        baselines.append(Rung("generalist", "generalist", sources[0], baseline=True))
    many = len(sources) > 1
    climbed = [
        Rung(f"{name}@{_short(source)}" if many else name, strategy, source, fixed)
        for name, strategy, fixed in NEURAL
        for source in sources
    ]
    if set(roles.inputs.values()) & {"number", "category", "date"}:
        climbed.insert(1, Rung("fuse", "fuse", sources[0]))
    return [*baselines, *_kept(climbed, asked, sources)]


def _kept(climbed: list[Rung], asked: Sequence[str], sources: Sequence[str]) -> list[Rung]:
    """Only the rungs that were asked for; one that is not on the ladder is added with defaults."""
    if not asked:
        return climbed
    found = []
    for name in asked:
        fits = [r for r in climbed if name in (r.strategy, r.name, r.name.partition("@")[0])]
        if not fits:
            find("strategies", name)
            fits = [Rung(name, name, source) for source in sources]
        found.extend(r for r in fits if r not in found)
    if not found:
        raise OptionError("no strategy is left to try: name one with --strategy")
    return found


def _short(source: str) -> str:
    return source.rstrip("/").rpartition("/")[2]


def next_rung(
    ladder: Sequence[Rung],
    tried: Mapping[str, int],
    best: Mapping[str, float],
    closed: frozenset[str] = frozenset(),
) -> Rung | None:
    """Return the rung to try next; None when nothing is left.

    Every rung is tried once with its defaults, the cheap ones first. After that the best rung is
    searched, and every third time the runner-up, so that an unlucky start is not the end of it.

    Args:
        ladder: the rungs, cheap ones first.
        tried: how many proposals each rung has had.
        best: the best value of each rung that has one (higher is better).
        closed: rungs that the time left does not allow any more.
    """
    open_ = [rung for rung in ladder if rung.name not in closed]
    for rung in open_:
        if tried.get(rung.name, 0) == 0:
            return rung
    searchable = sorted(
        (rung for rung in open_ if not rung.baseline and rung.space and rung.name in best),
        key=lambda rung: -best[rung.name],
    )
    if not searchable:
        return None
    rounds = sum(tried.values())
    return searchable[1] if rounds % 3 == 2 and len(searchable) > 1 else searchable[0]
