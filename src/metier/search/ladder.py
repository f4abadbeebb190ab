"""The rungs that are climbed, from cheap to dear, and what to try next."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

from metier.errors import OptionError
from metier.registry import find
from metier.runtime.postprocess import TaskKind
from metier.search.wrapping import build, default, is_wrapper, ranges, unwrap, within
from metier.space import Range
from metier.types import Modality, Roles


@dataclass(frozen=True)
class Rung:
    """One strategy on one source, with some parameters fixed and the others to be searched.

    `baseline` rungs always run, once, with their defaults: what a specialist has to beat. `first`
    is where a search begins, for what differs from the strategy's own defaults. `share` is the part
    of its slot that a rung gets which is there for what it explains, and seldom wins.
    """

    name: str
    strategy: str
    source: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    baseline: bool = False
    first: Mapping[str, Any] = field(default_factory=dict)
    share: float = 1.0

    @property
    def space(self) -> dict[str, Range]:
        """What may be searched."""
        return {n: over for n, over in ranges(self.strategy).items() if n not in self.fixed}

    @property
    def defaults(self) -> dict[str, Any]:
        """The defaults of what may be searched."""
        first = self.first
        return {n: first[n] if n in first else default(self.strategy, n) for n in self.space}


NOTHING = "none"
"""The source of what starts from nothing."""
WITHOUT_SOURCE = ("majority", "mean", "classical", "linear", "ebm")
"""Strategies that start from nothing."""
HEAD_ONLY = ("generalist", "probe")
"""Strategies that leave a network as it is: once it has seen the rows, they cost little."""
FOR_A_GLASS_BOX = 0.35
"""The share of its slot that the glass box gets, so that boosting keeps most of the time."""
NEURAL: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    ("probe", "probe", {}),
    ("finetune-top", "finetune", {"train": "top"}),
    ("finetune-all", "finetune", {"train": "all"}),
    ("lora", "lora", {}),
)
"""Rungs on a pretrained network, from cheap to dear. `lora` spares memory more than time: a step
goes through all blocks and back as one of all layers does. So where there is time for one of the
two, it goes to the one that can change more."""
WRAPPED: Mapping[Modality, str] = {
    "text": "finetune-top",
    "image": "finetune-top",
    "tabular": "boost",
}
"""What a wrapper goes around when it is not said."""
FIRST: Mapping[Modality, Mapping[str, Any]] = {"image": {"rate": 5e-4}}
"""Where the search of a neural rung begins. Networks with batch normalisation bear, and on few rows
need, higher rates than the transformers that the strategies' defaults are made for."""
MANY_ROWS = 3000
"""From so many rows on a search begins with fewer passes over them, so that dear rungs are reached
within a budget."""
FIRST_OF_MANY: Mapping[str, Any] = {"epochs": 3}
"""Where the search of a neural rung begins where rows are many."""


UNSURE = (("pseudolabel", "regression"),)
"""What has no meaning: a number has no confidence."""
WITH_ROWS: Mapping[bool, tuple[tuple[str, str, Mapping[str, Any]], ...]] = {
    False: (
        ("pseudolabel", "probe", {}),
        ("pseudolabel", "boost", {}),
        ("consistency", "finetune-top", {}),
    ),
    True: (
        ("align", "probe", {"method": "coral"}),
        ("align", "boost", {"method": "weight"}),
        ("pretrain", "finetune-top", {}),
        ("align", "finetune-top", {}),
    ),
}
"""What goes around which rung when there are rows without labels, by whether they come from
elsewhere: cheap first, and few, since a budget is shared. Labels that a model says itself are
trusted where rows are like those it learned from; elsewhere, texts of the domain are read first,
which gained on every pair of reviews (`bench/domains.py`), or features are brought together."""
FEW_A_CLASS, FEW_ROWS = 32, 1500
"""Labels are few up to this many rows a class on average, or rows in all. With more, fine-tuning
learns what pairs could tell it; with fewer, a fit on pairs takes a minute at most."""
CONTRAST: tuple[str, str, Mapping[str, Any]] = ("contrast", "contrast", {})


