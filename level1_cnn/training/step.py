"""The training step, on one or several devices: traced graph, averages of weights, exact reset."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from level1_cnn.hardware.devices import Plan, split_batch
from level1_cnn.networks.stages import stages_after
from level1_cnn.training.gradients import AccumulatedGradients, Batch, Loss, Pairs, sort_variables
from level1_cnn.training.optimizer import Rates, learning_rates, make_optimizer
from level1_cnn.training_settings import Finetune

SEED_STRIDE = 1_000_003  # between the dropout seeds of two devices: they must not draw the same masks


class Stepper:
    """Train one network step by step; the graph is traced once per side and used for every fold and seed.

    ``model`` must be built under ``plan.strategy.scope()``; its outputs are [features, logits]. ``steps`` is the length
    of the whole schedule of ``settings.epochs``; ``rates`` replaces that schedule (for a range test). ``smaller`` maps
    every side of ``settings.progressive_sides`` to the same network for that side: it is called with the values of the
    variables of ``model``, and its own are not used. The loss is sum(weight * loss) / sum(weight) over the global
    batch, with the loss of pairs in the last ``settings.auc_margin_epochs``. Batch normalisation uses one device's part
    of the batch; its moving statistics are the mean over the devices.
    """

    def __init__(
        self,
        model: keras.Model,
        settings: Finetune,
        steps: int,
        plan: Plan,
        loss: Loss,
        *,
        rates: Rates | None = None,
        smaller: Mapping[int, keras.Model] | None = None,
    ) -> None:
        self.traces = 0  # how often the graph was built
        self._model, self._settings, self._plan = model, settings, plan
        self._variables = sort_variables(model)
        self._sources = [*self._variables.weights, *self._variables.moving]  # of the averages
        self._decay = math.exp(-settings.epochs / (settings.ema_epochs * steps))
        self._memory_decay = math.exp(-settings.epochs / steps)  # of the loss of pairs: one epoch
        with plan.strategy.scope():
            schedule = rates or learning_rates(settings, steps)
            self._optimizer = make_optimizer(settings, schedule, plan, self._variables.weights, stages_after(model))
            self._ema = [_local_copy(v.numpy()) for v in self._sources] if settings.keep == "ema" else []
            self._memory = [_local_copy(np.zeros((2, 2), np.float32))] if settings.auc_margin_epochs else []
        self._sums: list[np.ndarray] = []
        self._epochs_in_sum = 0
        self._side: int = model.inputs[0].shape[1]  # px, of the network in this epoch
        networks = {**(smaller or {}), self._side: model}
        self._gradients = {side: self._gradients_of(network, loss) for side, network in networks.items()}
        self._uses_pairs = False  # in this epoch
        self._step = tf.function(self._on_all_devices)
        self._start = self.state()

    def __call__(self, batch: Batch) -> tf.Tensor:
        """Take one step and return the loss before the step, without waiting for the device.

        A batch that does not come from ``devices.distribute`` is split over the devices of this host.
        """
        uses_pairs = tf.constant(self._uses_pairs) if self._memory else None  # as a tensor, it needs no second graph
        return self._step(split_batch(self._plan, batch), self._side, uses_pairs)

    @property
    def learning_rate(self) -> float:
        """Return the learning rate of the next step."""
        return float(self._optimizer.learning_rate)

    def reset(self, seed: int | None = None) -> None:
        """Set weights, batch statistics, optimiser, averages and counters back to their first values, to the bit.

        Dropout uses ``seed`` from now on; without a seed, the same random states as at the start.
        """
        self.set_state(self._start)
        if seed is None:
            return
        states = np.random.SeedSequence(seed).generate_state(len(self._variables.seeds)).astype(np.int64)
        _assign(self._variables.seeds, [np.array([state, 0]) for state in states])

    def state(self) -> dict[str, np.ndarray]:
        """Return name -> copy of every value that a step or an epoch changes."""
        values = {name: np.array(variable.numpy()) for name, variable in self._named_variables().items()}
        sums = {f"sum/{index:04d}": value.copy() for index, value in enumerate(self._sums)}
        return values | sums | {"epochs_summed": np.array(self._epochs_in_sum)}

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore a ``state()``; raise ValueError when it belongs to another network or optimiser."""
        variables = self._named_variables()
        sums = sorted(name for name in state if name.startswith("sum/"))
        shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
        new_shapes = {name: value.shape for name, value in state.items() if name not in {*sums, "epochs_summed"}}
        _check_shapes(shapes, new_shapes)
        _assign(list(variables.values()), [state[name] for name in variables])
        self._sums = [state[name].copy() for name in sums]
        self._epochs_in_sum = int(state["epochs_summed"])

    def weights(self) -> dict[str, np.ndarray]:
        """Return path -> values of the network's weights and batch statistics, without random states."""
        return {variable.path: np.array(variable.numpy()) for variable in self._model.weights}

    def set_weights_start(self, weights: Mapping[str, np.ndarray]) -> None:
        """Make ``weights`` (path -> values, as ``weights()`` returns them) the start of every fit, and reset.

        Other weights keep their first values. Raises ValueError for a path or a shape that the network does not have.
        """
        variables = {variable.path: variable for variable in self._model.weights if variable.path in weights}
        shapes = {path: tuple(variable.shape) for path, variable in variables.items()}
        _check_shapes(shapes, {path: value.shape for path, value in weights.items()})
        self.reset()
        _assign(list(variables.values()), [weights[path] for path in variables])
        _assign(self._ema, [variable.numpy() for variable in self._sources[: len(self._ema)]])
        self._start = self.state()

    def begin_epoch(self, epoch: int) -> None:
        """Choose the side of the pictures and the loss of ``epoch`` (from 0); before the first call, the last side."""
        settings = self._settings
        self._side = settings.side_of_epoch(epoch, self._model.inputs[0].shape[1])
        self._uses_pairs = epoch >= settings.epochs - settings.auc_margin_epochs

    def end_epoch(self, epoch: int) -> None:
        """Add the weights to the mean of the last epochs, if keep = "mean" and ``epoch`` (from 0) is among them."""
        if self._settings.keep != "mean" or epoch < self._settings.epochs - self._settings.mean_epochs:
            return
        values = [variable.numpy().astype(np.float64) for variable in self._sources]
        sums = self._sums or [np.zeros_like(value) for value in values]
        self._sums = [total + value for total, value in zip(sums, values, strict=True)]
        self._epochs_in_sum += 1

    @contextmanager
    def use(self, weights: Literal["current", "ema", "mean"]) -> Iterator[None]:
        """Inside a ``with`` block, give the network the moving average (ema) or the last epochs' mean of its weights.

        The current weights return afterwards. Raises ValueError when ``settings.keep`` names another average, or no
        epoch has been added to the mean yet.
        """
        current = [np.array(variable.numpy()) for variable in self._sources]
        values = current if weights == "current" else self._average(weights)
        _assign(self._sources, values)
        try:
            yield
        finally:
            _assign(self._sources, current)

    def _average(self, name: str) -> Sequence[np.ndarray]:
        if name == "ema" and self._ema:
            return [average.numpy() for average in self._ema]
        if name == "mean" and self._epochs_in_sum:
            return [total / self._epochs_in_sum for total in self._sums]
        raise ValueError(
            f"the average {name!r} of the weights does not exist: keep = {self._settings.keep!r}, "
            f"epochs in the mean so far: {self._epochs_in_sum}"
        )

    def _named_variables(self) -> dict[str, Any]:
        groups = {"model": self._model.variables, "optimizer": self._optimizer.variables}
        groups |= {"ema": self._ema, "memory": self._memory}
        return {f"{group}/{i:04d}": variable for group, members in groups.items() for i, variable in enumerate(members)}

    def _gradients_of(self, network: keras.Model, loss: Loss) -> Any:  # noqa: ANN401  a function
        gradients = AccumulatedGradients(network, loss, self._settings.accumulation, self._side)
        # On a TPU the strategy compiles the whole step; elsewhere only the part without communication is compiled.
        compiles = self._plan.xla and self._plan.kind != "TPU"
        return tf.function(gradients, jit_compile=True) if compiles else gradients

    def _on_all_devices(self, batch: Batch, side: int, uses_pairs: tf.Tensor | None) -> tf.Tensor:
        self.traces += 1
        strategy, step = self._plan.strategy, partial(self._on_one_device, self._gradients[side])
        return strategy.experimental_local_results(strategy.run(step, args=(batch, uses_pairs)))[0]

    def _on_one_device(self, gradients_of: Any, batch: Batch, uses_pairs: tf.Tensor | None) -> tf.Tensor:  # noqa: ANN401
        """Sum loss and gradients over the devices, then make the same change on each of them."""
        context, add = tf.distribute.get_replica_context(), tf.distribute.ReduceOp.SUM
        total = context.all_reduce(add, tf.reduce_sum(batch[2]))
        values = self._variables.tensors()
        shift = tf.cast(context.replica_id_in_sync_group, tf.int64) * tf.constant([SEED_STRIDE, 0], tf.int64)
        values = values._replace(seeds=[seed + shift for seed in values.seeds])
        pairs = Pairs(uses_pairs, tf.convert_to_tensor(self._memory[0])) if self._memory else None
        outcome = gradients_of(values, batch, total, self._optimizer.scale_loss(tf.constant(1.0)), pairs)
        loss, gradients, moving = context.all_reduce(add, (outcome.loss, list(outcome.gradients), list(outcome.moving)))
        moving = [value / self._plan.replicas for value in moving]
        context.merge_call(self._write_forward, args=(moving, [seed - shift for seed in outcome.seeds]))
        self._optimizer.apply(gradients, self._variables.weights)
        self._move_averages()
        for memory in self._memory:
            memory.assign(self._memory_decay * memory + context.all_reduce(add, outcome.sums))
        return loss

    def _write_forward(self, strategy: tf.distribute.Strategy, moving: Any, seeds: Any) -> None:  # noqa: ANN401
        """Write the new statistics and seeds to all devices: a Keras variable cannot be assigned on one device only."""
        variables = [*self._variables.moving, *self._variables.seeds]
        for variable, value in zip(variables, [*moving, *seeds], strict=True):
            strategy.extended.update(variable.value, lambda own, new: own.assign(new), args=(value,), group=False)

    def _move_averages(self) -> None:
        updates = tf.cast(self._optimizer.iterations, tf.float32) - 1
        # As tf.train.ExponentialMovingAverage with num_updates: the memory is short in the first steps.
        decay = tf.minimum(self._decay, (1 + updates) / (10 + updates))
        for average, variable in zip(self._ema, self._sources, strict=False):
            average.assign(decay * average + (1 - decay) * variable.value)


def _local_copy(value: np.ndarray) -> tf.Variable:
    """Return a variable that each device updates itself; all make the same updates, so no communication is needed."""
    first, on_read = tf.VariableAggregation.ONLY_FIRST_REPLICA, tf.VariableSynchronization.ON_READ
    return tf.Variable(value, trainable=False, synchronization=on_read, aggregation=first)


def _assign(variables: Sequence[Any], values: Sequence[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _check_shapes(expected: Mapping[str, tuple[int, ...]], shapes: Mapping[str, tuple[int, ...]]) -> None:
    names = sorted(expected.keys() | shapes.keys())
    wrong = [f"{n}: {shapes.get(n)} instead of {expected.get(n)}" for n in names if expected.get(n) != shapes.get(n)]
    if wrong:
        raise ValueError(f"values of another network: {len(wrong)} shapes differ, the first is {wrong[0]}")
