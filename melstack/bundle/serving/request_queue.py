"""The queue of requests: a few are computed at a time, the others wait."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from melstack.bundle.predictions import Predictor
from melstack.bundle.serving.answers import Answer, add_images, build_answer
from melstack.bundle.serving.forms import Form
from melstack.bundle.serving.limits import Limits
from melstack.bundle.serving.refusals import SERVER_FAULT, RefusedError
from melstack.bundle.serving.uploads import Lesions, find_undecodable, refuse_pictures, save_pictures
from runtime.errors import InputFault
from runtime.files import write_json

Rendering = TypeVar("Rendering")
LOG = logging.getLogger(__name__)


class RequestQueue:
    """Answer requests with ``predictor``, ``workers`` at a time; the others wait, up to a limit.

    The pictures are in a temporary folder while a request is answered, or in a new folder inside ``keep`` if it is
    given.
    """

    def __init__(self, predictor: Predictor, limits: Limits, workers: int = 2, keep: Path | None = None) -> None:
        self._predictor, self._limits, self._keep = predictor, limits, keep
        self._pool, self._size = ThreadPoolExecutor(workers, thread_name_prefix="predict"), 0

    @contextmanager
    def reserve_place(self) -> Iterator[None]:
        """Reserve a place while a request is read and answered; raise RefusedError (503) when the queue is full.

        Only the event loop's thread may call it, because the counter has no lock.
        """
        if self._size >= self._limits.waiting:
            raise RefusedError(503, f"{self._size} requests are waiting already, no more are taken; try again later")
        self._size += 1
        try:
            yield
        finally:
            self._size -= 1

    async def submit(
        self, form: Form, render: Callable[[Answer], Rendering], *, attention: bool = False, thumbnails: bool = False
    ) -> Rendering:
        """Return the answer to ``form``, converted by ``render``; a worker computes both.

        Raises RefusedError for files that are not pictures, pictures that are too large or cannot be decoded.
        """

        def work() -> Rendering:
            """Compute the answer in a worker's thread, and store it if the server keeps answers."""
            with self._request_folder() as folder:
                answer = self._compute_answer(form, folder, attention, thumbnails)
                if self._keep is not None:
                    write_json(folder / "answer.json", answer.model_dump())
                return render(answer)

        # A worker does not stop when its request is cancelled, and its files must stay until it ends.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._pool, work))

    def close(self) -> None:
        """Wait for the requests that are being computed, drop the requests that wait, and end the workers."""
        self._pool.shutdown(cancel_futures=True)

    @contextmanager
    def _request_folder(self) -> Iterator[Path]:
        if self._keep is not None:
            folder = self._keep / secrets.token_hex(8)
            folder.mkdir(parents=True)
            yield folder
            return
        with TemporaryDirectory(prefix="melstack-") as name:
            yield Path(name)

    def _compute_answer(self, form: Form, folder: Path, attention: bool, thumbnails: bool) -> Answer:
        lesions = save_pictures(form, folder, self._limits.pixels)
        try:
            answer = build_answer(self._predictor, lesions, self._predictor.predict(lesions.cases, lesions.pictures))
            maps = self._predictor.attention(lesions.cases, lesions.pictures) if attention else None
            return add_images(answer, lesions, maps, thumbnails)
        except Exception as error:
            refuse_pictures(lesions, find_undecodable(lesions))
            if isinstance(error, InputFault):
                raise RefusedError(422, _with_upload_names(str(error), lesions), "form") from error
            LOG.exception("a request failed")
            raise RefusedError(500, SERVER_FAULT) from error


def _with_upload_names(sentence: str, lesions: Lesions) -> str:
    """Return ``sentence`` with the upload names of the pictures instead of their paths and case names."""
    for name, path in lesions.pictures.items():
        sentence = sentence.replace(str(path), name)
    # Split first: an upload name that itself looks like a case name must not be replaced again.
    pieces = sentence.split("lesion_")
    upload_names = {name.removeprefix("lesion_"): upload for name, upload in lesions.upload_names.items()}
    return pieces[0] + "".join(upload_names.get(piece[:3], f"lesion_{piece[:3]}") + piece[3:] for piece in pieces[1:])
