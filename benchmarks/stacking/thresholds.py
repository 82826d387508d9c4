"""What frozen thresholds reach on new patients of the same clinic, against the aims and the intervals of the run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from joblib import delayed
from numpy.typing import NDArray

from benchmarks.stacking.study import Study, with_error
from level2_stack.calibration import calibrate
from level2_stack.evaluation.at_thresholds import decision_measures
from level2_stack.thresholds.conformal import conformal_sets
from level2_stack.thresholds.freeze import NestedRows, freeze_threshold
from level2_stack.thresholds.settings import Rule
from runtime.machine.pool import open_pool

Floats = NDArray[np.float64]
FOLDS, PICTURES = 5, 4  # folds of the run; pictures of a patient, on average
PREVALENCE, GAP = 0.1, 1.8  # share of malignant cases; distance of the classes' scores, an AUC of 0.90
OF_PATIENT = 0.5  # standard deviation of what the scores of a patient share, of 1 in all
RULES: tuple[tuple[Rule, float], ...] = (("sensitivity", 0.9), ("specificity", 0.9), ("npv", 0.99), ("net_benefit", 10))
FRESH = 20_000  # new cases per clinic


@dataclass(frozen=True)
class Cohort:
    """Cases of drawn patients: ``y`` (n,) in 0/1, ``groups`` (n,) the patients, ``signal`` (n,) what models can see."""

    y: Floats
    groups: NDArray[np.object_]
    signal: Floats


def draw_cohort(cases: int, random: np.random.Generator) -> Cohort:
    """Return about ``cases`` pictures; those of a patient share a part of their score."""
    sizes = 1 + random.poisson(PICTURES - 1, max(cases // PICTURES, FOLDS))
    patient = np.repeat(np.arange(len(sizes)), sizes)
    y = (random.random(len(patient)) < PREVALENCE).astype(np.float64)
    of_patient = OF_PATIENT * random.normal(size=len(sizes))[patient]
    signal = GAP * y + of_patient + np.sqrt(1 - OF_PATIENT**2) * random.normal(size=len(patient))
    return Cohort(y, patient.astype(object), signal)


@dataclass(frozen=True)
class Clinic:
    """A run over drawn scores, and the probabilities (m,) that its models give the cases of a fresh cohort."""

    rows: NestedRows
    fresh: Cohort
    probability: Floats


def draw_clinic(cases: int, noise: float, seed: int) -> Clinic:
    """Return a clinic whose fold models each add an error of their own, of standard deviation ``noise``.

    As in a run, a train row is scored by one model, and a new case gets the mean of all fold models.
    """
    random = np.random.default_rng(seed)
    cohort, fresh = draw_cohort(cases, random), draw_cohort(FRESH, random)
    folds = (cohort.groups.astype(np.int64) % FOLDS).astype(np.int64)
    scores = cohort.signal + noise * random.normal(size=(FOLDS, len(cohort.y)))
    fits = [calibrate.fit("platt", scores[fold, folds != fold], cohort.y[folds != fold]) for fold in range(FOLDS)]
    inner = [fits[fold](scores[fold, folds != fold]) for fold in range(FOLDS)]
    all_fits = np.stack([fits[fold](scores.ravel()).reshape(scores.shape) for fold in range(FOLDS)])
    own = all_fits[folds, :, np.arange(len(folds))]  # every score of a row, by the calibrator of its fold
    outer = own[np.arange(len(folds)), folds]
    new = [fit(fresh.signal + noise * random.normal(size=len(fresh.y))) for fit in fits]
    rows = NestedRows(cohort.y, cohort.groups, folds, inner, outer, own.mean(axis=1))
    return Clinic(rows, fresh, np.mean(new, axis=0))


def plain_threshold(rule: Rule, aim: float, y: Floats, probability: Floats) -> float:
    """Return the threshold that looks best on the rows themselves: the usual choice, for comparison."""
    order = np.argsort(probability)
    in_order, malignant = probability[order], y[order]
    false_negatives = np.r_[0, np.cumsum(malignant)[:-1]]  # below each threshold
    true_negatives = np.arange(len(y)) - false_negatives
    benefit = (y.sum() - false_negatives) - (len(y) - y.sum() - true_negatives) / aim
    suits = {
        "sensitivity": false_negatives <= (1 - aim) * y.sum() + 1e-9,
        "specificity": true_negatives >= aim * (len(y) - y.sum()) - 1e-9,
        "npv": false_negatives <= (1 - aim) * (false_negatives + true_negatives) + 1e-9,
        "net_benefit": benefit == benefit.max(),
    }[rule]
    indices = np.flatnonzero(suits)
    return float(in_order[indices[0 if rule in ("specificity", "net_benefit") else -1]])


def _of_clinic(cases: int, noise: float, seed: int) -> list[dict[str, object]]:
    clinic = draw_clinic(cases, noise, seed)
    rows, facts = clinic.rows, {"cases": cases, "noise": noise}
    return [{**facts, **_of_rule(clinic, rule, aim)} for rule, aim in RULES] + [
        {**facts, "rule": f"conformal, {name}", "aim": 0.9, "reached": share}
        for name, share in zip(("malignant", "benign"), _coverage(rows), strict=True)
    ]


def _of_rule(clinic: Clinic, rule: Rule, aim: float) -> dict[str, object]:
    rows = clinic.rows
    point = freeze_threshold(rows, rule, aim)
    value = _on_fresh(clinic, rule, aim, point.threshold)
    estimate = point.measures[rule]
    low, high = (np.nan if limit is None else limit for limit in (estimate.low, estimate.high))
    return {
        "rule": rule,
        "aim": aim,
        "reached": value,
        "plain": _on_fresh(clinic, rule, aim, plain_threshold(rule, aim, rows.y, rows.outer)),
        "estimate": np.nan if estimate.value is None else estimate.value,
        "covered": float(low <= value <= high),
    }


def _on_fresh(clinic: Clinic, rule: Rule, aim: float, threshold: float) -> float:
    """Return the measure of ``rule`` on the fresh cohort; the net benefit weighs false positives by the cost."""
    odds_at = 1 / (1 + aim) if rule == "net_benefit" else 0.5
    is_malignant = clinic.probability >= threshold
    value = decision_measures(clinic.fresh.y, is_malignant, clinic.fresh.groups, odds_at, replicates=1)[rule].value
    return 1.0 if rule == "npv" and not (~is_malignant).any() else value


def _coverage(rows: NestedRows) -> list[float]:
    sets = conformal_sets(rows, 0.9)
    return [float(sets[rows.y == value, column].mean()) for column, value in enumerate((1, 0))]


def threshold_study(
    seeds: Sequence[int], cases: Sequence[int], noises: Sequence[float] = (0.0, 0.5), processes: int = 2
) -> Study:
    """Return what thresholds of runs of ``cases`` pictures reach on 20,000 new ones, over the clinics ``seeds``.

    A row of the table per rule, size and error of the fold models: ``aim``; ``reached``, the mean over the clinics,
    with its standard ``error``; ``plain``, what the threshold reaches that looks best on the same rows; ``estimate``,
    the mean of the run's own figure; ``covered``, the share of its 95 % intervals that contain what is reached. The
    conformal sets are those of the run's rows.
    """
    tasks = [(size, noise, seed) for size in cases for noise in noises for seed in seeds]
    rows = open_pool(processes)(delayed(_of_clinic)(*task) for task in tasks)
    table = pd.DataFrame([row for clinic in rows for row in clinic])
    summary = pd.DataFrame(
        [_summary(keys, part) for keys, part in table.groupby(["rule", "cases", "noise"], sort=False)]
    )
    at_sensitivity = summary[summary["rule"] == "sensitivity"]
    worst = float((at_sensitivity["reached"] - at_sensitivity["aim"]).abs().max())
    sentence = f"a threshold for 90 % sensitivity reaches it within {100 * worst:.2f} percentage points on average"
    names = summary["rule"] + summary["cases"].map("_{}".format) + summary["noise"].map("_{}".format)
    figures = dict(zip(names, summary["reached"].tolist(), strict=True))
    return Study({"frozen thresholds on new patients": summary}, figures, [sentence])


def _summary(keys: tuple[object, ...], part: pd.DataFrame) -> dict[str, object]:
    mean, error = with_error(part["reached"])
    means = {name: float(part[name].mean()) for name in ("plain", "estimate", "covered")}
    facts = dict(zip(("rule", "cases", "noise"), keys, strict=True))
    return {**facts, "aim": float(part["aim"].mean()), "reached": mean, "error": error, **means}
