"""The finetune method: all weights are trained, by one graph that is built once and reset exactly for every fold."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from features.files import replacing
from features.progress import progress_bar
from features.runs import Run
from level1_cnn.devices import Plan
from level1_cnn.experiment import Experiment, Finetune
from level1_cnn.forward import live_forward
from level1_cnn.network import build_network
from level1_cnn.pipeline import training_batches
from level1_cnn.predictions import ViewPredictions, over_views
from level1_cnn.shards import count_cases, fold_of_file, shard_files

WARMUP_START = 0.1  # of the peak learning rate: a warm-up from zero wastes its first steps


class FinetuneTrainer:
    """Train the whole network once per fold."""

    def __init__(
        self, run: Run, name: str, experiment: Experiment, settings: Finetune, cases: pd.DataFrame, plan: Plan
    ) -> None:
        self._run, self._name, self._experiment, self._settings, self._cases = run, name, experiment, settings, cases
        self._plan = plan
        self._steps = _steps_per_fold(cases, settings)
        self._model = build_network(experiment, settings.head_dropout, settings.train_batch_norm)
        self._optimizer = make_optimizer(settings, self._steps, plan)
        self._optimizer.build(self._model.trainable_variables)
        state = [*self._model.variables, *self._optimizer.variables]
        self._start = [(variable, variable.numpy().copy()) for variable in state]
        self._train_step = make_train_step(self._model, self._optimizer, settings.label_smoothing, plan)
        self._forward = live_forward(self._model, plan)

    def fit_fold(self, fold: int, folder: Path) -> ViewPredictions:
        """Train without the fold's cases, store the weights in ``folder``, and predict the fold and the test cases."""
        self._reset()
        files = shard_files(self._run, self._experiment.image_size, "train")
        folds = int(self._cases["fold"].max()) + 1
        own = [path for path in files if fold_of_file(path, folds) == fold]
        extra = shard_files(self._run, self._experiment.image_size, "extra")
        self._train([path for path in files if path not in own] + extra, fold)
        with replacing(folder / "model.weights.h5") as temporary:
            self._model.save_weights(temporary)
        return self._predict(own + shard_files(self._run, self._experiment.image_size, "test"), fold)

    def shared_embeddings(self) -> None:
        """Return None: every fold has a network, and embeddings, of its own."""

    def _reset(self) -> None:
        """Put weights, batch statistics, random states and the optimiser back to where they began."""
        for variable, start in self._start:
            variable.assign(start)

    def _train(self, files: list[Path], fold: int) -> None:
        settings, side = self._settings, self._experiment.image_size
        count = count_cases(files)
        seed = self._experiment.seed * 1000 + fold
        batches = iter(training_batches(files, side, count, settings, seed))
        total = self._steps * settings.batch_size
        with progress_bar(f"{self._name}: fold {fold}: training", total) as advance:
            losses = self._run_steps(batches, advance)
        if not np.isfinite(losses).all():
            raise FloatingPointError(f"{self._name}: fold {fold}: the loss is not finite; lower the learning rate")

    def _run_steps(self, batches: Any, advance: Callable[[int], None]) -> np.ndarray:  # noqa: ANN401
        losses = np.empty(self._steps)
        for step in range(self._steps):
            losses[step] = float(self._train_step(*next(batches)))
            advance(self._settings.batch_size)
        return losses

    def _predict(self, files: list[Path], fold: int) -> ViewPredictions:
        count = count_cases(files)
        names: list[str] = []
        features, logits = [], []
        with progress_bar(f"{self._name}: fold {fold}: predicting eight views", count) as advance:
            for batch, outputs in over_views(self._forward, files, self._plan.batch_size, advance):
                names += batch
                features.append(outputs[0].mean(axis=1))
                logits.append(outputs[1][..., 0])
        return ViewPredictions(names, np.concatenate(logits), np.concatenate(features))


def _steps_per_fold(cases: pd.DataFrame, settings: Finetune) -> int:
    """Return the steps of one fold's training: the same for every fold, so that one schedule serves all."""
    train, extra = (int((cases["role"] == role).sum()) for role in ("train", "extra"))
    folds = int(cases["fold"].max()) + 1
    shown = settings.epochs * (train * (folds - 1) / folds + extra)
    return max(1, round(shown / settings.batch_size))


def learning_rates(settings: Finetune, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return a linear warm-up from a tenth of the peak, then a cosine to zero at the end of ``steps``."""
    warmup = min(round(settings.warmup_epochs * steps / settings.epochs), steps - 1)
    peak = settings.learning_rate
    return keras.optimizers.schedules.CosineDecay(
        WARMUP_START * peak, steps - warmup, alpha=0.0, warmup_target=peak, warmup_steps=warmup
    )


def make_optimizer(settings: Finetune, steps: int, plan: Plan) -> keras.optimizers.Optimizer:
    """Return AdamW on the settings' schedule over ``steps``, with a scaled loss where gradients are float16."""
    rates = learning_rates(settings, steps)
    inner = keras.optimizers.AdamW(rates, weight_decay=settings.weight_decay, clipnorm=1.0)
    # float16 gradients underflow unless the loss is scaled up first.
    return keras.optimizers.LossScaleOptimizer(inner) if plan.precision == "mixed_float16" else inner


def make_train_step(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, smoothing: float, plan: Plan
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return (pictures (n, side, side, 3), targets (n,)) -> loss: a step on smoothed cross-entropy, traced once."""

    @tf.function(jit_compile=plan.xla)  # type: ignore[untyped-decorator]
    def step(pictures: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = model(pictures, training=True)[1][:, 0]
            wanted = targets * (1 - smoothing) + smoothing / 2
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(wanted, logits))
            scaled = optimizer.scale_loss(loss)
        optimizer.apply(tape.gradient(scaled, model.trainable_variables), model.trainable_variables)
        return loss

    wrapped: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = step
    return wrapped
