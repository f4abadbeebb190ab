"""Everything that one process serves with: the bundle, its queue, its counters."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath, PureWindowsPath
from typing import Any

import PIL.Image

from metier.runtime.session import Bundle
from metier.runtime.signals import columns_read
from metier.serving.auth import Door
from metier.serving.batching import Batch, Batcher
from metier.serving.limits import Bodies, Limits
from metier.serving.metrics import Metrics
from metier.serving.rows import Reader


@dataclass
class Service:
    """One bundle, ready to answer. `draining` is true once it takes no new connections."""

    bundle: Bundle
    limits: Limits
    door: Door
    reader: Reader
    bodies: Bodies
    metrics: Metrics
    batcher: Batcher = field(init=False)
    draining: bool = False

    def __post_init__(self) -> None:
        self.batcher = Batcher(self.bundle.predict, self.limits, self._watch)

    def start(self) -> None:
        """Let the model run once, so that the first client does not wait for it; then begin."""
        warm_up(self.bundle, self.reader)
        self.batcher.start()

    def close(self) -> None:
        """Answer all that was accepted."""
        self.batcher.close()

    def _watch(self, batch: Batch) -> None:
        self.metrics.count_batch(batch)


def open_service(bundle: Bundle, limits: Limits, token: str | None = None) -> Service:
    """Put a service together; nothing runs yet."""
    from metier import __version__

    manifest = bundle.manifest
    return Service(
        bundle=bundle,
        limits=limits,
        door=Door(token),
        reader=Reader(columns_read(manifest.columns, manifest.preprocess), limits.rows),
        bodies=Bodies(limits),
        metrics=Metrics(bundle.digest, __version__, manifest.decision.kind, limits),
    )


def warm_up(bundle: Bundle, reader: Reader) -> None:
    """Predict one empty row of the right shape."""
    columns: dict[str, list[Any]] = {column.name: [None] for column in reader.wanted}
    if reader.image is not None:
        blank = io.BytesIO()
        PIL.Image.new("RGB", (64, 64), (127, 127, 127)).save(blank, "PNG")
        columns[reader.image] = [blank.getvalue()]
    bundle.predict(columns)


def describe(service: Service) -> dict[str, Any]:
    """Return what a client needs to know of a bundle, without any path."""
    from metier import __version__

    manifest = service.bundle.manifest
    proof = manifest.facts.get("proof") or {}
    return {
        "task": manifest.decision.kind,
        "target": list(manifest.facts.get("target", ())),
        "labels": list(service.bundle.labels),
        "columns": [
            {"name": each.name, "kind": each.kind, "low": each.low, "high": each.high}
            for each in service.reader.wanted
        ],
        "digest": service.bundle.digest,
        "source": _last_part(str(manifest.source.get("name", ""))),
        "strategies": [str(step.get("strategy", "")) for step in manifest.lineage],
        "proof": _proof(proof),
        "versions": {"metier": __version__, **{k: str(v) for k, v in manifest.versions.items()}},
        "limits": {
            "rows": service.limits.rows,
            "body": service.limits.body,
            "seconds": service.limits.timeout,
        },
    }


def _proof(found: Mapping[str, Any]) -> dict[str, Any] | None:
    names = ("name", "verdict", "value", "low", "high", "n")
    return {name: found.get(name) for name in names} if found else None


def _last_part(name: str) -> str:
    """Keep hub ids; of a directory, which lies on somebody's machine, only its own name."""
    if PurePath(name).is_absolute() or PureWindowsPath(name).is_absolute():
        return PureWindowsPath(name).name
    return name if name.count("/") <= 1 and not name.startswith((".", "~")) else PurePath(name).name
