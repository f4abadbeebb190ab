"""The device that networks learn on, as accelerate finds it."""

from __future__ import annotations

from accelerate import PartialState


def best_device() -> str:
    """Return "cuda" (training there is in bfloat16) or "cpu".

    Other accelerators that accelerate knows are left alone: the loop was not tried on them. The
    environment variable ACCELERATE_USE_CPU=1 keeps everything on the CPU.
    """
    found = str(PartialState().device.type)
    return found if found == "cuda" else "cpu"
