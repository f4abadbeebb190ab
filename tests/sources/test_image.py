"""Image features against the processors and the forward pass of transformers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoImageProcessor, AutoModel, CLIPConfig, CLIPModel
from transformers.utils import logging

from metier.cache import Cache
from metier.errors import DataError, SourceError
from metier.sources.image import open_image_source
from metier.training.feed import Feed
from metier.training.net import Net
from metier.types import Table


def features(folder: Path, table: Table) -> np.ndarray[Any, Any]:
    source = open_image_source(str(folder))
    return Feed(source.load(), source.preprocess("image"), table, Cache()).features()


def by_transformers(folder: Path, table: Table) -> Any:
    """The output of the library's own forward pass on its own pixels."""
    with quiet():
        processor = AutoImageProcessor.from_pretrained(folder)
        model = AutoModel.from_pretrained(folder).eval()
    images = [PIL.Image.open(path).convert("RGB") for path in table.columns()["image"]]
    pixels = torch.cat(
        [processor(images=image, return_tensors="pt").pixel_values for image in images]
    )
    with torch.no_grad():
        return model(pixels)


@contextmanager
def quiet() -> Iterator[None]:
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    yield
    logging.set_verbosity(before)


def test_a_mobilenet_is_pooled_as_transformers_pools_it(mobilenet: Path, photos: Table):
    wanted = by_transformers(mobilenet, photos).pooler_output.flatten(1)
    scale = float(wanted.abs().max())
    np.testing.assert_allclose(features(mobilenet, photos) / scale, wanted / scale, atol=1e-5)


def test_a_vision_transformer_gives_its_first_token(vit: Path, photos: Table):
    wanted = by_transformers(vit, photos).last_hidden_state[:, 0]
    np.testing.assert_allclose(features(vit, photos), wanted, atol=1e-5)


def test_real_networks_are_read_as_transformers_reads_them(shared_model: Path, photos: Table):
    wanted = by_transformers(shared_model, photos).pooler_output.flatten(1)
    found = features(shared_model, photos)
    scale = float(wanted.abs().max())
    np.testing.assert_allclose(found / scale, wanted / scale, atol=1e-5)


def test_real_networks_are_entered_at_every_boundary(shared_model: Path, photos: Table):
    source = open_image_source(str(shared_model))
    backbone = source.load()
    feed = Feed(backbone, source.preprocess("image"), photos, Cache())
    inputs = feed.inputs(np.arange(2))
    light = feed.inputs(np.arange(2), light=True)
    assert backbone.depth > 10
    with torch.no_grad():
        whole = backbone(inputs)
        for at in range(1, backbone.depth, 4):
            hidden = backbone.activations(inputs, at)
            torch.testing.assert_close(backbone(light, hidden, at), whole, atol=1e-5, rtol=1e-5)


def test_features_do_not_depend_on_the_company(mobilenet: Path, photos: Table):
    together = features(mobilenet, photos)
    alone = [features(mobilenet, photos.take([i])) for i in range(len(photos))]
    scale = float(together.max())
    assert np.ptp(together, axis=0).max() > 0.1 * scale, "the images are told apart"
    np.testing.assert_allclose(np.concatenate(alone) / scale, together / scale, atol=1e-5)


def test_the_momentum_of_batch_norms_is_mended(mobilenet: Path):
    with quiet():
        plain = AutoModel.from_pretrained(mobilenet)
    assert {norm.momentum for norm in norms_of(plain)} == {0.997}
    source = open_image_source(str(mobilenet))
    for backbone in (source.load(), source.load(pretrained=False)):
        assert {norm.momentum for norm in norms_of(backbone)} == {0.1}


def test_one_odd_batch_does_not_wipe_the_statistics(mobilenet: Path):
    net = Net(open_image_source(str(mobilenet)).load(pretrained=False), 2)
    norm = norms_of(net)[0]
    before = norm.running_mean.clone()
    odd = {"pixel_values": 5.0 * torch.rand(4, 3, 48, 48)}
    net.train()
    with torch.no_grad():
        net(odd)
        moved = norm.running_mean - before
        for _ in range(80):
            net(odd)
    assert moved.norm() > 0
    torch.testing.assert_close(moved, 0.1 * (norm.running_mean - before), atol=1e-5, rtol=1e-3)


def test_frozen_batch_norms_keep_their_statistics(mobilenet: Path):
    net = Net(open_image_source(str(mobilenet)).load(pretrained=False), 2)
    boundary = net.backbone.depth - 3
    net.learn_from(boundary)
    net.train_above(boundary)
    before = {name: value.clone() for name, value in net.backbone.named_buffers()}
    net({"pixel_values": torch.rand(4, 3, 48, 48)})
    moved = {n for n, v in net.backbone.named_buffers() if not torch.equal(v, before[n])}
    assert moved
    assert all(net.backbone.level_of(name) >= boundary for name in moved)


def test_how_to_scale_images_must_be_known(mobilenet: Path, tmp_path: Path):
    folder = Path(shutil.copytree(mobilenet, tmp_path / "model"))
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(SourceError, match=r"no preprocessor_config\.json.*save its"):
        open_image_source(str(folder)).load()


def test_scaling_that_cannot_be_reproduced_is_refused(mobilenet: Path, tmp_path: Path):
    folder = Path(shutil.copytree(mobilenet, tmp_path / "model"))
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "do_thumbnail": True}))
    with pytest.raises(SourceError, match="do_thumbnail"):
        open_image_source(str(folder)).load()


def test_an_image_that_cannot_be_read_is_named(mobilenet: Path, photos: Table, tmp_path: Path):
    assert photos.base is not None
    folder = Path(shutil.copytree(photos.base, tmp_path / "photos"))
    (folder / "3.png").write_bytes(b"no image")
    broken = Table(photos.frame, photos.roles, folder)
    with pytest.raises(DataError, match="row 3: not an image"):
        features(mobilenet, broken)


def test_an_architecture_that_does_not_run_on_images_alone_is_refused(vit: Path, tmp_path: Path):
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2}
    text = {**small, "num_attention_heads": 2, "vocab_size": 64}
    pictures = {**small, "num_attention_heads": 2, "image_size": 32, "patch_size": 16}
    CLIPModel(
        CLIPConfig(text_config=text, vision_config=pictures, projection_dim=8)
    ).save_pretrained(tmp_path)
    shutil.copy(vit / "preprocessor_config.json", tmp_path)
    with pytest.raises(SourceError, match="does not run on images alone"):
        open_image_source(str(tmp_path)).load()


SMALL_VIT = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}


def vision_of(folder: Path, kind: str, like: Path) -> Path:
    """A small vision transformer of another kind, which reads images as `like` does."""
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.for_model(kind, **SMALL_VIT)).save_pretrained(folder)
    shutil.copy(like / "preprocessor_config.json", folder)
    return folder


def test_a_network_that_reads_a_part_by_chance_is_refused(vit: Path, tmp_path: Path):
    folder = vision_of(tmp_path, "vit_mae", vit)
    with pytest.raises(SourceError, match="another part of an image at each look"):
        open_image_source(str(folder)).load()


def test_patches_without_a_first_token_are_averaged(vit: Path, photos: Table, tmp_path: Path):
    folder = vision_of(tmp_path, "ijepa", vit)
    wanted = by_transformers(folder, photos).last_hidden_state.mean(dim=1)
    np.testing.assert_allclose(features(folder, photos), wanted, atol=1e-5)


def norms_of(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
