"""Attacks on a finished specialist: crafted on its weights or scores, judged by its bundle."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from metier.errors import MetierError
from metier.evidence import blackbox
from metier.evidence.aims import Aim
from metier.evidence.compare import paired
from metier.evidence.metrics import interval
from metier.evidence.pixels import Pixels
from metier.evidence.robustness import Assault, Broken, Rows, adjusted
from metier.runtime.images import Image
from metier.runtime.postprocess import Decision
from metier.runtime.preprocess import Example
from metier.runtime.session import Bundle
from metier.runtime.text import Text
from metier.types import Finding, Floats

if TYPE_CHECKING:
    from metier.training.net import NetModel

RADIUS = 4
"""The radius at which attacks on pictures are compared, in 255ths of a pixel's range."""
RADII = (1, 2, 4, 8)
STEPS, RESTARTS = 20, 2
ROWS_TOGETHER = 16
MOST_ROWS = 500
SHOWN = 6
"""Broken inputs that are kept to be shown."""
REACHES = (0.1, 0.25, 0.5)
"""How far columns are moved, in their standard deviations."""
METRICS: Mapping[str, str] = {
    "binary": "accuracy",
    "multiclass": "accuracy",
    "multilabel": "subset_accuracy",
}
"""What is measured under attack; the deciding metric for numbers."""


@dataclass(frozen=True)
class Way:
    """One attack as it is told, and what it does to a batch of prepared inputs."""

    name: str
    about: str
    family: str
    sees: str
    radius: float | None
    craft: Callable[[Any, Aim, int], tuple[Any, float]]


