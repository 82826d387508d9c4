"""Tests of level one when it is killed many times: its tables are those of an undisturbed run, to the byte.

KILLS in the environment is the number of kills while it trains; it is also killed while it decodes and predicts.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.folder.layout import Request
from features.freeze_cases import freeze_cases
from level1_cnn.training.checkpoint import STATE, load_state
from runtime.run_folder import Run
from tests.level1_cnn.drawn_run import HEADER, TABLES, TINY, draw, write_model
from tests.sources import ROOT

KILLS = int(os.environ.get("KILLS", "2"))
HAS_KILLS = "KILLS" in os.environ
FITS = ("average/pretrain", "average/fold_0", "average/fold_1", "best/fold_0", "best/fold_1")  # in their order
EPOCHS = 5 + 8 * -(-KILLS // len(FITS))  # of a fold: at least two between two kills, with a reserve
PRETRAIN_EPOCHS = 10 * EPOCHS  # these epochs are short, because they have no validation
ATTEMPT_SECONDS = 240.0
BODY = f'{TINY}[training]\nmethod = "finetune"\nepochs = {EPOCHS}\nbatch_size = 8\nlearning_rate = 0.01\n'
AUGMENTATION = "[training.augmentation]\nhair = 3\nnoise = 0.05\nmixup = 0.3\nmixup_probability = 0.5\n"
PRETRAIN = f"[training.pretrain]\nepochs = {PRETRAIN_EPOCHS}\nlearning_rate = 0.01\nmalignant_share = 0.5\n"
MODELS = {
    "average": BODY + 'keep = "ema"\nexternal = "apart"\nmonitor = true\nhead_dropout = 0.4\naccumulation = 2\n'
    "malignant_share = 0.4\n" + AUGMENTATION + PRETRAIN,
    "best": BODY + 'keep = "best"\nexternal = "joint"\nhead_dropout = 0.3\ndropout_samples = 2\n' + AUGMENTATION,
}

pytestmark = pytest.mark.full


def draw_data(folder: Path) -> Request:
    """Draw train, test and external pictures; every third one is malignant."""
    rng = np.random.default_rng(11)
    for source, patients in (("own", 16), ("external", 8)):
        lines = {"train": [f"{HEADER},target,diagnosis"], "test": [HEADER]}
        for number in range(patients * 4):
            name, malignant = f"{source}{number:03d}", number % 3 == 0
            role = "test" if source == "own" and number >= patients * 3 else "train"
            label = f",{int(malignant)},{('nevus', 'melanoma')[malignant]}" if role == "train" else ""
            lines[role].append(f"{name},{source}{number // 4},male,50,torso{label}")
            draw(folder / source / "jpeg" / role / f"{name}.jpg", malignant, rng)
        for role in ("train", "test") if source == "own" else ("train",):
            (folder / source / f"{role}.csv").write_text("\n".join(lines[role]) + "\n")
    return Request(folder / "own", extra=(folder / "external",), folds=2)


class Attempts:
    """Repeated attempts of the command on one run in ``folder``."""

    def __init__(self, folder: Path, request: Request) -> None:
        self.run = Run(folder / "run")
        freeze_cases(self.run, request)
        models = " ".join(write_model(folder, name, text) for name, text in MODELS.items())
        options = ["--run", str(self.run.folder), "--models", models, "--deterministic", "--devices", "cpu"]
        self._command = [sys.executable, "-m", "melstack", "oof", *options]
        self._log = folder / "output.txt"

    def finish(self) -> None:
        """Run to the end."""
        assert self._start().wait() == 0, self._log.read_text()[-3000:]

    def kill(self, moment: Callable[[], bool], wait: float) -> None:
        """Run, and kill the whole process group ``wait`` seconds after ``moment`` returns True for the first time."""
        process, latest = self._start(), time.monotonic() + ATTEMPT_SECONDS
        try:
            while not moment() and process.poll() is None and time.monotonic() < latest:
                time.sleep(0.002)
            time.sleep(wait)
            assert process.poll() is None, f"the command ended before the kill: {self._log.read_text()[-3000:]}"
            assert time.monotonic() < latest, "the moment of the kill did not come"
        finally:
            if process.poll() is None:  # otherwise another process may have its number
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert process.returncode == -signal.SIGKILL

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(self._command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)


def kill_decoding(attempts: Attempts, rng: random.Random) -> None:
    parts = attempts.run.folder.parent / "pictures"
    attempts.kill(lambda: any(parts.glob("*/parts/*")), rng.uniform(0, 0.05))
    assert not list(attempts.run.level1.glob("*/*/history.csv"))


def kill_training(attempts: Attempts, fit: str, pace: float, rng: random.Random) -> str:
    """Kill while a fit builds its graph, or within two epochs after one of the first three recorded epochs.

    ``pace`` is the duration of an epoch in seconds. Return a line about the kill.
    """
    folder = attempts.run.level1 / fit
    sign = rng.choice(["tensorboard/*", "history.csv", "history.csv", "history.csv"])
    epochs, seconds, before = rng.choice([1, 2, 3]), rng.uniform(0, 2), times(folder, sign)
    new_times = set[int]()

    def moment() -> bool:
        new_times.update(times(folder, sign) - before)
        return len(new_times) >= (epochs if sign == "history.csv" else 1)

    attempts.kill(moment, seconds * min(1.0, pace) if sign == "history.csv" else seconds)
    assert not (folder / "done.json").is_file(), f"{fit} was finished before the kill"
    total, finished_epochs = PRETRAIN_EPOCHS if fit.endswith("pretrain") else EPOCHS, count_epochs(folder)
    assert finished_epochs < total, f"{fit} was trained before the kill"
    return f"{fit}: {finished_epochs} of {total} epochs saved, killed {sign} + {seconds:.2f}"


def kill_predicting(attempts: Attempts, fit: str) -> None:
    folder = attempts.run.level1 / fit
    attempts.kill((folder / "model.weights.h5").is_file, 0.0)
    assert not (folder / "done.json").is_file()
    assert count_epochs(folder) == EPOCHS


def times(folder: Path, pattern: str) -> set[int]:
    """Return the modification times of the files of a pattern, which differ between epochs and between attempts."""
    return {path.stat().st_mtime_ns for path in folder.glob(pattern)}


def count_epochs(folder: Path) -> int:
    content = load_state(folder / STATE)
    return content[1] if content else 0


def tables(run: Run) -> dict[str, bytes]:
    return {f"{name}/{table}": (run.level1 / name / table).read_bytes() for name in MODELS for table in TABLES}


@pytest.mark.skipif(
    not HAS_KILLS,
    reason="takes minutes on a machine without other work: make test-all TESTS=tests/level1_cnn/training KILLS=10",
)
def test_a_training_killed_at_random_moments_ends_with_the_tables_of_an_undisturbed_one(tmp_path: Path) -> None:
    """In deterministic mode, with a pretraining stage and the folds of two models with different ``keep``."""
    request, rng = draw_data(tmp_path / "data"), random.Random(5)
    undisturbed_run, killed_run = Attempts(tmp_path / "whole", request), Attempts(tmp_path / "killed", request)
    start = time.monotonic()
    undisturbed_run.finish()
    print(f"undisturbed: {time.monotonic() - start:.0f} s")
    kill_decoding(killed_run, rng)
    targets = [FITS[(2 * number + 1) * len(FITS) // (2 * KILLS)] for number in range(KILLS)]
    for fit in FITS:
        pace = pd.read_csv(undisturbed_run.run.level1 / fit / "history.csv")["seconds"].median()
        for _ in range(targets.count(fit)):
            print(kill_training(killed_run, fit, pace, rng))
        if fit == "average/fold_0":
            kill_predicting(killed_run, fit)
    killed_run.finish()
    print(f"both runs, with {KILLS} + 2 kills: {time.monotonic() - start:.0f} s")
    expected, actual = tables(undisturbed_run.run), tables(killed_run.run)
    assert [name for name in expected if actual[name] != expected[name]] == []
