"""The playground: one page that needs nothing but this server."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Page:
    """A document, and the policy under which a browser may run it."""

    html: str
    policy: str


def render_page() -> Page:
    """Return the page with its style and script inside it, the only ones it may use."""
    folder = files("metier.serving") / "static"
    html, style, script = (
        (folder / name).read_text(encoding="utf-8").strip()
        for name in ("page.html", "page.css", "page.js")
    )
    html = html.replace("/* style */", style).replace("/* script */", script)
    policy = (
        "default-src 'none'; connect-src 'self'; img-src blob: data:; base-uri 'none'; "
        f"form-action 'none'; style-src {_hash(style)}; script-src {_hash(script)}"
    )
    return Page(html, policy)


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
