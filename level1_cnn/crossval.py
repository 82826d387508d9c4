"""Out-of-fold predictions of one level-one model: a fold model for every fold, resumable at each of them."""

from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from features.progress import say
from features.provenance import digest, finish, is_fresh
from features.runs import Run
from features.tables import read_table, write_table
from level1_cnn.devices import Plan
from level1_cnn.experiment import Experiment, Finetune
from level1_cnn.predictions import ViewPredictions, embedding_table, merge_folds


class Trainer(Protocol):
    """One of the two ways to train: what a fold needs, whichever it is."""

    def fit_fold(self, fold: int, folder: Path) -> ViewPredictions:
        """Train without the fold's cases and predict them and the test cases."""
        ...

    def shared_embeddings(self) -> tuple[list[str], np.ndarray] | None:
        """Return names and embeddings when all folds share them."""
        ...


def train_model(run: Run, name: str, experiment: Experiment, made_from: dict[str, Any], plan: Plan) -> None:
    """Make level1/<name>/: a model per fold, predictions.parquet, embeddings.parquet, and run.json last.

    Folds that an interrupted attempt finished are kept.
    """
    cases = run.read_cases()
    cases = cases[cases["picture"].notna()]
    folder = run.level1 / name
    folds = int(cases["fold"].max()) + 1
    pending = [fold for fold in range(folds) if not is_fresh(folder / f"fold_{fold}" / "done.json", made_from)]
    # An entry point: new layers draw their first weights from Keras' global state, the same after an interruption.
    keras.utils.set_random_seed(experiment.seed)
    trainer = _open_trainer(run, name, experiment, cases, plan)
    for fold in pending:
        _run_fold(trainer, fold, folder / f"fold_{fold}", made_from)
    shared = trainer.shared_embeddings()
    keras.backend.clear_session()
    _merge(folder, cases, folds, shared)
    auc = _fold_aucs(cases, read_table(folder / "predictions.parquet"))
    finish(folder / "run.json", made_from, made_by=digest(made_from), auc=auc)
    say(f"{name}: out-of-fold AUC {auc['overall']:.4f} (folds {auc['lowest']:.3f} to {auc['highest']:.3f})")


def _open_trainer(run: Run, name: str, experiment: Experiment, cases: pd.DataFrame, plan: Plan) -> Trainer:
    if isinstance(experiment.training, Finetune):
        from level1_cnn.training import FinetuneTrainer

        return FinetuneTrainer(run, name, experiment, experiment.training, cases, plan)
    from level1_cnn.frozen import FrozenTrainer

    return FrozenTrainer(run, name, experiment, experiment.training, cases, plan)


def _run_fold(trainer: Trainer, fold: int, folder: Path, made_from: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    predicted = trainer.fit_fold(fold, folder)
    write_table(folder / "predictions.parquet", predicted.table())
    embeddings = predicted.embedding_table()
    if embeddings is not None:
        write_table(folder / "embeddings.parquet", embeddings)
    finish(folder / "done.json", made_from)


def _merge(folder: Path, cases: pd.DataFrame, folds: int, shared: tuple[list[str], np.ndarray] | None) -> None:
    parts = [folder / f"fold_{fold}" for fold in range(folds)]
    rows = cases[cases["role"].isin(["train", "test"])]
    merged = merge_folds(cases, [read_table(part / "predictions.parquet") for part in parts])
    write_table(folder / "predictions.parquet", merged.assign(fold=rows["fold"].astype("int8")))
    if shared is None:
        embeddings = merge_folds(cases, [read_table(part / "embeddings.parquet") for part in parts]).astype(np.float16)
    else:
        embeddings = embedding_table(*shared).reindex(rows.index)
    write_table(folder / "embeddings.parquet", embeddings)


def _fold_aucs(cases: pd.DataFrame, predictions: pd.DataFrame) -> dict[str, float]:
    train = cases[cases["role"] == "train"]
    score = predictions["probability"].reindex(train.index)
    per_fold = [roc_auc_score(part["target"], score[part.index]) for _, part in train.groupby("fold")]
    overall = roc_auc_score(train["target"], score)
    return {"overall": float(overall), "lowest": float(min(per_fold)), "highest": float(max(per_fold))}
