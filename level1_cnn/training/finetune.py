"""The finetune method: train all weights of a network; its graphs are built once and reset exactly for every fold."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from level1_cnn.data.feed import Feed
from level1_cnn.data.lookalikes import Lookalikes
from level1_cnn.data.metadata import COLUMNS, encode_metadata
from level1_cnn.data.run_pictures import shard_files
from level1_cnn.data.targets import melanoma_logits
from level1_cnn.data.training_rows import (
    TrainingRows,
    epoch_pictures,
    external_rows,
    fold_rows,
    is_in_training,
    model_rows,
)
from level1_cnn.hardware.devices import Plan
from level1_cnn.inference.forward import final_forward
from level1_cnn.inference.predict import predict_batches
from level1_cnn.inference.view_predictions import Forward, ViewPredictions
from level1_cnn.job import Job
from level1_cnn.training.checkpoint import STATE
from level1_cnn.training.first_head import first_head
from level1_cnn.training.fit import Fit, Stage
from level1_cnn.training.pretraining import assign_weights, save_stage, stage_files, starting_weights
from level1_cnn.training_settings import Finetune, Pretraining
from runtime.files import replacing
from runtime.progress import progress_bar
from runtime.provenance import is_fresh, write_mark
from runtime.tables import read_table

SEED_STRIDE = 1000  # between the seeds of two models; seed + fold is used for a fold, seed + STAGE_OFFSET for a stage
STAGE_OFFSET = 999


class FinetuneTrainer:
    """Train the whole network once per fold."""

    def __init__(self, job: Job, settings: Finetune, plan: Plan, cases: pd.DataFrame) -> None:
        self._job, self._settings, self._plan, self._cases = job, settings, plan, cases
        self._side = job.experiment.image_size
        self._files = shard_files(job.run, self._side)
        self._lookalikes = Lookalikes(job.run, cases)
        self._facts: dict[str, Any] = {}

    @cached_property
    def _feed(self) -> Feed:
        return Feed(self._files, model_rows(self._cases, self._settings), self._side)

    @cached_property
    def stage(self) -> Stage:
        """The network that the folds train; it starts from the pretraining stage if the settings have one."""
        settings = self._settings
        steps = round(self._pictures_per_epoch() / self._plan.training_batch(self._job.experiment))
        stage = Stage(self._job, settings, self._plan, self._feed, settings.targets, steps)
        if settings.pretrain is not None:
            stage.stepper.set_weights_start(starting_weights(self._job.pretrain_folder, stage.stepper.weights()))
        return stage

    def prepare(self) -> None:
        """Train on the external pictures alone, once for all folds, if the settings have a pretraining stage."""
        pretrain = self._settings.pretrain
        folder = self._job.pretrain_folder
        mark = folder / "done.json"
        if pretrain is None or is_fresh(mark, self._job.made_from, stage_files(folder)):
            return
        copies = self._lookalikes.external()
        rows = external_rows(self._cases, self._settings, pretrain.targets, copies)
        settings = _pretrain_settings(self._settings, pretrain)
        steps = round(len(rows.names) / self._plan.training_batch(self._job.experiment))
        stage = Stage(self._job, settings, self._plan, self._feed, pretrain.targets, steps)
        fit = Fit(rows, folder, self._seed(STAGE_OFFSET), f"{self._job.name}: pretraining")
        weights = stage.weights(fit, stage.run(fit))
        keras.backend.clear_session()
        if self._plan.is_chief:
            save_stage(folder, self._job.experiment, weights)
            facts = {"pictures": len(rows.names), "excluded": len(copies)}
            write_mark(mark, self._job.made_from, stage_files(folder), **facts)
            (folder / STATE).unlink(missing_ok=True)

    def fit_fold(self, fold: int, folder: Path) -> ViewPredictions | None:
        """Train without the fold's cases, write the weights to ``folder``, and predict the fold and the test cases."""
        rows = self.rows_of(fold)
        if self._settings.head == "fitted":
            names = self._first_features.index.intersection(rows.names)  # without pseudo-labelled cases
            head = first_head(self._first_features.loc[names], self._cases.loc[names])
            self.stage.stepper.set_weights_start(head)
        validation = self._cases.index[(self._cases["role"] == "train") & (self._cases["fold"] == fold)]
        tests = self._cases.index[self._cases["role"] == "test"]
        needs_auc = self._settings.monitor or self._settings.keep == "best"
        validate = (lambda: self._auc(list(validation))) if needs_auc else None
        fit = Fit(rows, folder, self._seed(fold), f"{self._job.name}: fold {fold}: training", validate)
        table = self.stage.run(fit)
        if not self._plan.is_chief:
            return None
        self._facts = _facts_of(self._settings, table, rows)
        assign_weights(self.stage.model, self.stage.weights(fit, table))
        with replacing(folder / "model.weights.h5") as temporary:
            self.stage.model.save_weights(temporary)
        return self._predict([*validation, *tests], folder, f"{self._job.name}: fold {fold}: predicting")

    @cached_property
    def _first_features(self) -> pd.DataFrame:
        """The features (n, d) of all training pictures by the first weights, the mean over the views, by image_name."""
        names = list(self._cases.index[is_in_training(self._cases, self._settings)])
        self.stage.stepper.reset()
        with progress_bar(f"{self._job.name}: features for the first head", len(names)) as advance:
            predictions = self._outputs(self.stage.forward, names, self._job.experiment.views, advance)
        return pd.DataFrame(predictions.embeddings, index=predictions.names)

    def rows_of(self, fold: int) -> TrainingRows:
        """Return the training rows of a fold: without its own cases and their copies and near-duplicates."""
        return fold_rows(self._cases, self._settings, fold, self._lookalikes.of_fold(fold), self._pseudo(fold))

    def facts(self) -> dict[str, Any]:
        """Return facts about the last fold for its mark: kept weights, number of rows, best epoch."""
        return self._facts

    def _seed(self, fold: int) -> int:
        return self._job.experiment.seed * SEED_STRIDE + fold

    def _pictures_per_epoch(self) -> float:
        """Return the number of pictures per epoch, the mean over the folds: all folds share one schedule."""
        folds = self._cases.loc[self._cases["role"] == "train", "fold"].unique()
        return float(np.mean([epoch_pictures(self.rows_of(int(fold)), self._settings) for fold in folds]))

    def _pseudo(self, fold: int) -> pd.Series | None:
        """Return the test probabilities by the same fold of the source model, which also left this fold's cases out."""
        if self._settings.pseudo is None:
            return None
        source = self._job.run.level1 / self._settings.pseudo.model / f"fold_{fold}" / "predictions.parquet"
        return read_table(source)["probability"]

    def _auc(self, validation: list[str]) -> float:
        predictions = self._outputs(self.stage.forward, validation, ("identity",), lambda count: None)
        target = self._cases.loc[predictions.names, "target"]
        return float(roc_auc_score(target, predictions.logits[:, 0]))

    def _predict(self, names: list[str], folder: Path, text: str) -> ViewPredictions:
        views = self._job.experiment.views
        forward = final_forward(self.stage.model, folder, self._plan, self.stage.forward)
        with progress_bar(text, len(names)) as advance:
            return self._outputs(forward, names, views, advance)

    def _outputs(
        self, forward: Forward, names: list[str], views: tuple[str, ...], advance: Callable[[int], None]
    ) -> ViewPredictions:
        order: list[str] = []  # the shards give the cases in another order than ``names``
        features, logits = [], []
        size, metadata = self._plan.batch_size, self._metadata(names)
        for batch, outputs in predict_batches(forward, self._files, views, size, advance, names, metadata):
            order += batch
            features.append(outputs[0].mean(axis=1))
            logits.append(melanoma_logits(outputs[1], self._settings.targets))
        return ViewPredictions(order, np.concatenate(logits), np.concatenate(features), views)

    def _metadata(self, names: list[str]) -> pd.DataFrame | None:
        if not self._settings.metadata:
            return None
        rows = self._cases.loc[names]
        return pd.DataFrame(encode_metadata(rows), index=rows.index, columns=list(COLUMNS))


def _pretrain_settings(settings: Finetune, pretrain: Pretraining) -> Finetune:
    """Return the settings of a pretraining stage: the model's settings, with the stage's own values in their place."""
    stage_values = {name: getattr(pretrain, name) for name in ("epochs", "learning_rate", "targets", "malignant_share")}
    keep = "ema" if settings.keep == "best" else settings.keep
    head = {"layers": "last", "head": "random"}  # the first head is fitted after the stage
    parts = {"auc_margin_epochs": 0, "progressive_sides": ()}  # of the epochs of the folds
    values = {**stage_values, **head, **parts, "keep": keep, "pseudo": None, "external_share": 0.0}
    return settings.model_copy(update=values)


def _facts_of(settings: Finetune, table: pd.DataFrame, rows: TrainingRows) -> dict[str, Any]:
    facts: dict[str, Any] = {"kept": settings.keep, "rows": len(rows.names)}
    if settings.keep == "best":
        facts["best_epoch"] = int(table["epoch"].iloc[table["validation_auc"].argmax()])
    return facts
