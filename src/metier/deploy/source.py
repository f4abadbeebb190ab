"""Writing a network as a directory that is a source: what `transformers` and sentence-transformers
read, safetensors only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from metier.errors import SourceError
from metier.runtime.images import Image
from metier.runtime.preprocess import Preprocess
from metier.runtime.text import Text
from metier.sources import open_source
from metier.sources.backbone import Backbone
from metier.sources.loading import quietly
from metier.types import Modality

CARD = "README.md"
ST = "sentence_transformers.models"
OFF = 1e-4
"""How far a feature may be from what was written, as a share of the largest."""
PROBE = ("It did not arrive yet, and nobody answers.", "A")


def write_source(backbone: Backbone, reading: Preprocess, folder: Path, card: str) -> None:
    """Write a network, how it reads its input, and its card into an empty folder.

    Raises SourceError when what is read back does not give the same features: a network that was
    cut has no class of `transformers` that could hold it.
    """
    encoder: Any = backbone.model
    with quietly():
        encoder.save_pretrained(folder)
    if isinstance(reading, Text):
        _write_text(backbone, reading, folder)
    else:
        assert isinstance(reading, Image)
        _write_json(folder / "preprocessor_config.json", image_settings(reading))
    (folder / CARD).write_text(card, encoding="utf-8")
    _refuse_other(backbone, reading, folder)


def _write_text(backbone: Backbone, reading: Text, folder: Path) -> None:
    for name, content in reading.files().items():
        (folder / name).write_bytes(content)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": reading.max_length,
        "pad_token": Tokenizer.from_buffer(reading.tokenizer).id_to_token(reading.pad_id),
    }
    _write_json(folder / "tokenizer_config.json", settings)
    _write_json(folder / "sentence_bert_config.json", {"max_seq_length": reading.max_length})
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling")]
    kinds += [("2_Normalize", "Normalize")] if backbone.normalise else []
    listed = [
        {"idx": k, "name": str(k), "path": path, "type": f"{ST}.{kind}"}
        for k, (path, kind) in enumerate(kinds)
    ]
    for path, _ in kinds[1:]:
        (folder / path).mkdir()
    _write_json(folder / "modules.json", listed)
    modes = {"mean": "mean_tokens", "cls": "cls_token", "max": "max_tokens"}
    pooling = {f"pooling_mode_{mode}": kind == backbone.pooling for kind, mode in modes.items()}
    width = {"word_embedding_dimension": backbone.width}
    _write_json(folder / "1_Pooling" / "config.json", {**width, **pooling})


def image_settings(reading: Image) -> dict[str, Any]:
    """Return the `preprocessor_config.json` that reads images the same way."""
    size: dict[str, int] | None = None
    if reading.resize is not None:
        kind, *numbers = reading.resize
        names = ("height", "width") if kind == "exact" else (kind,)
        size = dict(zip(names, map(int, numbers), strict=True))
    crop = (
        None if reading.crop is None else dict(zip(("height", "width"), reading.crop, strict=True))
    )
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": size is not None,
        **({} if size is None else {"size": size}),
        "do_center_crop": crop is not None,
        **({} if crop is None else {"crop_size": crop}),
        "resample": reading.resample,
        "do_rescale": True,
        "rescale_factor": reading.rescale,
        "do_normalize": True,
        "image_mean": list(reading.mean),
        "image_std": list(reading.std),
        "do_flip_channel_order": reading.channels == "bgr",
        "do_convert_rgb": True,
    }


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _refuse_other(backbone: Backbone, reading: Preprocess, folder: Path) -> None:
    """Read back what was written, and compare its features with those of the network."""
    modality: Modality = "text" if isinstance(reading, Text) else "image"
    again: Any = open_source(str(folder), modality)
    columns = reading.columns if isinstance(reading, Text) else ("image",)
    theirs = again.preprocess(columns if isinstance(reading, Text) else "image")
    found = []
    for network, own in ((backbone, reading), (again.load(), theirs)):
        if isinstance(own, Text):
            encoded = own.encode({name: list(PROBE) for name in own.columns}).examples
            arrays = own.collate([each for each in encoded if each is not None])
        else:
            assert isinstance(own, Image)
            random = np.random.default_rng(0)
            noise = random.integers(0, 256, (2, *own.size, 3)).astype(np.uint8)
            arrays = {"pixel_values": own.normalise(noise)}
        device = next(network.parameters()).device
        with torch.no_grad():
            tensors = {k: torch.from_numpy(v).to(device) for k, v in arrays.items()}
            found.append(network.eval()(tensors).float().cpu().numpy())
    if found[0].shape != found[1].shape or (
        float(np.abs(found[0] - found[1]).max()) > OFF * float(np.abs(found[0]).max())
    ):
        raise SourceError(
            "the network cannot be written as a model directory that gives the same features: one "
            "that was cut is no start for this; name another"
        )
