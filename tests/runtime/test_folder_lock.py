"""Tests of the lock of a run folder: one writer at a time, whose description other commands print."""

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from threading import Thread, Timer

import pytest

from runtime.errors import InputFault
from runtime.folder_lock import Holder, lock_folder, read_holder
from tests.command_line import run_melstack
from tests.sources import ROOT

NO_PROCESS = 2**22 + 1  # more than the largest process id
LOCK_AND_SLEEP = """
import sys, time
from pathlib import Path
from runtime.folder_lock import lock_folder
with lock_folder(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _wait_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.folder_lock.DYING_SECONDS", 0.2)


def refusal(pid: int = os.getpid()) -> str:
    return f"another command uses it (process {pid} on "


def test_a_second_command_is_refused_with_the_description_of_the_first(tmp_path: Path) -> None:
    with lock_folder(tmp_path), pytest.raises(InputFault) as error:
        lock_folder(tmp_path).__enter__()
    assert refusal() in str(error.value)


def test_a_lock_that_is_released_within_seconds_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process keeps its lock until the system has taken its memory back: seconds, on a busy machine."""
    monkeypatch.setattr("runtime.folder_lock.DYING_SECONDS", 30.0)
    first = ExitStack()
    first.enter_context(lock_folder(tmp_path))
    Timer(0.2, first.close).start()
    with lock_folder(tmp_path):
        assert (holder := read_holder(tmp_path)) is not None
        assert holder.pid == os.getpid()


def test_a_folder_is_unlocked_at_the_end_and_after_an_error(tmp_path: Path) -> None:
    with lock_folder(tmp_path):
        assert read_holder(tmp_path) is not None
    assert read_holder(tmp_path) is None
    with pytest.raises(ZeroDivisionError), lock_folder(tmp_path):
        1 / 0  # noqa: B018
    assert read_holder(tmp_path) is None


def test_the_lock_of_a_dead_process_is_taken_over_and_its_unfinished_files_are_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    me = Holder.this_process()
    (tmp_path / "lock").write_text(json.dumps(vars(me) | {"pid": NO_PROCESS}))
    mine, dead, elsewhere = (
        tmp_path / f".writing-{process}-x.npy"
        for process in (f"{os.getpid()}@{me.host}", f"{NO_PROCESS}@{me.host}", "1@elsewhere")
    )
    for path in (mine, dead, elsewhere):
        path.touch()
    with lock_folder(tmp_path):
        assert (mine.exists(), dead.exists(), elsewhere.exists()) == (True, False, True)
    assert f"taken over from a command that was killed: process {NO_PROCESS} on" in capsys.readouterr().out


@pytest.mark.full
def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = [sys.executable, "-c", LOCK_AND_SLEEP, tmp_path]
    process = subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    with pytest.raises(InputFault) as error:
        lock_folder(tmp_path).__enter__()
    assert refusal(process.pid) in str(error.value)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with lock_folder(tmp_path):
        assert f"a command that was killed: process {process.pid} on" in capsys.readouterr().out


def test_the_lock_of_another_machine_is_refused_and_the_message_says_how_to_remove_it(tmp_path: Path) -> None:
    holder = {"pid": 7, "host": "gpu-12", "command": "level1_cnn oof", "since": "2026-01-01 00:00:00"}
    (tmp_path / "lock").write_text(json.dumps(holder))
    with pytest.raises(InputFault, match=r"process 7 on gpu-12 since .*: level1_cnn oof.*rm .*lock"):
        lock_folder(tmp_path).__enter__()
    assert read_holder(tmp_path) == Holder(**holder)


@pytest.mark.parametrize("text", ["", '{"pid": 3, "ho', "[]", '{"pid": "x", "host": "a", "command": "", "since": ""}'])
def test_a_damaged_lock_file_holds_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock").write_text(text)
    with lock_folder(tmp_path):
        since = vars(read_holder(tmp_path))["since"]
        assert read_holder(tmp_path) == Holder(**{**vars(Holder.this_process()), "since": since})


def test_with_wait_the_second_command_waits_and_says_for_which(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def hold() -> None:
        with lock_folder(tmp_path, wait=True):
            holders.append(read_holder(tmp_path))

    holders = list[Holder | None]()
    second = Thread(target=hold)
    with lock_folder(tmp_path):
        second.start()
        second.join(0.5)
        assert (second.is_alive(), holders) == (True, [])
        assert f"waiting for another command that uses it (process {os.getpid()} on" in capsys.readouterr().out
    second.join(10)
    assert len(holders) == 1
    assert read_holder(tmp_path) is None


def test_a_command_on_a_run_that_another_command_uses_ends_with_code_2(tmp_path: Path) -> None:
    with lock_folder(tmp_path):
        end = run_melstack("cases", "--run", tmp_path)
    assert end.code == 2
    assert end.err.startswith(f"error: {tmp_path}: {refusal()}")
    assert run_melstack("cases", "--run", tmp_path / "typo").code == 2
    assert not (tmp_path / "typo").exists()
