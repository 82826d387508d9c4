"""The work of a decoding process: one picture after the other from a pipe, under limits of memory and time.

Orders and answers are JSON, because an answer of a process that a picture took over must not execute anything.
"""

import base64
import importlib
import json
import logging
import signal
import sys
import warnings
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from features.pictures.jpeg_png import Picture
from features.pictures.read import encode_jpeg, picture_of_bytes, shrink
from features.pictures.scan import decoded_shortest, scan_picture
from melstack.bundle.serving.decoding.cheap_checks import Fault, first_fault, read_size
from melstack.bundle.serving.limits import BYTES, Limits
from runtime.errors import InputFault

THUMBNAIL_LONGEST = 360  # px
THUMBNAIL_QUALITY = 85
BACKSTOP_SECONDS = 5  # after its time limit a process ends itself, should the server be gone
READY = b"ready"
WORDLESS = "available plugins: pydicom: )"  # end of pydicom's error when it lacks memory, the only one without words
TOO_MUCH_MEMORY = "decoding it takes more than {:g} MB of memory; send a smaller picture"

Answer = dict[str, Any]


def serve_decoder(connection: Connection, limits: Limits) -> None:
    """Answer the orders that come through ``connection`` until it is closed; first send READY."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server gets it too, and ends this process when it is done
    warnings.simplefilter("ignore")  # a strange picture must not write into the server's log
    logging.disable()
    _limit_resources(limits)
    connection.send_bytes(READY)
    while True:
        try:
            order, content = json.loads(connection.recv_bytes()), connection.recv_bytes()
        except EOFError:
            return
        # A picture that the server still answers is not given up when the whole service is asked to stop.
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _set_timer(limits.decode_seconds + BACKSTOP_SECONDS)
        answer = json.dumps(_answer(content, limits, **order)).encode()
        _set_timer(0)
        connection.send_bytes(answer)
        signal.signal(signal.SIGTERM, before)


def _answer(content: bytes, limits: Limits, *, sizes: Sequence[int], measure: bool, thumbnail: bool) -> Answer:
    """Return what ``decode`` does, or the ``fault`` of the picture: a status and a sentence."""
    try:
        return decode(content, limits, sizes=sizes, measure=measure, thumbnail=thumbnail)
    except MemoryError:
        return {"fault": (413, TOO_MUCH_MEMORY.format(limits.memory_mb))}
    except InputFault as fault:
        sentence = " ".join(str(fault).split())
        if sentence.endswith(WORDLESS):
            return {"fault": (413, TOO_MUCH_MEMORY.format(limits.memory_mb))}
        return {"fault": (422, sentence)}
    except Exception as error:  # decoders raise many types of errors for a damaged file
        sentence = f"the picture cannot be read ({type(error).__name__}: {str(error)[:200]})"
        return {"fault": (422, f"{sentence}; save it again as JPEG or PNG")}


def decode(content: bytes, limits: Limits, *, sizes: Sequence[int], measure: bool, thumbnail: bool) -> Answer:
    """Return the size, statistics, squares of ``sizes`` px and thumbnail of a picture's bytes, ready for JSON.

    A picture with a fault gives only that. Raises InputFault or another error for pixels that cannot be decoded.
    """
    header = first_fault(content, limits) or read_size(content, limits)
    if isinstance(header, tuple):
        return {"fault": header}
    picture = picture_of_bytes(content, decoded_shortest(sizes))
    result = scan_picture("", picture, sizes, measure=measure)
    return {
        "size": {"width": header.width, "height": header.height, "file_bytes": header.file_bytes},
        "statistics": result.statistics,
        "squares": {side: _text(jpeg) for side, jpeg in result.jpegs.items()},
        "thumbnail": _text(_thumbnail(picture)) if thumbnail else None,
    }


def timeout_fault(limits: Limits) -> Fault:
    """Return the fault of a picture whose process was killed because it took too long."""
    sentence = f"decoding it takes more than {limits.decode_seconds:g} seconds"
    return 422, f"{sentence}; save it again as a plain JPEG, or send a smaller picture"


def crash_fault(limits: Limits) -> Fault:
    """Return the fault of a picture whose process ended without an answer."""
    sentence = f"its decoder ended without an answer, perhaps because it needs more than {limits.memory_mb:g} MB"
    return 422, f"{sentence}; save it again as JPEG or PNG"


def _thumbnail(picture: Picture) -> bytes:
    return encode_jpeg(shrink(picture, THUMBNAIL_LONGEST), THUMBNAIL_QUALITY)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _limit_resources(limits: Limits) -> None:
    """Allow this process ``limits.memory_mb`` more than it has now, and no files; Windows has no such limits."""
    if sys.platform == "win32":
        return
    resource = importlib.import_module("resource")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    sizes = Path("/proc/self/statm")
    if sizes.is_file():  # elsewhere the address space that is in use is not known
        in_use = int(sizes.read_text().split()[0]) * resource.getpagesize()
        most = in_use + round(limits.memory_mb * BYTES)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _set_timer(seconds: float) -> None:
    """Let the system end this process after ``seconds``, also within a decoder's own code; 0: never."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)
