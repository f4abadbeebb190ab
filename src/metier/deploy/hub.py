"""A net as a stock class of `transformers`, so that `transformers.pipeline` gives its answers.

A specialist is an encoder, one pooled feature and a linear head. Many stock classes are just that
(those for images), and the head goes in as it is, its temperature folded into the weights. Others
put one more layer with an activation between feature and head; that layer is set so that it hands
on what it gets: where the activation is smooth at zero (tanh, GELU) by a small scale that the head
takes back, else (ReLU) by a shift that the head takes back. What pools its
tokens in another way than its class does cannot be said by any setting, and is refused. Nothing is
written before the class has given the answers of the bundle.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn

from metier.errors import OptionError
from metier.runtime.images import Image
from metier.runtime.postprocess import Decision
from metier.runtime.preprocess import Arrays, Preprocess
from metier.runtime.text import FILE, Text
from metier.sources.loading import FAULTS, quietly

TOLERANCE = 2e-4
"""Largest difference of a probability; of a number, as a share of how far the numbers spread."""
SMALL = 2.0**-24
"""Scale at which tanh and GELU are straight lines to float32: the error of x is x * SMALL of it."""
FAR = 2.0
"""How many times the largest feature seen a shift is, so that no feature reaches the bend."""
PIXELS = 0.02
"""Mean difference of a normalised pixel that two ways of resizing may have."""
INSTEAD = "use --format onnx, which takes every bundle"
POOLED = {
    "mean": "the mean of all tokens",
    "max": "the largest values of all tokens",
    "cls": "the first token",
    "pooler": "the encoder's own pooled output",
    "spatial": "the mean of all positions",
}

Setting = list[tuple[nn.Linear, Tensor, Tensor]]
"""Weights and biases for layers."""


@dataclass(frozen=True)
class Parts:
    """What a specialist is made of.

    Args:
        encoder: the `transformers` model without a head.
        weight, bias: of the head, (outputs, width) and (outputs,).
        pooling: how tokens or positions become one feature.
        normalise: whether features are scaled to length 1.
        preprocess: how it reads texts or images.
    """

    encoder: nn.Module
    weight: Tensor
    bias: Tensor
    pooling: str
    normalise: bool
    preprocess: Preprocess


@dataclass(frozen=True)
class Known:
    """Rows that the bundle was asked: the arrays, and its scores of them (n, outputs)."""

    arrays: Arrays
    scores: NDArray[Any]


def write_transformers(
    parts: Parts, decision: Decision, target: str, known: Known, card: str, out: Path
) -> None:
    """Write a folder that `transformers.pipeline(model=folder)` answers from as the bundle does.

    Args:
        parts: the net.
        decision: labels and temperature; thresholds and costs are told in the card.
        target: what the one output of a regression is called.
        known: rows and the bundle's scores of them.
        card: the model card of the bundle; its front matter is replaced.
        out: an empty folder.

    Raises:
        OptionError: when no stock class gives the same answers, saying why.
    """
    _refuse_windows(parts.preprocess)
    model: Any = as_classifier(parts, decision, target, known)
    reader = _tokenizer(parts) if isinstance(parts.preprocess, Text) else _processor(parts)
    with quietly():
        model.save_pretrained(out)
        reader.save_pretrained(out)
    (out / "README.md").write_text(_card(card, parts, decision), encoding="utf-8")


def as_classifier(parts: Parts, decision: Decision, target: str, known: Known) -> nn.Module:
    """Return the stock class of the encoder's architecture that gives the bundle's answers.

    Raises OptionError when there is none.
    """
    model, fresh = _stock(parts, decision, target)
    classifier: nn.Module = model
    kind = type(model).__name__
    linears = [m for n, m in model.named_modules() if isinstance(m, nn.Linear) and _of(n, fresh)]
    held = {id(p) for linear in linears for p in linear.parameters()}
    others = [n for n, p in model.named_parameters() if n in fresh and id(p) not in held]
    weight, bias = (value.detach() / decision.temperature for value in (parts.weight, parts.bias))
    arrays = {name: torch.from_numpy(array) for name, array in known.arrays.items()}
    if not others:
        for setting in _ways(linears, weight, bias, _largest(parts, arrays)):
            _put(setting)
            if _differs(model, arrays, known.scores, decision) <= TOLERANCE:
                return classifier
    feature = POOLED[parts.pooling] + (", scaled to length 1" if parts.normalise else "")
    why = "has layers between that cannot be made to do nothing" if others else "reads another"
    raise OptionError(
        f"--format transformers: this specialist is one linear layer on {feature}, and {kind} "
        f"{why}, so it cannot give the same answers; {INSTEAD}"
    )


def _stock(parts: Parts, decision: Decision, target: str) -> tuple[Any, frozenset[str]]:
    """The class with the encoder's weights in it, and the names of those that are still free."""
    from transformers import AutoModelForImageClassification, AutoModelForSequenceClassification

    text = isinstance(parts.preprocess, Text)
    auto: Any = AutoModelForSequenceClassification if text else AutoModelForImageClassification
    config = _config(parts, decision, target)
    encoder = {name: value.detach().clone() for name, value in _weights(parts.encoder).items()}
    with quietly():
        try:
            model = auto.from_config(config, trust_remote_code=False).float().eval()
            base = getattr(model, model.base_model_prefix)
            missing, _ = base.load_state_dict(encoder, strict=False)
        except (*FAULTS, AttributeError) as error:
            reason = " ".join(str(error).split())[:120]
            raise OptionError(
                f"--format transformers: {config.model_type} as it is here has no stock class for "
                f"this ({reason}); {INSTEAD}"
            ) from None
    prefix = f"{model.base_model_prefix}."
    free = [n for n, _ in model.named_parameters() if not n.startswith(prefix)]
    return model, frozenset([*free, *(prefix + name for name in missing)])


