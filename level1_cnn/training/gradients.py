"""Loss and gradients of a network on one device's share of a batch, as a function that touches no variable."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
Batch = Any  # ((pictures (b, side, side, 3), metadata (b, m)), targets (b, outputs), weights (b,)); m may be 0
Values = Sequence[Any]


class Variables(NamedTuple):
    """The variables of a network, by what training does to them."""

    weights: Values  # are trained
    moving: Values  # batch statistics: change in a forward pass
    seeds: Values  # random states of dropout: change in a forward pass
    fixed: Values  # never change: weights and statistics of frozen layers

    def tensors(self) -> "Variables":
        """Return the same with a tensor in the place of every variable."""
        return Variables(*([tf.convert_to_tensor(variable.value) for variable in group] for group in self))


class Outcome(NamedTuple):
    """What the forward and the backward pass give."""

    loss: Any  # this device's share of the mean loss
    gradients: Values  # of that share, times the loss scale
    moving: Values
    seeds: Values


def sort_variables(model: keras.Model) -> Variables:
    """Return the variables of a flat network by what training does to them."""
    others = model.non_trainable_variables
    frozen = {id(v) for layer in model.layers if not layer.trainable for v in layer.weights}
    seeds = [v for v in others if "seed_generator_state" in v.name]
    known = frozen | {id(v) for v in seeds}
    moving = [v for v in others if id(v) not in known]
    fixed = [v for v in others if id(v) in frozen]
    return Variables(list(model.trainable_variables), moving, seeds, fixed)


class PartedGradients:
    """Compute loss and gradients of a batch in ``parts`` that follow each other, in the memory of one.

    The graph holds one part, however many there are. Everything comes and goes as tensors (``Variables.tensors()``),
    so XLA may compile it alone and a device never waits for another inside.
    """

    def __init__(self, model: keras.Model, loss: Loss, parts: int) -> None:
        self._model, self._loss, self._parts = model, loss, parts
        variables = sort_variables(model)
        place = {id(variable): index for index, variable in enumerate(model.non_trainable_variables)}
        # Where Keras expects (and returns) the values of each group among all that are not trained.
        self._places = [[place[id(variable)] for variable in group] for group in variables[1:]]

    def __call__(self, values: Variables, batch: Batch, total: tf.Tensor, scale: tf.Tensor) -> Outcome:
        """Return the outcome of ``batch``; ``total`` is the sum of the weights of the GLOBAL batch.

        Shares of loss and gradient add up, over parts and devices, to those of sum(weight * loss) / total. ``scale``
        multiplies the gradients alone.
        """
        if self._parts == 1:
            return self._part(values, batch, total, scale)
        parted = tf.nest.map_structure(self._in_parts, batch)

        def add_part(part: tf.Tensor, sums: Outcome) -> tuple[tf.Tensor, Outcome]:
            own = tf.nest.map_structure(lambda rows: rows[part], parted)
            found = self._part(values._replace(moving=sums.moving, seeds=sums.seeds), own, total, scale)
            gradients = [a + b for a, b in zip(sums.gradients, found.gradients, strict=True)]
            return part + 1, found._replace(loss=sums.loss + found.loss, gradients=gradients)

        nothing = Outcome(tf.constant(0.0), [tf.zeros_like(w) for w in values.weights], values.moving, values.seeds)
        start = (tf.constant(0), nothing)
        # One after the other: that is what saves the memory.
        once = {"parallel_iterations": 1, "maximum_iterations": self._parts}
        outcome: Outcome = tf.while_loop(lambda part, _: part < self._parts, add_part, start, **once)[1]
        return outcome

    def _part(self, values: Variables, batch: Batch, total: tf.Tensor, scale: tf.Tensor) -> Outcome:
        (pictures, metadata), targets, case_weights = batch
        inputs = keras.tree.pack_sequence_as(self._model.input, [pictures, metadata][: len(self._model.inputs)])
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values.weights)
            outputs, after = self._model.stateless_call(values.weights, self._others(values), inputs, training=True)
            weighted = tf.reduce_sum(self._loss(outputs[1], targets) * case_weights)
            loss = tf.math.divide_no_nan(weighted, total)  # all weights may be 0
            scaled = loss * scale
        gradients = tape.gradient(scaled, values.weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        moving, seeds = ([after[place] for place in places] for places in self._places[:2])
        return Outcome(loss, gradients, moving, seeds)

    def _others(self, values: Variables) -> list[Any]:
        others: list[Any] = [None] * sum(map(len, self._places))
        for places, group in zip(self._places, values[1:], strict=True):
            for place, value in zip(places, group, strict=True):
                others[place] = value
        return others

    def _in_parts(self, rows: tf.Tensor) -> tf.Tensor:
        """Return (b, ...) as (parts, b / parts, ...)."""
        count = rows.shape[0] or tf.shape(rows)[0]  # XLA wants it known, where it is known
        return tf.reshape(rows, [self._parts, count // self._parts, *rows.shape[1:]])
