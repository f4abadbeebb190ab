"""Everything that one process serves with: the bundle, its queue, its counters."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePath, PureWindowsPath
from typing import Any

import PIL.Image

from metier.runtime.doubt import Asked
from metier.runtime.manifest import InputColumn
from metier.runtime.session import Bundle, Predictions
from metier.runtime.signals import (
    Eye,
    Signals,
    Watched,
    columns_read,
    joined,
    of_answers,
    vocabularies,
)
from metier.serving.auth import Door
from metier.serving.batching import Batch, Batcher
from metier.serving.drift import Monitor
from metier.serving.limits import Bodies, Limits
from metier.serving.metrics import Metrics
from metier.serving.rows import Reader

MOST_VALUES = 100
"""Categories that are listed; of more, a person would not choose one."""
LOOK_SECONDS = 5.0
"""How often the counters learn of the drift while rows come in."""


class _Seen(threading.local):
    """What each thread read for the batch that it runs."""

    def __init__(self) -> None:
        self.signals: list[Signals] = []

    def add(self, signals: Signals) -> None:
        self.signals.append(signals)


@dataclass
class Service:
    """One bundle, ready to answer. `draining` is true once it takes no new connections.

    `monitor` is None for a bundle that does not know what is usual. `at_once` batches may run side
    by side.
    """

    bundle: Bundle
    limits: Limits
    door: Door
    reader: Reader
    bodies: Bodies
    metrics: Metrics
    monitor: Monitor | None
    at_once: int = 1
    batcher: Batcher = field(init=False)
    draining: bool = False

    def __post_init__(self) -> None:
        self._seen = _Seen()
        self._looked = 0.0
        if self.monitor is not None:
            manifest = self.bundle.manifest
            read = columns_read(manifest.columns, manifest.preprocess)
            eye = Eye(read, manifest.preprocess)
            watched = Watched(self.bundle.preprocess, eye, self._seen.add)
            self.bundle = replace(self.bundle, preprocess=watched)
        self.batcher = Batcher(self._predict, self.limits, self._watch, self.at_once)

    def start(self) -> None:
        """Let the model run once, so that the first client does not wait for it; then begin."""
        self.batcher.start(warm_up(self.bundle, self.reader))

    def close(self) -> None:
        """Answer all that was accepted."""
        self.batcher.close()

    def refusals(self, *statuses: int) -> tuple[int, ...]:
        """Return these statuses, and the one of the door where there is one."""
        return tuple(sorted({*statuses, 401})) if self.door.locked else statuses

    def count(self) -> bytes:
        """Return the counters as text, brought up to date."""
        self.metrics.tell_waiting(self.batcher.waiting)
        self._tell_drift()
        return self.metrics.render()

    def _predict(self, columns: dict[str, list[Any]], asked: Asked) -> Predictions:
        self._seen.signals.clear()
        return self.bundle.predict(columns, **asdict(asked))

    def _watch(self, batch: Batch) -> None:
        self.metrics.count_batch(batch)
        if self.monitor is None:
            return
        found = batch.predictions
        several = self.bundle.task_kind == "multilabel"
        # What was held back is watched as well: else more doubt would look like other answers.
        decided = [found.withheld.get(row, answer) for row, answer in enumerate(found.answers)]
        answers = of_answers(decided, found.probabilities, several)
        self.monitor.observe(joined(self._seen.signals).and_also(answers))
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._tell_drift()

    def _tell_drift(self) -> None:
        self._looked = time.monotonic()
        if self.monitor is not None:
            self.metrics.tell_drift(self.monitor.report())


def open_service(
    bundle: Bundle, limits: Limits, token: str | None = None, at_once: int = 1
) -> Service:
    """Put a service together, in which so many batches may run side by side; nothing runs yet.

    Raises:
        BundleError: when the statistics of the bundle cannot be read.
    """
    from metier import __version__

    manifest = bundle.manifest
    return Service(
        bundle=bundle,
        limits=limits,
        door=Door(token),
        reader=Reader(manifest.columns, limits.rows, bundle.doubt, manifest.decision.groups),
        bodies=Bodies(limits),
        metrics=Metrics(bundle.digest, __version__, manifest.decision.kind, limits),
        monitor=_monitor(bundle),
        at_once=at_once,
    )


def _monitor(bundle: Bundle) -> Monitor | None:
    return None if bundle.reference is None else Monitor(bundle.reference)


def warm_up(bundle: Bundle, reader: Reader) -> float:
    """Predict an empty row of the right shape, twice; return the seconds of the second time."""
    columns: dict[str, list[Any]] = {column.name: [None] for column in reader.wanted}
    if reader.image is not None:
        blank = io.BytesIO()
        PIL.Image.new("RGB", (64, 64), (127, 127, 127)).save(blank, "PNG")
        columns[reader.image] = [blank.getvalue()]
    bundle.predict(columns)
    began = time.perf_counter()
    bundle.predict(columns)
    return time.perf_counter() - began


def describe(service: Service) -> dict[str, Any]:
    """Return what a client needs to know of a bundle, without any path."""
    from metier import __version__

    manifest = service.bundle.manifest
    proof = manifest.facts.get("proof") or {}
    known = vocabularies(manifest.preprocess)
    conformal = service.reader.doubt.conformal
    return {
        "task": manifest.decision.kind,
        "target": list(manifest.facts.get("target", ())),
        "labels": list(service.bundle.labels),
        "columns": [_column(each, known) for each in service.reader.wanted],
        "digest": service.bundle.digest,
        "source": _last_part(str(manifest.source.get("name", ""))),
        "strategies": [str(step.get("strategy", "")) for step in manifest.lineage],
        "proof": _proof(proof),
        "coverage": None if conformal is None else conformal.usual,
        "versions": {"metier": __version__, **{k: str(v) for k, v in manifest.versions.items()}},
        "limits": {
            "rows": service.limits.rows,
            "body": service.limits.body,
            "seconds": service.limits.timeout,
        },
    }


def _column(column: InputColumn, known: Mapping[str, frozenset[str]]) -> dict[str, Any]:
    values = sorted(known.get(column.name, ()))
    return {
        "name": column.name,
        "kind": column.kind,
        "low": column.low,
        "high": column.high,
        "values": values if len(values) <= MOST_VALUES else [],
    }


def _proof(found: Mapping[str, Any]) -> dict[str, Any] | None:
    names = ("name", "verdict", "value", "low", "high", "n")
    return {name: found.get(name) for name in names} if found else None


def _last_part(name: str) -> str:
    """Keep hub ids; of a directory, which lies on somebody's machine, only its own name."""
    if PurePath(name).is_absolute() or PureWindowsPath(name).is_absolute():
        return PureWindowsPath(name).name
    return name if name.count("/") <= 1 and not name.startswith((".", "~")) else PurePath(name).name
