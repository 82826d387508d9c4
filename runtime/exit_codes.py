"""How a command ends on errors and signals: with a plain message, an exit code and no process left running."""

import errno
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from runtime.errors import InputFault, RunFault

WRONG_INPUT, DAMAGED_RUN, STALE_RUN = 2, 3, 4  # exit codes; the last two are those of `verify`
RESUME_HINT = "no file is half-written, finished work is kept; run the same command again to continue"
TRACEBACK_VARIABLE = "MELSTACK_TRACEBACK"  # environment variable; when set, errors keep their traceback
# Error number of the operating system -> what happened and what to do.
DISK_ERRORS = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EROFS: "the file system is read-only; make it writable, or choose another run folder",
    errno.EACCES: "permission denied; give this user the right to read and write there",
    errno.EPERM: "not permitted; give this user the right to read and write there",
    errno.ENOENT: "no such file or folder: it was moved or deleted while the command ran; put it back",
    errno.ENOTDIR: "a file is where a folder is expected; move it away",
    errno.EISDIR: "a folder is where a file is expected; move it away",
    errno.ESTALE: "the network file system lost it; mount it again",
    errno.EIO: "the disk fails to read or write; check its health",
    errno.EMFILE: "too many open files; raise the limit (ulimit -n)",
}
# Class name of a library's error -> what happened and what to do. By name, so that the library is not imported here.
LIBRARY_ERRORS = {
    "TerminatedWorkerError": "a worker process was killed, most likely for lack of memory; free some, or use a machine "
    "with more",
    "BrokenProcessPool": "a worker process ended without an answer; free memory, or use a machine with more",
    "ResourceExhaustedError": "the device has no memory left; set a smaller batch_size or image_size, or accumulation",
    "DataLossError": "a file of decoded pictures is damaged; the next run finds it and decodes it again",
}


class StopSignal(BaseException):
    """A signal asked the command to end. Not an Exception, so that no `except Exception` handles it as an error."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run_command(command: Callable[[], Any]) -> None:
    """Run ``command``; print an expected error or a signal as a message and exit.

    The exit code is 2, the error's own, or 128 + n for signal n.

    After the first Ctrl-C or SIGTERM, open files are closed and worker processes ended; a second one ends the process
    at once. Errors of the program itself keep their traceback.
    """
    handlers = {number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        command()
    except StopSignal as stop:
        _end_workers()
        _exit(f"stopped by {signal.Signals(stop.number).name}: {RESUME_HINT}", 128 + stop.number)
    except BaseException as error:
        message = describe(error)
        if message is None or os.environ.get(TRACEBACK_VARIABLE):
            raise
        _end_workers()
        code = error.code if isinstance(error, RunFault) else WRONG_INPUT
        _exit(f"error: {message}", code, has_broken_files=isinstance(error, OSError) and "h5py" in sys.modules)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def describe(error: BaseException) -> str | None:
    """Return the message for an error of the input, the memory or the disk; None for an error of the program."""
    if isinstance(error, InputFault):
        return str(error)
    if isinstance(error, MemoryError):
        return f"out of memory ({error}): close other programs, or use a smaller model or table; {RESUME_HINT}"
    number = _errno(error)
    if number is not None:
        path = getattr(error, "filename", None)
        return f"{f'{path}: ' if path else ''}{DISK_ERRORS[number]}; {RESUME_HINT}\n  ({_first_line(error)})"
    messages = [LIBRARY_ERRORS[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in LIBRARY_ERRORS]
    return f"{messages[0]}; {RESUME_HINT}\n  ({_first_line(error)})" if messages else None


def _errno(error: BaseException) -> int | None:
    """Return the number of the operating system's error in ``error``; None where DISK_ERRORS has no message for it."""
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return error.errno
    # HDF5, Arrow and TensorFlow quote the operating system's words in their own messages.
    text = str(error).lower()
    quoted_numbers = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
    return next((number for number in quoted_numbers if os.strerror(number).lower() in text), None)


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second signal ends the process at once
    raise StopSignal(number)


def _end_workers() -> None:
    """End joblib's worker processes; otherwise they finish their tasks first, which takes longer than a user waits."""
    if "joblib.externals.loky.reusable_executor" in sys.modules:
        from joblib.externals.loky import reusable_executor

        if reusable_executor._executor is not None:
            reusable_executor._executor.shutdown(wait=True, kill_workers=True)


def _exit(message: str, code: int, *, has_broken_files: bool = False) -> None:
    print(message, file=sys.stderr)
    if has_broken_files:
        # HDF5 crashes at the end of Python when it could not finish writing one of its files.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
