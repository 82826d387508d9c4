"""Tests of level one killed at random moments: whatever is lost, the tables are those of an undisturbed run, to the byte.

KILLS in the environment says how often it is killed while it trains; once more it is while decoding, and while predicting.
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

from features.layout import Request
from features.runs import Run, freeze_cases
from level1_cnn.checkpoint import load_state
from level1_cnn.history import History
from tests.test_tasks import HEADER, ROOT, TABLES, TINY, draw, write_model

KILLS = int(os.environ.get("KILLS", "2"))
EPOCHS = 4 + 2 * KILLS  # of five trainings: there is always one left to be killed
FOLDS, ATTEMPT_SECONDS, WAIT_SECONDS = 2, 240.0, 2.0
BODY = f'{TINY}[training]\nmethod = "finetune"\nepochs = {EPOCHS}\nbatch_size = 8\nlearning_rate = 0.01\n'
AUGMENTATION = "[training.augmentation]\nhair = 3\nnoise = 0.05\nmixup = 0.3\nmixup_probability = 0.5\n"
MODELS = {
    "average": BODY + 'keep = "ema"\nexternal = "apart"\nhead_dropout = 0.4\naccumulation = 2\nmalignant_share = 0.4\n'
    f"{AUGMENTATION}[training.pretrain]\nepochs = {EPOCHS}\nlearning_rate = 0.01\nmalignant_share = 0.5\n",
    "best": BODY + 'keep = "best"\nexternal = "joint"\nhead_dropout = 0.3\ndropout_samples = 2\n' + AUGMENTATION,
}


def draw_data(folder: Path) -> Request:
    """Draw train, test and external pictures; every third is malignant."""
    rng = np.random.default_rng(11)
    for place, patients in (("own", 16), ("external", 8)):
        lines = {"train": [f"{HEADER},target,diagnosis"], "test": [HEADER]}
        for number in range(patients * 4):
            name, malignant = f"{place}{number:03d}", number % 3 == 0
            role = "test" if place == "own" and number // 4 >= patients * 3 // 4 else "train"
            truth = f",{int(malignant)},{('nevus', 'melanoma')[malignant]}" if role == "train" else ""
            lines[role].append(f"{name},{place}{number // 4},male,50,torso{truth}")
            draw(folder / place / "jpeg" / role / f"{name}.jpg", malignant, rng)
        for role in ("train", "test") if place == "own" else ("train",):
            (folder / place / f"{role}.csv").write_text("\n".join(lines[role]) + "\n")
    return Request(folder / "own", extra=(folder / "external",), folds=FOLDS)


class Training:
    """The command in a process group of its own, on a run in ``folder``, which is its only memory between two kills."""

    def __init__(self, folder: Path, request: Request) -> None:
        self.run = Run(folder / "run")
        freeze_cases(self.run, request)
        models = " ".join(write_model(folder, name, text) for name, text in MODELS.items())
        options = ["--run", str(self.run.folder), "--models", models, "--deterministic", "--devices", "cpu"]
        self._command = [sys.executable, "-m", "level1_cnn", "oof", *options]
        self._log = folder / "said.txt"

    def start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as said:
            return subprocess.Popen(self._command, cwd=ROOT, stdout=said, stderr=said, start_new_session=True)

    def finish(self) -> None:
        """Run to the end; what it says is in the message when it fails."""
        process = self.start()
        assert process.wait() == 0, self._log.read_text()[-3000:]

    def kill(self, moment: Callable[[], bool], wait: float) -> None:
        """Start, and kill the whole group ``wait`` seconds after ``moment`` has come."""
        process, latest = self.start(), time.monotonic() + ATTEMPT_SECONDS
        try:
            while not moment() and process.poll() is None and time.monotonic() < latest:
                time.sleep(0.002)
            time.sleep(wait)
            assert process.poll() is None, f"it ended before it was killed: {self._log.read_text()[-3000:]}"
            assert time.monotonic() < latest, "the moment did not come"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert process.returncode == -signal.SIGKILL

    def unfinished(self) -> list[Path]:
        """Return the folders of trainings (folds and the pretraining stage) that were begun and are not finished."""
        begun = {path.parent for path in self.run.level1.glob("*/*/tensorboard")}
        return sorted(folder for folder in begun if not (folder / "done.json").is_file())

    def decodes(self) -> bool:
        return any(self.run.folder.parent.glob("pictures/*/parts/*"))

    def predicts(self) -> bool:
        return any((folder / "model.weights.h5").is_file() for folder in self.unfinished())

    def phase(self) -> str:
        """Return what a killed process was doing, by what it left behind."""
        left = self.unfinished()
        saved = load_state(left[0] / "state.npz") if left else None
        if not left:
            return "outside"
        return "predicting" if saved is not None and saved[1] == EPOCHS else "training"

    def tables(self) -> dict[str, bytes]:
        return {f"{name}/{table}": (self.run.level1 / name / table).read_bytes() for name in MODELS for table in TABLES}


def training_moment(training: Training, rng: random.Random) -> Callable[[], bool]:
    """Return a moment in the next attempt: a training has begun, or has recorded its first or second epoch since."""
    before = seen(training)
    wanted = rng.choice([0, 1, 2])
    return lambda: len(seen(training) - before) > wanted


def seen(training: Training) -> set[tuple[Path, int]]:
    """Return a different thing for every beginning (a file of events) and every epoch (a time of writing) of a run."""
    events = {(path, 0) for path in training.run.level1.glob("*/*/tensorboard/*")}
    times = set()
    for path in training.run.level1.glob("*/*/history.csv"):
        times.add((path, path.stat().st_mtime_ns))
    return events | times


@pytest.mark.slow
def test_a_training_killed_at_random_moments_ends_with_the_tables_of_an_undisturbed_one(tmp_path: Path) -> None:
    request, rng = draw_data(tmp_path / "data"), random.Random(5)
    whole, killed = Training(tmp_path / "whole", request), Training(tmp_path / "killed", request)
    started = time.monotonic()
    whole.finish()
    print(f"undisturbed: {time.monotonic() - started:.0f} s")
    started = time.monotonic()
    killed.kill(killed.decodes, rng.uniform(0, 0.05))
    assert killed.phase() == "outside"
    phases: list[str] = []
    while phases.count("training") < KILLS:
        killed.kill(training_moment(killed, rng), rng.uniform(0, WAIT_SECONDS))
        phases.append(killed.phase())
        print(f"{time.monotonic() - started:.0f} s: killed while {phases[-1]} {places(killed)}")
    killed.kill(killed.predicts, 0.0)
    assert killed.phase() == "predicting"
    killed.finish()
    print(f"killed: {time.monotonic() - started:.0f} s; {phases}")
    expected, found = whole.tables(), killed.tables()
    assert [name for name in expected if found[name] != expected[name]] == []


def places(training: Training) -> str:
    return ", ".join(
        f"{folder.parent.name}/{folder.name}: {(load_state(folder / 'state.npz') or ({}, 0))[1]} epochs saved"
        for folder in training.unfinished()
    )


def test_a_history_is_read_back_to_the_bit(tmp_path: Path) -> None:
    """Else an AUC that equals the best one so far would seem better after a kill, and another epoch would be kept."""
    scores = [count / 143 for count in range(143)]
    with History(tmp_path, 0) as history:
        for epoch, score in enumerate(scores, start=1):
            history.add(epoch=epoch, steps=1.0, loss=0.5, learning_rate=0.1, seconds=1.0, validation_auc=score)
    with History(tmp_path, len(scores)) as again:
        pd.testing.assert_frame_equal(again.table, history.table, check_exact=True, check_dtype=False)
