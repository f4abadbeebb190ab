"""What every page is made with: the templates, the content security policy, the date."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from metier.report import wording


def render(
    template: str, created: str, filters: Mapping[str, Callable[..., Any]], **told: Any
) -> str:
    """Return a complete HTML page that holds all it shows and asks nothing of the network.

    Args:
        template: its name; it extends `base.html`.
        created: when what it tells was found, ISO 8601.
        filters: what the template needs beside the common ones.
        told: what the template names.
    """
    house = Environment(
        loader=PackageLoader("metier.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    house.filters |= {
        "title": wording.title,
        "setting": wording.setting,
        "kind": lambda block: type(block).__name__,
        **filters,
    }
    script = _asset(house, "page.js")
    common = {"policy": _policy(script), "style": _asset(house, "page.css"), "script": script}
    page = house.get_template(template)
    return page.render(created=moment(created), **common, **told)


def _asset(house: Environment, name: str) -> Markup:
    """Return a file of our own, the only text that goes in unescaped."""
    assert house.loader is not None
    return Markup(house.loader.get_source(house, name)[0].strip())


def _policy(script: str) -> str:
    """Return a content security policy: our own script by its hash, pictures only from the page."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )


def moment(created: str) -> str:
    """Return a moment of ISO 8601 as people write it."""
    try:
        return f"{datetime.fromisoformat(created):%d %B %Y, %H:%M}".lstrip("0")
    except ValueError:
        return created
