"""Tests of the lock of a run: one writer, named to the second; a dead one is taken over, one elsewhere is believed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Timer

import pytest

from runtime.errors import InputFault
from runtime.folder_lock import Holder, holder_of, holding

ROOT = Path(__file__).resolve().parents[2]
HOLDS = """
import sys, time
from pathlib import Path
from runtime.folder_lock import holding
with holding(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def other_holder(folder: Path) -> "subprocess.Popen[str]":
    """Return another process that holds the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: "subprocess.Popen[str]", number: signal.Signals = signal.SIGKILL) -> None:
    process.send_signal(number)
    process.communicate()


def test_the_second_of_two_is_refused_with_the_first_ones_name(tmp_path: Path) -> None:
    process = other_holder(tmp_path)
    try:
        with pytest.raises(InputFault, match=f"another command is at work there .process {process.pid} on "):
            holding(tmp_path).__enter__()
    finally:
        end(process)


def test_a_holder_that_is_just_dying_is_not_taken_for_one_at_work(tmp_path: Path) -> None:
    """A killed process keeps its lock until the system has taken its memory back: seconds, on a busy machine."""
    process = other_holder(tmp_path)
    Timer(0.5, process.kill).start()
    with holding(tmp_path):
        assert process.wait(10) == -signal.SIGKILL
        assert (holder := holder_of(tmp_path)) is not None
        assert holder.pid == os.getpid()
    process.communicate()


def test_a_folder_is_let_go_at_the_end_and_after_an_error(tmp_path: Path) -> None:
    with holding(tmp_path):
        assert holder_of(tmp_path) is not None
    assert holder_of(tmp_path) is None
    with pytest.raises(ZeroDivisionError), holding(tmp_path):
        1 / 0  # noqa: B018
    assert holder_of(tmp_path) is None


def test_what_a_killed_process_held_is_taken_over_and_its_half_written_files_are_cleared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = other_holder(tmp_path)
    me = holder_of(tmp_path)
    assert me is not None
    mine = tmp_path / f".writing-{os.getpid()}@{me.host}-x.parquet"
    dead, elsewhere = tmp_path / f".writing-{process.pid}@{me.host}-x.npy", tmp_path / ".writing-1@elsewhere-x.npy"
    end(process)
    for path in (mine, dead, elsewhere):
        path.touch()
    with holding(tmp_path):
        assert (mine.exists(), dead.exists(), elsewhere.exists()) == (True, False, True)
    assert f"taken over from a command that ended without a word: process {process.pid} on" in capsys.readouterr().out


def test_a_holder_on_another_machine_is_believed_and_how_to_remove_it_is_said(tmp_path: Path) -> None:
    there = {"pid": 7, "host": "gpu-12", "command": "level1_cnn oof", "since": "2026-01-01 00:00:00"}
    (tmp_path / "lock").write_text(json.dumps(there))
    with pytest.raises(InputFault, match=r"process 7 on gpu-12 since .*: level1_cnn oof.*rm .*lock"):
        holding(tmp_path).__enter__()
    assert holder_of(tmp_path) == Holder(**there)


@pytest.mark.parametrize("text", ["", '{"pid": 3, "ho', "[]", '{"pid": "x", "host": "a", "command": "", "since": ""}'])
def test_half_a_line_in_the_lock_is_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock").write_text(text)
    with holding(tmp_path):
        assert holder_of(tmp_path) == Holder(**{**vars(Holder.me()), "since": vars(holder_of(tmp_path))["since"]})


def test_who_may_wait_waits_and_says_for_whom(tmp_path: Path) -> None:
    first = other_holder(tmp_path)
    waits = HOLDS.replace("holding(Path(sys.argv[1]))", "holding(Path(sys.argv[1]), wait=True)")
    second = subprocess.Popen([sys.executable, "-c", waits, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert second.stdout is not None
    assert f"held by process {first.pid} on" in second.stdout.readline()
    assert second.poll() is None
    end(first)
    assert "taken over" in second.stdout.readline()
    assert second.stdout.readline() == "held\n"
    end(second)


def test_a_command_on_a_run_that_another_works_on_ends_with_code_2(tmp_path: Path) -> None:
    process = other_holder(tmp_path)
    try:
        command = [sys.executable, "-m", "melstack", "blocks", "--run", str(tmp_path)]
        refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    finally:
        end(process)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"error: {tmp_path}: another command is at work there (process {process.pid} on")
    missing = subprocess.run([*command[:-1], str(tmp_path / "typo")], cwd=ROOT, capture_output=True, text=True)
    assert missing.returncode == 2
    assert not (tmp_path / "typo").exists()
