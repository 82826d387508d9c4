"""One network with its training step, built once, and its fits: epochs, traces, and the weights they keep."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from level1_cnn.data.feed import Feed
from level1_cnn.data.metadata import COLUMNS
from level1_cnn.data.training_rows import TrainingRows
from level1_cnn.experiment import Finetune, Targets
from level1_cnn.hardware.devices import Plan, distribute
from level1_cnn.inference.forward import tensorflow_forward
from level1_cnn.inference.view_predictions import Forward
from level1_cnn.job import Job
from level1_cnn.networks.losses import make_loss
from level1_cnn.networks.network import build_network
from level1_cnn.training.checkpoint import STATE, load_state, load_weights, save_state, save_weights
from level1_cnn.training.history import History
from level1_cnn.training.step import Stepper
from runtime.errors import InputFault
from runtime.progress import progress_bar

BEST = "best.npz"  # the weights of the best epoch so far, in the folder of a fit


@dataclass(frozen=True)
class Fit:
    """One training: on which rows, where its traces are kept, and who looks at it between epochs."""

    rows: TrainingRows
    folder: Path
    seed: int
    text: str
    watch: Callable[[], float] | None = None  # the AUC of the validation fold, where it is to be seen


class Stage:
    """A network with its training step, built once: every fit of it starts from the same weights."""

    def __init__(self, job: Job, settings: Finetune, plan: Plan, feed: Feed, scheme: Targets, steps: int) -> None:
        self.settings, self.plan, self._feed = settings, plan, feed
        self._batch = plan.training_batch(job.experiment)
        self._epoch_steps = max(1, steps)
        width = len(COLUMNS) if settings.metadata else 0
        with plan.strategy.scope():
            self.model = build_network(job.network, settings, width, scheme=scheme)
        loss = make_loss(settings)
        self.stepper = Stepper(self.model, settings, self._epoch_steps * settings.epochs, plan, loss)

    @cached_property
    def forward(self) -> Forward:
        """The network with the weights it has at each call."""
        return tensorflow_forward(self.model, self.plan)

    def run(self, fit: Fit) -> pd.DataFrame:
        """Train from the start, or from the last epoch that an interrupted attempt finished; return the history."""
        self.stepper.reset(fit.seed)
        saved = load_state(fit.folder / STATE)
        if saved is not None:
            self.stepper.set_state(saved[0])
        done = saved[1] if saved is not None else 0
        total = (self.settings.epochs - done) * self._epoch_steps * self._batch
        with History(fit.folder, done) as history, progress_bar(fit.text, total) as advance:
            # A kill between the last epoch and the fold's mark leaves no step to do, and the feed has no empty order.
            batches = self.batches(fit, done) if done < self.settings.epochs else iter(())
            for epoch in range(done, self.settings.epochs):
                self._run_epoch(epoch, batches, fit, history, advance)
            return history.table

    def weights(self, fit: Fit, table: pd.DataFrame) -> dict[str, np.ndarray]:
        """Return the weights that the settings keep, of a fit that has ended."""
        if self.settings.keep == "best":
            return _best_weights(fit.folder)
        with self.stepper.use(self._which(table)):
            return self.stepper.weights()

    def _which(self, table: pd.DataFrame) -> Any:  # noqa: ANN401  one of the averages' names
        return "current" if self.settings.keep in ("last", "best") or table.empty else self.settings.keep

    def batches(self, fit: Fit, done: int) -> Iterator[Any]:
        """Return the batches of a fit from the end of epoch ``done`` on, each already on its devices."""

        def make(shard: tuple[int, int]) -> Any:  # noqa: ANN401  a tf.data.Dataset
            return self._feed.batches(
                self.settings.augmentation,
                batch_size=self._batch,
                malignant_share=self.settings.malignant_share,
                external_share=self.settings.external_share,
                seed=fit.seed,
                first_step=done * self._epoch_steps,
                steps=(self.settings.epochs - done) * self._epoch_steps,
                rows=fit.rows,
                shard=shard,
            )

        return iter(distribute(self.plan, make))

    def _run_epoch(
        self, epoch: int, batches: Iterator[Any], fit: Fit, history: History, advance: Callable[[int], None]
    ) -> None:
        started, rate = time.perf_counter(), self.stepper.learning_rate
        pending = []
        for _ in range(self._epoch_steps):
            pending.append(self.stepper(next(batches)))  # a tensor: reading it would make the host wait for the device
            advance(self._batch)
        losses = np.array(pending, dtype=float)
        if not np.isfinite(losses).all():
            raise FloatingPointError(f"{fit.text}: the loss is not finite; lower the learning rate")
        self.stepper.end_epoch(epoch)
        if not self.plan.is_chief:
            return
        seen = self._look(fit, history)
        seconds = time.perf_counter() - started
        steps = float(self._epoch_steps)
        history.add(epoch=epoch + 1, steps=steps, loss=losses.mean(), learning_rate=rate, seconds=seconds, **seen)
        save_state(fit.folder / STATE, self.stepper.state(), epoch + 1)

    def _look(self, fit: Fit, history: History) -> dict[str, float]:
        """Return the validation AUC where somebody watches; remember the weights of the best epoch if one is chosen."""
        if fit.watch is None:
            return {}
        with self.stepper.use("ema" if self.settings.keep == "ema" else "current"):
            score = fit.watch()
        best = history.table["validation_auc"].max()
        if self.settings.keep == "best" and not score <= best:
            save_weights(fit.folder / BEST, self.stepper.weights())
        return {"validation_auc": score}


def _best_weights(folder: Path) -> dict[str, np.ndarray]:
    """Return the weights of the best epoch; where they are damaged the fit has to begin again."""
    try:
        return load_weights(folder / BEST)
    except InputFault as fault:
        (folder / STATE).unlink(missing_ok=True)
        raise InputFault(f"{fault}; the same command trains this fold again from its first epoch") from fault
