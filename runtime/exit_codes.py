"""How a command ends when the world fails: a sentence, an exit code, and no process left behind."""

import errno
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from runtime.errors import InputFault

RESUME_HINT = "nothing is half-written, what was finished is kept; the same command goes on from there"
TRACEBACK_VARIABLE = "MELSTACK_TRACEBACK"  # in the environment: show where it failed
# What the operating system says -> what to do.
DISK_ERRORS = {
    errno.ENOSPC: "the disk is full; make room",
    errno.EDQUOT: "the disk quota is used up; make room",
    errno.EROFS: "the file system is read-only; make it writable, or take another RUN=folder",
    errno.EACCES: "permission denied; give this user the right to read and write there",
    errno.EPERM: "not permitted; give this user the right to read and write there",
    errno.ENOENT: "no such file or folder: it was moved or deleted while the command ran; put it back",
    errno.ENOTDIR: "a file is where a folder is expected; move it away",
    errno.EISDIR: "a folder is where a file is expected; move it away",
    errno.ESTALE: "the network file system lost it; mount it again",
    errno.EIO: "the disk fails to read or write; look at its health",
    errno.EMFILE: "too many open files; raise the limit (ulimit -n)",
}
# Errors of libraries that may not be imported for their names' sake -> what happened, and what to do.
LIBRARY_ERRORS = {
    "TerminatedWorkerError": "a worker process was killed, most likely for want of memory; free some, or use a machine "
    "with more",
    "BrokenProcessPool": "a worker process ended without an answer; free memory, or use a machine with more",
    "ResourceExhaustedError": "the device has no memory left; take a smaller batch_size or image_size, or accumulation",
    "DataLossError": "a file of decoded pictures is damaged; it is found and decoded again",
}


class StopSignal(BaseException):
    """A signal asked the command to end; not an Exception, so that nothing on the way takes it for a fault."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run_command(command: Callable[[], Any]) -> None:
    """Run ``command``; print what ends it early as a sentence and exit: 2 for a fault, 128 + n for signal n.

    Ctrl-C and SIGTERM end it in order: open files are put away, worker processes ended; a second one ends it at once.
    """
    before = {number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        command()
    except StopSignal as stopped:
        _end_workers()
        _leave(f"stopped by {signal.Signals(stopped.number).name}: {RESUME_HINT}", 128 + stopped.number)
    except BaseException as error:
        sentence = describe(error)
        if sentence is None or os.environ.get(TRACEBACK_VARIABLE):
            raise
        _end_workers()
        _leave(f"error: {sentence}", 2, broken_files=isinstance(error, OSError) and "h5py" in sys.modules)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def describe(error: BaseException) -> str | None:
    """Return the sentence for an error that is no fault of the program; None for any other."""
    if isinstance(error, InputFault):
        return str(error)
    if isinstance(error, MemoryError):
        return f"out of memory ({error}): close other programs, or take a smaller model or table; {RESUME_HINT}"
    number = _errno(error)
    if number is not None:
        place = getattr(error, "filename", None)
        return f"{f'{place}: ' if place else ''}{DISK_ERRORS[number]}; {RESUME_HINT}\n  ({_first_line(error)})"
    named = [LIBRARY_ERRORS[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in LIBRARY_ERRORS]
    return f"{named[0]}; {RESUME_HINT}\n  ({_first_line(error)})" if named else None


def _errno(error: BaseException) -> int | None:
    """Return the number of the operating system's error that ``error`` is or tells of, where we have words for it."""
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return error.errno
    # HDF5, Arrow and TensorFlow tell the operating system's words inside their own.
    text = str(error).lower()
    told = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
    return next((number for number in told if os.strerror(number).lower() in text), None)


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
    raise StopSignal(number)


def _end_workers() -> None:
    """End joblib's worker processes; they would finish what they are at, and longer than a user waits."""
    if "joblib.externals.loky.reusable_executor" in sys.modules:
        from joblib.externals.loky import reusable_executor

        if reusable_executor._executor is not None:
            reusable_executor._executor.shutdown(wait=True, kill_workers=True)


def _leave(sentence: str, code: int, *, broken_files: bool = False) -> None:
    print(sentence, file=sys.stderr)
    if broken_files:
        # HDF5 crashes when Python ends and a file of it could not be finished.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
