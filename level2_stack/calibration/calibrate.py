"""Calibrators, which convert a learner's score to a probability, the choice among them, and changes of the prior."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from level2_stack.calibration.likelihood import MIN_SLOPE, fit_coefficients
from runtime.errors import InputFault, did_you_mean, list_names
from runtime.plural import number_of

Floats = NDArray[np.float64]
# The least distance of a probability to 0 and 1, so that every log loss is finite.
EPSILON = float(np.finfo(np.float64).eps)
# Of Platt's curve in a rank-preserving isotonic calibrator; on real scores it also lowers the log loss.
PLATT_SHARE = 0.05


@dataclass(frozen=True)
class Calibrator(ABC):
    """A strictly increasing map from margins (a score's log odds) to probabilities; its fields are its parameters."""

    name: ClassVar[str]

    def __call__(self, margin: Floats) -> Floats:
        """Return the probability of every ``margin`` (n,), in [EPSILON, 1 - EPSILON], independent of the other rows."""
        return np.clip(np.asarray(expit(self._log_odds(margin)), dtype=np.float64), EPSILON, 1 - EPSILON)

    def parameters(self) -> dict[str, Any]:
        """Return the parameters as JSON values, from which ``from_parameters`` builds the same calibrator."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @abstractmethod
    def _log_odds(self, margin: Floats) -> Floats: ...


@dataclass(frozen=True)
class Identity(Calibrator):
    """The map of a model without calibration: the log odds are the margin."""

    name = "none"

    def _log_odds(self, margin: Floats) -> Floats:
        return margin


@dataclass(frozen=True)
class Temperature(Calibrator):
    """Log odds = margin / temperature (Guo et al. 2017): corrects over- or underconfidence, but not the base rate."""

    name = "temperature"
    temperature: float

    def _log_odds(self, margin: Floats) -> Floats:
        return margin / self.temperature


@dataclass(frozen=True)
class Platt(Calibrator):
    """Log odds = slope * margin + intercept, by maximum likelihood on smoothed targets (Platt 1999)."""

    name = "platt"
    slope: float
    intercept: float

    def _log_odds(self, margin: Floats) -> Floats:
        return self.slope * margin + self.intercept


@dataclass(frozen=True)
class Beta(Calibrator):
    """Log odds = a * log p - b * log(1 - p) + c for the margin's probability p (Kull et al. 2017): two slopes."""

    name = "beta"
    a: float
    b: float
    c: float

    def _log_odds(self, margin: Floats) -> Floats:
        log_p, negative_log_rest = _logs(margin)
        return self.a * log_p + self.b * negative_log_rest + self.c


@dataclass(frozen=True)
class Isotonic(Calibrator):
    """Isotonic regression, mixed with Platt's curve: (1 - share) * steps + share * curve + a small slope against ties.

    The steps come from pool-adjacent-violators; ``margins`` and ``probabilities`` are the knots of the steps,
    joined by straight lines and constant beyond the ends. No probability is nearer to 0 or 1 than 1 / (n + 2), the rule
    of succession for n rows. With a share of 0 only the steps are left, and different margins may get equal
    probabilities.
    """

    name = "isotonic"
    margins: tuple[float, ...]
    probabilities: tuple[float, ...]
    slope: float
    intercept: float
    share: float

    def _log_odds(self, margin: Floats) -> Floats:
        steps = np.interp(margin, self.margins, self.probabilities)
        mixture = (1 - self.share) * steps + self.share * Platt(self.slope, self.intercept)(margin)
        return np.asarray(logit(mixture) + self.share * MIN_SLOPE * margin, dtype=np.float64)


# From the simplest to the most complex: ``choose`` prefers the simpler.
CALIBRATORS: dict[str, type[Calibrator]] = {kind.name: kind for kind in (Identity, Temperature, Platt, Beta, Isotonic)}


class CalibratorChoice(NamedTuple):
    """The calibrator that ``choose`` returns, its name, and the cross-fitted mean log loss of every candidate."""

    calibrator: Calibrator
    name: str
    log_loss: dict[str, float]


def fit(
    name: str, margin: Floats, y: Floats, weights: Floats | None = None, *, rank_preserving: bool = True
) -> Calibrator:
    """Fit the calibrator called ``name`` to ``margin`` (n,), log odds, and ``y`` (n,) in 0/1.

    A row of weight w counts as w rows (``weights`` (n,) >= 0). Every calibrator keeps the order of the margins, up to
    the resolution of a float; without ``rank_preserving`` the isotonic one may give ties. Raises InputFault for an
    unknown name and for margins that are not finite.
    """
    _check([name], margin)
    return _fit_all([name], margin, y, np.ones_like(margin) if weights is None else weights, rank_preserving)[name]


def from_parameters(name: str, parameters: Mapping[str, Any]) -> Calibrator:
    """Return the calibrator called ``name`` with the ``parameters`` that its method ``parameters`` returned.

    Raises InputFault for an unknown name.
    """
    _check([name], np.zeros(0))
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in parameters.items()}
    return CALIBRATORS[name](**values)


