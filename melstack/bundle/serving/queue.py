"""Where requests wait for their turn, and are answered a few at a time."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from melstack.bundle.predicted import Predictor
from melstack.bundle.serving.answers import Answer, answer, with_pictures
from melstack.bundle.serving.forms import Form
from melstack.bundle.serving.limits import Limits
from melstack.bundle.serving.refusals import RefusedError
from melstack.bundle.serving.uploads import Lesions, lay_out, refuse, undecodable
from runtime.errors import InputFault
from runtime.files import write_json

Made = TypeVar("Made")
LOG = logging.getLogger(__name__)


class Desk:
    """Answers requests with ``predictor``, ``workers`` at a time; the others wait, up to a limit.

    Pictures lie in a temporary folder until the answer is made, or in a new folder within ``keep`` if that is given.
    """

    def __init__(self, predictor: Predictor, limits: Limits, workers: int = 2, keep: Path | None = None) -> None:
        self._predictor, self._limits, self._keep = predictor, limits, keep
        self._pool, self._held = ThreadPoolExecutor(workers, thread_name_prefix="predict"), 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place while a request is read and answered; raise RefusedError (503) when all are taken.

        For the event loop's thread alone.
        """
        if self._held >= self._limits.waiting:
            raise RefusedError(503, f"{self._held} requests are waiting already; ask again in a moment")
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    async def ask(
        self, form: Form, render: Callable[[Answer], Made], *, attention: bool = False, thumbnails: bool = False
    ) -> Made:
        """Return what ``render`` makes of the answer to ``form``; both are computed by a worker.

        Raises RefusedError for pictures that are none, are too large, or cannot be decoded.
        """

        def work() -> Made:
            with self._room() as folder:
                made = self._answered(form, folder, attention, thumbnails)
                if self._keep is not None:
                    write_json(folder / "answer.json", made.model_dump())
                return render(made)

        # A worker does not stop when a request is cancelled, and must not lose its files meanwhile.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._pool, work))

    def close(self) -> None:
        """Let the workers finish what they do, and end."""
        self._pool.shutdown(cancel_futures=True)

    @contextmanager
    def _room(self) -> Iterator[Path]:
        if self._keep is not None:
            folder = self._keep / secrets.token_hex(8)
            folder.mkdir(parents=True)
            yield folder
            return
        with TemporaryDirectory(prefix="melstack-") as name:
            yield Path(name)

    def _answered(self, form: Form, folder: Path, attention: bool, thumbnails: bool) -> Answer:
        lesions = lay_out(form, folder, self._limits.pixels)
        try:
            made = answer(self._predictor, lesions, self._predictor.predict(lesions.cases, lesions.pictures))
            heat = self._predictor.attention(lesions.cases, lesions.pictures) if attention else {}
            return with_pictures(made, lesions, heat, thumbnails)
        except Exception as error:
            refuse(lesions, undecodable(lesions))
            if isinstance(error, InputFault):
                raise RefusedError(422, _in_their_names(str(error), lesions), "form") from error
            LOG.exception("a request failed")
            raise RefusedError(500, "the server failed at this request; its log says where") from error


def _in_their_names(sentence: str, lesions: Lesions) -> str:
    """Return ``sentence`` with the names that the pictures came with, in place of the made ones."""
    for name, path in lesions.pictures.items():
        sentence = sentence.replace(str(path), name)
    pieces = sentence.split("lesion_")
    known = {name.removeprefix("lesion_"): shown for name, shown in lesions.shown.items()}
    return pieces[0] + "".join(known.get(piece[:3], f"lesion_{piece[:3]}") + piece[3:] for piece in pieces[1:])
