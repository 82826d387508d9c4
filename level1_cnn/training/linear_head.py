"""The head of a frozen network: a logistic regression whose regularisation is chosen inside the training folds."""

from typing import Literal, NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

# Values of C that "auto" compares; on 870 real pictures it took 0.0003, 0.001 or 0.003 for all layers of Lite0.
CHOICES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
WITHOUT_FOLDS = 1e-3  # C where no fold can be held out
OUTSIDE = -1  # fold of rows that are never held out
# A number that hardly varies in training may vary in other pictures: its scale is at least this share of the median.
SMALLEST_SCALE = 5e-4


class LinearHead(NamedTuple):
    """Weights (d,) and intercept for raw embeddings, and the regularisation (C) that they were fitted with."""

    weights: np.ndarray
    intercept: np.float32
    regularisation: float


def fit_head(
    rows: np.ndarray, target: np.ndarray, regularisation: float | Literal["auto"], folds: np.ndarray
) -> LinearHead:
    """Fit a logistic regression to ``target`` (n,) on ``rows`` (n, d) float32, which it standardises in place.

    Targets are 0, 1 or a probability. "auto" takes the regularisation with the lowest log loss on held-out ``folds``
    (n,), where there are two or more.
    """
    scaler = fit_scaler(rows, SMALLEST_SCALE)
    points = scaler.transform(rows)
    axes = None
    if len(rows) < rows.shape[1]:
        # The weights of a fit with an L2 penalty are a combination of the rows, so that n axes are enough.
        basis, triangle = np.linalg.qr(points.T)
        points, axes = triangle.T.copy(), basis.T
    strength = choose_regularisation(points, target, folds) if regularisation == "auto" else regularisation
    model = _fit(points, target, strength)
    weights = (model.coef_[0] if axes is None else model.coef_[0] @ axes) / scaler.scale_
    intercept = np.float32(model.intercept_[0] - weights @ scaler.mean_)
    return LinearHead(weights.astype(np.float32), intercept, strength)


def fit_scaler(rows: np.ndarray, smallest: float) -> StandardScaler:
    """Return the scaler of ``rows`` (n, d), which it transforms in place; no scale is below ``smallest`` medians."""
    scaler = StandardScaler(copy=False).fit(rows)
    varying = scaler.var_ > 0
    if varying.any():
        scaler.scale_ = np.maximum(scaler.scale_, smallest * np.sqrt(np.median(scaler.var_[varying])))
    return scaler


def choose_regularisation(points: np.ndarray, target: np.ndarray, folds: np.ndarray) -> float:
    """Return the value of CHOICES with the lowest log loss, each fold predicted by a fit to the other rows."""
    held_out = [fold for fold in np.unique(folds[folds != OUTSIDE]) if len(np.unique(target[folds != fold])) >= 2]
    if len(held_out) < 2:
        return WITHOUT_FOLDS
    loss = dict.fromkeys(CHOICES, 0.0)
    for fold in held_out:
        is_training = folds != fold
        for choice in CHOICES:
            model = _fit(points[is_training], target[is_training], choice)
            logits = model.decision_function(points[~is_training])
            loss[choice] += float((np.logaddexp(0, logits) - target[~is_training] * logits).sum())
    return min(CHOICES, key=loss.__getitem__)


def _fit(points: np.ndarray, target: np.ndarray, regularisation: float) -> LogisticRegression:
    model, is_label = LogisticRegression(C=regularisation, max_iter=1000), np.isin(target, (0, 1)).all()
    if is_label:
        return model.fit(points, target.astype(int))
    # A row with the target p is a malignant row of weight p and a benign one of weight 1 - p.
    weights = np.concatenate([target, 1 - target])
    return model.fit(np.concatenate([points, points]), np.repeat([1, 0], len(target)), sample_weight=weights)
