"""The web application: the page for one patient, the interface for programs, and the security rules for both."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Query, Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware

from melstack.bundle.predictions import Predictor
from melstack.bundle.serving.answers import DISCLAIMER, Answer, render_csv
from melstack.bundle.serving.forms import BODY, receive_form
from melstack.bundle.serving.limits import Limits
from melstack.bundle.serving.page import interface_page, json_value, patient_page, script, style
from melstack.bundle.serving.patient_pdf import render_pdf
from melstack.bundle.serving.refusals import Refusal, add_error_handlers
from melstack.bundle.serving.request_queue import RequestQueue
from melstack.bundle.serving.security import SecurityMiddleware, content_policy
from runtime.errors import InputFault
from runtime.exit_codes import StopSignal
from runtime.invocation import option
from runtime.progress import say

HOSTS = ("127.0.0.1", "localhost")
REFUSALS: dict[int | str, dict[str, Any]] = {
    408: {"model": Refusal, "description": "the request was not complete in time"},
    413: {"model": Refusal, "description": "too many pictures, bytes or pixels"},
    415: {"model": Refusal, "description": "not a form, or a file that is neither JPEG nor PNG nor DICOM"},
    422: {"model": Refusal, "description": "a damaged picture, or an invalid field"},
    503: {"model": Refusal, "description": "too many requests are waiting"},
}
Attention = Annotated[bool, Query(description="add overlays that show where the networks see melanoma")]
Thumbnails = Annotated[bool, Query(description="add small pictures")]
Rendering = TypeVar("Rendering")


def make_application(
    predictor: Predictor,
    limits: Limits,
    *,
    hosts: tuple[str, ...] = HOSTS,
    workers: int = 2,
    keep: Path | None = None,
) -> FastAPI:
    """Return the application that answers with ``predictor``, ``workers`` requests at a time; the others wait.

    Requests with a host name outside ``hosts`` and requests of pages of other origins are refused, so that no web page
    can reach a server on this machine. Pictures are deleted after the answer, unless a folder ``keep`` is given.
    """
    queue = RequestQueue(predictor, limits, workers, keep)

    @asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[None]:
        """Close the queue when the server stops."""
        yield
        queue.close()

    application = FastAPI(
        title="melstack",
        description=DISCLAIMER,
        docs_url=None,  # FastAPI's own page loads scripts from another server
        redoc_url=None,
        lifespan=lifespan,
        # Send no telemetry, even if OTEL_* variables of the machine ask for it.
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
    )
    add_error_handlers(application)
    _add_pages(application, predictor, limits)
    _add_predictions(application, queue, limits)
    application.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    application.add_middleware(SecurityMiddleware, policy=content_policy(style(), script()))
    return application


def _add_pages(application: FastAPI, predictor: Predictor, limits: Limits) -> None:
    @application.get("/", response_class=HTMLResponse, include_in_schema=False)
    def page() -> str:
        """Return the patient's page."""
        return patient_page(predictor, limits)

    @application.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    def interface() -> str:
        """Return the page about the interface for programs."""
        return interface_page(application.openapi())

    @application.get("/health")
    def health() -> dict[str, str]:
        """Report that the server is ready."""
        return {"status": "ready"}

    @application.get("/api/model")
    def model() -> JSONResponse:
        """Return the facts of the model, its operating points and card, and the limits on a request."""
        facts = {"name": predictor.name, **predictor.facts, "card": predictor.card, "limits": limits.model_dump()}
        points = [point.model_dump() for point in predictor.operating_points]
        return JSONResponse(json_value({**facts, "operating_points": points, "disclaimer": DISCLAIMER}))


def _add_predictions(application: FastAPI, queue: RequestQueue, limits: Limits) -> None:
    async def respond(request: Request, render: Callable[[Answer], Rendering], **images: bool) -> Rendering:
        """Read the form of ``request`` and return the answer, converted by ``render``."""
        with queue.reserve_place():
            async with receive_form(request, limits) as form:
                return await queue.submit(form, render, **images)

    @application.post("/api/predict", response_model=Answer, responses=REFUSALS, openapi_extra=BODY)
    async def predict(request: Request, attention: Attention = False, thumbnails: Thumbnails = False) -> Response:
        """Predict the lesions of one patient, the highest probability of melanoma first."""
        return JSONResponse(await respond(request, jsonable_encoder, attention=attention, thumbnails=thumbnails))

    @application.post("/api/predict.csv", response_class=Response, responses=REFUSALS, openapi_extra=BODY)
    async def predict_csv(request: Request) -> Response:
        """Predict the lesions of one patient; the answer is a CSV."""
        return _download(await respond(request, render_csv), "text/csv; charset=utf-8", "lesions.csv")

    @application.post("/api/predict.pdf", response_class=Response, responses=REFUSALS, openapi_extra=BODY)
    async def predict_pdf(request: Request) -> Response:
        """Predict the lesions of one patient; the answer is a PDF to print, with pictures, overlays and reasons."""
        content = await respond(request, render_pdf, attention=True, thumbnails=True)
        return _download(content, "application/pdf", "lesions.pdf")


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
    """Serve the page of ``predictor`` until Ctrl-C or SIGTERM; port 0: a free port. Only ``keep`` stores pictures.

    Requests that are being answered at the end are answered first; an end by signal is not an error. The page has no
    password, so InputFault is raised for a host other than this machine unless ``open_to_others``; also for a port
    that is in use.
    """
    check_host(host, open_to_others)
    import uvicorn

    with open_listener(host, port) as listener:
        application = make_application(predictor, limits, hosts=_hosts(host), keep=keep)
        # No access log: it would record which patients' files were requested. The page uses no web sockets.
        settings = uvicorn.Config(application, log_level="warning", access_log=False, ws="none", server_header=False)
        address = f"http://{host}:{listener.getsockname()[1]}"
        say(f"{predictor.name}: {address} (stop with Ctrl-C); not a medical device")
        with suppress(StopSignal):
            uvicorn.Server(settings).run(sockets=[listener])
    say(f"{predictor.name}: closed")


def check_host(host: str, open_to_others: bool) -> None:
    """Raise InputFault unless ``host`` is this machine or ``open_to_others`` is set."""
    if host not in HOSTS and not open_to_others:
        raise InputFault(
            f"host {host!r}: the page has no password and is bound to {HOSTS[0]} only; "
            f"{option('open_to_others', True)} allows other machines to use it"
        )


def open_listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens on ``host`` and ``port``; raise InputFault if the port cannot be opened."""
    try:
        return socket.create_server((host, port), backlog=1024)
    except OSError as error:
        raise InputFault(
            f"{host}:{port}: the port cannot be opened ({error.strerror}); if another program uses it, choose "
            f"another port ({option('port', 0)}: a free one)"
        ) from error


def _hosts(host: str) -> tuple[str, ...]:
    """Return the host names under which requests are answered: all if the page is bound to every address."""
    return ("*",) if host in ("0.0.0.0", "") else tuple({*HOSTS, host})
