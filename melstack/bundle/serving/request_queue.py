"""The queue of requests: pictures are decoded in other processes, a few answers are computed at a time, others wait."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from melstack.bundle.predictions import Predictor
from melstack.bundle.serving.answer_models import Answer, HeatMap
from melstack.bundle.serving.answers import add_heat_maps, add_thumbnails, build_answer, draw_heat_maps
from melstack.bundle.serving.decoding.decoders import Decoders, Order
from melstack.bundle.serving.forms import Form
from melstack.bundle.serving.limits import Limits
from melstack.bundle.serving.operation.measurements import Measurements
from melstack.bundle.serving.refusals import SERVER_FAULT, RefusedError
from melstack.bundle.serving.uploads import Lesions, decode_form
from runtime.errors import InputFault
from runtime.files import write_json
from runtime.machine.cores import allowed_cores

Result = TypeVar("Result")
LOG = logging.getLogger(__name__)
STOPPING = "the server is being stopped; send the request again to the one that takes its place"
MOST_DECODERS = 4  # processes; a request waits for its pictures, and each process has some 100 MB


class RequestQueue:
    """Answer requests with ``predictor``, ``workers`` at a time; the others wait, up to a limit.

    Pictures stay in memory while a request is answered; they are stored in a new folder inside ``keep`` if it is given.
    """

    def __init__(self, predictor: Predictor, limits: Limits, workers: int = 2, keep: Path | None = None) -> None:
        self._predictor, self._limits, self._keep, self._size = predictor, limits, keep, 0
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="predict")
        self._aborts: set[asyncio.Future[None]] = set()
        self.measurements = Measurements()
        self.measurements.ready.set(1)
        self.decoders = Decoders(
            min(MOST_DECODERS, allowed_cores()), limits, lambda reason: self.measurements.kills.labels(reason).inc()
        )

    @property
    def is_ready(self) -> bool:
        """Whether another request would be taken."""
        return self._size < self._limits.waiting

    @contextmanager
    def reserve_place(self) -> Iterator[None]:
        """Reserve a place while a request is read and answered; raise RefusedError (503) when the queue is full.

        Only the event loop's thread may call it, because the counter has no lock.
        """
        if not self.is_ready:
            raise RefusedError(503, f"{self._size} requests are waiting already, no more are taken; try again later")
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    async def or_abort(self, answer: Coroutine[Any, Any, Result]) -> Result:
        """Return the result of ``answer``; raise RefusedError (503) if the server's time to stop is over before."""
        abort, task = asyncio.get_running_loop().create_future(), asyncio.ensure_future(answer)
        self._aborts.add(abort)
        try:
            await asyncio.wait({abort, task}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise RefusedError(503, STOPPING)
            return task.result()
        finally:
            self._aborts.discard(abort)
            task.cancel()

    def abort(self) -> None:
        """Refuse all requests that are not answered yet (503)."""
        for abort in self._aborts:
            if not abort.done():
                abort.set_result(None)

    async def predict(
        self, form: Form, render: Callable[[Answer], Result], *, heat_maps: bool = False, thumbnails: bool = False
    ) -> Result:
        """Return the answer to ``form``, converted by ``render``; a worker computes both.

        Raises RefusedError for files that are not pictures, that are too large, or that cannot be decoded.
        """
        order = Order(self._predictor.square_sizes, thumbnail=thumbnails or heat_maps)
        lesions = await decode_form(form, self.decoders, order)

        def work() -> Result:
            """Compute the answer in a worker's thread, and store it if the server keeps answers."""
            predictions = self._predictor.predict_scans(lesions.cases, lesions.scan_results)
            answer = build_answer(self._predictor, lesions, predictions)
            answer = add_thumbnails(answer, lesions) if thumbnails else answer
            answer = add_heat_maps(answer, self._heat_maps(lesions)) if heat_maps else answer
            self.measurements.pictures.inc(len(answer.lesions))
            self._store(form, answer)
            return render(answer)

        return await self._compute(lesions, work)

    async def heat_maps(self, form: Form) -> list[HeatMap]:
        """Return a heat map for every picture of ``form``; raises RefusedError as ``predict`` does."""
        order = Order(self._predictor.square_sizes, measure=False, thumbnail=True)
        lesions = await decode_form(form, self.decoders, order)
        return await self._compute(lesions, lambda: self._heat_maps(lesions))

    async def compute(self, work: Callable[[], Result]) -> Result:
        """Return what ``work`` returns in a worker's thread, when one is free."""
        # A worker does not stop when its request is cancelled.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._pool, work))

    @property
    def predictor(self) -> Predictor:
        """The predictor that answers."""
        return self._predictor

    def close(self) -> None:
        """End the decoders; wait for the answers that are being computed, and drop the requests that wait."""
        self.decoders.close()
        self._pool.shutdown(cancel_futures=True)

    def _count(self, change: int) -> None:
        self._size += change
        self.measurements.waiting.set(self._size)
        self.measurements.ready.set(self.is_ready)

    def _heat_maps(self, lesions: Lesions) -> list[HeatMap]:
        return draw_heat_maps(lesions, self._predictor.attention_of_scans(lesions.cases, lesions.scan_results))

    async def _compute(self, lesions: Lesions, work: Callable[[], Result]) -> Result:
        try:
            return await self.compute(work)
        except InputFault as error:
            raise RefusedError(422, _with_upload_names(str(error), lesions), "form") from error
        except Exception as error:
            LOG.exception("a request failed")
            raise RefusedError(500, SERVER_FAULT) from error

    def _store(self, form: Form, answer: Answer) -> None:
        """Write the pictures and the answer into a new folder, if the server keeps them."""
        if self._keep is None:
            return
        folder = self._keep / secrets.token_hex(8)
        folder.mkdir(parents=True)
        for number, upload in enumerate(form.pictures):
            upload.file.seek(0)
            (folder / f"lesion_{number + 1:03d}.picture").write_bytes(upload.file.read())
        write_json(folder / "answer.json", answer.model_dump())


def _with_upload_names(sentence: str, lesions: Lesions) -> str:
    """Return ``sentence`` with the upload names of the pictures instead of their case names."""
    # Split first: an upload name that itself looks like a case name must not be replaced again.
    pieces = sentence.split("lesion_")
    upload_names = {name.removeprefix("lesion_"): upload for name, upload in lesions.upload_names.items()}
    return pieces[0] + "".join(upload_names.get(piece[:3], f"lesion_{piece[:3]}") + piece[3:] for piece in pieces[1:])
