"""How well probabilities are calibrated: reliability curve, calibration errors, proper scores."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from level2_stack.calibration.calibrate import EPSILON
from level2_stack.evaluation.auc import LEVEL, Interval
from level2_stack.evaluation.intervals import wilson
from runtime.errors import InputFault

Floats = NDArray[np.float64]
Strategy = Literal["equal_count", "equal_width"]


class CalibrationLine(NamedTuple):
    """Cox's line: log odds = slope * logit(p) + intercept; ``in_the_large`` is the intercept for a slope of 1."""

    slope: float
    intercept: float
    in_the_large: float


def log_losses(y: Floats, probability: Floats) -> Floats:
    """Return the log loss in nats of every row (n,); probabilities are clipped at EPSILON and 1 - EPSILON."""
    p = np.clip(probability, EPSILON, 1 - EPSILON)
    return -np.log(np.where(y == 1, p, 1 - p))


def log_loss(y: Floats, probability: Floats, weights: Floats | None = None) -> float:
    """Return the weighted mean log loss in nats of ``probability`` (n,) for ``y`` (n,) in 0/1."""
    return float(np.average(log_losses(y, probability), weights=weights))


def brier(y: Floats, probability: Floats, weights: Floats | None = None) -> float:
    """Return the weighted mean squared error of ``probability`` (n,) for ``y`` (n,) in 0/1 (Brier 1950)."""
    return float(np.average((probability - y) ** 2, weights=weights))


def reliability_curve(
    y: Floats,
    probability: Floats,
    weights: Floats | None = None,
    bins: int = 10,
    strategy: Strategy = "equal_count",
) -> pd.DataFrame:
    """Return the mean probability and the share of positives per bin, a row per non-empty bin, the lowest bin first.

    ``y`` (n,) is 0/1; a row of weight w >= 0 (``weights`` (n,)) counts as w rows. Bins of equal count have equal
    weights, as far as possible with equal probabilities in one bin; bins of equal width divide [0, 1]. Columns: ``low,
    high`` (the lowest and the highest probability in the bin), ``rows``, ``weight``, ``mean_probability``, ``observed``
    (the weighted share of positives) and its 95 % interval ``observed_low, observed_high`` by Wilson 1927, for an
    effective number of (sum w)^2 / sum w^2 rows (Kish 1965).
    """
    weights = np.ones_like(probability) if weights is None else weights
    bin_of = _bin_of(probability, weights, bins, strategy)
    rows = pd.DataFrame(
        {"p": probability, "w": weights, "wp": weights * probability, "wy": weights * y, "ww": weights**2}
    )
    per_bin = rows[weights > 0].groupby(bin_of[weights > 0])
    sums, p = per_bin.sum(), per_bin["p"]
    share = sums["wy"] / sums["w"]
    low, high = wilson(share, sums["w"] ** 2 / sums["ww"])
    return pd.DataFrame(
        {
            "low": p.min(),
            "high": p.max(),
            "rows": p.size(),
            "weight": sums["w"],
            "mean_probability": sums["wp"] / sums["w"],
            "observed": share,
            "observed_low": low,
            "observed_high": high,
        }
    ).reset_index(drop=True)


def expected_calibration_error(
    y: Floats,
    probability: Floats,
    weights: Floats | None = None,
    bins: int = 15,
    strategy: Strategy = "equal_count",
) -> float:
    """Return the mean over rows of |observed share - mean probability| of the row's bin.

    With bins of equal width it is the ECE of Naeini et al. 2015; with bins of equal count the adaptive ECE of Nixon et
    al. 2019. A rare class needs bins of equal count: nearly all its probabilities are in one bin of equal width. By
    chance the error of a perfect model is above 0 too, so compare models on the same rows and bins.
    """
    curve = reliability_curve(y, probability, weights, bins, strategy)
    return float(np.average((curve["observed"] - curve["mean_probability"]).abs(), weights=curve["weight"]))


def calibration_slope_intercept(y: Floats, probability: Floats, weights: Floats | None = None) -> CalibrationLine:
    """Return the logistic regression of ``y`` (n,) on logit(``probability``) (n,): slope 1 and intercept 0 are ideal.

    After Cox 1958. A slope below 1 means that probabilities are too extreme, an ``in_the_large`` below 0 that they are
    too high. A value is NaN if the data do not determine it: one class, one probability, or classes that a threshold
    separates.
    """
    weights = np.ones_like(probability) if weights is None else weights
    margin = logit(np.clip(probability, EPSILON, 1 - EPSILON))
    slope, intercept = _cox_line(y[weights > 0], margin[weights > 0], weights[weights > 0])
    return CalibrationLine(slope, intercept, _in_the_large(y, margin, weights))


