"""The network of an earlier specialist as a start: a run folder in the place of a model directory.

A finished run keeps its trained encoder in `weights/`, low-rank updates merged, cut ones as they
were cut. It is read as the run's own bundle reads: the same tokenizer, window and pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metier.data.remembered import share_met
from metier.errors import BundleError, SourceError
from metier.paths import expanded
from metier.runtime.images import Image
from metier.runtime.manifest import Manifest, read_manifest, verify
from metier.runtime.preprocess import Preprocess, restore
from metier.runtime.text import Text
from metier.sources.directory import SPECIALIST, digest_of, read_json, run_of
from metier.types import Modality, Table

if TYPE_CHECKING:
    from metier.sources.backbone import Backbone

WEIGHTS, NET = "weights", "net.json"
HASHES = "weights"
"""The fact of a manifest that names the files of the weights by their SHA-256."""
STARTED = "started_from"
"""The fact that says from which run a specialist began."""
SEEN = "rows.json"
"""The file beside the weights by which rows are known again that a specialist learned from. It is
no part of the bundle, which tells nothing of any row."""
EARLY = "before the end"
PROBE = ("It did not arrive yet, and nobody answers.", "A")


@dataclass(frozen=True)
class Earlier:
    """The network of an earlier specialist.

    Args:
        name: what the user called the run.
        folder: where its weights lie.
        modality: what it reads.
        digest: of the run's bundle, which names its weights by their hashes.
        reading: how the run reads its inputs.
        origin: what a lineage tells of the run: its digest, its own source, what made it.
    """

    name: str
    folder: Path
    modality: Modality
    digest: str
    reading: Preprocess = field(compare=False)
    origin: Mapping[str, Any] = field(compare=False)

    def preprocess(self, columns: Any) -> Preprocess:
        """Return how text columns, or one image column, are read: as the run did."""
        if isinstance(self.reading, Image):
            return replace(self.reading, column=columns)
        assert isinstance(self.reading, Text)
        names = self.reading.inputs
        if len(columns) == 2 and self._knows_pairs and "token_type_ids" not in names:
            names = (*names, "token_type_ids")
        return replace(self.reading, columns=tuple(columns), inputs=names)

    def load(self, *, pretrained: bool = True, seed: int = 0) -> Backbone:
        """Return the network: shared and read-only when pretrained (copy what is to learn), with
        fresh random weights of the same architecture otherwise."""
        probe = self._probe()
        if pretrained:
            return _load(self.name, self.folder, self.digest, probe)
        return _build(self.name, self.folder, probe, seed)

    def has_seen(self, table: Table) -> float:
        """Return the share of the rows it learned from that are in a table; 0 when it is not known
        which those were."""
        return share_seen(self.folder, table)

    @cached_property
    def _knows_pairs(self) -> bool:
        return int(read_json(self.folder / "config.json").get("type_vocab_size") or 0) > 1

    def _probe(self) -> Probe:
        if isinstance(self.reading, Image):
            return Probe(size=self.reading.size)
        pairs = ("a", "b") if self._knows_pairs else ("a",)
        return Probe(text=self.preprocess(pairs))


@dataclass(frozen=True)
class Probe:
    """What the first pass of a network is fed with: a few texts, or pictures of a size."""

    text: Any = field(default=None, compare=False)
    size: tuple[int, int] = (0, 0)

    def arrays(self) -> dict[str, Any]:
        """Return the named inputs as tensors."""
        import torch

        if self.text is None:
            random = torch.Generator().manual_seed(0)
            return {"pixel_values": torch.rand((2, 3, *self.size), generator=random)}
        columns = {name: list(PROBE) for name in self.text.columns}
        examples = [each for each in self.text.encode(columns).examples if each is not None]
        arrays = self.text.collate(examples)
        return {k: torch.from_numpy(v) for k, v in arrays.items() if k != "assign"}


def open_earlier(name: str, modality: Modality) -> Earlier:
    """Return the network of a run as a source.

    Raises SourceError when the run has not ended, was changed, holds no network, or one of another
    modality.
    """
    run = run_of(name)
    if run is None:
        raise SourceError(f"source {name!r}: no run folder; name one that holds specialist/")
    weights = run / WEIGHTS
    bundle = run / SPECIALIST if (run / SPECIALIST).is_dir() else expanded(name)
    try:
        manifest, digest = read_manifest(bundle)
        verify(bundle, manifest)
        _refuse_without_net(name, manifest, weights)
        hashes = manifest.facts.get(HASHES)
        if hashes is None:
            digest = hashlib.sha256(f"{digest} {digest_of(weights)}".encode()).hexdigest()
        elif hashes != hashes_of(weights):
            raise BundleError(f"{weights}: was changed after it was written; get the run again")
        reading = restore(_of_the_net(manifest.preprocess), bundle)
    except (BundleError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"source {name!r}: {error}") from error
    if reading.kind != modality:
        told = "a table" if modality == "tabular" else f"{modality}s"
        raise SourceError(
            f"source {name!r}: its network reads {reading.kind}s, and the input here is {told}"
        )
    return Earlier(name, weights, modality, digest, reading, _origin(run, manifest, digest))


def hashes_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a folder of weights, by its path in it."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as stream:
            name = path.relative_to(folder).as_posix()
            found[name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def share_seen(folder: Path, table: Table) -> float:
    """Return the share of the rows that the network of a folder learned from which are in a table;
    0 when it is not known which those were."""
    path = folder / SEEN
    return share_met(read_json(path), table) if path.is_file() else 0.0


def _refuse_without_net(name: str, manifest: Manifest, weights: Path) -> None:
    if manifest.facts.get("stage") == EARLY:
        raise SourceError(f"source {name!r}: this run has not ended; --resume it first")
    if not weights.is_dir():
        raise SourceError(
            f"source {name!r}: there is no {WEIGHTS}/ beside its specialist, so nothing to go on "
            "from; keep the whole run folder"
        )
    if not (weights / NET).is_file():
        made = " > ".join(str(step.get("strategy")) for step in manifest.lineage) or "nothing"
        raise SourceError(
            f"source {name!r}: its specialist was made by {made}, which is no network to start "
            "from; name a run that a neural strategy won"
        )
    for path in (weights, *weights.rglob("*")):
        if path.is_symlink():
            raise SourceError(f"source {name!r}: {path} is a link; weights lie there themselves")


def _of_the_net(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """How the network reads, where a table is read beside it."""
    parts: Sequence[Mapping[str, Any]] = spec.get("parts", ())
    found = parts[0] if parts else spec
    if found.get("kind") not in ("text", "image"):
        raise BundleError(f"it reads {found.get('kind')}, which no network does")
    return found


def _origin(run: Path, manifest: Manifest, digest: str) -> dict[str, Any]:
    return {
        "run": run.name,
        "digest": digest,
        "source": dict(manifest.source),
        "strategies": [step.get("strategy") for step in manifest.lineage],
        STARTED: manifest.facts.get(STARTED),
    }


@lru_cache(maxsize=4)
def _load(name: str, folder: Path, digest: str, probe: Probe) -> Backbone:
    return _build(name, folder, probe, None)


def _build(name: str, folder: Path, probe: Probe, seed: int | None) -> Backbone:
    """Read the weights (`seed` None), or draw them with a seed."""
    from metier.sources.backbone import Backbone
    from metier.sources.loading import gentle_norms, load_encoder
    from metier.sources.stored import read_encoder

    about = read_json(folder / NET)
    pooling, normalise = about.get("pooling"), about.get("normalise")
    if seed is None:
        try:
            model = read_encoder(folder, pooling == "pooler")
        except BundleError as error:
            raise SourceError(f"source {name!r}: {error}") from error
    else:
        model, _ = load_encoder(name, folder, seed)
    gentle_norms(model)
    if pooling not in ("mean", "cls", "max", "pooler", "spatial"):
        raise SourceError(f"source {name!r}: {folder / NET} names no pooling that is known")
    encoder: Any = model
    if pooling != "pooler" and getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None
    return Backbone(model, pooling, bool(normalise), probe.arrays())
