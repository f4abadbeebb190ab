"""Loading an encoder with `transformers`: safetensors only, no remote code, no chatter."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel
from transformers.utils import logging

from metier.errors import SourceError


def load_encoder(name: str, folder: Path, seed: int | None = None) -> tuple[nn.Module, bool]:
    """Return an encoder without a task head, and whether its pooler was trained.

    With a seed the architecture is built with random weights instead of the stored ones. Raises
    SourceError when it cannot be loaded or when weights are missing from the file.
    """
    with _quietly():
        try:
            if seed is not None:
                torch.manual_seed(seed)
                config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
                return AutoModel.from_config(config, trust_remote_code=False).float(), True
            found: Any = AutoModel.from_pretrained(
                folder,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise SourceError(f"source {name!r}: cannot be loaded ({reason})") from error
    model, info = found
    missing = [key for key in info["missing_keys"] if "pooler" not in key]
    if missing:
        raise SourceError(
            f"source {name!r}: {len(missing)} weights are missing from its file, such as "
            f"{missing[0]}; it is not the model that its config.json describes"
        )
    return model, not info["missing_keys"]


@contextmanager
def _quietly() -> Iterator[None]:
    """Silence the loader's progress bars and its notes on heads that are not used here."""
    level = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