@dataclass(frozen=True)
class Fight:
    """What attacks found on the same rows.

    Args:
        metric: what was measured.
        untouched: its value on these rows as they are.
        assaults: the attacks.
        examples: inputs that one of them broke.
        notes: what was left out, and why.
    """

    metric: str
    untouched: Finding | None = None
    assaults: tuple[Assault, ...] = ()
    examples: tuple[Broken, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class _Tally:
    """Scores of attacked rows, batch after batch."""

    rows: list[NDArray[np.int64]] = field(default_factory=list)
    clean: list[Floats] = field(default_factory=list)
    scores: dict[str, list[Floats]] = field(default_factory=dict)
    flat: dict[str, list[float]] = field(default_factory=dict)


def attack(
    bundle: Bundle,
    rows: Rows,
    metric: str,
    folder: Path,
    *,
    seconds: float,
    seed: int = 0,
    categories: Sequence[str] = (),
    examples: bool = False,
) -> Fight:
    """Attack a bundle on as many rows as the time allows, all attacks on the same rows.

    Args:
        bundle: what answers.
        rows: labelled rows that it did not learn from.
        metric: the deciding one, which is measured where there are no classes.
        folder: the run folder; gradients need its `weights/`.
        seconds: about how long this may take.
        seed: of the draw of the rows, of the attacks and of the intervals.
        categories: category columns of a table that may be changed.
        examples: keep a few inputs that were broken, to be shown.
    """
    decision = bundle.manifest.decision
    metric = METRICS.get(decision.kind, metric)
    preprocess = bundle.preprocess
    if isinstance(preprocess, Image):
        field_: _Field = _Pictures(bundle, preprocess)
    elif isinstance(preprocess, Text):
        field_ = _Texts(bundle, preprocess, rows)
    elif all(kind in ("number", "category", "date") for kind in rows.kinds.values()):
        field_ = _Columns(bundle, rows, tuple(categories))
    else:
        note = "Models that read texts or images beside columns are not attacked."
        return Fight(metric, notes=(note,))
    net, note = _net_of(folder) if field_.gradients else (None, "")
    ways = field_.ways(net)
    notes = (note,) if note else ()
    if not ways:
        return Fight(metric, notes=notes)
    tally = _fight(field_, ways, rows, decision, seconds, seed)
    return _told(field_, ways, rows, tally, decision, metric, seed, examples, notes)


def _fight(
    field_: _Field, ways: Sequence[Way], rows: Rows, decision: Decision, seconds: float, seed: int
) -> _Tally:
    """Attack batch after batch until the time is over; one batch at least."""
    ends = time.monotonic() + seconds
    tally = _Tally()
    order = np.random.default_rng(seed).permutation(len(rows))[:MOST_ROWS]
    for number, start in enumerate(range(0, len(order), field_.together)):
        began = time.monotonic()
        chosen = np.sort(order[start : start + field_.together])
        given, readable = field_.read(rows.take(chosen))
        chosen = chosen[readable]
        if not len(chosen):
            continue
        aim = Aim(rows.truth[chosen], decision)
        tally.rows.append(chosen)
        tally.clean.append(field_.scores(given))
        for way in ways:
            moved, flat = way.craft(given, aim, seed + number)
            tally.scores.setdefault(way.name, []).append(field_.scores(moved))
            tally.flat.setdefault(way.name, []).append(flat * len(chosen))
            field_.keep(way, chosen, given, moved)
        if time.monotonic() + 0.7 * (time.monotonic() - began) > ends:
            break
    return tally


def _told(
    field_: _Field,
    ways: Sequence[Way],
    rows: Rows,
    tally: _Tally,
    decision: Decision,
    metric: str,
    seed: int,
    examples: bool,
    notes: tuple[str, ...],
) -> Fight:
    """Scores with intervals, each paired with the clean score of the same rows."""
    if not tally.rows:
        return Fight(metric, notes=(*notes, "No row could be read to be attacked."))
    chosen = np.concatenate(tally.rows)
    truth, clean = rows.truth[chosen], np.concatenate(tally.clean)
    aim = Aim(truth, decision)
    right = ~aim.wrong(clean)
    found, shown = [], ()
    for way in ways:
        scores = np.concatenate(tally.scores[way.name])
        fell = right & aim.wrong(scores)
        found.append(
            Assault(
                way.name,
                way.about,
                way.family,
                way.sees,
                way.radius,
                interval(metric, truth, scores, decision, seed=seed),
                paired(metric, truth, scores, clean, decision, decision, seed=seed),
                tuple(sorted(rows.numbers[chosen[fell]].tolist())),
                sum(tally.flat[way.name]) / len(chosen),
            )
        )
        if examples and way.name == field_.shown:
            shown = field_.examples(rows, chosen, fell, scores, decision)
    untouched = interval(metric, truth, clean, decision, seed=seed)
    return Fight(metric, untouched, adjusted(found), shown, notes)


def _net_of(folder: Path) -> tuple[NetModel | None, str]:
    """The net of a run folder, or why there is none."""
    try:
        from metier.training.net import NetModel
        from metier.training.reopen import reopen

        model = reopen(folder).model
    except ImportError as error:
        return None, f"Gradient attacks need torch, which is not installed ({error.name})."
    except MetierError as error:
        return None, f"No gradient attack: {error}."
    origin = getattr(model, "origin", model)
    if isinstance(origin, NetModel):
        return origin, ""
    return None, "No gradient attack: the run folder has no weights of a network beside the bundle."


class _Pictures:
    """Pictures as pixels from 0 to 1 in the size that the network sees."""

    gradients = True
    together = ROWS_TOGETHER
    shown = f"PGD {RADIUS}/255"

    def __init__(self, bundle: Bundle, preprocess: Image) -> None:
        self._bundle, self._preprocess = bundle, preprocess
        self._pixels = Pixels.of(preprocess)
        self._kept: dict[int, tuple[Floats, Floats]] = {}

    def read(self, rows: Rows) -> tuple[Floats, NDArray[np.int64]]:
        found, readable = [], []
        for place, cell in enumerate(rows.columns[self._preprocess.column]):
            try:
                found.append(self._pixels.read(self._preprocess, [cell]))
                readable.append(place)
            except (ValueError, TypeError):
                continue
        size = (0, 3, *self._preprocess.size)
        pixels = np.concatenate(found) if found else np.zeros(size, np.float32)
        return pixels, np.asarray(readable, dtype=np.int64)

    def scores(self, pixels: Floats) -> Floats:
        found = [
            self._bundle.session.run(
                ["scores"], {"pixel_values": self._pixels.inputs(pixels[i : i + ROWS_TOGETHER])}
            )[0]
            for i in range(0, len(pixels), ROWS_TOGETHER)
        ]
        return np.concatenate(found).astype(np.float32)

    def ways(self, net: NetModel | None) -> list[Way]:
        radius = RADIUS / 255

        def squares(pixels: Floats, aim: Aim, seed: int) -> tuple[Floats, float]:
            return blackbox.square(self.scores, pixels, aim, radius, seed=seed), 0.0

        about = f"{blackbox.QUERIES} looks at the scores, squares of pixels moved by {RADIUS}/255"
        blind = Way(f"Square {RADIUS}/255", about, "square", "scores", radius, squares)
        return [*self._by_gradient(net), blind] if net is not None else [blind]

    def _by_gradient(self, model: NetModel) -> list[Way]:
        import torch

        from metier.training.attacks import Budget, answering, fgsm, in_numpy, pgd

        net = model.net.eval()
        for parameter in net.parameters():
            parameter.requires_grad_(False)
        answer = answering(net, self._pixels)

        def once(pixels: Floats, aim: Aim, seed: int) -> tuple[Floats, float]:
            moved = fgsm(answer, torch.from_numpy(pixels), aim, RADIUS / 255)
            return in_numpy(moved.pixels), moved.flat

        def within(radius: float) -> Callable[[Floats, Aim, int], tuple[Floats, float]]:
            budget = Budget(radius, STEPS, restarts=RESTARTS)

            def many(pixels: Floats, aim: Aim, seed: int) -> tuple[Floats, float]:
                moved = pgd(answer, torch.from_numpy(pixels), aim, budget, seed)
                return in_numpy(moved.pixels), moved.flat

            return many

        told = f"one step of the gradient, every pixel moved by {RADIUS}/255"
        found = [Way(f"FGSM {RADIUS}/255", told, "fgsm", "gradients", RADIUS / 255, once)]
        for radius in RADII:
            about = f"{STEPS} steps of the gradient from {RESTARTS} starts, within {radius}/255"
            own = within(radius / 255)
            found.append(Way(f"PGD {radius}/255", about, "pgd", "gradients", radius / 255, own))
        return found

    def keep(self, way: Way, rows: NDArray[np.int64], given: Floats, moved: Floats) -> None:
        if way.name == self.shown:
            pairs = zip(rows.tolist(), given, moved, strict=True)
            self._kept |= {row: (before, after) for row, before, after in pairs}

    def examples(
        self,
        rows: Rows,
        chosen: NDArray[np.int64],
        fell: NDArray[np.bool_],
        scores: Floats,
        decision: Decision,
    ) -> tuple[Broken, ...]:
        answers = decision.answers(scores)
        found = []
        for place in np.flatnonzero(fell)[:SHOWN].tolist():
            row = int(chosen[place])
            before, after = (self._png(each) for each in self._kept[row])
            found.append(_broken(rows, row, decision, answers[place], ("", ""), (before, after)))
        return tuple(found)

    def _png(self, pixels: Floats) -> bytes:
        order = [2, 1, 0] if self._preprocess.channels == "bgr" else [0, 1, 2]
        seen = np.rint(255 * pixels[order].transpose(1, 2, 0)).astype(np.uint8)
        file = io.BytesIO()
        PIL.Image.fromarray(seen).save(file, "PNG")
        return file.getvalue()


class _Texts:
    """Texts as windows of token ids."""

    gradients = True
    together = ROWS_TOGETHER
    shown = "Word substitution"

    def __init__(self, bundle: Bundle, preprocess: Text, rows: Rows) -> None:
        self._bundle, self._preprocess, self._all = bundle, preprocess, rows
        self._kept: dict[int, tuple[Example, Example]] = {}

    def read(self, rows: Rows) -> tuple[list[Example], NDArray[np.int64]]:
        examples = self._preprocess.encode(rows.columns).examples
        return [each for each in examples if each is not None], np.arange(len(rows))

    def scores(self, examples: Sequence[Example]) -> Floats:
        found = [
            self._bundle.session.run(["scores"], self._preprocess.collate([each]))[0]
            for each in examples
        ]
        return np.concatenate(found).astype(np.float32)

    def ways(self, net: NetModel | None) -> list[Way]:
        if net is None:
            return []
        from metier.training import neighbours, substitution

        examples, _ = self.read(self._all)
        used = np.unique(np.concatenate([window for each in examples for window in each]))
        known = neighbours.neighbours(self._preprocess, _pretrained(net), used)
        for parameter in net.net.parameters():
            parameter.requires_grad_(False)

        def words(examples: list[Example], aim: Aim, seed: int) -> tuple[list[Example], float]:
            return substitution.substitute(net.net, self._preprocess, known, examples, aim), 0.0

        about = (
            f"up to {100 * substitution.SHARE:.0f} % of the words replaced by one of their "
            f"{neighbours.MOST} nearest in the source's own embeddings, cosine "
            f"{neighbours.LEAST} or more"
        )
        return [Way(self.shown, about, "words", "gradients", None, words)]

    def keep(self, way: Way, rows: NDArray[np.int64], given: Any, moved: Any) -> None:
        self._kept |= {r: (b, a) for r, b, a in zip(rows.tolist(), given, moved, strict=True)}

    def examples(
        self,
        rows: Rows,
        chosen: NDArray[np.int64],
        fell: NDArray[np.bool_],
        scores: Floats,
        decision: Decision,
    ) -> tuple[Broken, ...]:
        from metier.training.neighbours import tokenizer_of

        tokenizer, answers, found = tokenizer_of(self._preprocess), decision.answers(scores), []
        for place in np.flatnonzero(fell)[:SHOWN].tolist():
            row = int(chosen[place])
            texts = [
                " ".join(tokenizer.decode(window.tolist()) for window in each)
                for each in self._kept[row]
            ]
            pair = texts[0], texts[1]
            found.append(_broken(rows, row, decision, answers[place], pair, None))
        return tuple(found)


def _pretrained(model: NetModel) -> Any:
    """The source's own network where it can be had, so that no training moves the neighbours."""
    from metier.errors import MissingExtraError, SourceError
    from metier.sources import open_source

    try:
        source: Any = open_source(model.source.name, "text")
        if source.digest == model.source.digest:
            return source.load()
    except (SourceError, MissingExtraError):
        pass
    return model.net.backbone


class _Columns:
    """Tables as columns of cells."""

    gradients = False
    together = 200

    def __init__(self, bundle: Bundle, rows: Rows, categories: tuple[str, ...]) -> None:
        self._bundle, self._categories = bundle, categories
        self._all = rows
        self._kept: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
        self.shown = _reached(REACHES[0])

    def read(self, rows: Rows) -> tuple[dict[str, Sequence[Any]], NDArray[np.int64]]:
        return dict(rows.columns), np.arange(len(rows))

    def scores(self, columns: Mapping[str, Sequence[Any]]) -> Floats:
        return self._bundle.scores(columns)

    def ways(self, net: NetModel | None) -> list[Way]:
        numbers = [name for name, kind in self._all.kinds.items() if kind == "number"]
        if not numbers and not self._categories:
            return []
        return [self._way(share, numbers) for share in REACHES]

    def _way(self, share: float, numbers: Sequence[str]) -> Way:
        allowed = blackbox.reach(self._all.columns, numbers, share, self._categories)

        def nudged(columns: Mapping[str, Any], aim: Aim, seed: int) -> tuple[Any, float]:
            return blackbox.nudge(self.scores, columns, aim, allowed, seed=seed), 0.0

        fixed = "categories as they are"
        if self._categories:
            fixed = f"{', '.join(self._categories)} free to change"
        about = f"each number moved by at most {share:g} of its standard deviation, {fixed}"
        return Way(_reached(share), about, "columns", "scores", share, nudged)

    def keep(self, way: Way, rows: NDArray[np.int64], given: Any, moved: Any) -> None:
        if way.name == self.shown:
            for place, row in enumerate(rows.tolist()):
                pair = [{n: cells[place] for n, cells in each.items()} for each in (given, moved)]
                self._kept[row] = pair[0], pair[1]

    def examples(
        self,
        rows: Rows,
        chosen: NDArray[np.int64],
        fell: NDArray[np.bool_],
        scores: Floats,
        decision: Decision,
    ) -> tuple[Broken, ...]:
        answers, found = decision.answers(scores), []
        for place in np.flatnonzero(fell)[:SHOWN].tolist():
            row = int(chosen[place])
            before, after = self._kept[row]
            changed = [name for name in before if before[name] != after[name]]
            pair = (
                ", ".join(f"{n} {before[n]}" for n in changed),
                ", ".join(f"{n} {after[n]}" for n in changed),
            )
            found.append(_broken(rows, row, decision, answers[place], pair, None))
        return tuple(found)


_Field = _Pictures | _Texts | _Columns


def _reached(share: float) -> str:
    return f"Columns moved by {share:g} sd"


def _broken(
    rows: Rows,
    row: int,
    decision: Decision,
    answered: Any,
    texts: tuple[str, str],
    pictures: tuple[bytes, bytes] | None,
) -> Broken:
    truth = rows.truth[row]
    named = str(truth)
    if decision.kind in ("binary", "multiclass"):
        named = decision.labels[int(truth)]
    elif decision.kind == "multilabel":
        named = ", ".join(decision.labels[j] for j in np.flatnonzero(truth))
    told = ", ".join(answered) if isinstance(answered, list) else str(answered)
    return Broken(int(rows.numbers[row]), named, *texts, told, pictures)
