"""What a manifest says, and every way in which a bundle can have been tampered with."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metier.errors import BundleError
from metier.runtime.manifest import LARGEST, NAME, Manifest, read_manifest, write_manifest
from metier.runtime.postprocess import Decision
from metier.runtime.session import load


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    data = json.loads((folder / NAME).read_text())
    change(data)
    (folder / NAME).write_text(json.dumps(data))


def append(path: Path, content: bytes) -> None:
    path.write_bytes(path.read_bytes() + content)


def link(path: Path) -> None:
    """Put a link to a copy outside in the place of a file."""
    outside = path.parent.parent / f"outside-{path.name}"
    shutil.move(path, outside)
    path.symlink_to(outside)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def climb(folder: Path, name: str) -> None:
    edit(folder, lambda data: data["files"].update({name: data["files"]["README.md"]}))


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def list_twice(folder: Path) -> None:
    text = (folder / NAME).read_text()
    (folder / NAME).write_text(text.replace('"format": 1,', '"format": 1, "format": 1,', 1))


def nest(folder: Path) -> None:
    (folder / NAME).write_text('{"format": 1, "facts": ' + "[" * 100_000 + "]" * 100_000 + "}")


TAMPERING: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a byte of the graph": (lambda f: flip(f / "model.onnx"), "was changed"),
    "bytes behind the graph": (lambda f: append(f / "model.onnx", b"\0"), "was changed"),
    "the vocabulary": (lambda f: append(f / "vocabulary.json", b" "), "was changed"),
    "the card": (lambda f: append(f / "README.md", b"!"), "was changed"),
    "graph missing": (lambda f: (f / "model.onnx").unlink(), "is missing"),
    "vocabulary missing": (lambda f: (f / "vocabulary.json").unlink(), "is missing"),
    "graph a link": (lambda f: link(f / "model.onnx"), "is a link"),
    "manifest a link": (lambda f: link(f / NAME), "is a link"),
    "an unlisted link": (lambda f: (f / "more").symlink_to("/etc/hosts"), "is a link"),
    "a pipe": (lambda f: fifo(f / "README.md"), "is not a file"),
    "a folder": (lambda f: ((f / "README.md").unlink(), (f / "README.md").mkdir()), "not a file"),
    "parent path": (lambda f: climb(f, "../secret"), "not allowed"),
    "absolute path": (lambda f: climb(f, "/etc/hosts"), "not allowed"),
    "windows path": (lambda f: climb(f, "..\\secret"), "not allowed"),
    "drive": (lambda f: climb(f, "c:secret"), "not allowed"),
    "dots": (lambda f: climb(f, ".."), "not allowed"),
    "itself": (lambda f: climb(f, NAME), "not allowed"),
    "many files": (
        lambda f: edit(f, lambda d: d["files"].update({str(i): {} for i in range(99)})),
        "not a valid manifest",
    ),
    "graph not listed": (lambda f: edit(f, lambda d: d["files"].pop("model.onnx")), "not list"),
    "vocabulary not listed": (
        lambda f: edit(f, lambda d: d["files"].pop("vocabulary.json")),
        "not list",
    ),
    "oversized manifest": (lambda f: append(f / NAME, b" " * LARGEST), "larger than"),
    "broken manifest": (lambda f: append(f / NAME, b"}"), "not a valid manifest"),
    "manifest no object": (lambda f: (f / NAME).write_text("[]"), "not a valid manifest"),
    "not a number": (lambda f: edit(f, lambda d: d["facts"].update(x=float("nan"))), "not JSON"),
    "deep nesting": (nest, "not a valid manifest"),
    "field given twice": (list_twice, "given twice"),
    "unknown field": (lambda f: edit(f, lambda d: d.update(more=1)), "unknown fields"),
    "field missing": (lambda f: edit(f, lambda d: d.pop("decision")), "not a valid manifest"),
    "newer format": (lambda f: edit(f, lambda d: d.update(format=2)), "format 2"),
    "odd format": (lambda f: edit(f, lambda d: d.update(format="x")), "format 'x'"),
    "unknown preprocessing": (
        lambda f: edit(f, lambda d: d["preprocess"].update(kind="os")),
        "unknown preprocessing",
    ),
    "broken preprocessing": (
        lambda f: edit(f, lambda d: d["preprocess"].pop("columns")),
        "cannot be built",
    ),
}


@pytest.mark.parametrize("what", TAMPERING)
def test_tampering_is_refused_in_one_line(what: str, text_bundle: Path):
    load(text_bundle)
    change, reason = TAMPERING[what]
    change(text_bundle)
    with pytest.raises(BundleError, match=reason) as caught:
        load(text_bundle)
    assert "\n" not in str(caught.value)
    assert str(text_bundle) in str(caught.value)


def test_other_files_that_nobody_reads_do_no_harm(text_bundle: Path):
    (text_bundle / ".gitattributes").write_text("*.onnx filter=lfs")
    (text_bundle / "predictions.csv").write_text("prediction\n")
    load(text_bundle)


def test_digest_names_the_content_and_not_the_layout(text_bundle: Path):
    _, before = read_manifest(text_bundle)
    edit(text_bundle, lambda data: None)
    assert read_manifest(text_bundle)[1] == before
    edit(text_bundle, lambda data: data["decision"].update(temperature=2.0))
    assert read_manifest(text_bundle)[1] != before
    assert load(text_bundle, expect=read_manifest(text_bundle)[1].upper())
    with pytest.raises(BundleError, match="was expected"):
        load(text_bundle, expect=before)


def test_marks_are_plain_sha256(text_bundle: Path):
    data = json.loads((text_bundle / NAME).read_text())
    for name, known in data["files"].items():
        content = (text_bundle / name).read_bytes()
        assert known == {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def test_written_manifest_is_read_back(tmp_path: Path):
    decision = Decision("binary", ("no", "yes"), temperature=1.5, thresholds=(0.25,))
    manifest = Manifest(decision, (), {"kind": "columns"}, facts={"Größe": 1})
    digest = write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == (manifest, digest)
    with pytest.raises(ValueError):
        write_manifest(tmp_path, Manifest(decision, (), {}, facts={"x": float("nan")}))
