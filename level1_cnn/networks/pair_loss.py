"""The loss of the epochs of ``auc_margin_epochs``: that of all pairs of a malignant and a benign case, case by case.

With p the probability of melanoma, the loss of a pair is the squared hinge max(0, 1 - (p_malignant - p_benign))^2; its
mean is an upper bound of 1 - AUC. Two probabilities differ by at most 1, so the hinge never cuts, and the mean over all
pairs splits into cases: with a and b the mean probabilities of the malignant and of the benign cases, the loss of

    a malignant case is (1 + b - p)^2 - (1 + b - a)^2 / 2,
    a benign case is    (1 - a + p)^2 - (1 + b - a)^2 / 2.

The mean over the malignant cases plus the mean over the benign ones is the mean over all pairs, and its gradient with
constant a and b is the gradient of that mean. This is the margin loss of Yuan et al. 2021 (arXiv 2012.03173) with a
margin of 1, except that their a, b and alpha have the values that are best for the scores, instead of being trained.

a, b and the shares of the classes come from a memory of earlier steps. Therefore the loss is a sum over the cases, also
over the parts of a batch and over devices, and finite for a batch of one class. Label smoothing and focal loss change
targets and terms of a cross-entropy, and are not used here. The weights of cases count within their class only, so that
balanced class weights change nothing.
"""

import tensorflow as tf


def class_sums(logits: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Return what the memory adds up, (2, 2): weight, and weight times probability, of malignant and benign cases.

    ``logits`` and ``targets`` are (n, 1), ``weights`` (n,). A soft target counts in both classes, by its shares.
    """
    probability = tf.sigmoid(logits[:, 0])
    values = tf.stack([tf.ones_like(probability), probability], axis=1)
    return tf.matmul(_shares(targets) * weights[:, tf.newaxis], values, transpose_a=True)


def pair_loss(logits: tf.Tensor, targets: tf.Tensor, memory: tf.Tensor) -> tf.Tensor:
    """Return the loss of every case, (n,) float32, to be averaged over the cases with their weights.

    ``logits`` and ``targets`` are (n, 1); ``memory`` (2, 2) is a sum of ``class_sums``. The loss of a class that the
    memory does not have is 0.
    """
    probability = tf.sigmoid(logits[:, 0])
    malignant, benign = tf.unstack(tf.math.divide_no_nan(memory[:, 1], memory[:, 0]))
    share_of_class = tf.math.divide_no_nan(memory[:, 0], tf.reduce_sum(memory[:, 0]))
    distances = tf.stack([1 + benign - probability, 1 - malignant + probability], axis=1)
    losses = tf.square(distances) - tf.square(1 + benign - malignant) / 2
    return tf.reduce_sum(tf.math.divide_no_nan(_shares(targets) * losses, share_of_class), axis=1)


def _shares(targets: tf.Tensor) -> tf.Tensor:
    """Return the shares (n, 2) of the classes malignant and benign in targets (n, 1)."""
    return tf.concat([targets, 1 - targets], axis=1)
