"""What happens to every request before and after its route: the door, the clock, the headers."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from metier.serving.answers import refuse
from metier.serving.limits import Refused
from metier.serving.predicting import PATH
from metier.serving.service import Service

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
DENIED = "a token is needed: Authorization: Bearer TOKEN"
CLOSED = (
    (b"www-authenticate", b"Bearer"),
    # The body was not read: what is left of it must not be taken for the next request.
    (b"connection", b"close"),
)


class Front:
    """Wraps the application. Written for ASGI itself, since it runs for every request.

    Args:
        app: what answers.
        predict: what answers the path of predictions.
        service: whose door, clock and state count.
        routes: the paths that are counted by name; all others are one.
    """

    def __init__(
        self, app: ASGIApp, predict: ASGIApp, service: Service, routes: frozenset[str]
    ) -> None:
        self._app, self._predict, self._service, self._routes = app, predict, service, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                closing = ((b"connection", b"close"),) if self._service.draining else ()
                message["headers"] = [*message["headers"], *HEADERS, *closing]
            await send(message)

        try:
            if self._service.door.admits(scope["path"], dict(scope["headers"])):
                asked = self._predict if scope["path"] == PATH else self._app
                await asked(scope, receive, told)
            else:
                await refuse(told, Refused(401, DENIED), CLOSED)
        finally:
            route = scope["path"] if scope["path"] in self._routes else "other"
            self._service.metrics.count_request(route, status, time.perf_counter() - began)
