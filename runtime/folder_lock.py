"""One writer per folder: a lock that the kernel releases when its holder dies; the lock file describes the holder.

The file ``lock`` is locked with flock(2) and holds the holder's description. flock alone does not suffice: on a file
system that two machines share, it may be local to each. A lock of another machine counts until its file is removed.
"""

import errno
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

from runtime.errors import InputFault
from runtime.files import check_writable, remove_leftovers
from runtime.progress import say

NAME = "lock"
DYING_SECONDS = 3.0  # a killed process keeps its lock until the system has taken its memory back
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # errors of a file system without locks


@dataclass(frozen=True)
class Holder:
    """The process that holds a folder."""

    pid: int
    host: str
    command: str
    since: str  # UTC, to the second

    @classmethod
    def this_process(cls) -> "Holder":
        """Return this process as the holder from now on."""
        command = " ".join([Path(sys.argv[0]).parent.name or "python", *sys.argv[1:]])
        return cls(os.getpid(), platform.node(), command, f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}")

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since} UTC: {self.command}"


@contextmanager
def lock_folder(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Lock ``folder`` against every other command that locks it, and remove the unfinished files of killed processes.

    When another process of this machine holds the folder, raise InputFault with its description, or with ``wait``
    print it and wait. The lock of a dead process of this machine is taken over, with a message. A lock of another
    machine raises InputFault, since its process cannot be checked from here. A missing ``folder`` is made, and removed
    at the end if it is still empty.
    """
    if fcntl is None:
        raise InputFault(
            f"{folder}: this system has no flock(2) to lock a run with; on Windows use WSL, or a container"
        )
    check_writable(folder)
    is_new = not folder.is_dir()
    with _acquire(folder, wait) as file:
        previous = _read(file)
        _refuse_if_alive(previous, folder)
        if previous is not None:
            say(f"{folder}: the lock is taken over from a command that was killed: {previous}")
        _write(file, json.dumps(asdict(Holder.this_process())))
        remove_leftovers(folder)
        try:
            yield
        finally:
            _release(folder, is_new)


def read_holder(folder: Path) -> Holder | None:
    """Return the process that holds ``folder`` or died while holding it; None when the folder is not locked."""
    try:
        with (folder / NAME).open(encoding="utf-8") as file:
            return _read(file)
    except FileNotFoundError:
        return None


def _acquire(folder: Path, wait: bool) -> TextIO:
    """Return the lock file of ``folder``, open and locked; try again while earlier holders remove theirs."""
    while (file := _try_acquire(folder, wait)) is None:
        continue
    return file


def _try_acquire(folder: Path, wait: bool) -> TextIO | None:
    """Return the lock file, open and locked; None when it was removed while we waited for it."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as closing:
        file = closing.enter_context((folder / NAME).open("a+", encoding="utf-8"))
        _lock(file, folder, wait)
        if not _is_file_at(file, folder / NAME):
            return None
        closing.pop_all()  # the file stays open and locked until its holder releases it
    return file


def _is_file_at(file: TextIO, path: Path) -> bool:
    """Return whether the open file is the one at ``path``; it may have been removed while we waited for it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _release(folder: Path, is_new: bool) -> None:
    (folder / NAME).unlink(missing_ok=True)
    if is_new and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _lock(file: TextIO, folder: Path, wait: bool) -> None:
    until = time.monotonic() + DYING_SECONDS
    while not (is_ours := _try_lock(file)) and time.monotonic() < until:
        time.sleep(0.05)
    if is_ours:
        return
    holder = _read(file) or "a process that wrote no description"
    if not wait:
        raise InputFault(f"{folder}: another command uses it ({holder}); wait for it, or end it with `kill <process>`")
    say(f"{folder}: waiting for another command that uses it ({holder})")
    fcntl.flock(file, fcntl.LOCK_EX)


def _try_lock(file: TextIO) -> bool:
    """Lock the file and return True, also on a file system without locks; return False when another process has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True


def _refuse_if_alive(holder: Holder | None, folder: Path) -> None:
    """Raise InputFault for a holder on another machine, and for a living one where the file system has no locks."""
    if holder is None:
        return
    if holder.host != platform.node():
        raise InputFault(
            f"{folder}: locked by {holder}. {platform.node()} cannot check whether this process still runs; "
            f"if it does not, remove the lock: rm {folder / NAME}"
        )
    if holder.pid != os.getpid() and _is_open_in(holder.pid, folder / NAME):
        raise InputFault(f"{folder}: another command uses it ({holder}); wait for it, or end it with `kill <process>`")


def _is_open_in(pid: int, lock: Path) -> bool:
    """Return whether a living process has the lock file open: the check for file systems where flock does nothing."""
    try:
        return any(link.samefile(lock) for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def _read(file: TextIO) -> Holder | None:
    file.seek(0)
    try:
        values = json.loads(file.read())
        return Holder(**{field.name: field.type(values[field.name]) for field in fields(Holder)})  # type: ignore[operator]
    except (ValueError, KeyError, TypeError):
        # Empty: the lock was released. Half a line: its writer died while writing it, before it changed anything.
        return None


def _write(file: TextIO, text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()
