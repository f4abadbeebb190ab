"""The main road: read, check, split, shortlist, climb, choose, prove, bundle, report.

Each stage is a room of its own; here they are joined, in one order, under one clock. `travel` reads
like a table of contents; beside it lie what was asked (`options`, `asked`), the way in (`intake`),
what the time allows (`pace`) and the way out (`tail`).
"""

from __future__ import annotations

from metier.road.asked import FROM_MEMORY, settings
from metier.road.intake import Data, open_sources, read_data
from metier.road.options import Options, Progress, check_words, parse_effort
from metier.road.tail import Ended
from metier.road.travel import travel

__all__ = [
    "FROM_MEMORY",
    "Data",
    "Ended",
    "Options",
    "Progress",
    "check_words",
    "open_sources",
    "parse_effort",
    "read_data",
    "settings",
    "travel",
]
