"""A network with its training step, and its fits: run epochs, save state and history, return the weights to keep."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from level1_cnn.data.feed import Feed
from level1_cnn.data.metadata import COLUMNS
from level1_cnn.data.training_rows import TrainingRows
from level1_cnn.hardware.devices import Plan, distribute
from level1_cnn.inference.forward import TensorFlowForward
from level1_cnn.inference.view_predictions import Forward
from level1_cnn.job import Job
from level1_cnn.networks.losses import make_loss
from level1_cnn.networks.network import build_network
from level1_cnn.training.checkpoint import STATE, load_state, load_weights, save_state, save_weights
from level1_cnn.training.history import History
from level1_cnn.training.step import Stepper
from level1_cnn.training_settings import Finetune, Targets
from runtime.errors import InputFault
from runtime.progress import progress_bar

BEST = "best.npz"  # weights of the best epoch so far, in the folder of a fit


@dataclass(frozen=True)
class Fit:
    """One training: its rows, the folder of its files, its seed, the title of its progress bar, its validation."""

    rows: TrainingRows
    folder: Path
    seed: int
    title: str
    validate: Callable[[], float] | None = None  # returns the AUC of the validation fold, called after every epoch


class Stage:
    """A network with its training step: built once, reset to the same first weights before every fit."""

    def __init__(self, job: Job, settings: Finetune, plan: Plan, feed: Feed, scheme: Targets, steps: int) -> None:
        self.settings, self.plan, self._feed = settings, plan, feed
        self._batch = plan.training_batch(job.experiment)
        self._epoch_steps = max(1, steps)
        width = len(COLUMNS) if settings.metadata else 0

        def build(side: int) -> keras.Model:
            """Return the network for pictures of ``side`` px."""
            experiment = job.network.model_copy(update={"image_size": side})
            return build_network(experiment, settings, width, scheme=scheme)

        with plan.strategy.scope():
            self.model = build(job.experiment.image_size)
            smaller = {side: build(side) for side in settings.progressive_sides}
        steps = self._epoch_steps * settings.epochs
        self.stepper = Stepper(self.model, settings, steps, plan, make_loss(settings), smaller=smaller)

    @cached_property
    def forward(self) -> Forward:
        """The forward pass of the network, which uses the weights of the moment."""
        return TensorFlowForward(self.model, self.plan)

    def run(self, fit: Fit) -> pd.DataFrame:
        """Train from the start, or after the last finished epoch of an interrupted fit; return the history."""
        self.stepper.reset(fit.seed)
        state, first_epoch = load_state(fit.folder / STATE) or (None, 0)
        if state is not None:
            self.stepper.set_state(state)
        total = (self.settings.epochs - first_epoch) * self._epoch_steps * self._batch
        with History(fit.folder, first_epoch) as history, progress_bar(fit.title, total) as advance:
            # After a kill between the last epoch and the fold's mark no steps are left, and the feed cannot be empty.
            batches = self.batches(fit, first_epoch) if first_epoch < self.settings.epochs else iter(())
            for epoch in range(first_epoch, self.settings.epochs):
                self._run_epoch(epoch, batches, fit, history, advance)
            return history.table

    def weights(self, fit: Fit, table: pd.DataFrame) -> dict[str, np.ndarray]:
        """Return path in the network -> weights of a finished ``fit``: last, best or averaged, by ``settings.keep``.

        ``table`` is the history that ``run`` returned. Raises InputFault when the stored best weights are damaged.
        """
        if self.settings.keep == "best":
            return _best_weights(fit.folder)
        with self.stepper.use(self._which(table)):
            return self.stepper.weights()

    def _which(self, table: pd.DataFrame) -> Any:  # noqa: ANN401  one of the averages' names
        return "current" if self.settings.keep in ("last", "best") or table.empty else self.settings.keep

    def batches(self, fit: Fit, first_epoch: int) -> Iterator[Any]:
        """Return the batches of a fit from ``first_epoch`` (from 0) on, each already on its devices."""

        def make(shard: tuple[int, int]) -> Any:  # noqa: ANN401  a tf.data.Dataset
            """Return the batches of one worker."""
            return self._feed.batches(
                self.settings.augmentation,
                batch_size=self._batch,
                malignant_share=self.settings.malignant_share,
                external_share=self.settings.external_share,
                seed=fit.seed,
                first_step=first_epoch * self._epoch_steps,
                steps=(self.settings.epochs - first_epoch) * self._epoch_steps,
                rows=fit.rows,
                shard=shard,
            )

        return iter(distribute(self.plan, make))

    def _run_epoch(
        self, epoch: int, batches: Iterator[Any], fit: Fit, history: History, advance: Callable[[int], None]
    ) -> None:
        start, rate = time.perf_counter(), self.stepper.learning_rate
        self.stepper.begin_epoch(epoch)
        tensors = []  # of the losses; reading one here would make the host wait for the device
        for _ in range(self._epoch_steps):
            tensors.append(self.stepper(next(batches)))
            advance(self._batch)
        losses = np.array(tensors, dtype=float)
        if not np.isfinite(losses).all():
            infinite = int((~np.isfinite(losses)).sum())
            raise FloatingPointError(
                f"{fit.title}: the loss of {infinite} of {len(losses)} steps of epoch {epoch + 1} is not finite; "
                "lower the learning rate"
            )
        self.stepper.end_epoch(epoch)
        if not self.plan.is_chief:
            return
        auc = self._validate(fit, history)
        seconds = time.perf_counter() - start
        steps = float(self._epoch_steps)
        history.add(epoch=epoch + 1, steps=steps, loss=losses.mean(), learning_rate=rate, seconds=seconds, **auc)
        save_state(fit.folder / STATE, self.stepper.state(), epoch + 1)

    def _validate(self, fit: Fit, history: History) -> dict[str, float]:
        """Return the validation AUC, if the fit has a validation; with keep = "best", write the best weights so far."""
        if fit.validate is None:
            return {}
        with self.stepper.use("ema" if self.settings.keep == "ema" else "current"):
            auc = fit.validate()
        best = history.table["validation_auc"].max()
        if self.settings.keep == "best" and not auc <= best:
            save_weights(fit.folder / BEST, self.stepper.weights())
        return {"validation_auc": auc}


def _best_weights(folder: Path) -> dict[str, np.ndarray]:
    """Return the weights of the best epoch; if they are damaged, remove the state so that the fit starts again."""
    try:
        return load_weights(folder / BEST)
    except InputFault as fault:
        (folder / STATE).unlink(missing_ok=True)
        raise InputFault(f"{fault}; the same command trains this fold again from its first epoch") from fault
