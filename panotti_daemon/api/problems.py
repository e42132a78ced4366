"""Errors as RFC 9457 problems, which say what to do and nothing of the inside."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from panotti_daemon.api.schemas import Problem
from panotti_daemon.errors import DatabaseError, PanottiError, PermanentError, Unavailable

log = structlog.get_logger(__name__)


MEDIA_TYPE = "application/problem+json"


def problem(
    status: int, detail: str, title: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    body = Problem(title=title or HTTPStatus(status).phrase, status=status, detail=detail)
    return JSONResponse(body.model_dump(), status, headers, MEDIA_TYPE)


def _status(error: PanottiError) -> int:
    if isinstance(error, PermanentError):
        return 404
    return 503 if isinstance(error, DatabaseError | Unavailable) else 409


def handle_problems(app: FastAPI) -> None:
    @app.exception_handler(PanottiError)
    async def _panotti(_: Request, error: PanottiError) -> JSONResponse:
        return problem(_status(error), error.message, error.title)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return problem(422, f"{where}: {first['msg'].removeprefix('Value error, ')}")

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail), headers=error.headers)

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("request failed", route=request.url.path, exc_info=error)
        return problem(500, "Something went wrong inside; the log says what.")