def _config(parts: Parts, decision: Decision, target: str) -> Any:
    encoder: Any = parts.encoder
    config = copy.deepcopy(encoder.config)
    labels = decision.labels or (target,)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: i for i, label in enumerate(labels)}
    config.problem_type = {
        "regression": "regression",
        "multilabel": "multi_label_classification",
    }.get(decision.kind, "single_label_classification")
    if hasattr(config, "classifier_pooling"):
        config.classifier_pooling = parts.pooling
    if isinstance(parts.preprocess, Text):
        tokens = encoder.get_input_embeddings()
        config.vocab_size = int(getattr(tokens, "num_embeddings", config.vocab_size))
    return config


def _weights(encoder: nn.Module) -> Mapping[str, Tensor]:
    """The weights under the names of the architecture; a table kept as a product is multiplied."""
    found: dict[str, Tensor] = dict(encoder.state_dict())
    for name, module in encoder.named_modules():
        rows, widen = getattr(module, "rows", None), getattr(module, "widen", None)
        if isinstance(rows, nn.Embedding) and isinstance(widen, nn.Linear):
            del found[f"{name}.rows.weight"], found[f"{name}.widen.weight"]
            found[f"{name}.weight"] = rows.weight @ widen.weight.T
    return found


def _of(name: str, fresh: frozenset[str]) -> bool:
    return f"{name}.weight" in fresh


def _ways(
    linears: list[nn.Linear], weight: Tensor, bias: Tensor, largest: float
) -> Iterator[Setting]:
    """Settings of the free layers that could make them the head; the caller tries each."""
    *between, last = linears or [nn.Linear(1, 1)]
    width = weight.shape[1]
    if not between and last.in_features in (width, 2 * width):
        # Some classes read a second feature beside the one that counts here.
        rest = weight.new_zeros((len(weight), last.in_features - width))
        yield [(last, torch.cat([weight, rest], 1), bias)]
    if len(between) != 1 or {*between[0].weight.shape, last.in_features} != {width}:
        return
    (layer,) = between
    same, nothing = torch.eye(width), torch.zeros(width)
    for gain in (1.0, 2.0):  # one over the slope at zero: of tanh, of GELU
        yield [(layer, same * SMALL, nothing), (last, weight * (gain / SMALL), bias)]
    if layer.bias is not None:
        shift = FAR * largest + 1.0
        back = (bias.double() - shift * weight.double().sum(1)).float()
        yield [(layer, same, nothing + shift), (last, weight, back)]


def _put(setting: Setting) -> None:
    with torch.no_grad():
        for layer, weight, bias in setting:
            layer.weight.copy_(weight)
            if layer.bias is not None:
                layer.bias.copy_(bias)


def _largest(parts: Parts, arrays: Mapping[str, Tensor]) -> float:
    """The largest number that the encoder gives on these rows."""
    with torch.inference_mode():
        found: Any = parts.encoder(**arrays, return_dict=True)
    return float(found.last_hidden_state.abs().max())


