"""The web application: the page for one patient, the interface for programs, and the security rules for both."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import IO, Annotated, Literal, TypeVar

from fastapi import FastAPI, Query, Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from melstack.bundle.predictions import Predictor
from melstack.bundle.serving.answer_models import DISCLAIMER, Answer, HeatMap
from melstack.bundle.serving.answers import render_csv
from melstack.bundle.serving.batch import answer_batch, receive_batch, render_lines
from melstack.bundle.serving.forms import receive_form
from melstack.bundle.serving.limits import BYTES, Limits
from melstack.bundle.serving.openapi import BATCH_BODY, PATIENT_BODY, REFUSALS, describe_interface
from melstack.bundle.serving.operation.bearer_token import TokenMiddleware
from melstack.bundle.serving.operation.refused_bodies import DrainMiddleware
from melstack.bundle.serving.operation.request_log import Observer
from melstack.bundle.serving.page import interface_page, json_value, patient_page, script, style
from melstack.bundle.serving.patient_pdf import render_pdf
from melstack.bundle.serving.refusals import add_error_handlers
from melstack.bundle.serving.request_queue import RequestQueue
from melstack.bundle.serving.security import SecurityMiddleware, content_policy

LOCAL_HOSTS = ("127.0.0.1", "localhost")
DRAIN_SECONDS = 5.0  # to read what a refused client still sends
MOST_DRAIN_BYTES = 50 * BYTES
HeatMaps = Annotated[bool, Query(description="add overlays that show where the networks see melanoma")]
Thumbnails = Annotated[bool, Query(description="add small pictures")]
LineFormat = Annotated[Literal["jsonl", "csv"], Query(alias="format", description="JSON lines, or CSV")]
Rendering = TypeVar("Rendering")


@dataclass(frozen=True)
class Access:
    """Who may use the server: the host names of requests, its address for others, and the token, if it needs one.

    ``address`` is where clients reach it: a proxy's address, or that of the server itself.
    """

    hosts: tuple[str, ...] = LOCAL_HOSTS
    address: str = f"http://{LOCAL_HOSTS[0]}:8000"
    token: str | None = None


def make_application(
    queue: RequestQueue, limits: Limits, access: Access | None = None, log: IO[str] | None = None
) -> FastAPI:
    """Return the application that answers through ``queue``, and closes it when the server stops.

    Requests with another host name and requests of pages of other origins are refused, so that no web page can reach a
    server on this machine. Every request is counted, and written to ``log`` if there is one.
    """
    access = access or Access()

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
    _add_pages(application, queue.predictor, limits, access)
    _add_states(application, queue, limits)
    _add_predictions(application, queue, limits)
    _add_batch(application, queue, limits)
    describe_interface(application, access.address, access.token is not None)
    _add_rules(application, queue, access, log)
    return application


def _add_rules(application: FastAPI, queue: RequestQueue, access: Access, log: IO[str] | None) -> None:
    """Add the rules for all requests; the last one is applied first."""
    if access.token is not None:
        application.add_middleware(TokenMiddleware, token=access.token)
    application.add_middleware(TrustedHostMiddleware, allowed_hosts=list(access.hosts), www_redirect=False)
    policy = content_policy(style(), script())
    application.add_middleware(SecurityMiddleware, policy=policy, address=access.address)
    application.add_middleware(DrainMiddleware, most_bytes=MOST_DRAIN_BYTES, seconds=DRAIN_SECONDS)
    application.add_middleware(Observer, measurements=queue.measurements, log=log)


def _add_pages(application: FastAPI, predictor: Predictor, limits: Limits, access: Access) -> None:
    @application.get("/", response_class=HTMLResponse, include_in_schema=False)
    def page() -> str:
        """Return the patient's page."""
        return patient_page(predictor, limits, needs_token=access.token is not None)

    @application.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    def interface() -> str:
        """Return the page about the interface for programs."""
        return interface_page(application.openapi())

    @application.get("/v1/model")
    def model() -> JSONResponse:
        """Return the facts of the model, its operating points and card, and the limits on a request."""
        facts = {"name": predictor.name, **predictor.facts, "card": predictor.card, "limits": limits.model_dump()}
        points = [point.model_dump() for point in predictor.operating_points]
        return JSONResponse(json_value({**facts, "operating_points": points, "disclaimer": DISCLAIMER}))


