"""Tests of exit codes and messages: full and read-only disks, signals, lack of memory, killed workers."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from level1_cnn.training.checkpoint import save_state
from level2_stack.crossval.fits import run_in_parallel
from runtime.errors import InputFault
from runtime.exit_codes import RESUME_HINT, describe, run_command
from runtime.files import replacing, reserve_disk, write_text
from runtime.folder_lock import lock_folder
from runtime.tables import INDEX, write_table
from tests.sources import ROOT


def run(code: str, *arguments: object, **options: object) -> "subprocess.CompletedProcess[str]":
    """Run a command line whose only command is ``code``."""
    program = f"""
import sys
from pathlib import Path
import typer
from melstack.command_line import run_app
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
arguments = sys.argv[1:]
sys.argv[1:] = []
@app.command()
def command():
{chr(10).join("    " + line for line in code.strip().splitlines())}
run_app(app, "melstack")
"""
    words = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, **options)  # type: ignore[call-overload]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return the folder of a file system of 256 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system needs a right that this user does not have")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


NOISE = np.random.default_rng(0).random(90_000)


def write_a_mapped_file(folder: Path) -> None:
    with replacing(folder / "views.npy") as temporary:
        np.lib.format.open_memmap(temporary, "w+", np.float16, (1000, 8, 100))
        reserve_disk(temporary)


WRITES: dict[str, Callable[[Path], object]] = {
    "a table": lambda folder: write_table(
        folder / "t.parquet", pd.DataFrame({"x": NOISE}, index=pd.Index(map(str, range(len(NOISE))), name=INDEX))
    ),
    "arrays": lambda folder: save_state(folder / "state.npz", {"w": NOISE}, 3),
    "a mapped file": write_a_mapped_file,
    "text": lambda folder: write_text(folder / "t.csv", "x" * 999_999),
}


@pytest.mark.parametrize("content", WRITES)
def test_a_full_disk_gives_a_message_and_leaves_no_half_written_file(small_disk: Path, content: str) -> None:
    (small_disk / "t.parquet").write_text("before")
    with pytest.raises(OSError, match="No space left") as error:
        WRITES[content](small_disk)
    assert "the disk is full; free some space; no file is half-written" in str(describe(error.value))
    assert [path.name for path in small_disk.iterdir()] == ["t.parquet"]
    assert (small_disk / "t.parquet").read_text() == "before"


@pytest.mark.full
@pytest.mark.parametrize(
    "code",
    [
        """
import tensorflow as tf
from runtime.files import replacing
with replacing(Path(arguments[0]) / "a.tfrec") as path, tf.io.TFRecordWriter(str(path)) as writer:
    for _ in range(100):
        writer.write(bytes(9999))
""",
        """
import keras
from runtime.files import replacing
model = keras.Sequential([keras.Input((500,)), keras.layers.Dense(500)])
with replacing(Path(arguments[0]) / "model.weights.h5") as path:
    model.save_weights(path)
""",
    ],
    ids=["shards", "weights"],
)
def test_a_full_disk_under_tensorflow_gives_the_same_message(small_disk: Path, code: str) -> None:
    result = run(code, small_disk)
    assert "the disk is full; free some space; no file is half-written" in result.stderr, result.stderr[-2000:]
    assert result.returncode == 2
    assert list(small_disk.iterdir()) == []


def test_a_read_only_run_folder_gives_a_message(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    message = r"cannot be written \(Read-only file system\); name another folder"
    with pytest.raises(InputFault, match=message), lock_folder(small_disk):
        pass


@pytest.mark.full
def test_a_folder_without_write_permission_gives_a_message(tmp_path: Path) -> None:
    code = """
import os
from runtime.files import write_text
if os.geteuid() == 0:
    os.setuid(65534)
write_text(Path(arguments[0]) / "t.csv", "x")
"""
    tmp_path.chmod(0o555)
    result = run(code, tmp_path)
    assert result.returncode == 2
    assert "permission denied" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InputFault("a.csv: wrong"), "a.csv: wrong"),
        (FileNotFoundError(errno.ENOENT, "No such file", "runs/x/a"), "runs/x/a: no such file or folder: it was moved"),
        (PermissionError(errno.EACCES, "Permission denied", "runs/x/a"), "runs/x/a: permission denied; give this user"),
        (MemoryError("Unable to allocate 9 GiB"), "out of memory (Unable to allocate 9 GiB)"),
        (OSError("Can't write data (errno = 28, 'No space left on device')"), "the disk is full"),
        (type("DataLossError", (Exception,), {})("corrupted record at 12"), "a file of decoded pictures is damaged"),
        (type("TerminatedWorkerError", (RuntimeError,), {})("exit codes {SIGKILL(-9)}"), "a worker process was killed"),
    ],
)
def test_errors_of_input_disk_memory_and_workers_give_a_message(error: BaseException, message: str) -> None:
    assert (describe(error) or "").startswith(message)


def test_an_input_error_ends_with_code_2_and_a_program_error_keeps_its_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise InputFault("a.csv: wrong")

    with pytest.raises(SystemExit, match="2"):
        run_command(fail)
    assert capsys.readouterr().err == "error: a.csv: wrong\n"
    with pytest.raises(KeyError):
        run_command(lambda: {}["x"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_with_a_message(number: signal.Signals, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(number)
    with pytest.raises(SystemExit, match=str(code)):
        run_command(lambda: signal.raise_signal(number))
    assert capsys.readouterr().err == f"stopped by {number.name}: {RESUME_HINT}\n"
    assert signal.getsignal(number) is before


SLEEP_IN_WORKERS = """
import os, signal, time
from level1_cnn.training.checkpoint import save_state
from level2_stack.crossval.fits import run_in_parallel
workers = [child for child in run_in_parallel(lambda job, table: os.getpid(), range(4), None, 2)]
print(*set(workers), flush=True)
os.kill(os.getpid(), getattr(signal, arguments[0]))
list(run_in_parallel(lambda job, table: time.sleep(job), [60] * 4, None, 2))
"""


@pytest.mark.full
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_ends_with_a_message_and_leaves_no_worker(name: str, code: int) -> None:
    result = run(SLEEP_IN_WORKERS, name)
    assert result.returncode == code
    assert result.stderr.startswith(f"stopped by {name}: no file is half-written, finished work is kept;")
    assert "Traceback" not in result.stderr
    assert not any(Path(f"/proc/{worker}").exists() for worker in result.stdout.split())


def die_once(job: tuple[int, str], table: None) -> int:
    """Return the job's number; the first time that job 3 is done, die like a process that has no memory left."""
    number, mark = job
    if number == 3 and not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.full
def test_after_a_worker_is_killed_fewer_workers_finish_the_jobs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [(number, str(tmp_path / "died")) for number in range(9)]
    assert list(run_in_parallel(die_once, jobs, None, 2)) == list(range(9))
    assert "a worker process was killed (out of memory?); continuing with 1 of 2" in capsys.readouterr().out
