"""The routes of the server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from metier.serving import schema
from metier.serving.answers import FAULT
from metier.serving.front import Front
from metier.serving.metrics import CONTENT_TYPE
from metier.serving.page import render_page
from metier.serving.predicting import PATH, Predicting, contract_of
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
    _add_reading(app, service)
    contract = _contract(app, service)
    app.add_api_route("/openapi.json", lambda: JSONResponse(contract), include_in_schema=False)
    app.add_exception_handler(HTTPException, _of_the_router)
    app.add_exception_handler(Exception, _own_fault)
    routes = frozenset({*contract["paths"], "/openapi.json"})
    return Front(app, Predicting(service), service, routes)


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

    # Load balancers and `curl -I` ask so; the answer is that of GET without its body.
    app.add_api_route("/health", health, methods=["HEAD"], include_in_schema=False)
    text = {"type": "string"}
    barred = schema.responses(*service.refusals())
    for path, answer, kind, refusals in (
        ("/health", health, "application/json", schema.responses(503)),
        ("/metadata", metadata, "application/json", barred),
        ("/metrics", metrics, "text/plain", barred),
        ("/drift", drift, "application/json", barred),
        ("/", playground, "text/html", {}),
    ):
        given = ANYTHING if kind == "application/json" else text
        app.add_api_route(path, answer, responses={**schema.success(given, kind), **refusals})


def _contract(app: FastAPI, service: Service) -> dict[str, Any]:
    from metier import __version__

    contract = get_openapi(title="metier", version=__version__, routes=app.routes)
    contract["paths"] = {PATH: {"post": contract_of(service)}, **contract["paths"]}
    if service.door.locked:
        bearer = {"type": "http", "scheme": "bearer"}
        contract.setdefault("components", {})["securitySchemes"] = {"token": bearer}
        for path, operations in contract["paths"].items():
            for operation in operations.values():
                operation["security"] = [] if path in ("/", "/health") else [{"token": []}]
    return contract


async def _of_the_router(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail.lower()}, error.status_code, error.headers)


async def _own_fault(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": FAULT}, 500)
