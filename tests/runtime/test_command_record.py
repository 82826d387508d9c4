"""The record of the commands on a run: one line each, also for refused ones, and the commit of the source."""

import os
import shutil
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from runtime.command_record import NAME, SOURCE, CommandRecord, command_uses, read_commands, recording, source_commit
from runtime.errors import InputFault
from runtime.folder_lock import lock_folder

PATIENT = 30.0  # seconds for git on a machine that is busy with other tests


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a source tree under git with one commit."""
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "code.py").write_text("x = 1\n")
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(folder), *words], check=True)
    return folder


def type_command(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["/bin/melstack", *words])


def record(command: str, moment: str, **changes: str) -> CommandRecord:
    return CommandRecord(
        **{"time": moment, "command": command, "melstack": "1", "commit": "c", "python": "3"} | changes
    )


def test_every_command_adds_one_line_with_its_words_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (("cases", "--run", "r"), ("stack", "--models", "a b")):
        type_command(monkeypatch, *words)
        with recording(tmp_path, nullcontext()):
            (tmp_path / "table").touch()
    assert [each.command for each in read_commands(tmp_path)] == [
        "melstack cases --run r",
        "melstack stack --models 'a b'",
    ]
    assert len((tmp_path / NAME).read_text().splitlines()) == 2


@pytest.mark.parametrize(("error", "end"), [(InputFault("wrong"), "refused"), (KeyboardInterrupt(), "stopped")])
def test_a_command_that_does_not_finish_says_so(tmp_path: Path, error: BaseException, end: str) -> None:
    (tmp_path / "table").touch()
    with pytest.raises(type(error)), recording(tmp_path, nullcontext()):
        raise error
    assert [each.end for each in read_commands(tmp_path)] == [end]


def test_a_command_that_is_refused_before_it_writes_leaves_no_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(InputFault), recording(folder, lock_folder(folder)):
        raise InputFault("wrong")
    assert not folder.exists()


def test_a_damaged_line_is_left_out_and_stays_in_the_file(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"time": "half\n[1]\n')
    (tmp_path / "table").touch()
    with recording(tmp_path, nullcontext()):
        pass
    assert len(read_commands(tmp_path)) == 1
    assert (tmp_path / NAME).read_text().startswith('{"time": "half\n[1]\n')


def test_a_killed_command_leaves_a_whole_line(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from contextlib import nullcontext; from pathlib import Path\n"
        "from runtime.command_record import recording\n"
        "with recording(Path(sys.argv[1]), nullcontext()): os.kill(os.getpid(), signal.SIGKILL)"
    )
    process = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=SOURCE, check=False)
    assert process.returncode < 0
    assert [(each.command, each.end) for each in read_commands(tmp_path)] == [(f"melstack {tmp_path}", "")]


def test_repeats_of_a_command_are_counted_and_the_last_command_is_last() -> None:
    records = [record("a", "1"), record("b", "2"), record("a", "3"), record("b", "4", commit="d"), record("a", "5")]
    uses = command_uses(records)
    assert [(use.record.command, use.record.commit, use.first, use.last, use.count) for use in uses] == [
        ("b", "c", "2", "2", 1),
        ("b", "d", "4", "4", 1),
        ("a", "c", "1", "5", 3),
    ]


def test_a_commit_has_a_mark_if_files_differ_from_it(tree: Path) -> None:
    commit = subprocess.run(["git", "-C", str(tree), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert source_commit(tree, PATIENT) == commit.stdout.strip()
    (tree / "code.py").write_text("x = 2\n")
    assert source_commit(tree, PATIENT) == f"{commit.stdout.strip()}+changes"


def test_the_index_of_the_repository_is_not_locked_or_written(tree: Path) -> None:
    index = tree / ".git" / "index"
    for path in tree.glob("*.*"):
        os.utime(path, (1, 1))  # another time of the file, after which git would like to write its index again
    before = index.read_bytes()
    assert source_commit(tree, PATIENT) is not None
    assert index.read_bytes() == before


def test_packages_installed_inside_a_repository_have_no_commit(tree: Path) -> None:
    packages = tree / "venv" / "site-packages"
    packages.mkdir(parents=True)
    assert source_commit(packages, PATIENT) is None


def test_a_slow_git_is_not_waited_for(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text(f"#!/bin/sh\nexec {shutil.which('sleep')} 20\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", str(slow.parent))
    start = time.monotonic()
    assert source_commit(tree) is None
    assert time.monotonic() - start < 5
