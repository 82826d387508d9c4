"""Out-of-fold predictions of one level-one model: one network per fold; an interrupted run continues at its fold."""

from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from level1_cnn.hardware.devices import Plan
from level1_cnn.inference.forward import ONNX_FILE
from level1_cnn.inference.view_predictions import ViewPredictions, embedding_table, merge_folds
from level1_cnn.job import Job
from level1_cnn.training.checkpoint import STATE
from level1_cnn.training.frozen import shared_embeddings
from level1_cnn.training_settings import Finetune
from runtime.files import read_json
from runtime.progress import say, warn
from runtime.provenance import MARK_KEYS, digest, write_mark
from runtime.tables import read_table, write_table

# Files of a fold: a whole network and its ONNX export for a CPU, or the head of a frozen network.
WEIGHTS = ("model.weights.h5", ONNX_FILE, "head.npz")


class Trainer(Protocol):
    """The interface of the two training methods."""

    def prepare(self) -> None:
        """Compute what all folds share, unless it exists."""
        ...

    def fit_fold(self, fold: int, folder: Path) -> ViewPredictions | None:
        """Train without the fold's cases, then predict these and the test cases; return None except on the chief."""
        ...

    def facts(self) -> dict[str, Any]:
        """Return facts about the fold that was trained last, for the mark of the fold."""
        ...


def open_trainer(job: Job, plan: Plan) -> Trainer:
    """Return the trainer for a model's method."""
    keras.backend.clear_session()
    cases = job.run.read_cases()
    cases = cases[cases["picture"].notna()]
    # New layers draw their weights from Keras' global seed; they must be equal in every process and after a restart.
    keras.utils.set_random_seed(job.experiment.seed)
    if isinstance(job.experiment.training, Finetune):
        from level1_cnn.training.finetune import FinetuneTrainer

        return FinetuneTrainer(job, job.experiment.training, plan, cases)
    from level1_cnn.training.frozen import FrozenTrainer

    return FrozenTrainer(job, job.experiment.training, plan, cases)


def run_fold(
    trainer: Trainer, fold: int, mark: Path, made_from: dict[str, Any], *, deterministic: bool = False
) -> None:
    """Train and predict one fold, write its tables, and last its mark, which records ``deterministic``."""
    folder = mark.parent
    folder.mkdir(parents=True, exist_ok=True)
    predictions = trainer.fit_fold(fold, folder)
    if predictions is None:
        return
    tables = {"predictions": predictions.table(), "views": predictions.view_table()}
    embeddings = predictions.embedding_table()
    if embeddings is not None:
        tables["embeddings"] = embeddings
    for name, table in tables.items():
        write_table(folder / f"{name}.parquet", table)
    weights = [folder / name for name in WEIGHTS if (folder / name).is_file()]
    outputs = [*(folder / f"{name}.parquet" for name in tables), *weights]
    write_mark(mark, made_from, outputs, **trainer.facts(), deterministic=deterministic)
    (folder / STATE).unlink(missing_ok=True)  # only now: after a kill while predicting, the training is not repeated


def merge_model(job: Job) -> None:
    """Write a model's tables from the tables of its folds, and run.json last; print its out-of-fold AUC."""
    cases = job.run.read_cases()
    folds = int(cases["fold"].max()) + 1
    parts = [job.folder / f"fold_{fold}" for fold in range(folds)]
    rows = cases[cases["role"].isin(["train", "test"])]
    predictions = merge_folds(cases, [read_table(part / "predictions.parquet") for part in parts])
    write_table(job.folder / "predictions.parquet", predictions.assign(fold=rows["fold"].astype("int8")))
    write_table(
        job.folder / "views.parquet", merge_folds(cases, [read_table(part / "views.parquet") for part in parts])
    )
    frozen_embeddings = shared_embeddings(job)
    if frozen_embeddings is None:
        embeddings = merge_folds(cases, [read_table(part / "embeddings.parquet") for part in parts]).astype(np.float16)
    else:
        embeddings = embedding_table(*frozen_embeddings).reindex(rows.index)
    write_table(job.folder / "embeddings.parquet", embeddings)
    auc = _fold_aucs(cases, predictions)
    marks = [read_json(part / "done.json") for part in parts]
    facts = [{key: value for key, value in mark.items() if key not in MARK_KEYS} for mark in marks]
    outputs = [job.folder / f"{name}.parquet" for name in ("predictions", "views", "embeddings")]
    write_mark(job.folder / "run.json", job.made_from, outputs, made_by=digest(job.made_from), auc=auc, folds=facts)
    fold_range = f"folds {auc['lowest']:.3f} to {auc['highest']:.3f}"
    say(f"level one: {job.name}: out-of-fold AUC {auc['overall']:.4f} ({fold_range})")
    if any("best_epoch" in fold for fold in facts):
        warn(f"{job.name}: this AUC is optimistic: keep = 'best' chose each fold's epoch on its own validation cases")


def _fold_aucs(cases: pd.DataFrame, predictions: pd.DataFrame) -> dict[str, float]:
    train = cases[cases["role"] == "train"]
    score = predictions["probability"].reindex(train.index)
    per_fold = [roc_auc_score(part["target"], score[part.index]) for _, part in train.groupby("fold")]
    overall = roc_auc_score(train["target"], score)
    return {"overall": float(overall), "lowest": float(min(per_fold)), "highest": float(max(per_fold))}
