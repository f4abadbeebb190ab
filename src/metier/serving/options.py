"""What is served, where and how, and how that follows from the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metier.errors import OptionError
from metier.serving.limits import Limits
from metier.threads import cores

TOKEN = "METIER_TOKEN"
"""The environment variable of the token: a command line can be read by every user of a machine."""


@dataclass(frozen=True)
class Serving:
    """What is served, where and how.

    Args:
        bundle: a run folder or its `specialist/`.
        host: the address to listen on.
        port: the port; 0 takes a free one.
        workers: processes, each with a model of its own.
        threads: threads of each model; None divides the cores among the workers.
        token: what clients must bring; None lets everybody in.
        limits: how much the server takes on.
    """

    bundle: Path
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    threads: int | None = None
    token: str | None = None
    limits: Limits = field(default_factory=Limits)

    @property
    def threads_each(self) -> int:
        """Threads on which the graph of one worker runs."""
        return self.threads or max(1, cores() // self.workers)


def read_options(bundle: Path, given: Mapping[str, Any], environment: Mapping[str, str]) -> Serving:
    """Return what to serve. Options that were not given have the defaults of `Serving`.

    Raises:
        OptionError: for an empty token, or limits that do not go together.
    """
    plain = {name: given[name] for name in ("host", "port", "workers", "threads") if name in given}
    token = given.get("token", environment.get(TOKEN))
    if token is not None:
        token = token.strip()  # a header has none around it, and a file often ends with a new line
        if not token:
            raise OptionError(f"the token is empty: give --token or {TOKEN} a value, or neither")
    return Serving(bundle, **plain, token=token, limits=_limits(given))


def _limits(given: Mapping[str, Any]) -> Limits:
    found: dict[str, Any] = {}
    if "max_rows" in given:
        found["rows"] = given["max_rows"]
    if "max_body" in given:
        found["body"] = max(1, int(given["max_body"] * 2**20))
    if "queue" in given:
        found["queue"] = given["queue"]
    if "latency" in given:
        found["latency"] = given["latency"] / 1000
    if "timeout" in given:
        found["timeout"] = given["timeout"]
    return Limits(**found)
