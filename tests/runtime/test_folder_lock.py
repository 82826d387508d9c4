"""Tests of the lock of a run: one writer, named to the second; a dead one is taken over, one elsewhere is believed."""

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
from tests.command_line import typed
from tests.sources import ROOT

NOBODY = 2**22 + 1  # more than the largest number of a process
HOLDS = """
import sys, time
from pathlib import Path
from runtime.folder_lock import holding
with holding(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.folder_lock.DYING_SECONDS", 0.2)


def at_work(pid: int = os.getpid()) -> str:
    return f"another command is at work there (process {pid} on "


def test_the_second_of_two_is_refused_with_the_first_ones_name(tmp_path: Path) -> None:
    with lock_folder(tmp_path), pytest.raises(InputFault) as refused:
        lock_folder(tmp_path).__enter__()
    assert at_work() in str(refused.value)


def test_a_holder_that_is_just_dying_is_not_taken_for_one_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed process keeps its lock until the system has taken its memory back: seconds, on a busy machine."""
    monkeypatch.setattr("runtime.folder_lock.DYING_SECONDS", 30.0)
    first = ExitStack()
    first.enter_context(lock_folder(tmp_path))
    Timer(0.2, first.close).start()
    with lock_folder(tmp_path):
        assert (holder := read_holder(tmp_path)) is not None
        assert holder.pid == os.getpid()


def test_a_folder_is_let_go_at_the_end_and_after_an_error(tmp_path: Path) -> None:
    with lock_folder(tmp_path):
        assert read_holder(tmp_path) is not None
    assert read_holder(tmp_path) is None
    with pytest.raises(ZeroDivisionError), lock_folder(tmp_path):
        1 / 0  # noqa: B018
    assert read_holder(tmp_path) is None


def test_what_a_dead_process_held_is_taken_over_and_its_half_written_files_are_cleared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    me = Holder.me()
    (tmp_path / "lock").write_text(json.dumps(vars(me) | {"pid": NOBODY}))
    mine, dead, elsewhere = (
        tmp_path / f".writing-{process}-x.npy"
        for process in (f"{os.getpid()}@{me.host}", f"{NOBODY}@{me.host}", "1@elsewhere")
    )
    for path in (mine, dead, elsewhere):
        path.touch()
    with lock_folder(tmp_path):
        assert (mine.exists(), dead.exists(), elsewhere.exists()) == (True, False, True)
    assert f"taken over from a command that ended without a word: process {NOBODY} on" in capsys.readouterr().out


@pytest.mark.full
def test_what_a_killed_process_held_is_taken_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLDS, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(InputFault) as refused:
        lock_folder(tmp_path).__enter__()
    assert at_work(process.pid) in str(refused.value)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with lock_folder(tmp_path):
        assert f"ended without a word: process {process.pid} on" in capsys.readouterr().out


def test_a_holder_on_another_machine_is_believed_and_how_to_remove_it_is_said(tmp_path: Path) -> None:
    there = {"pid": 7, "host": "gpu-12", "command": "level1_cnn oof", "since": "2026-01-01 00:00:00"}
    (tmp_path / "lock").write_text(json.dumps(there))
    with pytest.raises(InputFault, match=r"process 7 on gpu-12 since .*: level1_cnn oof.*rm .*lock"):
        lock_folder(tmp_path).__enter__()
    assert read_holder(tmp_path) == Holder(**there)


@pytest.mark.parametrize("text", ["", '{"pid": 3, "ho', "[]", '{"pid": "x", "host": "a", "command": "", "since": ""}'])
def test_half_a_line_in_the_lock_is_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock").write_text(text)
    with lock_folder(tmp_path):
        assert read_holder(tmp_path) == Holder(**{**vars(Holder.me()), "since": vars(read_holder(tmp_path))["since"]})


def test_who_may_wait_waits_and_says_for_whom(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def hold() -> None:
        with lock_folder(tmp_path, wait=True):
            held.append(read_holder(tmp_path))

    held = list[Holder | None]()
    waiting = Thread(target=hold)
    with lock_folder(tmp_path):
        waiting.start()
        waiting.join(0.5)
        assert (waiting.is_alive(), held) == (True, [])
        assert f"held by process {os.getpid()} on" in capsys.readouterr().out
    waiting.join(10)
    assert len(held) == 1
    assert read_holder(tmp_path) is None


def test_a_command_on_a_run_that_another_works_on_ends_with_code_2(tmp_path: Path) -> None:
    with lock_folder(tmp_path):
        refused = typed("cases", "--run", tmp_path)
    assert refused.code == 2
    assert refused.err.startswith(f"error: {tmp_path}: {at_work()}")
    assert typed("cases", "--run", tmp_path / "typo").code == 2
    assert not (tmp_path / "typo").exists()
