"""Loading an encoder with `transformers`: safetensors only, no remote code, no chatter."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModel
from transformers.utils import logging

from metier.errors import SourceError

FAULTS = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    RuntimeError,
    ImportError,  # an architecture that needs a further library
    SafetensorError,
    StrictDataclassError,
)
"""What the loader raises for settings or weights that cannot be used."""


def load_encoder(name: str, folder: Path, seed: int | None = None) -> tuple[nn.Module, bool]:
    """Return an encoder without a task head, and whether its pooler was trained.

    With a seed the architecture is built with random weights instead of the stored ones. Raises
    SourceError when it cannot be loaded or when weights are missing from the file.
    """
    with quietly():
        try:
            if seed is not None:
                torch.manual_seed(seed)
                config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
                return AutoModel.from_config(config, trust_remote_code=False).float(), True
            found: Any = AutoModel.from_pretrained(
                folder,
                trust_remote_code=False,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # to name them below
                dtype=torch.float32,
                output_loading_info=True,
            )
        except FAULTS as error:
            raise SourceError(f"source {name!r}: cannot be loaded ({_reason(error)})") from error
    model, info = found
    missing = [key for key in info["missing_keys"] if "pooler" not in key]
    wrong = [*missing, *(str(key[0]) for key in info["mismatched_keys"])]
    if wrong:
        raise SourceError(
            f"source {name!r}: {len(wrong)} weights are missing from its file or have another "
            f"shape, such as {wrong[0]}; it is not the model that its config.json describes"
        )
    return model, not info["missing_keys"]


@contextmanager
def first_pass(name: str, inputs: str) -> Iterator[None]:
    """Say in one line why an architecture cannot read inputs of one kind. Raises SourceError."""
    try:
        yield
    except (*FAULTS, AttributeError, IndexError, AssertionError) as error:
        raise SourceError(
            f"source {name!r}: its architecture does not run on {inputs} alone ({_reason(error)})"
        ) from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def gentle_norms(model: nn.Module) -> None:
    """Let batch norms learn their statistics slowly, in place.

    `transformers` hands TensorFlow's momentum (the share that is kept) to PyTorch, where it is the
    share that is replaced: 0.997 would leave nothing but the last batch.
    """
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and (module.momentum or 0.0) > 0.5:
            module.momentum = 0.1


@contextmanager
def quietly() -> Iterator[None]:
    """Silence progress bars, and notes on heads that are not used here."""
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
