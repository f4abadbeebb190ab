"""Ten lines that predict with a bundle and no metier: for the card, and proof that none is needed.

They are meant to be run inside the folder of the bundle. What a bundle needs (labels, temperature,
thresholds, costs, column encodings) is read from its `metier.json`, so nothing that a user wrote
ends up in code, but for column names as quoted literals.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

READER = "from metier.runtime.preprocess import restore"


def plain_snippet(manifest: Mapping[str, Any]) -> str:
    """Return Python that predicts with onnxruntime, from the manifest of a bundle.

    Texts, images and tables of numbers and categories are read with `tokenizers`, Pillow and numpy.
    For what takes more (counted terms, histograms, dates, several kinds together) the lines use
    metier's own reader, which needs no more than those; `needs_of` says which it is.

    Args:
        manifest: the content of `metier.json`; `preprocess` and `decision` are looked at.
    """
    spec, decision = manifest["preprocess"], manifest["decision"]
    reading = {"text": _text, "image": _image, "columns": _table}.get(spec["kind"], _other)(spec)
    return "\n".join([*reading, *_answer(decision)]) + "\n"


def needs_of(snippet: str) -> str:
    """Return what the lines need beside numpy, in words."""
    return (
        "onnxruntime and metier's reader of columns and terms"
        if READER in snippet
        else "onnxruntime alone"
    )


def _text(spec: Mapping[str, Any]) -> list[str]:
    fields = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
    feeds = ", ".join(
        f'"{name}": np.array([w.{fields[name]} for w in windows])' for name in spec["inputs"]
    )
    stride = f", stride={int(spec['overlap'])}" if spec["windows"] == "pool" else ""
    lines = [
        "import json, numpy as np, onnxruntime, tokenizers",
        'about = json.load(open("metier.json", encoding="utf-8"))',
        'tokenizer = tokenizers.Tokenizer.from_file("tokenizer.json")',
        f"tokenizer.enable_truncation({int(spec['max_length'])}{stride})",
        f"tokenizer.enable_padding(pad_id={int(spec['pad_id'])})",
        f'texts = ["the first text", "the second"]{_joined(spec)}',
    ]
    if spec["windows"] == "cut":
        lines.append("windows = tokenizer.encode_batch(texts)")
    else:
        lines += [
            "encoded = tokenizer.encode_batch(texts)",
            f"rows = [[each, *each.overflowing][:{int(spec['limit'])}] for each in encoded]",
            "windows = [window for row in rows for window in row]",
            "assign = np.eye(len(rows))[:, [i for i, row in enumerate(rows) for _ in row]]",
            "assign *= [sum(window.attention_mask) for window in windows]",
        ]
        feeds += ', "assign": (assign / assign.sum(1, keepdims=True)).astype(np.float32)'
    return [*lines, f"feeds = {{{feeds}}}"]


def _joined(spec: Mapping[str, Any]) -> str:
    if len(spec["columns"]) < 2:
        return ""
    return '  # the cells of the text columns, joined by ": "'


def _image(spec: Mapping[str, Any]) -> list[str]:
    lines = [
        "import json, numpy as np, onnxruntime",
        "from PIL import Image",
        'about = json.load(open("metier.json", encoding="utf-8"))',
        'spec, image = about["preprocess"], Image.open("photo.jpg").convert("RGB")',
    ]
    if spec["resize"] is not None and spec["resize"][0] == "exact":
        lines.append('image = image.resize(spec["resize"][:0:-1], spec["resample"])')
    elif spec["resize"] is not None:
        lines.append(
            'image = image.resize([spec["resize"][1] * side // min(image.size) for side in '
            'image.size], spec["resample"])'
        )
    if spec["crop"] is not None:
        lines += [
            'left, top = [(a - b) // 2 for a, b in zip(image.size, spec["crop"][::-1])]',
            'image = image.crop((left, top, left + spec["crop"][1], top + spec["crop"][0]))',
        ]
    turned = "[..., ::-1]" if spec["channels"] == "bgr" else ""
    return [
        *lines,
        f'pixels = np.asarray(image, np.float32){turned} * np.float32(spec["rescale"])',
        'pixels = (pixels - np.float32(spec["mean"])) / np.float32(spec["std"])',
        'feeds = {"pixel_values": pixels.transpose(2, 0, 1)[None]}',
    ]


def _table(spec: Mapping[str, Any]) -> list[str]:
    if any(column["kind"] == "date" for column in spec["columns"]):
        return _other(spec)
    used = {column["encoding"] for column in spec["columns"]}
    return [
        "import json, numpy as np, onnxruntime",
        'about = json.load(open("metier.json", encoding="utf-8"))',
        'columns = about["preprocess"]["columns"]',
        'row = {c["name"]: None for c in columns}  # a number or text for each; None is missing',
        "def encode(c, cell):",
        *(f"    {_ENCODED[name]}" for name in _ENCODED if name in used),
        'numbers = [x for c in columns for x in encode(c, row[c["name"]])]',
        'feeds = {"numbers": np.array([numbers], np.float32)}',
    ]


_FILL = 'np.nan if c.get("fill") is None else c["fill"]'
_KNOWN = 'c.get("vocabulary", [])'
_ENCODED = {
    encoding: f'if c["encoding"] == "{encoding}": return [{numbers}]'
    for encoding, numbers in {
        "missing": "cell is None",
        "raw": f"({_FILL}) if cell is None else cell",
        "scaled": f'({_FILL}) if cell is None else (cell - c.get("mean", 0)) / c.get("scale", 1)',
        "code": f"{_KNOWN}.index(cell) if cell in {_KNOWN} else -1",
        "onehot": f"*(cell == known for known in {_KNOWN})",
        "target": f'dict(zip({_KNOWN}, c["values"])).get(cell, {_FILL})',
    }.items()
}
"""How a cell becomes numbers, by the encoding of its column, as `metier.runtime.columns` does."""


def _other(spec: Mapping[str, Any]) -> list[str]:
    cells = ", ".join(f"{name!r}: [None]" for name in _names(spec))
    return [
        "import json, numpy as np, onnxruntime",
        "from pathlib import Path",
        f"{READER}  # loads neither torch nor transformers",
        'about = json.load(open("metier.json", encoding="utf-8"))',
        'reader = restore(about["preprocess"], Path("."))',
        f"row = {{{cells}}}  # put your values here",
        "feeds = reader.collate([e for e in reader.encode(row).examples if e is not None])",
    ]


def _names(spec: Mapping[str, Any]) -> list[str]:
    """Return the columns that a preprocessor reads, each once."""
    if spec["kind"] == "both":
        found = [name for part in spec["parts"] for name in _names(part)]
    elif "column" in spec:
        found = [spec["column"]]
    else:
        found = [c["name"] if isinstance(c, Mapping) else c for c in spec["columns"]]
    return list(dict.fromkeys(str(name) for name in found))


def _answer(decision: Mapping[str, Any]) -> list[str]:
    run = 'onnxruntime.InferenceSession("model.onnx").run(["scores"], feeds)[0]'
    if decision["kind"] == "regression":
        return [f"print({run}[:, 0])"]
    scores = f'd, scores = about["decision"], {run}'
    if decision["kind"] == "multilabel":
        return [
            scores,
            'p = 1 / (1 + np.exp(-scores.astype(float) / d["temperature"]))',
            'least = np.array(d["thresholds"] or [0.5])',
            'print([[label for label, yes in zip(d["labels"], row) if yes] for row in p >= least])',
        ]
    logits = '(scores - scores.max(1, keepdims=True)).astype(float) / d["temperature"]'
    rise = []
    if decision.get("isotonic"):
        rise = [
            'x, y = np.array(d["isotonic"]).T  # knots of the calibration',
            "m = (scores[:, 1] - scores[:, 0]).astype(float)",
            'm = np.interp(m, x, y) + (m - np.clip(m, x[0], x[-1])) / d["temperature"]',
        ]
        logits = "np.stack([-np.maximum(m, 0), np.minimum(-m, 0) + m], 1)"
    if decision.get("groups"):
        rise += [
            'groups = ["missing"] * len(scores)  # the group of each row, as in d["groups"]',
            'common, own = (d["thresholds"] or [0.5])[0], d["groups"]["thresholds"]',
            "least = np.array([own.get(group, common) for group in groups])",
        ]
        chosen = "(p[:, 1] >= least).astype(int)"
    elif decision.get("costs"):
        chosen = '(p @ np.array(d["costs"])).argmin(1)'
    elif decision["kind"] == "binary" and decision.get("thresholds"):
        chosen = '(p[:, 1] >= d["thresholds"][0]).astype(int)'
    else:
        chosen = "p.argmax(1)"
    return [
        scores,
        *rise,
        f"p = np.exp({logits})",
        "p /= p.sum(1, keepdims=True)",
        f'print([(d["labels"][i], row[i]) for i, row in zip({chosen}, p)])',
    ]