def _differs(
    model: nn.Module, arrays: Mapping[str, Tensor], scores: NDArray[Any], decision: Decision
) -> float:
    """How far the class is from the bundle; infinite where it gives no numbers."""
    with torch.inference_mode():
        found = model(**arrays, return_dict=True).logits.double().numpy()
    # A class of transformers has the temperature in its weights, and no place for a curve.
    wanted = replace(decision, isotonic=()).probabilities(scores)
    if decision.kind == "regression":
        spread = max(float(np.ptp(scores)), 1e-3 * float(np.abs(scores).max()), 1e-9)
        off = np.abs(found - wanted) / spread
    else:
        off = np.abs(Decision(decision.kind).probabilities(found) - wanted)
    return float(off.max()) if np.isfinite(off).all() else float("inf")


def _refuse_windows(preprocess: Preprocess) -> None:
    if isinstance(preprocess, Text) and preprocess.windows == "pool":
        raise OptionError(
            "--format transformers: this specialist reads long texts in windows that it averages, "
            f"and a pipeline of transformers cuts them; {INSTEAD}"
        )


def _tokenizer(parts: Parts) -> Any:
    from transformers import PreTrainedTokenizerFast

    preprocess = parts.preprocess
    assert isinstance(preprocess, Text)
    plain = Tokenizer.from_buffer(preprocess.files()[FILE])
    return PreTrainedTokenizerFast(
        tokenizer_object=plain,
        pad_token=plain.id_to_token(preprocess.pad_id),
        model_max_length=preprocess.max_length,
        model_input_names=list(preprocess.inputs),
    )


def _processor(parts: Parts) -> Any:
    """An image processor with the same pixels, checked on a picture of noise."""
    from PIL import Image as Pillow

    image = parts.preprocess
    assert isinstance(image, Image)
    size: dict[str, int] | None = None
    if image.resize is not None:
        kind, *numbers = image.resize
        names = ("height", "width") if kind == "exact" else (kind,)
        size = dict(zip(names, map(int, numbers), strict=True))
    crop = image.crop or image.size
    with quietly():
        from transformers import CLIPImageProcessor

        processor: Any = CLIPImageProcessor(
            do_resize=size is not None,
            size=size,
            resample=image.resample,
            do_center_crop=image.crop is not None,
            crop_size={"height": crop[0], "width": crop[1]},
            do_rescale=True,
            rescale_factor=image.rescale,
            do_normalize=True,
            image_mean=list(image.mean),
            image_std=list(image.std),
            do_convert_rgb=True,
        )
    noise = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    picture = Pillow.fromarray(noise).resize((320, 256))
    theirs = np.asarray(processor(images=picture, return_tensors="np")["pixel_values"][0])
    ours = image.normalise(image.pixels(picture)[None])[0]
    if ours.shape != theirs.shape or float(np.abs(ours - theirs).mean()) > PIXELS:
        raise OptionError(
            "--format transformers: no image processor of transformers reads images as this "
            f"specialist does ({image.channels}, {image.resize}, {image.crop}); {INSTEAD}"
        )
    return processor


def _card(card: str, parts: Parts, decision: Decision) -> str:
    text = isinstance(parts.preprocess, Text)
    task = "text-classification" if text else "image-classification"
    argument = '"a text", truncation=True, top_k=None' if text else '"photo.jpg"'
    notes = ["Its answers are those of the bundle that it was made from, temperature included."]
    if isinstance(parts.preprocess, Text) and len(parts.preprocess.columns) > 1:
        names = ", ".join(parts.preprocess.columns)
        notes.append(f'Give the cells of {names} as one text with ": " between them.')
    if decision.thresholds or decision.costs:
        rule = "costs" if decision.costs else "thresholds"
        told = list(decision.costs or decision.thresholds)
        notes.append(
            f"A pipeline answers with the most likely label. The bundle decides by {rule}: {told} "
            f"for {', '.join(decision.labels)}."
        )
    if decision.isotonic:
        notes.append(
            "The bundle's confidences are calibrated by a curve (isotonic) that a pipeline does "
            "not have: those given here are calibrated by the temperature alone."
        )
    notes.append("Keep it in float32: between encoder and head it may hold large numbers.")
    front = f"---\nlibrary_name: transformers\npipeline_tag: {task}\ntags: [metier]\n---\n"
    use = (
        "```python\nfrom transformers import pipeline\n"
        f'answer = pipeline("{task}", model=".")\nprint(answer({argument}))\n```\n'
    )
    return "\n".join([front, use, " ".join(notes) + "\n", _body(card)]) + "\n"


def _body(card: str) -> str:
    """A card without its front matter."""
    if not card.startswith("---\n"):
        return card.strip()
    return card.removeprefix("---\n").partition("\n---\n")[2].strip()
