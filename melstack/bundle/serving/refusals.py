"""How a request is refused: an HTTP status, a sentence, and where the fault lies."""

from collections.abc import Sequence

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect


class Refusal(BaseModel):
    """Why a request is not answered: ``where`` names the field or pictures, ``pictures`` their places from 0."""

    error: str
    where: str = ""
    pictures: list[int] = []


class RefusedError(Exception):
    """A request that is not answered: its HTTP status and a ``Refusal``."""

    def __init__(self, status: int, sentence: str, where: str = "", pictures: Sequence[int] = ()) -> None:
        super().__init__(sentence)
        self.status, self.refusal = status, Refusal(error=sentence, where=where, pictures=list(pictures))


def refusal_response(status: int, refusal: Refusal) -> JSONResponse:
    """Return ``refusal`` as JSON; where the server is too busy, with the time after which to ask again.

    The connection ends with it: what is still to come of the request would be read for nothing.
    """
    again = {"Retry-After": "10"} if status == 503 else {}
    return JSONResponse(refusal.model_dump(), status, headers={"Connection": "close", **again})


def answer_faults(application: FastAPI) -> None:
    """Let every fault of ``application`` be answered by a ``Refusal``; what nobody foresaw is logged and gives 500."""

    @application.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> Response:
        return refusal_response(error.status, error.refusal)

    @application.exception_handler(RequestValidationError)
    async def unfit(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return refusal_response(422, Refusal(error=f"{first['msg']}", where=str(first["loc"][-1])))

    @application.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        sentence = f"{error.detail}: {request.method} is not answered here; /docs says what is"
        response = refusal_response(error.status_code, Refusal(error=sentence, where=request.url.path))
        response.headers.update(error.headers or {})
        return response

    @application.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return refusal_response(400, Refusal(error="the request ended before all of it had come"))

    @application.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> Response:
        return refusal_response(500, Refusal(error="the server failed at this request; its log says where"))
