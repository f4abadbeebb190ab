"""Attributions as a person sees them: words shaded, heat over pictures, bars, curves."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageFilter
from markupsafe import Markup, escape

from metier.evidence.answers import Array
from metier.evidence.explanations.faithful import GRID, Faithfulness, Mean
from metier.evidence.explanations.overall import Area, spread
from metier.evidence.explanations.players import Part, Picture, Text
from metier.evidence.explanations.regions import Pixels
from metier.report.plots import HEIGHT, WIDTH, Axis, Panel, axis_over, frame, interval_bar
from metier.report.svg import hover, picture, tag
from metier.report.wording import number
from metier.runtime.images import open_image

STRONGEST = 46
"""Per cent of colour under the word that matters most: letters stay readable above it."""
TOLD = 0.1
"""Shares from this part of the largest on are read out, and given a colour."""
FOR, AGAINST = (31, 92, 153), (179, 73, 28)
SIDE = 320
DRAWN = 288
"""Pixels of the page that a small picture is drawn on, at least half of them."""
THUMBNAIL = 96
MAP = 216


def words_shaded(part: Part, values: Array, top: float) -> Markup:
    """Write a text with each word shaded by its share; what is read out says the number."""
    assert isinstance(part, Text)
    pieces: list[Markup] = []
    end = 0
    for (start, stop), value in zip(part.spans, values, strict=True):
        pieces.append(escape(part.text[end:start]))
        pieces.append(_word(part.text[start:stop], float(value), top))
        end = stop
    pieces.append(escape(part.text[end:]))
    return Markup('<span class="shaded">{}</span>').format(Markup("").join(pieces))


def _word(word: str, value: float, top: float) -> Markup:
    strength = abs(value) / top if top > 0 else 0.0
    if strength < TOLD:
        return escape(word)
    against = " against" if value < 0 else ""
    told = f"{value:+.2g}"
    return Markup(
        '<span class="word{}" style="--w:{}%" title="{}">{}<span class="unseen"> ({})</span></span>'
    ).format(against, round(STRONGEST * strength), told, word, told)


def picture_pair(
    part: Part, values: Array, pixels: Array | None, label: str | None
) -> tuple[tuple[Markup, str], ...]:
    """Draw a picture as the model sees it, and the same with its shares as heat."""
    assert isinstance(part, Picture)
    heat = spread(part, values) if pixels is None else _smooth(pixels)
    what = f"for {label!r}" if label is not None else "for a higher value"
    where = _where(part, values)
    seen = f"The picture as the model sees it; what speaks most {what} lies {where}"
    return (
        (_image(part.pixels, "the picture"), "What the model sees"),
        (_image(_heated(part.pixels, heat), seen), f"Blue speaks {what}, orange against it"),
    )


def _smooth(pixels: Array) -> Array:
    """Shares of single pixels are noise; those of small neighbourhoods can be looked at."""
    radius = max(pixels.shape) / 24
    images = [PIL.Image.fromarray(part.astype(np.float32)) for part in
              (np.maximum(pixels, 0), np.maximum(-pixels, 0))]  # fmt: skip
    above, below = (np.asarray(_blurred(image, radius), dtype=np.float64) for image in images)
    return np.asarray(above - below)


def _blurred(image: PIL.Image.Image, radius: float) -> PIL.Image.Image:
    """Blur deep grey, which Pillow's own blur does not take: scaled to 8 bits and back."""
    values = np.asarray(image, dtype=np.float64)
    top = float(np.quantile(values, 0.999)) or 1.0
    eight = PIL.Image.fromarray((255 * np.clip(values / top, 0, 1)).astype(np.uint8))
    return eight.filter(PIL.ImageFilter.GaussianBlur(radius))


def _heated(pixels: Pixels, heat: Array) -> Pixels:
    """Lay heat over a greyed picture: blue for, orange against, clear where there is little."""
    top = float(np.quantile(np.abs(heat), 0.995)) or 1.0
    strength = np.clip(np.abs(heat) / top, 0, 1)[..., None] * 0.72
    grey = pixels.mean(axis=2, keepdims=True).repeat(3, axis=2) * 0.75 + 50
    colour = np.where(heat[..., None] > 0, np.array(FOR), np.array(AGAINST))
    return np.asarray((1 - strength) * grey + strength * colour, dtype=np.uint8)