def _add_states(application: FastAPI, queue: RequestQueue, limits: Limits) -> None:
    @application.get("/livez")
    def livez() -> dict[str, str]:
        """Report that the server runs."""
        return {"status": "live"}

    @application.get("/readyz", responses={503: {"description": "no place for another request"}})
    def readyz() -> JSONResponse:
        """Report whether the server takes another request now."""
        is_ready = queue.is_ready
        return JSONResponse({"status": "ready" if is_ready else "full"}, 200 if is_ready else 503)

    @application.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> str:
        """Return counts and times in the text format of Prometheus."""
        return queue.measurements.text()


def _add_predictions(application: FastAPI, queue: RequestQueue, limits: Limits) -> None:
    async def respond(request: Request, render: Callable[[Answer], Rendering], **images: bool) -> Rendering:
        """Read the form of ``request`` and return the answer, converted by ``render``."""

        async def answer() -> Rendering:
            """Hold the form while it is answered."""
            async with receive_form(request, limits) as form:
                return await queue.predict(form, render, **images)

        with queue.reserve_place():
            return await queue.or_abort(answer())

    @application.post("/v1/predict", response_model=Answer, responses=REFUSALS, openapi_extra=PATIENT_BODY)
    async def predict(request: Request, heat_maps: HeatMaps = False, thumbnails: Thumbnails = False) -> Response:
        """Predict the lesions of one patient, the highest probability of melanoma first."""
        return JSONResponse(await respond(request, jsonable_encoder, heat_maps=heat_maps, thumbnails=thumbnails))

    @application.post("/v1/predict.csv", response_class=Response, responses=REFUSALS, openapi_extra=PATIENT_BODY)
    async def predict_csv(request: Request) -> Response:
        """Predict the lesions of one patient; the answer is a CSV."""
        return _download(await respond(request, render_csv), "text/csv; charset=utf-8", "lesions.csv")

    @application.post("/v1/predict.pdf", response_class=Response, responses=REFUSALS, openapi_extra=PATIENT_BODY)
    async def predict_pdf(request: Request) -> Response:
        """Predict the lesions of one patient; the answer is a PDF to print, with pictures, overlays and reasons."""
        content = await respond(request, render_pdf, heat_maps=True, thumbnails=True)
        return _download(content, "application/pdf", "lesions.pdf")

    @application.post("/v1/heat-maps", response_model=list[HeatMap], responses=REFUSALS, openapi_extra=PATIENT_BODY)
    async def heat_maps(request: Request) -> Response:
        """Show where the networks see melanoma in each picture, or say why there is nothing to show."""

        async def answer() -> list[HeatMap]:
            """Hold the form while it is answered."""
            async with receive_form(request, limits) as form:
                return await queue.heat_maps(form)

        with queue.reserve_place():
            return JSONResponse(jsonable_encoder(await queue.or_abort(answer())))


def _add_batch(application: FastAPI, queue: RequestQueue, limits: Limits) -> None:
    @application.post("/v1/batch", response_class=StreamingResponse, responses=REFUSALS, openapi_extra=BATCH_BODY)
    async def batch(request: Request, line_format: LineFormat = "jsonl") -> Response:
        """Predict the pictures of many patients; the answer has one line per picture, and comes while it is computed.

        A picture that cannot be decoded gives a line with its error, and so do the others of its patient.
        """
        resources = AsyncExitStack()
        try:
            resources.enter_context(queue.reserve_place())
            content = await queue.or_abort(resources.enter_async_context(receive_batch(request, limits)))
        except BaseException:
            await resources.aclose()
            raise

        async def lines() -> AsyncIterator[str]:
            """Yield the lines of the answer; then let the form and its place go."""
            async with resources:
                first, chunks = True, answer_batch(content, queue)
                while chunk := await queue.or_abort(anext(chunks, None)):
                    yield render_lines(chunk, line_format, first=first)
                    first = False

        kind = "text/csv; charset=utf-8" if line_format == "csv" else "application/jsonl"
        return StreamingResponse(lines(), media_type=kind)


def _download(content: str | bytes, kind: str, name: str) -> Response:
    return Response(content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})
