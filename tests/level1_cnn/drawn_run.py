"""A run of drawn pictures, and settings of the tiny networks that tests train on it."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from features.folder.layout import Request
from features.freeze_cases import freeze_cases
from level1_cnn.experiment import Experiment
from runtime.run_folder import Run
from tests.sources import ROOT

HEADER = "image_name,patient_id,sex,age_approx,anatom_site_general_challenge"
TINY = 'backbone = "tiny"\nvariant = "tiny"\nweights = "none"\nimage_size = 32\nviews = ["identity", "mirror"]\n'
FROZEN_TOML = TINY + '[training]\nmethod = "frozen"\nregularisation = 0.01\n'
FINETUNE_TOML = TINY + '[training]\nmethod = "finetune"\nepochs = 2\nbatch_size = 8\nlearning_rate = 0.01\n'
MODELS = {"finetuned": FINETUNE_TOML, "frozen": FROZEN_TOML}
TABLES = ("predictions.parquet", "views.parquet", "embeddings.parquet")


def tiny_experiment(training: Any, **changes: Any) -> Experiment:
    """Return a model with the tiny network and these ``training`` settings: a dict as in a TOML file, or an object."""
    tiny = {"backbone": "tiny", "variant": "tiny", "weights": "none", "image_size": 32}
    return Experiment.model_validate({**tiny, "training": training, **changes})


def draw(path: Path, malignant: bool, rng: np.random.Generator) -> None:
    """Draw a blob of random shape on light skin; a malignant one is bluish."""
    rows, columns = np.mgrid[:40, :40]
    middle, axes = rng.uniform(14, 26, 2), rng.uniform(5, 13, 2)
    blob = ((rows - middle[0]) / axes[0]) ** 2 + ((columns - middle[1]) / axes[1]) ** 2 < 1
    picture = np.full((40, 40, 3), 200.0)
    picture[blob] = (60, 60, 160) if malignant else (150, 90, 60)
    picture += rng.normal(0, 12, picture.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path, quality=95)


def draw_data(folder: Path, *, patients: int = 24, noise_target: bool = False, seed: int = 4) -> Path:
    """Draw four pictures per patient, every third one malignant; a quarter of the patients are test cases."""
    rng = np.random.default_rng(seed)
    tables = {"train": [f"{HEADER},target"], "test": [HEADER]}
    for number in range(patients * 4):
        role = "train" if number // 4 < patients * 3 // 4 else "test"
        target = rng.random() < 0.4 if noise_target else number % 3 == 0
        name, label = f"c{number:03d}", f",{int(target)}" if role == "train" else ""
        tables[role].append(f"{name},p{number // 4},male,50,torso{label}")
        draw(folder / "jpeg" / role / f"{name}.jpg", number % 3 == 0, rng)
    for role, lines in tables.items():
        (folder / f"{role}.csv").write_text("\n".join(lines) + "\n")
    return folder


def make_run(folder: Path, *, patients: int = 24, folds: int = 3) -> Run:
    """Return a run of drawn pictures with its case table."""
    run = Run(folder / "run")
    freeze_cases(run, Request(draw_data(folder / "data", patients=patients), folds=folds))
    return run


def copy_run(run: Run, folder: Path) -> Run:
    """Copy ``run`` and its decoded pictures to ``folder``; a test may change the copy."""
    return Run(Path(shutil.copytree(run.folder.parent, folder / "copied")) / run.folder.name)


def write_model(folder: Path, name: str, text: str) -> str:
    """Write a model's TOML and return its path."""
    path = folder / f"{name}.toml"
    path.write_text(text)
    return str(path)


def train_alone(run: Run, models: list[str], *options: str) -> str:
    """Train in a separate process, because the deterministic mode lasts until its end; return the printed lines."""
    line = [sys.executable, "-m", "melstack", "oof", "--run", str(run.folder), "--models", " ".join(models)]
    line += ["--deterministic", "--devices", "cpu", *options]
    return subprocess.run(line, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
