"""LightGBM's text taken apart, and refused where LightGBM itself would read beyond its end.

LightGBM follows the sizes that the text tells of its trees without looking where the text ends, and
ends the process when they are wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from metier.errors import SourceError

Lines = Mapping[str, str]
"""What stands after the name of each line."""

LINES = 22
"""Lines that LightGBM reads of a tree; it takes what follows for something else."""
SIZES = re.compile(r"[0-9 ]*")
END = b"end of trees"


def sections(text: str) -> tuple[Lines, list[Lines]]:
    """Return the lines of the head, and those of each tree.

    Raises SourceError for text that is no booster, or is not whole.
    """
    head, mark, body = text.partition("\nTree=")
    settings = _lines(head)
    if not head.startswith("tree\n") or "num_tree_per_iteration" not in settings:
        raise SourceError("this is not a LightGBM model in text form: save it with save_model()")
    if "\0" in text or "\r" in text:
        raise damaged("it holds characters that LightGBM does not write")
    whole = (mark + body)[1:].encode()
    told = settings.get("tree_sizes", "none")
    if not SIZES.fullmatch(told):
        raise damaged("its sizes of trees are no numbers")
    trees, start = [], 0
    for size in map(int, told.split()):
        trees.append(_tree(whole[start : start + size]))
        start += size
    if mark and not whole[start:].startswith(END):
        raise damaged("its trees are not as long as it says")
    return settings, trees


def damaged(why: str) -> SourceError:
    """Return the error that a text is not whole."""
    return SourceError(f"this LightGBM model is damaged ({why}): save it again with save_model()")


def _tree(block: bytes) -> Lines:
    """The lines of a tree, which begins with its number and ends with an empty line."""
    number, _, rest = block.partition(b"\n")
    told, end, _ = rest.partition(b"\n\n")
    if not number.startswith(b"Tree=") or not end:
        raise damaged("its trees are not as long as it says")
    lines = told.decode(errors="replace").split("\n")
    found = _lines("\n".join(lines))
    if len(found) < len(lines) or len(lines) > LINES:
        raise damaged("a tree has lines that LightGBM does not write")
    return found


def _lines(block: str) -> Lines:
    return dict(line.partition("=")[::2] for line in block.split("\n") if "=" in line)
