"""Cases whose label may be wrong: those whose out-of-fold probability belongs to the other class."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.bool_]
ERROR_SHARE = 0.01  # share of each label that is wrong, for the figures that need an assumption
NEIGHBOURS = 10
COLUMNS = ["image_name", "label", "probability", "threshold", "wrong_if_assumed", "networks_against", "networks"]


def label_candidates(
    names: pd.Index, y: Floats, folds: NDArray[np.integer], probability: Floats, networks: pd.DataFrame
) -> pd.DataFrame:
    """Return a row per candidate for another look, the most surprising label first.

    ``probability`` (n,) is out of fold; ``networks`` (n, k) are the networks' probabilities. Confident learning
    (Northcutt et al. 2021): a case is a candidate if the probability of the other class reaches the mean that cases of
    that class have, in the other folds. Columns: ``threshold``, that mean as a malignant probability;
    ``wrong_if_assumed``, the probability that the label is wrong if a share ``ERROR_SHARE`` of each label is;
    ``networks_against`` of ``networks`` that meet the rule alone.
    """
    limits = class_means(y, folds, probability)
    is_candidate = disagrees(y, probability, limits)
    against = np.sum([_against(y, folds, networks[name].to_numpy(np.float64)) for name in networks], axis=0)
    table = pd.DataFrame(
        {
            "image_name": names,
            "label": y.astype(int),
            "probability": probability,
            "threshold": np.where(y == 1, limits[:, 0], limits[:, 1]),
            "wrong_if_assumed": wrong_probability(y, probability, ERROR_SHARE),
            "networks_against": against.astype(int) if networks.shape[1] else 0,
            "networks": networks.notna().sum(axis=1).to_numpy(),
        },
        columns=COLUMNS,
    )
    order = np.argsort(-surprise(y, probability), kind="stable")
    return table.iloc[order[is_candidate[order]]].reset_index(drop=True)


def class_means(y: Floats, folds: NDArray[np.integer], probability: Floats) -> Floats:
    """Return for every row the mean probability of benign and of malignant cases of the other folds, (n, 2)."""
    means = np.empty((len(y), 2))
    for fold in np.unique(folds):
        own, others = folds == fold, (folds != fold) & ~np.isnan(probability)
        means[own] = [probability[others & (y == label)].mean() for label in (0, 1)]
    return means


def disagrees(y: Floats, probability: Floats, means: Floats) -> Rows:
    """Return whether a row's probability reaches the mean of the other class and is beyond its own; NaN: no."""
    benign, malignant = means.T
    is_beyond = np.where(y == 1, probability <= benign, probability >= malignant)
    return np.asarray(is_beyond & (benign < malignant))


def surprise(y: Floats, probability: Floats) -> Floats:
    """Return the log of the likelihood of the other label over that of the label, (n,): classes count the same."""
    share, inside = y.mean(), np.clip(probability, 1e-9, 1 - 1e-9)
    log_odds = np.log(inside / (1 - inside)) - np.log(share / (1 - share))
    return np.asarray(np.where(y == 1, -log_odds, log_odds))


def wrong_probability(y: Floats, probability: Floats, share: float) -> Floats:
    """Return the probability that each label is wrong if a ``share`` of each label is, by Bayes' rule, (n,)."""
    odds = np.exp(surprise(y, probability)) * share / (1 - share)
    return np.asarray(odds / (1 + odds))


def opposed_neighbours(
    points: NDArray[np.floating], y: Floats, patients: NDArray[np.object_], rows: NDArray[np.integer]
) -> Floats:
    """Return for each of ``rows`` the share of its nearest cases of other patients that have the other label.

    ``points`` (n, d) are embeddings; distances are those of standardised coordinates, over ``NEIGHBOURS`` cases.
    """
    coordinates = points.astype(np.float32)
    coordinates = (coordinates - coordinates.mean(axis=0)) / np.maximum(coordinates.std(axis=0), 1e-6)
    norms = (coordinates**2).sum(axis=1)
    shares = np.empty(len(rows))
    for place, row in enumerate(rows):
        distance = norms - 2 * coordinates @ coordinates[row]
        distance[patients == patients[row]] = np.inf
        nearest = np.argpartition(distance, min(NEIGHBOURS, len(distance) - 1))[:NEIGHBOURS]
        shares[place] = (y[nearest] != y[row]).mean()
    return shares


def _against(y: Floats, folds: NDArray[np.integer], probability: Floats) -> Rows:
    return disagrees(y, probability, class_means(y, folds, probability))
