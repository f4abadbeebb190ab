"""A bundle as a folder of static files whose page answers in the browser.

The page itself (one script with onnxruntime-web and a tokenizer in it, one style, the engine as
WebAssembly) is built from `web/` when the package is built; it lies in `webpage/` beside this file.
Here the graph, the files that its inputs are read with and one JSON file about both are laid
beside it. The readers are written again in JavaScript: `PAGE_READS` are those it knows.

Probabilities are those of Python to about six digits. A graph that rounds its activations to 8 bits
is the exception, here as between any two processors, and even between a row alone and the same row
among others: where a last bit differs, a rounding falls the other way, and every layer after it
sees another number. No choice of operators helps, so the export and the page say it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from metier.errors import OptionError
from metier.runtime.both import Both
from metier.runtime.columns import Numbers
from metier.runtime.graphs import rounds_as_it_goes
from metier.runtime.manifest import GRAPH
from metier.runtime.preprocess import Preprocess
from metier.runtime.session import Bundle
from metier.runtime.text import FILE, Text

PAGE = Path(__file__).with_name("webpage")
ABOUT = "specialist.json"
ENGINE = "engine.bin"
CARD = "README.md"
READABLE = "about.txt"
"""The card under a name that browsers show instead of saving it."""
PAGE_READS = ("text", "image", "columns", "tfidf", "both")
NORMALISERS = {
    *("BertNormalizer", "Precompiled", "Sequence", "Replace", "NFC", "NFD", "NFKC", "NFKD"),
    *("Strip", "StripAccents", "Lowercase", "Prepend"),
}
SPLITTERS = {
    *("BertPreTokenizer", "Sequence", "Whitespace", "WhitespaceSplit", "Metaspace", "ByteLevel"),
    *("Split", "Punctuation", "Digits", "Replace", "FixedLength"),
}
"""The parts of a tokenizer that there are in JavaScript."""
PROBES = (
    "Don't e-mail me@example.com: 3,000.50 €, the 1st of 2",
    "Naïve café, straße; ΑΒΓ İstanbul, Ελλάδα, привет",
    "中文 字符 ひらがな 한국어 عربى हिन्दी",
    "😀 and 👩\u200d👧, zero\u00adwidth\u200b signs",
)
"""Texts that the page reads once when it opens, to see that it reads as Python does."""
ROUNDED = (
    "this graph rounds to 8 bits as it goes, and a browser rounds a last bit otherwise: expect the "
    "labels that Python gives, but probabilities only to within a few hundredths of Python's"
)
SUGGESTED = 500
"""Categories that a field offers at most."""


def write_web(
    bundle: Bundle, folder: Path, out: Path, *, name: str, page: Path = PAGE
) -> str | None:
    """Write a folder that any web server can hand out; its page needs no other server.

    Returns one line on what its answers differ in from those of Python, None where they do not.

    Args:
        bundle: the bundle, loaded.
        folder: where its files lie.
        out: an empty folder.
        name: what the page calls the specialist.
        page: the built page.

    Raises:
        OptionError: when the page was not built, or does not read what the bundle reads.
    """
    if not (page / ENGINE).exists():
        raise OptionError(
            "--format web: the page was not built into this installation; run `make web` in a "
            "checkout of metier, which needs node and npm"
        )
    parts = list(_parts(bundle.preprocess))
    for part in parts:
        if part.kind not in PAGE_READS:
            raise OptionError(
                f"--format web: the page does not read {part.kind}; use --format onnx, or "
                "specialize with a strategy that has another input"
            )
        if isinstance(part, Text):
            _refuse_tokenizer(json.loads(part.tokenizer))
    for file in page.iterdir():
        shutil.copyfile(file, out / file.name)
    card = (folder / CARD).read_text(encoding="utf-8") if CARD in bundle.manifest.files else ""
    (out / READABLE).write_text(card, encoding="utf-8-sig")
    for known in (GRAPH, *(each for part in parts for each in part.files())):
        if known in bundle.manifest.files:
            shutil.copyfile(folder / known, out / known)
    note = ROUNDED if rounds_as_it_goes((out / GRAPH).read_bytes()) else None
    about = {**_about(bundle, name, out), "note": note}
    content = json.dumps(about, ensure_ascii=False, allow_nan=False)
    (out / ABOUT).write_text(content, encoding="utf-8")
    return note


def _parts(preprocess: Preprocess) -> Iterator[Preprocess]:
    if isinstance(preprocess, Both):
        yield from preprocess.parts
    else:
        yield preprocess


def _refuse_tokenizer(content: Mapping[str, Any]) -> None:
    for name, known in (("normalizer", NORMALISERS), ("pre_tokenizer", SPLITTERS)):
        for kind in _kinds(content.get(name)):
            if kind not in known:
                raise OptionError(
                    f"--format web: there is no {name} {kind} in JavaScript, which this "
                    "tokenizer uses; use --format onnx"
                )


def _kinds(part: Any) -> Iterator[str]:
    """The kinds of a part of a tokenizer and of the parts inside it."""
    if isinstance(part, Mapping):
        yield str(part["type"])
        for inner in (*part.get("normalizers", ()), *part.get("pretokenizers", ())):
            yield from _kinds(inner)


def _about(bundle: Bundle, name: str, out: Path) -> dict[str, Any]:
    """All that the page knows of the specialist."""
    manifest = bundle.manifest
    read, offered = _read(bundle.preprocess), _categories(bundle.preprocess)
    proof = manifest.facts.get("proof")
    return {
        "name": name,
        "digest": bundle.digest,
        "target": list(manifest.facts.get("target", ())),
        "labels": list(bundle.labels),
        "proof": proof.get("verdict") if isinstance(proof, Mapping) else None,
        "columns": [
            {**asdict(column), "values": offered.get(column.name, [])}
            for column in manifest.columns
            if column.name in read
        ],
        "decision": manifest.decision.to_json(),
        "preprocess": _spec(bundle.preprocess),
        "bytes": {each: (out / file).stat().st_size for each, file in _LARGE.items()},
    }


_LARGE = {"engine": ENGINE, "graph": GRAPH}


def _spec(preprocess: Preprocess) -> dict[str, Any]:
    """The preprocessing as JSON, with what a tokenizer puts around a text written out."""
    if isinstance(preprocess, Both):
        return {"kind": "both", "parts": [_spec(part) for part in preprocess.parts]}
    if isinstance(preprocess, Text):
        plain = Tokenizer.from_buffer(preprocess.files()[FILE])
        unknown = json.loads(preprocess.tokenizer)["model"].get("unk_token")
        return {
            **preprocess.spec(),
            "frame": asdict(preprocess.frame),
            "unknown": None if unknown is None else plain.token_to_id(unknown),
            "probes": [[text, _ids(plain, text)] for text in PROBES],
        }
    return preprocess.spec()


def _ids(plain: Tokenizer, text: str) -> list[int]:
    found: list[int] = plain.encode(text, add_special_tokens=False).ids
    return found


def _read(preprocess: Preprocess) -> set[str]:
    """The columns that are looked at: a bundle may know others."""
    found: set[str] = set()
    for part in _parts(preprocess):
        spec = part.spec()
        cells = spec["columns"] if "columns" in spec else [spec["column"]]
        found.update(str(cell["name"] if isinstance(cell, dict) else cell) for cell in cells)
    return found


def _categories(preprocess: Preprocess) -> dict[str, list[str]]:
    """Known categories of each column, to choose from."""
    return {
        column.name: list(column.vocabulary[:SUGGESTED])
        for part in _parts(preprocess)
        if isinstance(part, Numbers)
        for column in part.columns
        if column.vocabulary
    }
