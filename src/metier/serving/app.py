"""The routes of the server."""

from __future__ import annotations

import json
import math
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from metier.runtime.session import Predictions
from metier.serving import schema
from metier.serving.front import Front
from metier.serving.limits import Refused
from metier.serving.metrics import CONTENT_TYPE
from metier.serving.page import render_page
from metier.serving.service import Service, describe

ANYTHING: schema.Schema = {"type": "object"}


def create_app(service: Service) -> ASGIApp:
    """Return the application; the service starts and closes with it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        service.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    _add_predict(app, service)
    _add_reading(app, service)
    contract = _contract(app, service)
    app.add_api_route("/openapi.json", lambda: JSONResponse(contract), include_in_schema=False)
    app.add_exception_handler(Refused, _refuse)
    app.add_exception_handler(HTTPException, _of_the_router)
    app.add_exception_handler(Exception, _own_fault)
    routes = frozenset({*contract["paths"], "/openapi.json"})
    return Front(app, service, routes)


def _add_predict(app: FastAPI, service: Service) -> None:
    decision = service.bundle.manifest.decision

    async def predict(request: Request) -> Response:
        """Answer rows, in their order; one that cannot be read has a reason instead."""
        headers = request.headers
        waits = headers.get("expect", "").lower() == "100-continue"
        length = headers.get("content-length")
        began = time.perf_counter()
        async with service.bodies.reading(request.receive, length, waits) as body:
            asked = service.reader.read(body, headers.get("content-type", ""))
            found = await service.batcher.ask(asked.columns, asked.count, asked.asked)
        content = write_answer(found, asked.warnings)
        spent = {"Server-Timing": f"total;dur={1000 * (time.perf_counter() - began):.1f}"}
        return Response(content, media_type="application/json", headers=spent)

    app.add_api_route(
        "/predict",
        predict,
        methods=["POST"],
        responses={
            **schema.success(schema.predictions(decision)),
            **schema.responses(*_barred(service, 400, 408, 413, 415, 422, 503, 504)),
        },
        openapi_extra={
            "requestBody": schema.request_body(
                service.reader.wanted, service.limits.rows, service.reader.doubt
            )
        },
    )


def _add_reading(app: FastAPI, service: Service) -> None:
    page = render_page()

    async def health() -> Response:
        """Say whether requests are welcome: for load balancers and containers."""
        if service.draining:
            return JSONResponse({"status": "shutting down"}, 503, {"Retry-After": "1"})
        return JSONResponse({"status": "ok"})

    async def metadata() -> Response:
        """Say what the bundle predicts, from what, and what it was made with."""
        return JSONResponse(describe(service))

    async def metrics() -> Response:
        """Give all counters in the text format of Prometheus."""
        return Response(service.count(), media_type=CONTENT_TYPE)

    async def drift() -> Response:
        """Say whether the last rows look like those of training; null where nobody knows."""
        found = None if service.monitor is None else service.monitor.report().to_json()
        return JSONResponse({"drift": found})

    async def playground() -> Response:
        """Give the page on which a person can try the bundle."""
        return HTMLResponse(page.html, headers={"content-security-policy": page.policy})

    text = {"type": "string"}
    barred = schema.responses(*_barred(service))
    for path, answer, kind, refusals in (
        ("/health", health, "application/json", schema.responses(503)),
        ("/metadata", metadata, "application/json", barred),
        ("/metrics", metrics, "text/plain", barred),
        ("/drift", drift, "application/json", barred),
        ("/", playground, "text/html", {}),
    ):
        given = ANYTHING if kind == "application/json" else text
        app.add_api_route(path, answer, responses={**schema.success(given, kind), **refusals})


def _barred(service: Service, *statuses: int) -> tuple[int, ...]:
    """The refusals of a route behind the door."""
    return tuple(sorted({*statuses, 401})) if service.door.locked else statuses


def _contract(app: FastAPI, service: Service) -> dict[str, Any]:
    from metier import __version__

    contract = get_openapi(title="metier", version=__version__, routes=app.routes)
    if service.door.locked:
        bearer = {"type": "http", "scheme": "bearer"}
        contract.setdefault("components", {})["securitySchemes"] = {"token": bearer}
        for path, operations in contract["paths"].items():
            for operation in operations.values():
                operation["security"] = [] if path in ("/", "/health") else [{"token": []}]
    return contract


def write_answer(found: Predictions, warnings: Sequence[str]) -> bytes:
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
    content = {"predictions": rows, "warnings": list(warnings)}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _beside(found: Predictions, row: int, read: bool) -> dict[str, Any]:
    """The set or the interval of a row, when they were asked for."""
    told: dict[str, Any] = {} if found.sets is None else {"set": found.sets[row]}
    for name, bounds in (("low", found.low), ("high", found.high)):
        if bounds is not None:
            told[name] = float(bounds[row]) if read else None
    return told


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    if error.status in (400, 408, 413):
        headers["Connection"] = "close"
    return JSONResponse({"error": error.told}, error.status, headers)


async def _of_the_router(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail.lower()}, error.status_code, error.headers)


async def _own_fault(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "a fault of the server, which has written it down"}, 500)
