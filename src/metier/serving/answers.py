"""What goes back to a client, as bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_core import to_json
from starlette.types import Send

from metier.runtime.session import Predictions
from metier.serving.limits import Refused

Header = tuple[bytes, bytes]

FAULT = "a fault of the server, which has written it down"


async def answer(send: Send, status: int, content: bytes, headers: Iterable[Header] = ()) -> None:
    """Send an answer in JSON."""
    own = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": content})


async def refuse(send: Send, refused: Refused, headers: Iterable[Header] = ()) -> None:
    """Send one sentence on why there is nothing else."""
    await answer(send, refused.status, to_json({"error": refused.told}), headers)


def write_predictions(found: Predictions, warnings: Sequence[str]) -> bytes:
    """Return predictions as JSON."""
    shares = None if found.probabilities is None else found.probabilities.tolist()
    rows = []
    for row, answer in enumerate(found.answers):
        read = row not in found.reasons or row in found.withheld
        rows.append(
            {
                "prediction": answer,
                "probabilities": dict(zip(found.labels, shares[row], strict=True))
                if read and shares is not None
                else None,
                "reason": found.reasons.get(row),
                **_beside(found, row, read),
            }
        )
    return to_json({"predictions": rows, "warnings": list(warnings)}, inf_nan_mode="null")


def _beside(found: Predictions, row: int, read: bool) -> dict[str, Any]:
    """The set or the interval of a row, when they were asked for."""
    told: dict[str, Any] = {} if found.sets is None else {"set": found.sets[row]}
    for name, bounds in (("low", found.low), ("high", found.high)):
        if bounds is not None:
            told[name] = float(bounds[row]) if read else None
    return told
