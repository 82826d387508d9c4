"""How much work a model has left in a run: folds, steps, pictures; counted from the case table, nothing is trained."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from level1_cnn.data.lookalikes import Lookalikes
from level1_cnn.data.training_rows import epoch_pictures, external_rows, fold_rows, model_rows
from level1_cnn.experiment import Finetune
from level1_cnn.job import Job
from level1_cnn.training.frozen import shared_embeddings


@dataclass(frozen=True)
class Work:
    """Counts of one model: of all its ``folds``, ``pending`` are left to do.

    ``steps`` and ``epochs`` are a fold's optimiser steps and epochs, ``pretraining`` those of the stage that is left to
    do. ``predictions`` pictures are predicted by a fold on average, ``monitor_pictures`` after each of its epochs. ``embeddings_left``
    pictures are left to embed; ``rows`` pictures are held in training, of which a frozen model's head is shown
    ``head_pictures``. ``cases`` are the rows of its tables.
    """

    folds: int
    pending: int
    cases: int
    predictions: float
    rows: int
    steps: int = 0
    epochs: int = 0
    pretraining: tuple[int, int] = (0, 0)
    monitor_pictures: float = 0.0
    embeddings_left: int = 0
    head_pictures: float = 0.0


def count_work(job: Job, batch: int) -> Work:
    """Return the work of ``job`` whose optimiser steps take ``batch`` pictures (0 for a frozen network)."""
    cases = job.run.read_cases()
    cases = cases[cases["picture"].notna()]
    train, tests = cases["role"] == "train", int((cases["role"] == "test").sum())
    folds = int(cases["fold"].max()) + 1
    own = train.sum() / folds
    settings = job.experiment.training
    counts: dict[str, Any] = {
        "folds": folds,
        "pending": len(job.pending(folds)),
        "cases": int(train.sum()) + tests,
        "predictions": float(own + tests),
    }
    if isinstance(settings, Finetune):
        return Work(**counts, **_of_training(job, settings, cases, batch))
    shown = cases["role"] != "extra" if settings.external == "apart" else cases["role"].notna()
    done = shared_embeddings(job) is not None
    fitted = float((shown & (cases["role"] != "test")).sum() - own)
    return Work(**counts, rows=int(shown.sum()), embeddings_left=0 if done else int(shown.sum()), head_pictures=fitted)


def _of_training(job: Job, settings: Finetune, cases: pd.DataFrame, batch: int) -> dict[str, Any]:
    lookalikes = Lookalikes(job.run, cases)
    tests = cases.index[cases["role"] == "test"]
    # Which labels they will have is not known yet, how many of them there are is.
    pseudo = pd.Series(0.5, tests) if settings.pseudo is not None else None
    folds = range(int(cases["fold"].max()) + 1)
    rows = [fold_rows(cases, settings, fold, lookalikes.of_fold(fold), pseudo) for fold in folds]
    pictures = float(np.mean([epoch_pictures(each, settings) for each in rows]))
    watches = settings.monitor or settings.keep == "best"
    return {
        "rows": len(model_rows(cases, settings).names),
        "steps": max(1, round(pictures / batch)),
        "epochs": settings.epochs,
        "pretraining": _pretraining(job, settings, cases, lookalikes, batch),
        "monitor_pictures": float((cases["role"] == "train").sum() / len(folds)) if watches else 0.0,
    }


def _pretraining(
    job: Job, settings: Finetune, cases: pd.DataFrame, lookalikes: Lookalikes, batch: int
) -> tuple[int, int]:
    """Return (epochs, steps of each) of a pretraining stage that is left to do."""
    stage = settings.pretrain
    if stage is None or (job.pretrain_folder / "done.json").is_file():
        return 0, 0
    shown = external_rows(cases, settings, stage.targets, lookalikes.external())
    return stage.epochs, max(1, round(len(shown.names) / batch))
