"""Whether the intervals of a validation hold the truth: cohorts of one population, each validated on its own."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from joblib import delayed
from numpy.typing import NDArray
from scipy.special import expit

from benchmarks.stacking.study import Study
from benchmarks.stacking.thresholds import Cohort, draw_cohort
from level2_stack.evaluation.at_thresholds import decision_measures
from level2_stack.evaluation.auc import delong_interval
from level2_stack.evaluation.frozen_probabilities import calibration_measures
from level2_stack.evaluation.metrics import clinical_metrics
from runtime.machine.pool import open_pool

POPULATION = 400_000  # pictures that give the true values
MARGIN = (-3.2, 1.5)  # intercept and slope of the frozen model's log odds over the signal: too low, and too flat
THRESHOLD = 0.1
CURVES = ("auc", "partial_auc_above_80_sensitivity")
CALIBRATION = ("slope", "in_the_large", "observed_expected", "scaled_brier")
DECISIONS = ("sensitivity", "specificity", "net_benefit", "benefit_over_all")
Floats = NDArray[np.float64]


def coverage_study(seeds: Sequence[int], cases: Sequence[int], processes: int | None = None) -> Study:
    """Return how often the 95 % intervals of validations of ``cases`` pictures hold the value of the population.

    A row per measure and size: ``truth``, the mean of the ``estimate``, ``covered`` and the shares of intervals that
    lie ``below`` and ``above`` the truth. Pictures of a patient share a part of their score.
    """
    truth = _values(draw_cohort(POPULATION, np.random.default_rng(12345)), replicates=1)
    tasks = [(size, seed) for size in cases for seed in seeds]
    parts = open_pool(processes)(delayed(_of_cohort)(size, seed) for size, seed in tasks)
    table = pd.concat(parts, ignore_index=True)
    table = table.merge(truth[["metric", "value"]].rename(columns={"value": "truth"}), on="metric")
    table = table.assign(below=table["high"] < table["truth"], above=table["low"] > table["truth"])
    table = table.assign(covered=~table["below"] & ~table["above"] & table["low"].notna())
    groups = table.groupby(["metric", "cases"], sort=False)
    columns = {"truth": "truth", "value": "estimate", "covered": "covered", "below": "below", "above": "above"}
    summary = groups[list(columns)].mean().rename(columns=columns).reset_index()
    names = summary["metric"] + summary["cases"].map("_{}".format)
    return Study({"intervals of validations": summary}, dict(zip(names, summary["covered"].tolist(), strict=True)))


def _of_cohort(cases: int, seed: int) -> pd.DataFrame:
    return _values(draw_cohort(cases, np.random.default_rng(seed)), replicates=500).assign(cases=cases)


def _values(cohort: Cohort, replicates: int) -> pd.DataFrame:
    """Return the measures of the frozen model on ``cohort``: metric, value, low, high."""
    y, p = cohort.y, np.asarray(expit(MARGIN[0] + MARGIN[1] * cohort.signal))
    curves = clinical_metrics(y, pd.DataFrame({"model": p}), cohort.groups, replicates=replicates)
    calibration = calibration_measures(y, p, cohort.groups, replicates=replicates)
    decisions = decision_measures(y, p >= THRESHOLD, cohort.groups, THRESHOLD, replicates=replicates)
    rows = [{"metric": name, **decisions[name]._asdict()} for name in DECISIONS]
    rows.append({"metric": "auc_delong", **delong_interval(y, p)._asdict()})
    columns = ["metric", "value", "low", "high"]
    tables = [curves[curves["metric"].isin(CURVES)], calibration[calibration["metric"].isin(CALIBRATION)]]
    return pd.concat([*(table[columns] for table in tables), pd.DataFrame(rows)], ignore_index=True)
