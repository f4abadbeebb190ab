"""Writing SVG elements; every attribute and every word in them is escaped."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape


def picture(
    width: int | str, height: int, parts: Sequence[Markup], spoken: str, cls: str = ""
) -> Markup:
    """Write a figure from its parts; `spoken` is what a screen reader says instead.

    A width in pixels scales as a whole; "100%" leaves the parts to place themselves in per cent.
    """
    attributes: dict[str, object] = {"width": width, "height": height}
    if isinstance(width, int):
        attributes["viewBox"] = f"0 0 {width} {height}"
    return tag(
        "svg",
        cls=f"plot {cls}".strip(),
        body=Markup("").join(parts),
        role="img",
        aria_label=spoken,
        **attributes,
    )


def hover(words: str) -> Markup:
    """Write what is shown when the pointer rests on the element around it."""
    return tag("title", body=escape(words))


def text(
    words: str, x: float, y: float, anchor: str, cls: str, letters: float, transform: str = ""
) -> Markup:
    """Write words at a place, `letters` pixels high; `anchor` is start, middle or end."""
    more = {"transform": transform} if transform else {}
    place = {"x": f"{x:g}", "y": f"{y:g}", "text_anchor": anchor, "font_size": f"{letters:g}"}
    return tag("text", cls=cls, body=escape(words), **place, **more)


def tag(name: str, cls: str = "", body: Markup | None = None, **attributes: object) -> Markup:
    """Write one element; every attribute and text is escaped, underscores become hyphens."""
    if cls:
        attributes = {"class": cls, **attributes}
    written = "".join(
        f' {key.replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items()
    )
    return Markup(f"<{name}{written}>{body}</{name}>" if body else f"<{name}{written}/>")