def choose(
    margin: Floats, y: Floats, folds: NDArray[np.int_], candidates: Sequence[str], *, rank_preserving: bool = True
) -> CalibratorChoice:
    """Choose the best of ``candidates`` for ``margin`` (n,) and ``y`` (n,) in 0/1, and refit it on all rows.

    Each candidate is fitted without each of ``folds`` (n,) in turn and scored by the log loss of that fold's rows. The
    choice is the simplest candidate whose loss exceeds the lowest loss by at most one standard error of the difference,
    paired by row (the rule of Breiman et al. 1984; rows count as independent). Raises InputFault as ``fit`` does,
    without candidates, and with fewer than two folds.
    """
    _check(candidates, margin)
    if not candidates or len(np.unique(folds)) < 2:
        counts = f"{number_of(len(candidates), 'candidate')} and {number_of(len(np.unique(folds)), 'fold')}"
        raise InputFault(f"calibration: found {counts}; needs at least 1 candidate and 2 folds")
    names = [name for name in CALIBRATORS if name in candidates]  # from the simplest to the most complex
    losses = _held_out_losses(names, margin, y, folds, rank_preserving)
    lowest = min(losses.values(), key=np.sum)
    error = {name: (losses[name] - lowest).std() / np.sqrt(len(y)) for name in names}
    name = next(name for name in names if (losses[name] - lowest).mean() <= error[name])
    means = {name: float(losses[name].mean()) for name in candidates}
    return CalibratorChoice(fit(name, margin, y, rank_preserving=rank_preserving), name, means)


def shift_prior(probability: Floats, training_prevalence: float, prevalence: float) -> Floats:
    """Return ``probability`` (n,) of a model trained at ``training_prevalence``, changed for another ``prevalence``.

    The log odds change by logit(prevalence) - logit(training_prevalence): Bayes' rule, if the cases of each class look
    the same in both places (Elkan 2001; Saerens et al. 2002). 0 and 1 do not change. Raises InputFault for a prevalence
    outside (0, 1).
    """
    if not (0 < training_prevalence < 1 and 0 < prevalence < 1):
        shares = f"{prevalence} for deployment, {training_prevalence} in training"
        raise InputFault(f"prevalence: found {shares}; both must be between 0 and 1, such as 0.0176")
    change = logit(prevalence) - logit(training_prevalence)
    return np.asarray(expit(logit(probability) + change), dtype=np.float64)


def calibrated_log_odds(
    calibrator: Calibrator, training_prevalence: float, prevalence: float | None
) -> Callable[[Floats], Floats]:
    """Return a function from scores to calibrated log odds, for the deployment ``prevalence`` if that is not None.

    ``training_prevalence`` is the share of malignant rows to which the calibrator was fitted.
    """

    def to_log_odds(score: Floats) -> Floats:
        """Return the calibrated log odds of ``score``."""
        in_training = calibrator(score)
        probability = in_training if prevalence is None else shift_prior(in_training, training_prevalence, prevalence)
        return np.asarray(logit(probability), dtype=np.float64)

    return to_log_odds


def _logs(margin: Floats) -> tuple[Floats, Floats]:
    """Return log p and -log(1 - p) of the probability p = expit(margin)."""
    return -np.logaddexp(0.0, -margin), np.logaddexp(0.0, margin)


def _fit_all(
    names: Sequence[str], margin: Floats, y: Floats, weights: Floats, rank_preserving: bool
) -> dict[str, Calibrator]:
    """Fit the calibrators called ``names``; Platt's curve, which the isotonic one contains, is fitted once."""
    ones, coefficients = np.ones_like(margin), partial(fit_coefficients, y=y, weights=weights)
    platt = cache(lambda: Platt(*coefficients([margin, ones], slopes=1)))
    makers: dict[str, Callable[[], Calibrator]] = {
        "none": Identity,
        "temperature": lambda: Temperature(1 / coefficients([margin], slopes=1)[0]),
        "platt": platt,
        "beta": lambda: Beta(*coefficients([*_logs(margin), ones], slopes=2)),
        "isotonic": lambda: _isotonic(margin, y, weights, PLATT_SHARE if rank_preserving else 0.0, platt()),
    }
    return {name: makers[name]() for name in names}


def _isotonic(margin: Floats, y: Floats, weights: Floats, share: float, platt: Platt) -> Isotonic:
    floor = 1 / (weights.sum() + 2)
    steps = IsotonicRegression(y_min=floor, y_max=1 - floor).fit(margin, y, sample_weight=weights)
    knots = tuple(steps.X_thresholds_.tolist()), tuple(steps.y_thresholds_.tolist())
    return Isotonic(*knots, platt.slope, platt.intercept, share)


def _held_out_losses(
    names: Sequence[str], margin: Floats, y: Floats, folds: NDArray[np.int_], rank_preserving: bool
) -> dict[str, Floats]:
    """Return per calibrator the log loss of every row, by the fit without the row's fold."""
    losses = {name: np.zeros_like(margin) for name in names}
    for fold in np.unique(folds):
        training, held_out = folds != fold, folds == fold
        ones = np.ones(np.count_nonzero(training))
        for name, calibrator in _fit_all(names, margin[training], y[training], ones, rank_preserving).items():
            probability = calibrator(margin[held_out])
            losses[name][held_out] = -np.log(np.where(y[held_out] == 1, probability, 1 - probability))
    return losses


def _check(names: Sequence[str], margin: Floats) -> None:
    for name in names:
        if name not in CALIBRATORS:
            raise InputFault(f"calibrator: unknown name {name!r}; {did_you_mean(name, list(CALIBRATORS))}")
    invalid = np.flatnonzero(~np.isfinite(margin))
    if len(invalid):
        raise InputFault(f"calibration: rows without a finite margin: {list_names(invalid)}; every row needs a score")
