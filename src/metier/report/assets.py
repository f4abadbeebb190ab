"""What every page is made with: our own files, the content security policy, the date."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime

from jinja2 import Environment, PackageLoader
from markupsafe import Markup


def asset(name: str) -> Markup:
    """Return a file of our own, the only text that goes in unescaped."""
    loader = PackageLoader("metier.report", "templates")
    return Markup(loader.get_source(Environment(autoescape=True), name)[0].strip())


def policy(script: str) -> str:
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
