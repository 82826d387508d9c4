"""From a learner's score to a probability: calibrators, the choice among them, and corrections of the prior."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from level2_stack.calibration.likelihood import MIN_SLOPE, fit_coefficients
from runtime.errors import InputFault, did_you_mean, list_names

Floats = NDArray[np.float64]
EPSILON = float(np.finfo(np.float64).eps)  # a probability comes no nearer to 0 or 1, so every log loss is finite
PLATT_SHARE = 0.05  # of Platt's curve in a rank-preserving isotonic one; on real scores it also lowers the log loss


@dataclass(frozen=True)
class Calibrator(ABC):
    """A strictly increasing map from margins (a score's log odds) to probabilities; its fields are its parameters."""

    name: ClassVar[str]

    def __call__(self, margin: Floats) -> Floats:
        """Return the probability of every ``margin`` (n,), in [EPSILON, 1 - EPSILON]; no row looks at another."""
        return np.clip(np.asarray(expit(self._log_odds(margin)), dtype=np.float64), EPSILON, 1 - EPSILON)

    def parameters(self) -> dict[str, Any]:
        """Return the parameters, fit for JSON; ``from_parameters`` makes the calibrator of them again."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @abstractmethod
    def _log_odds(self, margin: Floats) -> Floats: ...


@dataclass(frozen=True)
class Uncalibrated(Calibrator):
    """The margin as it is."""

    name = "none"

    def _log_odds(self, margin: Floats) -> Floats:
        return margin


@dataclass(frozen=True)
class Temperature(Calibrator):
    """margin / temperature (Guo et al. 2017): mends how sure a score is, never its base rate."""

    name = "temperature"
    temperature: float

    def _log_odds(self, margin: Floats) -> Floats:
        return margin / self.temperature


@dataclass(frozen=True)
class Platt(Calibrator):
    """slope * margin + intercept, by maximum likelihood on smoothed targets (Platt 1999)."""

    name = "platt"
    slope: float
    intercept: float

    def _log_odds(self, margin: Floats) -> Floats:
        return self.slope * margin + self.intercept


@dataclass(frozen=True)
class Beta(Calibrator):
    """a * log p - b * log(1 - p) + c for the margin's probability p (Kull et al. 2017): a slope for either end."""

    name = "beta"
    a: float
    b: float
    c: float

    def _log_odds(self, margin: Floats) -> Floats:
        below, above = _logs(margin)
        return self.a * below + self.b * above + self.c


@dataclass(frozen=True)
class Isotonic(Calibrator):
    """(1 - share) * the steps of pool-adjacent-violators + share * Platt's curve, a little tilted so that none tie.

    ``margins`` and ``probabilities`` are the steps' knots, joined by straight lines and flat beyond the ends; none is
    nearer to 0 or 1 than 1 / (n + 2), the rule of succession for n rows. A share of 0 leaves bare steps, which tie.
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


# From the simplest to the most complex, which is the order in which ``choose`` prefers them.
KINDS: tuple[type[Calibrator], ...] = (Uncalibrated, Temperature, Platt, Beta, Isotonic)
CALIBRATORS = {kind.name: kind for kind in KINDS}


class CalibratorChoice(NamedTuple):
    """The calibrator of ``choose``, its name, and the cross-fitted mean log loss of every candidate."""

    calibrator: Calibrator
    name: str
    log_loss: dict[str, float]


def fit(
    name: str, margin: Floats, y: Floats, weights: Floats | None = None, *, rank_preserving: bool = True
) -> Calibrator:
    """Return the calibrator called ``name`` fitted to ``margin`` (n,), log odds, and ``y`` (n,) in 0/1.

    ``weights`` (n,) >= 0 count as rows. Every calibrator keeps the order of the margins, up to the resolution of a
    float; without ``rank_preserving`` the isotonic one may tie them. Raises InputFault for a name it does not know
    and for margins that are not finite.
    """
    _check([name], margin)
    weights = np.ones_like(margin) if weights is None else weights
    match name:
        case "none":
            return Uncalibrated()
        case "temperature":
            return Temperature(1 / fit_coefficients([margin], y, weights, slopes=1)[0])
        case "platt":
            return _platt(margin, y, weights)
        case "beta":
            return Beta(*fit_coefficients([*_logs(margin), np.ones_like(margin)], y, weights, slopes=2))
        case _:
            return _isotonic(margin, y, weights, PLATT_SHARE if rank_preserving else 0.0)


def from_parameters(name: str, parameters: Mapping[str, Any]) -> Calibrator:
    """Return the calibrator called ``name`` with the ``parameters`` it told of itself."""
    _check([name], np.zeros(0))
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in parameters.items()}
    return CALIBRATORS[name](**values)


def choose(
    margin: Floats, y: Floats, folds: NDArray[np.int_], candidates: Sequence[str], *, rank_preserving: bool = True
) -> CalibratorChoice:
    """Return the best of ``candidates`` for ``margin`` (n,) and ``y`` (n,) in 0/1, refitted on all rows.

    Each is fitted without one of ``folds`` (n,) and scored by the log loss of that fold's rows. The simplest candidate
    wins whose loss exceeds the least one by no more than a standard error of that difference, paired by row (the rule
    of Breiman et al. 1984; rows count as independent). Raises InputFault where ``fit`` does, without candidates, and
    with fewer than two folds.
    """
    _check(candidates, margin)
    if not candidates or len(np.unique(folds)) < 2:
        raise InputFault(f"calibration: {len(candidates)} candidates in {len(np.unique(folds))} folds; needs 1 and 2")
    ordered = [name for name in CALIBRATORS if name in candidates]
    losses = {name: _held_out_losses(name, margin, y, folds, rank_preserving) for name in ordered}
    least = min(losses.values(), key=np.sum)
    error = {name: (losses[name] - least).std() / np.sqrt(len(y)) for name in ordered}
    name = next(name for name in ordered if (losses[name] - least).mean() <= error[name])
    means = {name: float(losses[name].mean()) for name in candidates}
    return CalibratorChoice(fit(name, margin, y, rank_preserving=rank_preserving), name, means)


def shift_prior(probability: Floats, trained: float, deployed: float) -> Floats:
    """Return ``probability`` (n,) of a model for prevalence ``trained`` as it stands where it is ``deployed``.

    The log odds move by logit(deployed) - logit(trained): Bayes' rule where the classes look the same in both places
    (Elkan 2001; Saerens et al. 2002). 0 and 1 stay. Raises InputFault for a prevalence outside (0, 1).
    """
    if not (0 < trained < 1 and 0 < deployed < 1):
        raise InputFault(f"prevalence: trained {trained}, deployed {deployed}; must lie within 0 and 1, such as 0.0176")
    return np.asarray(expit(logit(probability) + (logit(deployed) - logit(trained))), dtype=np.float64)


def calibrated_log_odds(calibrator: Calibrator, trained: float, prevalence: float | None) -> Callable[[Floats], Floats]:
    """Return what an outer fold makes of a score: calibrated log odds, for the deployment prevalence if there is one.

    ``trained`` is the share of malignant rows that the calibrator was fitted to.
    """

    def deployed(score: Floats) -> Floats:
        probability = calibrator(score)
        if prevalence is not None:
            probability = shift_prior(probability, trained, prevalence)
        return np.asarray(logit(probability), dtype=np.float64)

    return deployed


def _logs(margin: Floats) -> tuple[Floats, Floats]:
    """Return log p and -log(1 - p) of the probability p = expit(margin)."""
    return -np.logaddexp(0.0, -margin), np.logaddexp(0.0, margin)


def _platt(margin: Floats, y: Floats, weights: Floats) -> Platt:
    return Platt(*fit_coefficients([margin, np.ones_like(margin)], y, weights, slopes=1))


def _isotonic(margin: Floats, y: Floats, weights: Floats, share: float) -> Isotonic:
    floor, line = 1 / (weights.sum() + 2), _platt(margin, y, weights)
    steps = IsotonicRegression(y_min=floor, y_max=1 - floor).fit(margin, y, sample_weight=weights)
    knots = tuple(steps.X_thresholds_.tolist()), tuple(steps.y_thresholds_.tolist())
    return Isotonic(*knots, line.slope, line.intercept, share)


def _held_out_losses(name: str, margin: Floats, y: Floats, folds: NDArray[np.int_], rank_preserving: bool) -> Floats:
    losses = np.zeros_like(margin)
    for fold in np.unique(folds):
        seen, held = folds != fold, folds == fold
        probability = fit(name, margin[seen], y[seen], rank_preserving=rank_preserving)(margin[held])
        losses[held] = -np.log(np.where(y[held] == 1, probability, 1 - probability))
    return losses


def _check(names: Sequence[str], margin: Floats) -> None:
    for name in names:
        if name not in CALIBRATORS:
            raise InputFault(f"calibrator: unknown name {name!r}; {did_you_mean(name, list(CALIBRATORS))}")
    unfit = np.flatnonzero(~np.isfinite(margin))
    if len(unfit):
        raise InputFault(f"calibration: rows without a finite margin: {list_names(unfit)}; every row needs a score")
