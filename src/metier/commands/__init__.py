"""What each command takes on the command line.

An option that is not given is absent from the result: defaults are declared once, in the api.
"""

from __future__ import annotations

from typing import Any

from metier.commands import looking, making, using


def add_commands(commands: Any) -> None:
    """Add every command to the subparsers of the command line, in the order of the help."""
    making.add_specialize(commands)
    making.add_multitask(commands)
    making.add_meta(commands)
    making.add_compress(commands)
    looking.add_check(commands)
    looking.add_rank(commands)
    using.add_predict(commands)
    using.add_evaluate(commands)
    using.add_audit(commands)
    using.add_compare(commands)
    using.add_explain(commands)
    using.add_label(commands)
    using.add_export(commands)
    using.add_load(commands)
    using.add_serve(commands)
    looking.add_sources(commands)
    looking.add_strategies(commands)
    looking.add_doctor(commands)
