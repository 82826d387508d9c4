"""Refusals: an HTTP status, a sentence, and the field or pictures at fault."""

from collections.abc import Sequence

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

SERVER_FAULT = "the server failed to answer this request; its log has the error"


class Refusal(BaseModel):
    """Why a request is refused: ``where`` names the field or pictures, ``pictures`` has their positions from 0."""

    error: str
    where: str = ""
    pictures: list[int] = []


class RefusedError(Exception):
    """The error that refuses a request: its HTTP status and a ``Refusal``."""

    def __init__(self, status: int, sentence: str, where: str = "", pictures: Sequence[int] = ()) -> None:
        super().__init__(sentence)
        self.status, self.refusal = status, Refusal(error=sentence, where=where, pictures=list(pictures))


def refusal_response(status: int, refusal: Refusal) -> JSONResponse:
    """Return ``refusal`` as JSON; a 503 has the header Retry-After.

    The connection is closed, because the server would read the rest of the request for nothing.
    """
    retry = {"Retry-After": "10"} if status == 503 else {}
    return JSONResponse(refusal.model_dump(), status, headers={"Connection": "close", **retry})


def add_error_handlers(application: FastAPI) -> None:
    """Make ``application`` answer every error with a ``Refusal``; unexpected errors are logged and give 500."""

    @application.exception_handler(RefusedError)
    async def answer_refusal(request: Request, error: RefusedError) -> Response:
        """Answer with the refusal itself."""
        return refusal_response(error.status, error.refusal)

    @application.exception_handler(RequestValidationError)
    async def answer_invalid_query(request: Request, error: RequestValidationError) -> Response:
        """Answer invalid parameters of the address with 422."""
        first = error.errors()[0]
        return refusal_response(422, Refusal(error=f"{first['msg']}", where=str(first["loc"][-1])))

    @application.exception_handler(HTTPException)
    async def answer_http_error(request: Request, error: HTTPException) -> Response:
        """Answer an unknown address or method."""
        sentence = f"{error.detail}: {request.method} is not available here; /docs lists the requests"
        response = refusal_response(error.status_code, Refusal(error=sentence, where=request.url.path))
        response.headers.update(error.headers or {})
        return response

    @application.exception_handler(ClientDisconnect)
    async def answer_disconnect(request: Request, error: ClientDisconnect) -> Response:
        """Answer 400, so that the log has no traceback; the client is gone."""
        return refusal_response(400, Refusal(error="the client closed the connection before the request was complete"))

    @application.exception_handler(Exception)
    async def answer_unexpected_error(request: Request, error: Exception) -> Response:
        """Answer 500 without details of the error."""
        return refusal_response(500, Refusal(error=SERVER_FAULT))
