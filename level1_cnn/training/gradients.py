"""Loss and gradients of a network on one device's share of a batch, by a function that changes no variable."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from level1_cnn.networks.crops import resample, resizing_matrix
from level1_cnn.networks.pair_loss import class_sums, pair_loss

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
Batch = Any  # ((pictures (b, side, side, 3), metadata (b, m)), targets (b, outputs), weights (b,)); m may be 0
Values = Sequence[Any]


class Variables(NamedTuple):
    """The variables of a network in groups, by how training changes them."""

    weights: Values  # changed by the optimiser
    moving: Values  # batch statistics, changed by a forward pass
    seeds: Values  # random states of dropout, changed by a forward pass
    constant: Values  # weights and statistics of frozen layers, never changed

    def tensors(self) -> "Variables":
        """Return the same groups with tensors instead of variables."""
        return Variables(*([tf.convert_to_tensor(variable.value) for variable in group] for group in self))


class Pairs(NamedTuple):
    """What the loss of pairs needs of a training that has it."""

    active: Any  # bool scalar: whether it is the loss of this step
    memory: Any  # (2, 2): ``class_sums`` of earlier steps


class Outcome(NamedTuple):
    """Results of the forward and the backward pass over one device's share of a batch."""

    loss: Any  # this device's share of the mean loss
    gradients: Values  # of that share, times the loss scale
    moving: Values  # new values
    seeds: Values  # new values
    sums: Any = ()  # (2, 2): ``class_sums`` of that share, if the training has the loss of pairs


def sort_variables(model: keras.Model) -> Variables:
    """Return the variables of a flat network, grouped by how training changes them."""
    others = model.non_trainable_variables
    frozen_ids = {id(v) for layer in model.layers if not layer.trainable for v in layer.weights}
    seeds = [v for v in others if "seed_generator_state" in v.name]
    other_ids = frozen_ids | {id(v) for v in seeds}
    moving = [v for v in others if id(v) not in other_ids]
    constant = [v for v in others if id(v) in frozen_ids]
    return Variables(list(model.trainable_variables), moving, seeds, constant)


class AccumulatedGradients:
    """Compute loss and gradients of a batch in ``parts``, one after the other, so that only one part is in memory.

    The size of the graph does not depend on the number of parts. All inputs and outputs are tensors
    (``Variables.tensors()``): XLA can compile the function, and no device waits for another one within it.

    ``source`` is the side of the pictures of a batch, in px; they are resized to the side of the model, part by part.
    """

    def __init__(self, model: keras.Model, loss: Loss, parts: int, source: int) -> None:
        self._model, self._loss, self._parts = model, loss, parts
        self._resizing = resizing_matrix(source, model.inputs[0].shape[1], 1.0)
        variables = sort_variables(model)
        index = {id(variable): number for number, variable in enumerate(model.non_trainable_variables)}
        # Keras expects and returns the values of all groups but the first as one list: the indices of each group in it.
        self._indices = [[index[id(variable)] for variable in group] for group in variables[1:]]

    def __call__(
        self, values: Variables, batch: Batch, total: tf.Tensor, scale: tf.Tensor, pairs: Pairs | None = None
    ) -> Outcome:
        """Return the outcome of ``batch``; ``total`` is the sum of the weights of the global batch, over all devices.

        The sum of the loss shares over parts and devices is sum(weight * loss) / total, and likewise for the
        gradients. ``scale`` multiplies only the gradients.
        """
        if self._parts == 1:
            return self._part(values, batch, total, scale, pairs)
        parts = tf.nest.map_structure(self._split, batch)

        def add_part(part: tf.Tensor, sums: Outcome) -> tuple[tf.Tensor, Outcome]:
            """Add the loss and the gradients of one part to ``sums``."""
            rows = tf.nest.map_structure(lambda array: array[part], parts)
            outcome = self._part(values._replace(moving=sums.moving, seeds=sums.seeds), rows, total, scale, pairs)
            gradients = [a + b for a, b in zip(sums.gradients, outcome.gradients, strict=True)]
            class_sums = () if pairs is None else sums.sums + outcome.sums
            return part + 1, outcome._replace(loss=sums.loss + outcome.loss, gradients=gradients, sums=class_sums)

        no_gradients = [tf.zeros_like(weight) for weight in values.weights]
        no_sums = () if pairs is None else tf.zeros_like(pairs.memory)
        zero = Outcome(tf.constant(0.0), no_gradients, values.moving, values.seeds, no_sums)
        start = (tf.constant(0), zero)
        # Parallel iterations would keep several parts in memory.
        options = {"parallel_iterations": 1, "maximum_iterations": self._parts}
        sums: Outcome = tf.while_loop(lambda part, _: part < self._parts, add_part, start, **options)[1]
        return sums

    def _part(
        self, values: Variables, batch: Batch, total: tf.Tensor, scale: tf.Tensor, pairs: Pairs | None
    ) -> Outcome:
        (pictures, metadata), targets, case_weights = batch
        pictures = resample(pictures, self._resizing)
        inputs = keras.tree.pack_sequence_as(self._model.input, [pictures, metadata][: len(self._model.inputs)])
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values.weights)
            outputs, after = self._model.stateless_call(values.weights, self._others(values), inputs, training=True)
            weighted_sum = tf.reduce_sum(self._case_losses(outputs[1], targets, pairs) * case_weights)
            loss = tf.math.divide_no_nan(weighted_sum, total)  # all weights may be 0
            scaled_loss = loss * scale
        gradients = tape.gradient(scaled_loss, values.weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        moving, seeds = ([after[index] for index in indices] for indices in self._indices[:2])
        sums = () if pairs is None else class_sums(outputs[1], targets, case_weights)
        return Outcome(loss, gradients, moving, seeds, sums)

    def _case_losses(self, logits: tf.Tensor, targets: tf.Tensor, pairs: Pairs | None) -> tf.Tensor:
        losses = self._loss(logits, targets)
        if pairs is None:
            return losses
        return tf.where(pairs.active, pair_loss(logits, targets, pairs.memory), losses)

    def _others(self, values: Variables) -> list[Any]:
        others: list[Any] = [None] * sum(map(len, self._indices))
        for indices, group in zip(self._indices, values[1:], strict=True):
            for index, value in zip(indices, group, strict=True):
                others[index] = value
        return others

    def _split(self, rows: tf.Tensor) -> tf.Tensor:
        """Return (b, ...) as (parts, b / parts, ...)."""
        count = rows.shape[0] or tf.shape(rows)[0]  # XLA needs a static size where there is one
        return tf.reshape(rows, [self._parts, count // self._parts, *rows.shape[1:]])
