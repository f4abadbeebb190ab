"""The one route that runs for every row: from a request to the answers of the batch it went in.

It is written for ASGI itself: on its way to a route a framework spends as much time as the server
needs to read a row and to write its answer. What it promises stands in the contract like the rest.
"""

from __future__ import annotations

import math
import time

from starlette.types import Receive, Scope, Send

from metier.runtime.session import told_of_cells
from metier.serving import schema
from metier.serving.answers import FAULT, Header, answer, refuse, write_predictions
from metier.serving.limits import Refused
from metier.serving.service import Service

PATH = "/predict"
REFUSALS = (400, 408, 413, 415, 422, 503, 504)
HALF_READ = (400, 408, 413)
"""Refusals after which what is left of a body must not be taken for the next request."""


class Predicting:
    """Answers POST; whatever else is asked of its path is refused."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer rows, in their order; one that cannot be read has a reason instead."""
        if scope["method"] != "POST":
            await refuse(send, Refused(405, "method not allowed"), [(b"allow", b"POST")])
            return
        began = time.perf_counter()
        try:
            content = await self._content(dict(scope["headers"]), receive)
        except Refused as refused:
            await refuse(send, refused, _advice(refused))
        except Exception:
            await refuse(send, Refused(500, FAULT))
            raise
        else:
            spent = b"total;dur=%.1f" % (1000 * (time.perf_counter() - began))
            await answer(send, 200, content, [(b"server-timing", spent)])

    async def _content(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        service = self._service
        waits = headers.get(b"expect", b"").lower() == b"100-continue"
        length = headers.get(b"content-length", b"").decode("latin-1")
        kind = headers.get(b"content-type", b"").decode("latin-1")
        async with service.bodies.reading(receive, length, waits) as body:
            asked = service.reader.read(body, kind)
            found = await service.batcher.ask(asked.columns, asked.count, asked.asked)
        return write_predictions(
            found, (*asked.warnings, *told_of_cells(found.unseen, found.unread))
        )


def _advice(refused: Refused) -> list[Header]:
    found = []
    if refused.retry_after is not None:
        found.append((b"retry-after", b"%d" % math.ceil(refused.retry_after)))
    if refused.status in HALF_READ:
        found.append((b"connection", b"close"))
    return found


def contract_of(service: Service) -> schema.Schema:
    """Return what OpenAPI says of the route, for this very bundle."""
    reader = service.reader
    answers = schema.success(schema.predictions(service.bundle.manifest.decision))
    refusals = schema.responses(*service.refusals(*REFUSALS))
    return {
        "summary": "Predict",
        "description": "Answer rows, in their order; one that cannot be read has a reason instead.",
        "operationId": "predict_predict_post",
        "requestBody": schema.request_body(reader.wanted, service.limits.rows, reader.doubt),
        "responses": {str(status): told for status, told in {**answers, **refusals}.items()},
    }
