"""The web application: the page for one patient, the interface it uses, and what guards both."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Query, Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware

from melstack.bundle.predicted import Predictor
from melstack.bundle.serving.answers import DISCLAIMER, Answer, csv_of
from melstack.bundle.serving.forms import BODY, received
from melstack.bundle.serving.guard import Guard, content_policy
from melstack.bundle.serving.limits import Limits
from melstack.bundle.serving.page import interface_page, patient_page, plain, script, style
from melstack.bundle.serving.patient_pdf import pdf_of
from melstack.bundle.serving.queue import Desk
from melstack.bundle.serving.refusals import Refusal, answer_faults
from runtime.errors import InputFault
from runtime.exit_codes import StopSignal
from runtime.progress import say

HOSTS = ("127.0.0.1", "localhost")
REFUSALS: dict[int | str, dict[str, Any]] = {
    408: {"model": Refusal, "description": "the form did not come to its end"},
    413: {"model": Refusal, "description": "too many pictures, bytes or pixels"},
    415: {"model": Refusal, "description": "not a form, or a file that is neither JPEG nor PNG nor DICOM"},
    422: {"model": Refusal, "description": "a broken picture, or a field that cannot be used"},
    503: {"model": Refusal, "description": "too many requests are waiting"},
}
Attention = Annotated[bool, Query(description="with overlays of where the networks see melanoma")]
Thumbnails = Annotated[bool, Query(description="with small pictures")]
Made = TypeVar("Made")


def make_application(
    predictor: Predictor,
    limits: Limits,
    *,
    hosts: tuple[str, ...] = HOSTS,
    workers: int = 2,
    keep: Path | None = None,
) -> FastAPI:
    """Return the application that asks ``predictor``; ``workers`` requests are answered at a time, others wait.

    Requests under other host names than ``hosts``, and those of pages of other origins, are refused: a page somewhere
    on the web must not reach a server on this machine. Pictures are gone when they are answered, unless a folder is
    given in which to ``keep`` them.
    """
    desk = Desk(predictor, limits, workers, keep)

    @asynccontextmanager
    async def life(application: FastAPI) -> AsyncIterator[None]:
        yield
        desk.close()

    application = FastAPI(
        title="melstack",
        description=DISCLAIMER,
        docs_url=None,  # FastAPI's own page loads from elsewhere
        redoc_url=None,
        lifespan=life,
        # Nothing is told to anyone, whatever OTEL_* variables say of the machine.
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
    )
    answer_faults(application)
    _add_pages(application, predictor, limits)
    _add_predictions(application, desk, limits)
    application.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    application.add_middleware(Guard, policy=content_policy(style(), script()))
    return application


def _add_pages(application: FastAPI, predictor: Predictor, limits: Limits) -> None:
    @application.get("/", response_class=HTMLResponse, include_in_schema=False)
    def page() -> str:
        return patient_page(predictor, limits)

    @application.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    def interface() -> str:
        return interface_page(application.openapi())

    @application.get("/health")
    def health() -> dict[str, str]:
        """Say that the server is there."""
        return {"status": "ready"}

    @application.get("/api/model")
    def model() -> JSONResponse:
        """Return what is known of the model, its card, and how much a request may bring."""
        told = {"name": predictor.name, **predictor.facts, "card": predictor.card, "limits": limits.model_dump()}
        return JSONResponse(plain({**told, "disclaimer": DISCLAIMER}))


def _add_predictions(application: FastAPI, desk: Desk, limits: Limits) -> None:
    async def ask(request: Request, render: Callable[[Answer], Made], **pictures: bool) -> Made:
        with desk.place():
            async with received(request, limits) as form:
                return await desk.ask(form, render, **pictures)

    @application.post("/api/predict", response_model=Answer, responses=REFUSALS, openapi_extra=BODY)
    async def predict(request: Request, attention: Attention = False, thumbnails: Thumbnails = False) -> Response:
        """Predict the lesions of one patient: the most probable melanoma first."""
        made = await ask(request, jsonable_encoder, attention=attention, thumbnails=thumbnails)
        return JSONResponse(made)

    @application.post("/api/predict.csv", response_class=Response, responses=REFUSALS, openapi_extra=BODY)
    async def predict_csv(request: Request) -> Response:
        """Predict the lesions of one patient, as CSV."""
        return _download(await ask(request, csv_of), "text/csv; charset=utf-8", "lesions.csv")

    @application.post("/api/predict.pdf", response_class=Response, responses=REFUSALS, openapi_extra=BODY)
    async def predict_pdf(request: Request) -> Response:
        """Predict the lesions of one patient, as PDF to print: pictures, overlays, reasons."""
        made = await ask(request, pdf_of, attention=True, thumbnails=True)
        return _download(made, "application/pdf", "lesions.pdf")


def _download(content: str | bytes, kind: str, name: str) -> Response:
    return Response(content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def serve(
    predictor: Predictor,
    limits: Limits,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    open_to_others: bool = False,
    keep: Path | None = None,
) -> None:
    """Serve the page of ``predictor`` until Ctrl-C or SIGTERM; port 0 takes a free one. Only ``keep`` gets pictures.

    What is being answered then is answered; to be asked to end is no fault.

    The page has no password: who reaches it may use it. So InputFault is raised for another host than this machine
    unless it is ``open_to_others``; and for a port that is taken.
    """
    check_host(host, open_to_others)
    import uvicorn

    with listening(host, port) as listener:
        application = make_application(predictor, limits, hosts=_hosts(host), keep=keep)
        # Web sockets are not spoken; the access log would name what patients' files were asked for.
        settings = uvicorn.Config(application, log_level="warning", access_log=False, ws="none", server_header=False)
        address = f"http://{host}:{listener.getsockname()[1]}"
        say(f"{predictor.name}: {address} (Ctrl-C ends it); not a medical device")
        with suppress(StopSignal):
            uvicorn.Server(settings).run(sockets=[listener])
    say(f"{predictor.name}: closed")


def check_host(host: str, open_to_others: bool) -> None:
    """Raise InputFault unless ``host`` is this machine, or the page is to be ``open_to_others``."""
    if host not in HOSTS and not open_to_others:
        raise InputFault(
            f"host {host!r}: the page has no password, so it is bound to {HOSTS[0]}; to let others use it, say so "
            "(--open-to-others)"
        )


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens on ``host`` and ``port``; raise InputFault where that is not possible."""
    try:
        return socket.create_server((host, port), backlog=1024)
    except OSError as error:
        raise InputFault(f"{host}:{port} cannot be listened on ({error.strerror}); is another page served?") from error


def _hosts(host: str) -> tuple[str, ...]:
    """Return the names under which requests are answered: any where the page is bound to every address."""
    return ("*",) if host in ("0.0.0.0", "") else tuple({*HOSTS, host})
