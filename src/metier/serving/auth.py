"""Who may ask: a token that is compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

OPEN = frozenset({"/", "/health"})
"""The empty page and the pulse need no token; they tell nothing of the bundle."""


class Door:
    """Lets requests in that bring the token; everybody when there is none."""

    def __init__(self, token: str | None) -> None:
        self._digest = None if token is None else _digest(token.encode())

    @property
    def locked(self) -> bool:
        """Whether there is a token."""
        return self._digest is not None

    def admits(self, path: str, headers: Mapping[bytes, bytes]) -> bool:
        """Tell whether a request may pass. Takes as long for a near miss as for a wild guess."""
        if self._digest is None or path in OPEN:
            return True
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(
            self._digest, _digest(given.strip())
        )


def _digest(token: bytes) -> bytes:
    """Hashes have one length, so that comparing them does not tell that of the token."""
    return hashlib.sha256(token).digest()