def few_labels(rows: int, outputs: int, kind: TaskKind) -> bool:
    """Whether there are so few labelled rows that rungs for few labels pay."""
    return kind != "regression" and (rows <= FEW_A_CLASS * outputs or rows <= FEW_ROWS)


def rungs(
    roles: Roles,
    kind: TaskKind,
    sources: Sequence[str],
    asked: Sequence[str] = (),
    *,
    unlabeled: bool = False,
    shifted: bool = False,
    few: bool = False,
    many: bool = False,
) -> list[Rung]:
    """Return the ladder for these inputs: baselines, then every source's rungs, cheap ones first.

    `asked` names the strategies that the user wants; the baselines run all the same. With
    `unlabeled` rows there are rungs that learn from them, others where they are `shifted`; `few`
    says that labels are few (`few_labels`), `many` that rows are (`MANY_ROWS`).

    Raises OptionError for a strategy that is not known or does not fit the inputs.
    """
    baselines = _baselines(roles, kind, sources)
    if roles.modality == "tabular":
        climbed = [*_on_each("boost", "boost", sources), *_glass_box()]
    else:
        climbed = _neural(roles, sources, few, many)
    if unlabeled:
        climbed = _with_rows(climbed, roles, kind, shifted)
    if not asked:
        return [*baselines, *climbed]
    wanted = _wanted(climbed, asked, roles, kind, sources)
    names = {rung.name for rung in wanted}
    return [*(rung for rung in baselines if rung.name not in names), *wanted]


def _glass_box() -> list[Rung]:
    """The rung of the model that can be read, where its library is installed."""
    if find_spec("interpret") is None:
        return []
    return [Rung("ebm", "ebm", NOTHING, share=FOR_A_GLASS_BOX)]


def _baselines(roles: Roles, kind: TaskKind, sources: Sequence[str]) -> list[Rung]:
    constant = "mean" if kind == "regression" else "majority"
    names = [constant, "linear" if roles.modality == "tabular" else "classical"]
    found = [Rung(name, name, NOTHING, baseline=True) for name in names]
    if kind != "regression" and roles.modality != "tabular" and sources:
        found.append(Rung("generalist", "generalist", sources[0], baseline=True))
    return found


def _neural(roles: Roles, sources: Sequence[str], few: bool, many: bool) -> list[Rung]:
    first = {**FIRST.get(roles.modality, {}), **(FIRST_OF_MANY if many else {})}
    probe, *dearer = NEURAL
    climbed = [
        rung
        for name, strategy, fixed in (probe, *([CONTRAST] if few else []), *dearer)
        for rung in _on_each(name, strategy, sources, fixed, first)
    ]
    if sources and set(roles.inputs.values()) & {"number", "category", "date"}:
        climbed.insert((2 + few) * len(sources), Rung("fuse", "fuse", sources[0]))
    return climbed


def _with_rows(climbed: Sequence[Rung], roles: Roles, kind: TaskKind, shifted: bool) -> list[Rung]:
    """The rungs that are climbed anyway, and those that learn from rows without labels around them.

    Where rows come from elsewhere they stand right after what they go around, since training more
    of the network is worth less there; otherwise last.
    """
    beside: dict[str, list[Rung]] = {}
    last: list[Rung] = []
    for outer, inner, fixed in WITH_ROWS[shifted]:
        strategy: Any = find("strategies", outer)
        if roles.modality not in strategy.modalities or (outer, kind) in UNSURE:
            continue
        for rung in climbed:
            if rung.name.partition("@")[0] == inner:
                wrapped = _wrapped(outer, rung)
                place = beside.setdefault(rung.name, []) if shifted else last
                place.append(replace(wrapped, fixed={**wrapped.fixed, **fixed}))
    found = [each for rung in climbed for each in (rung, *beside.get(rung.name, ()))]
    return [*found, *last]


