"""How far probabilities can be taken at their word: reliability curve, calibration errors, proper scores."""

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
    """Cox's line: log odds = slope * logit(p) + intercept; ``in_the_large`` is the intercept where the slope is 1."""

    slope: float
    intercept: float
    in_the_large: float


def log_losses(y: Floats, probability: Floats) -> Floats:
    """Return the log loss in nats of every row (n,); 0 and 1 count as EPSILON away from themselves."""
    clipped = np.clip(probability, EPSILON, 1 - EPSILON)
    return -np.log(np.where(y == 1, clipped, 1 - clipped))


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
    """Return what was claimed and what came true, a row per bin that has cases, from the lowest bin up.

    ``y`` (n,) is 0/1, ``weights`` (n,) >= 0 count as rows. Bins of equal count hold equal weight, as far as equal
    probabilities, which stay together, let them; bins of equal width cut [0, 1]. Columns: ``low, high`` (the least and
    the largest probability in the bin), ``rows``, ``weight``, ``mean_probability``, ``observed`` (the weighted share of
    1) and its 95 % interval ``observed_low, observed_high`` by Wilson 1927, for the (sum w)^2 / sum w^2 rows that the
    bin's weights are worth (Kish 1965).
    """
    weights = np.ones_like(probability) if weights is None else weights
    bin_of = _bin_of(probability, weights, bins, strategy)
    rows = pd.DataFrame(
        {"p": probability, "w": weights, "wp": weights * probability, "wy": weights * y, "ww": weights**2}
    )
    per_bin = rows[weights > 0].groupby(bin_of[weights > 0])
    sums, p = per_bin.sum(), per_bin["p"]
    observed = sums["wy"] / sums["w"]
    low, high = wilson(observed, sums["w"] ** 2 / sums["ww"])
    return pd.DataFrame(
        {
            "low": p.min(),
            "high": p.max(),
            "rows": p.size(),
            "weight": sums["w"],
            "mean_probability": sums["wp"] / sums["w"],
            "observed": observed,
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
    """Return the mean over rows of their bin's |observed share - mean probability|.

    With bins of equal width it is the ECE of Naeini et al. 2015; with bins of equal count the adaptive one of Nixon et
    al. 2019, which a rare class needs: nearly all its probabilities fall into one bin of equal width. It is above 0
    even for a perfect model, by chance, so compare models on the same rows and bins.
    """
    curve = reliability_curve(y, probability, weights, bins, strategy)
    return float(np.average((curve["observed"] - curve["mean_probability"]).abs(), weights=curve["weight"]))


def calibration_slope_intercept(y: Floats, probability: Floats, weights: Floats | None = None) -> CalibrationLine:
    """Return the logistic regression of ``y`` (n,) on logit(``probability``) (n,): slope 1 and intercept 0 are ideal.

    After Cox 1958. A slope below 1 tells of probabilities too extreme, an ``in_the_large`` below 0 of ones too high.
    NaN where the data leave a value open: one class, one probability, or classes that a threshold parts.
    """
    weights = np.ones_like(probability) if weights is None else weights
    margin = logit(np.clip(probability, EPSILON, 1 - EPSILON))
    slope, intercept = _cox_line(y[weights > 0], margin[weights > 0], weights[weights > 0])
    return CalibrationLine(slope, intercept, _in_the_large(y, margin, weights))


def calibration_report(
    y: Floats, probabilities: Mapping[str, Floats], weights: Floats | None = None, bins: int = 15
) -> pd.DataFrame:
    """Return how well each of ``probabilities`` (name to (n,)) is calibrated for ``y`` (n,) in 0/1, a row per name.

    Columns: ``rows, log_loss, brier, ece`` (bins of equal count), ``ece_equal_width, slope, intercept, in_the_large,
    mean_probability, observed``. A model is judged on the rows where it is not NaN.
    """
    weights = np.ones_like(y) if weights is None else weights
    rows = {}
    for name, probability in probabilities.items():
        known = ~np.isnan(probability)
        rows[name] = _report(y[known], probability[known], weights[known], bins)
    return pd.DataFrame.from_dict(rows, orient="index")


def class_weights(y: Floats, deployed: float) -> Floats:
    """Return row weights (n,), of mean 1, under which the share of 1 in ``y`` (n,) is the prevalence ``deployed``.

    With them a case-control table is judged as if its cases came as often as where the model is deployed. Raises
    InputFault for a prevalence outside (0, 1) and for one class only.
    """
    observed = float(y.mean())
    if not (0 < deployed < 1 and 0 < observed < 1):
        raise InputFault(f"prevalence: deployed {deployed}, in the table {observed}; both must lie within 0 and 1")
    return np.where(y == 1, deployed / observed, (1 - deployed) / (1 - observed))


def log_loss_gain(
    y: Floats,
    p: Floats,
    q: Floats,
    groups: NDArray[np.object_],
    weights: Floats | None = None,
    replicates: int = 500,
    seed: int = 0,
) -> Interval:
    """Return what ``p`` (n,) gains over ``q`` (n,): log loss of q minus log loss of p, above 0 where p is better.

    The limits are the 95 % percentiles over replicates that draw the patients in ``groups`` (n,) with replacement.
    """
    weights = np.ones_like(y) if weights is None else weights
    patients, patient_of = np.unique(groups.astype(str), return_inverse=True)
    gains = np.bincount(patient_of, weights * (log_losses(y, q) - log_losses(y, p)))
    sizes = np.bincount(patient_of, weights)
    even = np.full(len(patients), 1 / len(patients))
    drawn = np.random.default_rng(seed).multinomial(len(patients), even, size=replicates)
    weight = drawn @ sizes
    low, high = np.quantile((drawn @ gains)[weight > 0] / weight[weight > 0], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
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


def _overlap(one: Floats, other: Floats) -> bool:
    """Tell whether no threshold parts the two: without it the likelihood has no maximum."""
    return bool(one.min() < other.max() and other.min() < one.max())


def _in_the_large(y: Floats, margin: Floats, weights: Floats) -> float:
    """Return the shift of ``margin`` under which the mean probability is the observed share."""
    share = np.average(y, weights=weights)
    if share in (0, 1):
        return float("nan")
    reach = float(np.abs(margin).max() + abs(logit(share)) + 1)
    return float(brentq(lambda shift: np.average(expit(margin + shift), weights=weights) - share, -reach, reach))


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
