"""What a wrong logit costs: cross-entropy and focal loss per case, on soft and on partly known targets.

Targets are rows as level1_cnn/data/targets.py describes them: a distribution over the classes, of which a share u =
(sum - 1) / (outputs - 2) may be "not a melanoma, of whichever kind". With p the softmax of the logits,

    loss = -sum_k known_k log p_k - u log(1 - p_melanoma),

each term multiplied by (1 - its own probability)^gamma when the loss is focal (Lin et al. 2017, arXiv 1708.02002,
without its alpha: class weights do that). It is linear in the targets. All of it is computed from log-probabilities
in float32: logits of any finite size give finite losses and gradients.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from level1_cnn.data.targets import melanoma_column
from level1_cnn.experiment import Finetune, Targets

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def make_loss(settings: Finetune, *, scheme: Targets | None = None) -> Loss:
    """Return (logits (n, outputs), targets (n, outputs)) -> loss (n,) float32 of the settings' loss and smoothing.

    ``scheme`` is what the outputs mean, when it is not the settings' own (a pretraining stage).
    """
    chosen = scheme or settings.targets
    gamma = settings.focal_gamma if settings.loss == "focal" else 0.0
    smoothing = settings.label_smoothing

    def loss(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        z, wanted = tf.cast(logits, tf.float32), tf.cast(targets, tf.float32)
        if chosen == "binary":
            return _sigmoid_loss(z[:, 0], wanted[:, 0], smoothing, gamma)
        return _softmax_loss(z, wanted, smoothing, gamma, melanoma_column(chosen))

    return loss


def _sigmoid_loss(z: tf.Tensor, targets: tf.Tensor, smoothing: float, gamma: float) -> tf.Tensor:
    wanted = (1 - smoothing) * targets + smoothing / 2
    log_p, log_rest = -tf.nn.softplus(-z), -tf.nn.softplus(z)
    return _term(wanted, log_p, log_rest, gamma) + _term(1 - wanted, log_rest, log_p, gamma)


def _softmax_loss(z: tf.Tensor, targets: tf.Tensor, smoothing: float, gamma: float, melanoma: int) -> tf.Tensor:
    width = int(z.shape[1])
    benign = tf.constant(np.arange(width) != melanoma, tf.float32)
    wanted = _smoothed(targets, smoothing, benign)
    undecided = (tf.reduce_sum(wanted, axis=1, keepdims=True) - 1) / (width - 2)
    log_p, log_rest = tf.nn.log_softmax(z), _log_rest(z)
    terms = _term(wanted - undecided * benign, log_p, log_rest, gamma)
    not_melanoma = _term(undecided[:, 0], log_rest[:, melanoma], log_p[:, melanoma], gamma)
    return tf.reduce_sum(terms, axis=1) + not_melanoma


def _smoothed(targets: tf.Tensor, smoothing: float, benign: tf.Tensor) -> tf.Tensor:
    """Return targets (n, outputs) moved by ``smoothing`` towards every class alike (Szegedy et al. 2016).

    What is known only as benign moves towards melanoma and stays undecided otherwise: of its 1 / outputs of melanoma
    and the rest, the rest is again the set of all benign classes.
    """
    excess = tf.reduce_sum(targets, axis=1, keepdims=True) - 1
    even = (1 + excess * benign) / targets.shape[1]
    return (1 - smoothing) * targets + smoothing * even


def _log_rest(z: tf.Tensor) -> tf.Tensor:
    """Return log(1 - p_k) of every class, (n, outputs), from the logits of the other classes, never from 1 - p."""
    width = int(z.shape[1])
    others = [[j for j in range(width) if j != k] for k in range(width)]
    rest = tf.reduce_logsumexp(tf.gather(z, others, axis=1), axis=2)
    return rest - tf.reduce_logsumexp(z, axis=1, keepdims=True)


def _term(share: tf.Tensor, log_p: tf.Tensor, log_rest: tf.Tensor, gamma: float) -> tf.Tensor:
    """Return the cost of a share of the target whose probability is p: -share (1 - p)^gamma log p."""
    return -share * log_p if gamma == 0 else -share * tf.exp(gamma * log_rest) * log_p