def _on_each(
    name: str,
    strategy: str,
    sources: Sequence[str],
    fixed: Mapping[str, Any] | None = None,
    first: Mapping[str, Any] | None = None,
) -> list[Rung]:
    """One rung a source; the source is in the name when there are several."""
    short = [_short(source) for source in sources]
    found = []
    for i, source in enumerate(sources):
        own = short[i] if short.count(short[i]) == 1 else f"{short[i]}-{i + 1}"
        full = f"{name}@{own}" if len(sources) > 1 else name
        found.append(Rung(full, strategy, source, fixed or {}, first=first or {}))
    return found


def _wanted(
    climbed: Sequence[Rung],
    asked: Sequence[str],
    roles: Roles,
    kind: TaskKind,
    sources: Sequence[str],
) -> list[Rung]:
    """The rungs that were asked for; one that is not on the ladder is added with its defaults."""
    found: list[Rung] = []
    for name in asked:
        fits = _named(climbed, name, roles, kind, sources)
        found.extend(rung for rung in fits if rung not in found)
    return found


def _named(
    climbed: Sequence[Rung], name: str, roles: Roles, kind: TaskKind, sources: Sequence[str]
) -> list[Rung]:
    """The rungs of one name; a wrapper's are those of what it wraps, each wrapped."""
    fits = [r for r in climbed if name in (r.strategy, r.name, r.name.partition("@")[0])]
    if fits:
        return fits
    outer, inner = unwrap(name)
    if inner is None and is_wrapper(outer):
        inner = WRAPPED[roles.modality]
    if inner is not None:
        _check_fits(outer, roles, kind)
        return [_wrapped(outer, each) for each in _named(climbed, inner, roles, kind, sources)]
    _check_fits(name, roles, kind)
    return _on_each(name, name, [NOTHING] if name in WITHOUT_SOURCE else sources)


def _wrapped(outer: str, rung: Rung) -> Rung:
    """The rung of a wrapper around what another rung does."""
    strategy = f"{outer}({rung.strategy})"
    build(strategy, within(rung.fixed))  # refuses what wraps nothing
    return Rung(
        f"{outer}({rung.name})", strategy, rung.source, within(rung.fixed), first=within(rung.first)
    )


def _check_fits(name: str, roles: Roles, kind: TaskKind) -> None:
    """Refuse a strategy that cannot work on these inputs, before anything is trained."""
    strategy: Any = find("strategies", name)()
    if roles.modality not in strategy.modalities:
        raise OptionError(
            f"--strategy {name}: works on {' and '.join(strategy.modalities)}, and these inputs "
            f"are {roles.modality}; `metier strategies` lists what fits"
        )
    if "source" not in strategy.accepts:
        raise OptionError(
            f"--strategy {name}: goes on from a {' or '.join(strategy.accepts)}, so it cannot come "
            "first; `metier strategies` lists what can"
        )
    if (name == "mean") != (kind == "regression") and name in ("mean", "majority"):
        raise OptionError(f"--strategy {name}: does not fit a {kind} task")


def _short(source: str) -> str:
    return source.rstrip("/").rpartition("/")[2]


def next_rung(
    ladder: Sequence[Rung],
    tried: Mapping[str, int],
    best: Mapping[str, float],
    closed: Collection[str] = (),
) -> Rung | None:
    """Return the rung to try next; None when nothing is left.

    Every rung is tried once with its defaults, the cheap ones first. After that the best rung is
    searched, and every third time the runner-up, so that an unlucky start is not the end of it.

    Args:
        ladder: the rungs, cheap ones first.
        tried: how many proposals each rung has had.
        best: the best value of each rung that has one (higher is better).
        closed: rungs that the time left does not allow any more, or that have nothing new to try.
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
