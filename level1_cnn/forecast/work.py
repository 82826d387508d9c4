"""The work that a model has left in a run (folds, steps, pictures), counted from the case table without training."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from level1_cnn.data.lookalikes import Lookalikes
from level1_cnn.data.training_rows import epoch_pictures, external_rows, fold_rows, is_in_training, model_rows
from level1_cnn.job import Job
from level1_cnn.training.frozen import shared_embeddings
from level1_cnn.training_settings import Finetune


@dataclass(frozen=True)
class Work:
    """Counts for one model: the folds, steps and pictures that are left, and the rows of its tables."""

    folds: int
    pending: int  # folds that are not finished
    cases: int  # rows of the model's tables
    predictions: float  # pictures that a fold predicts, the mean over the folds
    rows: int  # pictures that the training uses
    steps: int = 0  # optimiser steps per epoch of a fold
    epochs: int = 0  # per fold
    sides: int = 1  # px of the pictures: how many sides the epochs of a fold have; each has a graph
    pixels: float = 1.0  # of an epoch's pictures, the mean over the epochs, relative to the last one
    pretraining: tuple[int, int] = (0, 0)  # epochs, and steps per epoch, of a stage that is not finished
    monitor_pictures: float = 0.0  # pictures that a fold predicts after each epoch
    first_head_pictures: int = 0  # whose features, by all views, a fine-tuned model's first head is fitted to
    embeddings_left: int = 0  # pictures of a frozen model that are not embedded
    head_pictures: float = 0.0  # pictures to which the head of a frozen model is fitted


def count_work(job: Job, batch: int) -> Work:
    """Return the work of ``job`` with ``batch`` pictures per optimiser step (0 for a frozen network)."""
    cases = job.run.read_cases()
    cases = cases[cases["picture"].notna()]
    train, tests = cases["role"] == "train", int((cases["role"] == "test").sum())
    folds = int(cases["fold"].max()) + 1
    fold_cases = train.sum() / folds
    settings = job.experiment.training
    counts: dict[str, Any] = {
        "folds": folds,
        "pending": len(job.pending(folds)),
        "cases": int(train.sum()) + tests,
        "predictions": float(fold_cases + tests),
    }
    if isinstance(settings, Finetune):
        return Work(**counts, **_finetuning(job, settings, cases, batch))
    is_used = cases["role"] != "extra" if settings.external == "apart" else cases["role"].notna()
    pictures = int(is_used.sum())
    embeddings_left = pictures if shared_embeddings(job) is None else 0
    head_pictures = float((is_used & (cases["role"] != "test")).sum() - fold_cases)
    return Work(**counts, rows=pictures, embeddings_left=embeddings_left, head_pictures=head_pictures)


def _finetuning(job: Job, settings: Finetune, cases: pd.DataFrame, batch: int) -> dict[str, Any]:
    lookalikes = Lookalikes(job.run, cases)
    tests = cases.index[cases["role"] == "test"]
    # The pseudo-labels do not exist yet; the count does not depend on their values.
    pseudo = pd.Series(0.5, tests) if settings.pseudo is not None else None
    folds = range(int(cases["fold"].max()) + 1)
    rows = [fold_rows(cases, settings, fold, lookalikes.of_fold(fold), pseudo) for fold in folds]
    pictures = float(np.mean([epoch_pictures(training_rows, settings) for training_rows in rows]))
    validates = settings.monitor or settings.keep == "best"
    side = job.experiment.image_size
    sides = np.array([settings.side_of_epoch(epoch, side) for epoch in range(settings.epochs)])
    return {
        "rows": len(model_rows(cases, settings).names),
        "steps": max(1, round(pictures / batch)),
        "epochs": settings.epochs,
        "sides": len(np.unique(sides)),
        "pixels": float(np.mean(sides**2) / side**2),
        "pretraining": _pretraining(job, settings, cases, lookalikes, batch),
        "first_head_pictures": int(is_in_training(cases, settings).sum()) if settings.head == "fitted" else 0,
        "monitor_pictures": float((cases["role"] == "train").sum() / len(folds)) if validates else 0.0,
    }


def _pretraining(
    job: Job, settings: Finetune, cases: pd.DataFrame, lookalikes: Lookalikes, batch: int
) -> tuple[int, int]:
    """Return (epochs, steps per epoch) of a pretraining stage; (0, 0) if it is finished or does not exist."""
    stage = settings.pretrain
    if stage is None or (job.pretrain_folder / "done.json").is_file():
        return 0, 0
    rows = external_rows(cases, settings, stage.targets, lookalikes.external())
    return stage.epochs, max(1, round(len(rows.names) / batch))
