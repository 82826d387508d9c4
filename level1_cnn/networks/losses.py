"""Cross-entropy and focal loss per case, for soft targets and for targets that are known only in part.

Targets are rows as level1_cnn/data/targets.py describes them: a distribution over the classes, in which the share u =
(sum - 1) / (outputs - 2) means "not a melanoma, but one of the benign classes". With p the softmax of the logits and
q the distribution without that share,

    loss = -sum_k q_k log p_k - u log(1 - p_melanoma).

In a focal loss, each term is multiplied by (1 - its own probability)^gamma (Lin et al. 2017, arXiv 1708.02002, without
its alpha, because class weights do the same). The loss is linear in the targets. It is computed from log-probabilities
in float32, so that logits of any finite size give finite losses and gradients.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from level1_cnn.data.targets import melanoma_column
from level1_cnn.training_settings import Finetune, Targets

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def make_loss(settings: Finetune, *, scheme: Targets | None = None) -> Loss:
    """Return the function (logits (n, outputs), targets (n, outputs)) -> loss (n,) float32 that the settings define.

    ``scheme`` replaces the target scheme of the settings (in a pretraining stage).
    """
    target_scheme = scheme or settings.targets
    gamma = settings.focal_gamma if settings.loss == "focal" else 0.0
    smoothing = settings.label_smoothing

    def loss(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Return the loss of every case, (n,) float32."""
        z, targets = tf.cast(logits, tf.float32), tf.cast(targets, tf.float32)
        if target_scheme == "binary":
            return _sigmoid_loss(z[:, 0], targets[:, 0], smoothing, gamma)
        return _softmax_loss(z, targets, smoothing, gamma, melanoma_column(target_scheme))

    return loss


def _sigmoid_loss(z: tf.Tensor, targets: tf.Tensor, smoothing: float, gamma: float) -> tf.Tensor:
    targets = (1 - smoothing) * targets + smoothing / 2
    log_p, log_rest = -tf.nn.softplus(-z), -tf.nn.softplus(z)
    return _term(targets, log_p, log_rest, gamma) + _term(1 - targets, log_rest, log_p, gamma)


def _softmax_loss(z: tf.Tensor, targets: tf.Tensor, smoothing: float, gamma: float, melanoma: int) -> tf.Tensor:
    width = int(z.shape[1])
    benign = tf.constant(np.arange(width) != melanoma, tf.float32)
    targets = _smooth(targets, smoothing, benign)
    any_benign = (tf.reduce_sum(targets, axis=1, keepdims=True) - 1) / (width - 2)
    log_p, log_rest = tf.nn.log_softmax(z), _log_rest(z)
    terms = _term(targets - any_benign * benign, log_p, log_rest, gamma)
    not_melanoma = _term(any_benign[:, 0], log_rest[:, melanoma], log_p[:, melanoma], gamma)
    return tf.reduce_sum(terms, axis=1) + not_melanoma


def _smooth(targets: tf.Tensor, smoothing: float, benign: tf.Tensor) -> tf.Tensor:
    """Return targets (n, outputs) moved by ``smoothing`` towards the uniform distribution (Szegedy et al. 2016).

    For a case that is known only to be benign, the uniform distribution is 1 / outputs of melanoma, and the rest
    remains the set of all benign classes, without a choice among them.
    """
    excess = tf.reduce_sum(targets, axis=1, keepdims=True) - 1
    even = (1 + excess * benign) / targets.shape[1]
    return (1 - smoothing) * targets + smoothing * even


def _log_rest(z: tf.Tensor) -> tf.Tensor:
    """Return log(1 - p_k) of every class, (n, outputs), from the logits of the other classes, which avoids 1 - p."""
    width = int(z.shape[1])
    others = [[j for j in range(width) if j != k] for k in range(width)]
    rest = tf.reduce_logsumexp(tf.gather(z, others, axis=1), axis=2)
    return rest - tf.reduce_logsumexp(z, axis=1, keepdims=True)


def _term(share: tf.Tensor, log_p: tf.Tensor, log_rest: tf.Tensor, gamma: float) -> tf.Tensor:
    """Return the loss of one class with target ``share`` and probability p: -share (1 - p)^gamma log p."""
    return -share * log_p if gamma == 0 else -share * tf.exp(gamma * log_rest) * log_p
