"""One writer per folder: a lock that the kernel lets go of when its holder dies, and that names its holder.

The file ``lock`` is locked with flock(2); in it stands who holds it. flock alone does not suffice: on a file system
that two machines share it may be local to each. So a holder of another machine is believed until somebody removes it.
"""

import errno
import fcntl
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

from runtime.errors import InputFault
from runtime.files import remove_leftovers
from runtime.progress import say

NAME = "lock"
DYING_SECONDS = 3.0  # a process that was just killed has its lock until the system has taken its memory back
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of a file system that knows none


@dataclass(frozen=True)
class Holder:
    """Who holds a folder."""

    pid: int
    host: str
    command: str
    since: str  # UTC, to the second

    @classmethod
    def me(cls) -> "Holder":
        """Return this process as a holder from now on."""
        command = " ".join([Path(sys.argv[0]).parent.name or "python", *sys.argv[1:]])
        return cls(os.getpid(), platform.node(), command, f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}")

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since} UTC: {self.command}"


@contextmanager
def lock_folder(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold ``folder`` against every other command that holds it, and clear what killed processes left half-written.

    Where another process of this machine has it, raise InputFault that names it, or with ``wait`` say so and wait.
    What a dead process of this machine held is taken over, with a sentence; a holder on another machine is refused,
    since nobody here can tell whether it lives. ``folder`` is made if need be, and does not stay if nothing came of it.
    """
    made = not folder.is_dir()
    with _locked(folder, wait) as file:
        left = _read(file)
        _refuse_if_alive(left, folder)
        if left is not None:
            say(f"{folder}: taken over from a command that ended without a word: {left}")
        _write(file, json.dumps(asdict(Holder.me())))
        remove_leftovers(folder)
        try:
            yield
        finally:
            _let_go(folder, made)


def read_holder(folder: Path) -> Holder | None:
    """Return who holds ``folder`` or died while holding it; None when nobody does."""
    try:
        with (folder / NAME).open(encoding="utf-8") as file:
            return _read(file)
    except FileNotFoundError:
        return None


def _locked(folder: Path, wait: bool) -> TextIO:
    """Return the lock file, open and locked, once it is the one in ``folder``: a holder removes its own."""
    while (file := _locked_once(folder, wait)) is None:
        continue
    return file


def _locked_once(folder: Path, wait: bool) -> TextIO | None:
    """Return the lock file, open and locked; None when it was removed while we waited for it."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as closing:
        file = closing.enter_context((folder / NAME).open("a+", encoding="utf-8"))
        _lock(file, folder, wait)
        if not _stands(file, folder / NAME):
            return None
        closing.pop_all()  # it stays open, and locked, until its holder lets it go
    return file


def _stands(file: TextIO, path: Path) -> bool:
    """Tell whether the open file is the one at ``path``: it may have been removed while we waited for it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _let_go(folder: Path, made: bool) -> None:
    (folder / NAME).unlink(missing_ok=True)
    if made and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _lock(file: TextIO, folder: Path, wait: bool) -> None:
    until = time.monotonic() + DYING_SECONDS
    while not (mine := _is_taken(file)) and time.monotonic() < until:
        time.sleep(0.05)
    if mine:
        return
    other = _read(file) or "a process that did not say who it is"
    if not wait:
        raise InputFault(
            f"{folder}: another command is at work there ({other}); wait for it, or end it with `kill <process>`"
        )
    say(f"{folder}: held by {other}; waiting for it")
    fcntl.flock(file, fcntl.LOCK_EX)


def _is_taken(file: TextIO) -> bool:
    """Take the lock, or tell that another process has it; a file system without locks gives it to everybody."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True


def _refuse_if_alive(holder: Holder | None, folder: Path) -> None:
    """Raise InputFault for a holder on another machine, or one that lives where the file system has no locks."""
    if holder is None:
        return
    if holder.host != platform.node():
        raise InputFault(
            f"{folder}: held by {holder}. Whether it still runs cannot be seen from {platform.node()}; if it does not, "
            f"remove the lock: rm {folder / NAME}"
        )
    if holder.pid != os.getpid() and _has_own_lock(holder.pid, folder / NAME):
        raise InputFault(f"{folder}: another command is at work there ({holder})")


def _has_own_lock(pid: int, lock: Path) -> bool:
    """Tell whether a living process has the lock file open: where flock did not work, it does not tell."""
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
        return None  # empty: let go; half a line: its writer died while it wrote, so that it did nothing yet


def _write(file: TextIO, text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()
