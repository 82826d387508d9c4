"""An operating point: a threshold, the rule that chose it, and what it reaches on patients that did not choose it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from level2_stack.evaluation.auc import Interval
from level2_stack.thresholds.settings import Rule
from runtime.files import read_json, write_json
from runtime.settings import Settings, check_settings

FILE = "thresholds.json"  # in the folder of a stack, and in a bundle
Floats = NDArray[np.float64]
UNITS = {"sensitivity": "sensitivity", "specificity": "specificity", "npv": "NPV"}


class Measure(Settings):
    """A measure with its 95 % limits, patients resampled; None where it is undefined."""

    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, interval: Interval) -> "Measure":
        """Return ``interval`` as a measure: NaN becomes None, because JSON has no NaN."""
        return cls(**{name: None if value != value else value for name, value in interval._asdict().items()})


class OperatingPoint(Settings):
    """A threshold for new cases: a case is predicted malignant if its probability is at or above ``threshold``.

    ``rule`` and ``aim`` say how it was chosen: so that a new cohort has this ``sensitivity``, ``specificity`` or
    ``npv`` on average, or for the highest ``net_benefit`` if a missed melanoma costs as much as ``aim`` unnecessary
    excisions. ``threshold`` comes from all out-of-fold rows of the submitted model. ``measures`` do not: for every
    outer fold the rule was applied to its inner folds, which gave ``fold_thresholds``, and all outer rows together were
    counted (``true_positives`` and so on, as rows) and measured: sensitivity, specificity, ppv, npv, net_benefit (per
    case, at the odds of ``threshold``), referred (the share predicted malignant). ``prevalence`` is the share of
    malignant cases for which the threshold, the predictive values, the net benefit and referred hold. ``note`` says
    why the aim cannot be reached; it is empty for most points.
    """

    name: str
    rule: Rule
    aim: float
    threshold: float = Field(ge=0, le=1)
    prevalence: float = Field(gt=0, lt=1)
    fold_thresholds: tuple[float, ...]
    measures: dict[str, Measure]
    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int
    note: str = ""

    @property
    def column(self) -> str:
        """Return the name of the column of decisions in a table of predictions: malignant_at_sensitivity_90."""
        return f"malignant_at_{self.rule}_{number_of_aim(self.rule, self.aim)}"

    def is_malignant(self, probability: Floats) -> NDArray[np.bool_]:
        """Return whether each case with ``probability`` (n,) is predicted malignant."""
        return np.asarray(probability >= self.threshold)


class _File(Settings):
    operating_points: tuple[OperatingPoint, ...]


def point_of_subgroups(points: Sequence[OperatingPoint]) -> OperatingPoint:
    """Return the one of ``points`` at which subgroups are compared: the sensitivity nearest to 90 %, else the first."""
    return min(points, key=lambda point: (point.rule != "sensitivity", abs(point.aim - 0.9)))


def number_of_aim(rule: Rule, aim: float) -> str:
    """Return the aim as a number: percent of a share, or the cost of a missed melanoma."""
    return f"{aim if rule == 'net_benefit' else 100 * aim:.6g}"


def name_of(rule: Rule, aim: float) -> str:
    """Return the name of an operating point in words: "90 % sensitivity", "net benefit at 20 : 1"."""
    number = number_of_aim(rule, aim)
    return f"net benefit at {number} : 1" if rule == "net_benefit" else f"{number} % {UNITS[rule]}"


def write_operating_points(path: Path, points: Sequence[OperatingPoint]) -> None:
    """Write ``points`` as JSON to ``path``."""
    write_json(path, _File(operating_points=tuple(points)).model_dump(mode="json"))


def read_operating_points(path: Path) -> tuple[OperatingPoint, ...]:
    """Return the operating points in ``path``; none if the file does not exist: older stacks and bundles lack it.

    Raises InputFault that names every wrong key of a damaged file.
    """
    if not path.is_file():
        return ()
    return check_settings(read_json(path), _File, str(path)).operating_points
