"""A few decoding processes that are kept ready: each decodes one picture at a time, and a killed one is replaced."""

import base64
import json
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from queue import SimpleQueue
from typing import Any

from features.pictures.scan import ScanResult
from melstack.bundle.serving.decoding import work
from melstack.bundle.serving.decoding.cheap_checks import Fault
from melstack.bundle.serving.limits import Limits

START_SECONDS = 60  # for a process to import its libraries on a busy machine
LARGEST_ANSWER = 100_000_000  # bytes


@dataclass(frozen=True)
class DecodedPicture:
    """A picture as the networks read it: squares and statistics in ``scan``; ``size``: width, height, file_bytes."""

    scan: ScanResult
    size: dict[str, int]
    thumbnail: bytes | None


@dataclass(frozen=True)
class Order:
    """What is wanted of a picture: squares of ``sizes`` px, its statistics, a thumbnail (JPEG)."""

    sizes: Sequence[int]
    measure: bool = True
    thumbnail: bool = False


class Decoders:
    """Processes that decode pictures within ``limits``; threads may share them.

    ``on_kill`` is called with the reason, "time" or "crash", whenever a process is replaced.
    """

    def __init__(self, count: int, limits: Limits, on_kill: Callable[[str], object] = lambda reason: None) -> None:
        self._limits, self._on_kill, context = limits, on_kill, _context()
        self._all = [_Process(context, limits) for _ in range(count)]
        self._free: SimpleQueue[_Process] = SimpleQueue()
        for process in self._all:
            self._free.put(process)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="decode")

    def decode_all(self, reads: Iterable[Callable[[], bytes]], order: Order) -> list[Future[DecodedPicture | Fault]]:
        """Start to decode the pictures that ``reads`` return, as many at once as there are processes."""
        return [self._threads.submit(self._read_and_decode, read, order) for read in reads]

    def decode(self, content: bytes, order: Order) -> DecodedPicture | Fault:
        """Return the picture in the bytes ``content``, or the fault why it cannot be decoded within the limits."""
        process = self._free.get()
        try:
            answer = process.ask(content, order)
        finally:
            self._free.put(process)
        if isinstance(answer, dict):
            return _read_answer(answer)
        self._on_kill(answer)
        return work.timeout_fault(self._limits) if answer == "time" else work.crash_fault(self._limits)

    def _read_and_decode(self, read: Callable[[], bytes], order: Order) -> DecodedPicture | Fault:
        return self.decode(read(), order)

    def close(self) -> None:
        """End the processes at once, also those that decode."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._all:
            process.end()


class _Process:
    """One decoding process, started again after it was killed."""

    def __init__(self, context: BaseContext, limits: Limits) -> None:
        self._context, self._limits, self._may_restart = context, limits, True
        self._start()

    def ask(self, content: bytes, order: Order) -> dict[str, Any] | str:
        """Return the answer for a picture, or why the process had to be replaced: "time" or "crash"."""
        if not self._process.is_alive():  # the system ended it between two pictures
            self._start()
        try:
            self._await_start()
            self._connection.send_bytes(json.dumps(vars(order)).encode())
            self._connection.send_bytes(content)
            if self._connection.poll(self._limits.decode_seconds):
                answer: dict[str, Any] = json.loads(self._connection.recv_bytes(LARGEST_ANSWER))
                return answer
            reason = "time"
        except (EOFError, OSError, ValueError):
            reason = "crash"
        self._replace()
        return reason

    def end(self) -> None:
        """Kill the process; it is not started again."""
        self._may_restart = False
        self._process.kill()

    def _start(self) -> None:
        self._connection, theirs = self._context.Pipe()
        self._process = self._context.Process(  # type: ignore[attr-defined]  # every context has it
            target=work.serve_decoder, args=(theirs, self._limits), daemon=True
        )
        self._process.start()
        theirs.close()
        self._is_ready = False

    def _await_start(self) -> None:
        if not self._is_ready and not self._connection.poll(START_SECONDS):
            raise OSError("the decoding process did not start")
        if not self._is_ready:
            self._connection.recv_bytes()
            self._is_ready = True

    def _replace(self) -> None:
        self._process.kill()
        self._process.join()
        self._connection.close()
        if self._may_restart:
            self._start()

    _connection: Connection


def _context() -> BaseContext:
    """Return how processes start: from a process that has the libraries already, where the system allows it."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", work.__name__])
    return context


def _read_answer(answer: dict[str, Any]) -> DecodedPicture | Fault:
    if "fault" in answer:
        status, sentence = answer["fault"]
        return int(status), str(sentence)
    squares = {int(side): base64.b64decode(text) for side, text in answer["squares"].items()}
    statistics = {str(name): float(value) for name, value in answer["statistics"].items()}
    size = {str(name): int(value) for name, value in answer["size"].items()}
    thumbnail = base64.b64decode(answer["thumbnail"]) if answer["thumbnail"] else None
    return DecodedPicture(ScanResult("", statistics, squares), size, thumbnail)
