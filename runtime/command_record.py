"""The commands on a run: commands.jsonl has a line for each, with its time, the versions and the commit of the source.

{"time": "2026-11-29T09:30:00Z", "command": "melstack report --run runs/a", "melstack": "0.1.0", "commit": null, ...}
"""

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from runtime.errors import InputFault
from runtime.files import write_text
from runtime.folder_lock import NAME as LOCK
from runtime.progress import LOG, logging_to

NAME = "commands.jsonl"
SOURCE = Path(__file__).resolve().parents[1]  # the source tree, or the folder of the installed packages
GIT_SECONDS = 0.05  # a command does not wait longer for its commit
HEAD = "# branch.oid "  # begins the line of `git status` with the commit
REFUSAL, STOP = "refused", "stopped"  # how a command ended, unless it was finished or killed


@dataclass(frozen=True)
class CommandRecord:
    """One command on a run, which began at ``time`` (UTC); without a source tree under git there is no ``commit``."""

    time: str
    command: str
    melstack: str
    commit: str | None
    python: str
    end: str = ""


@dataclass(frozen=True)
class CommandUse:
    """A command that was typed ``count`` times in the same way with the same code, first and last at these times."""

    record: CommandRecord
    first: str
    last: str
    count: int


@contextmanager
def recording(folder: Path, lock: AbstractContextManager[None]) -> Iterator[None]:
    """Hold ``lock``, and add this command to the record of the run in ``folder``.

    A command that is refused before it writes anything leaves no record in a new folder.
    """
    record = this_command()
    with lock, _in_record(folder / NAME, record), logging_to(folder, f"{record.time} {record.command}"):
        yield


@contextmanager
def _in_record(path: Path, record: CommandRecord) -> Iterator[None]:
    """Write the line of a command, and write it again with how the command ended if that was an error."""
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    write_text(path, before + _line(record))
    try:
        yield
    except BaseException as error:
        end = REFUSAL if isinstance(error, InputFault) else STOP
        with suppress(OSError):  # the disk may be full, or the folder gone: the first error is the one to report
            write_text(path, before + _line(replace(record, end=end)))
            _remove_alone(path)
        raise


def this_command() -> CommandRecord:
    """Return the record of the command that this process runs."""
    return CommandRecord(
        time=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        command=shlex.join(["melstack", *sys.argv[1:]]),
        melstack=_version(),
        commit=source_commit(SOURCE),
        python=platform.python_version(),
    )


def read_commands(folder: Path) -> list[CommandRecord]:
    """Return the commands on the run in ``folder``, the oldest first; damaged lines are left out."""
    path = folder / NAME
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [record for line in lines if (record := _record(line)) is not None]


def command_uses(records: list[CommandRecord]) -> list[CommandUse]:
    """Return the different commands among ``records``; the one that was used last is the last."""
    by_command: dict[CommandRecord, list[str]] = {}
    for record in records:
        key = replace(record, time="")
        by_command[key] = [*by_command.pop(key, []), record.time]
    return [CommandUse(record, times[0], times[-1], len(times)) for record, times in by_command.items()]


def source_commit(source: Path, seconds: float = GIT_SECONDS) -> str | None:
    """Return the commit of the tree ``source``, with "+changes" if files differ from it; None if git cannot say.

    A folder of installed packages is not a tree, even if it is inside a repository. Gives up after ``seconds``.
    """
    if not (source / ".git").exists():
        return None
    # `git describe --dirty` locks the index in spite of the variable, and leaves the lock behind when it is ended.
    words = ["git", "-C", str(source), "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}  # a reader does not lock the user's repository
    try:
        answer = subprocess.run(words, capture_output=True, text=True, check=True, timeout=seconds, env=environment)
    except (OSError, subprocess.SubprocessError):
        return None
    heads = [line for line in answer.stdout.splitlines() if line.startswith("#")]
    commits = [line.removeprefix(HEAD) for line in heads if line.startswith(HEAD)]
    if not commits or commits[0] == "(initial)":
        return None
    return commits[0] + "+changes" * (len(heads) < len(answer.stdout.splitlines()))


def _version() -> str:
    try:
        return metadata.version("melstack")
    except metadata.PackageNotFoundError:
        return "not installed"


def _remove_alone(path: Path) -> None:
    """Remove the file and the log if their folder has nothing else except the lock."""
    if {each.name for each in path.parent.iterdir()} <= {NAME, LOG, LOCK}:
        path.unlink()
        (path.parent / LOG).unlink(missing_ok=True)


def _line(record: CommandRecord) -> str:
    return f"{json.dumps(asdict(record))}\n"


def _record(line: str) -> CommandRecord | None:
    try:
        return CommandRecord(**json.loads(line))
    except (ValueError, TypeError):
        return None