def _image(pixels: Pixels, spoken: str) -> Markup:
    image = PIL.Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    larger = max(1, DRAWN // max(image.size))
    return Markup(
        '<img class="seen" src="data:image/png;base64,{}" alt="{}" width="{}" height="{}">'
    ).format(data, spoken, larger * image.width, larger * image.height)


def thumbnail(path: str) -> Markup | None:
    """Draw a training picture, small; None where it is no longer there."""
    try:
        image = open_image(path)
    except ValueError:
        return None
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return _image(np.asarray(image), Path(path).name)


def _where(part: Picture, values: Array) -> str:
    """Say in words where the region that speaks most for the label lies."""
    rows, columns = np.nonzero(part.regions == int(np.argmax(values)))
    height, width = part.regions.shape
    down = ("at the top", "in the middle", "at the bottom")[int(rows.mean() * 3 / height)]
    across = ("left", "", "right")[int(columns.mean() * 3 / width)]
    return f"{down} {across}".strip()


def share_bar(share: float, top: float) -> Markup:
    """Draw a share as a bar from the middle: to the right for the answer, to the left against."""
    half = 50 * min(1.0, abs(share) / top) if top > 0 else 0.0
    left = 50.0 if share >= 0 else 50.0 - half
    parts = [
        tag("line", cls="zero", x1="50%", x2="50%", y1=0, y2=20),
        tag(
            "rect", cls="for" if share >= 0 else "against", x=f"{left:.2f}%", y=4,
            width=f"{half:.2f}%", height=12,
        ),
    ]  # fmt: skip
    return picture("100%", 20, parts, f"{share:+.3g}", cls="share")


def size_bar(axis: Axis, found: Mean, zero: bool = False) -> Markup:
    """Draw a mean with its interval, if it has one."""
    low, high = (v if math.isfinite(v) else None for v in (found.low, found.high))
    return interval_bar(axis, found.value, low, high, zero=zero)


def area_map(area: Area) -> Markup:
    """Draw where in pictures shares lie, each cell of the grid shaded by its part of the whole."""
    side = MAP // len(area.cells)
    top = float(area.cells.max()) or 1.0
    parts = [
        tag(
            "rect", cls="right", body=hover(f"{value:.1%}"), x=j * side, y=i * side,
            width=side - 1, height=side - 1, fill_opacity=f"{0.06 + 0.94 * value / top:.2f}",
        )
        for i, row in enumerate(area.cells)
        for j, value in enumerate(row.tolist())
    ]  # fmt: skip
    row, column = np.unravel_index(int(area.cells.argmax()), area.cells.shape)
    spoken = f"most of it in row {row + 1}, column {column + 1} of {len(area.cells)}"
    return picture(MAP, MAP, parts, spoken, cls="heat")


def curve_pair(found: Faithfulness, spread_unit: bool) -> tuple[tuple[Markup, str], ...]:
    """Draw both curves of a method against those of chance."""
    up = "answer (spreads)" if spread_unit else "probability"
    every = (found.curves.deletion, found.curves.insertion, found.chance.deletion,
             found.chance.insertion)  # fmt: skip
    axis = axis_over([float(v) for series in every for v in series])
    return (
        (
            _curves(found.curves.deletion, found.chance.deletion, axis, up, "taken away"),
            _area_told("Taking away", found.deletion, "below"),
        ),
        (
            _curves(found.curves.insertion, found.chance.insertion, axis, up, "put back"),
            _area_told("Putting back", found.insertion, "above"),
        ),
    )


def _area_told(what: str, found: Mean, side: str) -> str:
    between = f" ({number(found.low)} to {number(found.high)})" if math.isfinite(found.low) else ""
    return (
        f"{what}: the mean curve lies {number(found.value)}{between} {side} chance, {found.n} rows"
    )


def _curves(own: Array, chance: Array, up: Axis, what: str, below: str) -> Markup:
    panel = Panel(Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0)), up, HEIGHT)
    parts = frame(panel, f"share {below}", what)
    for cls, series in (("train", chance), ("valid", own)):
        points = [panel.at(float(x), float(y)) for x, y in zip(GRID, series, strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(tag("polyline", cls=f"line {cls}", points=path))
    half = len(own) // 2
    ours, theirs = (number(float(series[half])) for series in (own, chance))
    spoken = f"with half {below}, {what} {ours}; by chance {theirs}"
    return picture(WIDTH, HEIGHT, parts, spoken)


def signed(value: float, top: float) -> str:
    """Return a share with its sign, as precisely as the largest of its company asks for."""
    return f"{'−' if value < 0 else '+'}{number(abs(value), (top,))}"
