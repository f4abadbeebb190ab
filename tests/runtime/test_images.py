"""Every way an image can be stored, and pixels against the processors of transformers."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from PIL import features

from metier.runtime.images import Image, open_image
from metier.runtime.preprocess import restore

SHARED = Path(__file__).parents[3] / "shared"


def stored(image: PIL.Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def gradient(height: int = 20, width: int = 30) -> np.ndarray[Any, Any]:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 8, columns * 8, rows + columns], axis=2).astype(np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int):
    upright = gradient()
    turns = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.transpose(1, 0, 2), 6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, 3),
    }  # fmt: skip
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    image = PIL.Image.fromarray(np.ascontiguousarray(turns[orientation]))
    found = open_image(stored(image, exif=exif.tobytes()))
    assert found.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(found), upright)


def test_deep_grey_is_scaled():
    grey = np.array([[0, 257, 25700, 65535]], dtype=np.uint16)
    found = open_image(stored(PIL.Image.fromarray(grey)))
    assert np.asarray(found)[0, :, 0].tolist() == [0, 1, 100, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0, np.nan]], np.float32), [0, 128, 255, 0]),
        (np.array([[0, 100, 255]], np.int32), [0, 100, 255]),
        (np.array([[0, 25700, 65535]], np.int32), [0, 100, 255]),
        (np.array([[-5, 0, 2**24]], np.int32), [0, 0, 255]),
    ],
)
def test_other_depths_are_scaled(values: np.ndarray[Any, Any], expected: list[int]):
    found = open_image(stored(PIL.Image.fromarray(values), "TIFF"))
    assert np.asarray(found)[0, :, 2].tolist() == expected


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_is_laid_on_white(mode: str):
    image = PIL.Image.new("RGBA", (4, 4), (255, 0, 0, 0)).convert(mode)
    assert set(np.asarray(open_image(image)).ravel().tolist()) == {255}


def test_half_transparent_black_is_grey():
    image = PIL.Image.new("RGBA", (2, 2), (0, 0, 0, 128))
    assert np.asarray(open_image(stored(image)))[0, 0].tolist() == [127, 127, 127]


def test_transparent_palette_entry():
    image = PIL.Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    found = np.asarray(open_image(stored(image, transparency=0)))
    assert found.tolist() == [[[255, 255, 255], [0, 0, 255]]]


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV", "LAB"])
def test_every_mode_becomes_rgb(mode: str):
    image = PIL.Image.new("RGB", (5, 4), (255, 255, 255)).convert("L").convert("RGB")
    if mode == "LAB":
        image = PIL.Image.new("LAB", (5, 4))
    found = open_image(image if mode == "LAB" else image.convert(mode))
    assert found.mode == "RGB"
    assert found.size == (5, 4)
    if mode != "LAB":
        assert np.asarray(found).min() >= 254


def test_cmyk_jpeg_and_first_frame_of_an_animation():
    red = PIL.Image.new("RGB", (8, 8), (255, 0, 0))
    found = np.asarray(open_image(stored(red.convert("CMYK"), "JPEG", quality=95)))
    assert found[0, 0, 0] > 200
    assert found[0, 0, 1:].max() < 60
    frames = stored(red, "GIF", save_all=True, append_images=[PIL.Image.new("RGB", (8, 8))])
    assert np.asarray(open_image(frames))[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
def test_formats(format: str, tmp_path: Path):
    path = tmp_path / "picture.bin"
    path.write_bytes(stored(PIL.Image.fromarray(gradient()), format))
    assert open_image(path).size == (30, 20)
    assert open_image(str(path)).size == (30, 20)


def test_reasons_are_short(tmp_path: Path):
    (tmp_path / "text.jpg").write_text("no image")
    whole = stored(
        PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    )
    cases = {
        "no such file": tmp_path / "none.png",
        "is a folder": tmp_path,
        "not an image": tmp_path / "text.jpg",
        "damaged image": whole[: len(whole) // 2],
    }
    for reason, source in cases.items():
        with pytest.raises(ValueError, match=reason) as caught:
            open_image(source)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 120


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_a_damaged_avif_keeps_its_place_among_the_others():
    whole = stored(PIL.Image.new("RGB", (64, 64), "red"), "AVIF")
    head = whole[: whole.index(b"mdat") + 4]
    broken = head + bytes(len(whole) - len(head))
    found = Image("file", ("exact", 8, 8)).encode({"file": [whole, broken, whole]})
    assert list(found.reasons) == [1] and found.reasons[1].startswith("damaged image (")


def test_programs_and_bombs_are_refused():
    postscript = stored(PIL.Image.fromarray(gradient()), "EPS")
    with pytest.raises(ValueError, match="not an image"):
        open_image(postscript)
    with pytest.raises(ValueError, match="too many pixels"):
        open_image(stored(PIL.Image.new("1", (20_000, 20_000)), "PNG"))


def test_unreadable_rows_keep_their_place(tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes(stored(PIL.Image.fromarray(gradient())))
    image = Image("file", ("shortest_edge", 8), crop=(8, 8))
    found = image.encode({"file": [str(path), None, "nowhere.png", str(path)]})
    assert [e is None for e in found.examples] == [False, True, True, False]
    assert found.reasons == {1: "no image given", 2: "no such file"}
    arrays = image.collate([e for e in found.examples if e is not None])
    assert arrays["pixel_values"].shape == (2, 3, 8, 8)
    assert arrays["pixel_values"].dtype == np.float32


CROP = {"height": 32, "width": 32}
CONFIGS: list[dict[str, Any]] = [
    {"size": {"shortest_edge": 40}, "crop_size": CROP, "do_center_crop": True},
    {"size": {"shortest_edge": 20}, "crop_size": {"height": 33, "width": 27},
     "do_center_crop": True},
    {"size": {"height": 31, "width": 47}, "do_center_crop": False, "resample": 3},
    {"size": {"shortest_edge": 33}, "crop_size": CROP, "do_center_crop": True,
     "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]},
    {"size": {"shortest_edge": 33}, "crop_size": CROP, "do_center_crop": True,
     "do_normalize": False},
]  # fmt: skip


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("shape", [(50, 71), (71, 50), (19, 20)])
def test_pixels_equal_those_of_transformers(config: dict[str, Any], shape: tuple[int, int]):
    transformers = pytest.importorskip("transformers")
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    picture = PIL.Image.fromarray(noise)
    module = transformers.models.mobilenet_v2.image_processing_pil_mobilenet_v2
    theirs = module.MobileNetV2ImageProcessorPil(**config)(picture, return_tensors="np")
    mine = Image.from_config("file", config)
    arrays = mine.collate([e for e in mine.encode({"file": [picture]}).examples if e is not None])
    np.testing.assert_allclose(arrays["pixel_values"], theirs["pixel_values"], atol=1e-6, rtol=0)
    assert arrays["pixel_values"].shape[2:] == mine.size


OLD: list[tuple[str, str, dict[str, Any]]] = [
    ("convnext", "ConvNext", {"size": 32, "crop_pct": 0.875, "resample": 3}),
    ("convnext", "ConvNext", {"size": {"shortest_edge": 390}, "crop_pct": 0.875}),
    ("poolformer", "PoolFormer", {"size": 32, "crop_size": 32, "do_center_crop": True}),
    ("poolformer", "PoolFormer", {"size": {"height": 32, "width": 32}, "crop_pct": 0.95,
                                  "crop_size": 32, "do_center_crop": True}),
    ("efficientnet", "EfficientNet", {"size": 31, "include_top": True, "resample": 0}),
    ("efficientnet", "EfficientNet", {"size": 31, "image_std": [0.229, 0.224, 0.225]}),
    ("levit", "Levit", {"size": 32, "crop_size": 32, "do_center_crop": True}),
    ("deit", "DeiT", {"size": 40, "crop_size": 32, "do_center_crop": True, "resample": 3}),
    ("vit", "ViT", {"size": 33}),
    ("bit", "Bit", {"size": 40, "crop_size": 32, "do_center_crop": True}),
    ("mobilevit", "MobileViT", {"size": 40, "crop_size": 32, "do_center_crop": True,
                                "do_flip_channel_order": True}),
]  # fmt: skip


@pytest.mark.parametrize(("module", "family", "config"), OLD)
def test_what_a_number_means_is_up_to_the_class(module: str, family: str, config: dict[str, Any]):
    transformers = pytest.importorskip("transformers")
    own = getattr(transformers.models, module)
    kind = getattr(getattr(own, f"image_processing_pil_{module}"), f"{family}ImageProcessorPil")
    # What a configuration leaves out is up to the class too; saved ones leave out none of these.
    plain = {"resample": 2, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.4, 0.3]}
    given = (plain if family != "MobileViT" else {"resample": 2}) | config
    for shape in ((50, 71), (71, 50)):
        noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
        picture = PIL.Image.fromarray(noise)
        theirs = kind(**given)(picture, return_tensors="np")["pixel_values"]
        for called in ("image_processor_type", "feature_extractor_type"):
            word = "ImageProcessor" if called.startswith("image") else "FeatureExtractor"
            mine = Image.from_config("file", {called: f"{family}{word}", **given})
            encoded = mine.encode({"file": [picture]}).examples
            found = mine.collate([e for e in encoded if e is not None])["pixel_values"]
            np.testing.assert_allclose(found, theirs, atol=2e-6, rtol=1e-6)


NARROW = """
import io, resource
import PIL.Image
from metier.runtime.images import Image

resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
image = Image("file", ("shortest_edge", 256), crop=(224, 224))
for size in ((1, 20_000), (20_000, 1), (3, 60_000)):
    content = io.BytesIO()
    PIL.Image.new("RGB", size, (9, 9, 9)).save(content, "PNG")
    assert image.encode({"file": [content.getvalue()]}).reasons == {}
"""


def test_a_picture_a_pixel_wide_does_not_fill_the_memory():
    script = [sys.executable, "-c", NARROW]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("shape", [(300, 1), (1, 300), (523, 2), (787, 3)])
@pytest.mark.parametrize("crop", [(224, 224), (300, 280)])
def test_of_a_picture_far_too_long_the_crop_keeps_the_same(
    shape: tuple[int, int], crop: tuple[int, int]
):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    picture = PIL.Image.fromarray(noise)
    long = 256 * max(shape) // min(shape)
    size = (256, long) if shape[0] > shape[1] else (long, 256)
    whole = picture.resize(size, resample=PIL.Image.Resampling.BILINEAR)
    expected = Image("file", None, crop=crop).pixels(whole)
    found = Image("file", ("shortest_edge", 256), crop=crop).pixels(picture)
    # The length in pixels is rounded, and the more of it the less that weighs: a level at most.
    np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=min(shape) // 3)


def test_real_models_and_photos():
    transformers = pytest.importorskip("transformers")
    folders = sorted((SHARED / "models").glob("*/preprocessor_config.json"))
    photos = sorted((SHARED / "data" / "hymenoptera" / "test").glob("*/*.jpg"))[::40]
    if not folders or not photos:
        pytest.skip("the shared models and photos are not here")
    for file in folders:
        theirs = transformers.AutoImageProcessor.from_pretrained(file.parent)
        mine = Image.from_config("file", json.loads(file.read_text()))
        opened = [open_image(photo) for photo in photos]
        expected = theirs(opened, return_tensors="np")["pixel_values"]
        encoded = mine.encode({"file": [str(photo) for photo in photos]})
        found = mine.collate([e for e in encoded.examples if e is not None])["pixel_values"]
        np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("config", "resize", "crop"),
    [
        ({"size": 224}, ("exact", 224, 224), None),
        (
            {"size": 256, "do_center_crop": True, "crop_size": 224},
            ("shortest_edge", 256),
            (224, 224),
        ),
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.875}, ("shortest_edge", 256), (224, 224)),
        ({"size": {"shortest_edge": 384}, "crop_pct": 0.875}, ("exact", 384, 384), None),
        ({"size": {"shortest_edge": 224}}, ("shortest_edge", 224), (224, 224)),
        ({"do_resize": False, "do_center_crop": True, "crop_size": 8}, None, (8, 8)),
        (
            {"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224, "crop_pct": 0.875},
            ("shortest_edge", 256),
            (224, 224),
        ),
        ({"size": 224, "crop_pct": 0.875}, ("shortest_edge", 256), (224, 224)),
        ({"feature_extractor_type": "ViTFeatureExtractor", "size": 224}, ("exact", 224, 224), None),
    ],
)
def test_old_and_odd_configurations(config: Any, resize: Any, crop: Any):
    found = Image.from_config("file", config)
    assert (found.resize, found.crop) == (resize, crop)


@pytest.mark.parametrize(
    "config",
    [
        {"rescale_offset": True, "size": 3},
        {"size": {"longest_edge": 9}},
        {"size": {"height": 9, "width": 9}, "keep_aspect_ratio": True},
        {},
        {"image_processor_type": "PerceiverImageProcessor", "size": 3, "do_center_crop": True},
    ],
)
def test_what_cannot_be_reproduced_is_refused(config: Any):
    with pytest.raises(ValueError):
        Image.from_config("file", config)


def test_channel_order_and_spec():
    image = Image("file", ("exact", 2, 2), channels="bgr", mean=(0.1, 0.2, 0.3))
    batch = np.zeros((1, 2, 2, 3), np.uint8)
    batch[..., 0] = 255
    assert image.normalise(batch)[0, :, 0, 0] == pytest.approx([-0.1, -0.2, 0.7])
    again = restore(json.loads(json.dumps(image.spec())), Path())
    assert again == image