def calibration_report(
    y: Floats, probabilities: Mapping[str, Floats], weights: Floats | None = None, bins: int = 15
) -> pd.DataFrame:
    """Return the calibration of each of ``probabilities`` (name -> (n,)) for ``y`` (n,) in 0/1, a row per name.

    Columns: ``rows, log_loss, brier, ece`` (bins of equal count), ``ece_equal_width, slope, intercept, in_the_large,
    mean_probability, observed``. They are computed on the rows where the model's probability is not NaN.
    """
    weights = np.ones_like(y) if weights is None else weights
    rows = {}
    for name, probability in probabilities.items():
        has_value = ~np.isnan(probability)
        rows[name] = _report(y[has_value], probability[has_value], weights[has_value], bins)
    return pd.DataFrame.from_dict(rows, orient="index")


def class_weights(y: Floats, prevalence: float) -> Floats:
    """Return row weights (n,), of mean 1, with which the share of positives in ``y`` (n,) equals ``prevalence``.

    With them a model is evaluated on a case-control table at the prevalence of its deployment. Raises InputFault for a
    prevalence outside (0, 1) and if ``y`` has one class only.
    """
    share = float(y.mean())
    if not (0 < prevalence < 1 and 0 < share < 1):
        raise InputFault(
            f"prevalence: found {prevalence} for deployment, {share} in the table; both must be between 0 and 1"
        )
    return np.where(y == 1, prevalence / share, (1 - prevalence) / (1 - share))


def log_loss_gain(
    y: Floats,
    p: Floats,
    q: Floats,
    groups: NDArray[np.object_],
    weights: Floats | None = None,
    replicates: int = 500,
    seed: int = 0,
) -> Interval:
    """Return the gain of ``p`` (n,) over ``q`` (n,): log loss of q minus log loss of p, above 0 if p is better.

    The limits are the 95 % percentiles over replicates that draw the patients in ``groups`` (n,) with replacement.
    """
    weights = np.ones_like(y) if weights is None else weights
    patients, patient_of = np.unique(groups.astype(str), return_inverse=True)
    gains = np.bincount(patient_of, weights * (log_losses(y, q) - log_losses(y, p)))
    sizes = np.bincount(patient_of, weights)
    equal_shares = np.full(len(patients), 1 / len(patients))
    counts = np.random.default_rng(seed).multinomial(len(patients), equal_shares, size=replicates)
    weight = counts @ sizes
    low, high = np.quantile((counts @ gains)[weight > 0] / weight[weight > 0], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(gains.sum() / sizes.sum()), float(low), float(high))


def _bin_of(probability: Floats, weights: Floats, bins: int, strategy: Strategy) -> NDArray[np.intp]:
    if strategy == "equal_width":
        return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], probability)
    value_of = np.unique(probability, return_inverse=True)[1]
    weight = np.bincount(value_of, weights)
    middle = (np.cumsum(weight) - weight / 2) / weight.sum()
    bin_of_value: NDArray[np.intp] = np.minimum(middle * bins, bins - 1).astype(np.intp)
    return bin_of_value[value_of]


def _cox_line(y: Floats, margin: Floats, weights: Floats) -> tuple[float, float]:
    of_positives, of_negatives = margin[y == 1], margin[y == 0]
    overlap = len(of_positives) and len(of_negatives) and _overlap(of_positives, of_negatives)
    if not overlap:
        return float("nan"), float("nan")
    regression = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10)
    regression.fit(margin[:, np.newaxis], y, sample_weight=weights)
    return float(regression.coef_[0, 0]), float(regression.intercept_[0])


def _overlap(a: Floats, b: Floats) -> bool:
    """Return whether no threshold separates ``a`` from ``b``; if one does, the likelihood has no maximum."""
    return bool(a.min() < b.max() and b.min() < a.max())


def _in_the_large(y: Floats, margin: Floats, weights: Floats) -> float:
    """Return the shift of ``margin`` with which the mean probability equals the share of positives."""
    share = np.average(y, weights=weights)
    if share in (0, 1):
        return float("nan")
    limit = float(np.abs(margin).max() + abs(logit(share)) + 1)
    return float(brentq(lambda shift: np.average(expit(margin + shift), weights=weights) - share, -limit, limit))


def _report(y: Floats, probability: Floats, weights: Floats, bins: int) -> dict[str, float]:
    return {
        "rows": len(y),
        "log_loss": log_loss(y, probability, weights),
        "brier": brier(y, probability, weights),
        "ece": expected_calibration_error(y, probability, weights, bins),
        "ece_equal_width": expected_calibration_error(y, probability, weights, bins, "equal_width"),
        **calibration_slope_intercept(y, probability, weights)._asdict(),
        "mean_probability": float(np.average(probability, weights=weights)),
        "observed": float(np.average(y, weights=weights)),
    }
