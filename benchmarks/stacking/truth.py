"""The truth study: the AUC that nested evaluation reports against the submission's AUC on a large new cohort."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from benchmarks.stacking.networks import STEADY, Network, draw_cases, train_level_one
from benchmarks.stacking.study import Study, with_error
from features import blocks
from features.blocks import Sources, build_block
from level2_stack.calibration.reliability import expected_calibration_error, log_loss
from level2_stack.crossval.decide import StackResult, decide
from level2_stack.crossval.nested import cross_validate
from level2_stack.design.assemble import Design, assemble
from level2_stack.evaluation.auc import auc, patient_bootstrap
from level2_stack.recipe import Recipe
from level2_stack.thresholds.freeze import freeze_thresholds, nested_rows
from level2_stack.thresholds.operating_point import OperatingPoint, point_of_subgroups
from runtime.progress import say

Tables = Mapping[str, pd.DataFrame]
BLOCKS = ("metadata", "patient")  # feature blocks that need no pictures
TOLERANCE = 0.01  # of AUC, between the mean reported and the mean true AUC


def truth_study(
    recipe: Recipe, seeds: Sequence[int], *, train: int, test: int, networks: Mapping[str, Network] = STEADY
) -> Study:
    """Return the AUC that ``recipe`` reports for clinics of ``train`` pictures, and its AUC on ``test`` others."""
    rows = []
    for seed in seeds:
        rows.append({"seed": seed, **_measure(recipe, seed, train, test, networks)})
        say(f"truth: cohort {seed}: reported {rows[-1]['reported']:.4f}, fresh {rows[-1]['fresh']:.4f}")
    table = pd.DataFrame(rows)
    figures = _figures(table)
    discrimination = ["seed", "reported", "low", "high", "fresh", "difference", "covered", "submitted", "attainable"]
    calibration = ["seed", "mean_p", "prevalence", "ece", "ece_raw", "log_loss", "log_loss_raw", "log_loss_risk"]
    at_threshold = ["threshold_for", "sensitivity", "reported_sensitivity", "specificity", "reported_specificity"]
    tables = {
        "AUC reported against fresh": table[discrimination],
        "calibration on the fresh cohort": table[calibration],
        "a frozen threshold on the fresh cohort": table[["seed", *at_threshold]],
    }
    return Study(tables, figures, _sentences(figures))


def block_tables(cases: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the feature blocks of ``cases`` by name, computed as in a run."""
    return {name: build_block(name, cases, Sources()) for name in BLOCKS}


def design_of(cases: pd.DataFrame, predictions: Tables, tables: Tables, recipe: Recipe) -> Design:
    """Return the design of a run with ``cases``, level-one ``predictions`` and the blocks ``tables``.

    Acquisition columns stay unless the recipe drops them: in the clinic their distribution is the same in train and
    test.
    """
    return assemble(cases, predictions, tables, recipe, {name: blocks.find(name).ACQUISITION for name in tables})


def _measure(recipe: Recipe, seed: int, train: int, test: int, networks: Mapping[str, Network]) -> dict[str, object]:
    cohort, cases = draw_cases(train, test, seed)
    level_one = train_level_one(cohort, cases, networks, seed)
    design = design_of(cases, level_one.out_of_fold(), block_tables(cases), recipe)
    cross_validation = cross_validate(design, recipe)
    result = decide(design, recipe, cross_validation)
    scores = result.probability[[result.headline]].iloc[: len(design.y)]
    interval = patient_bootstrap(design.y, scores, design.groups).loc[result.headline]
    fresh = _fresh(cohort.loc[design.test.index], result)
    rows = nested_rows(design, recipe, result, cross_validation.folds)
    point = point_of_subgroups(freeze_thresholds(rows, recipe))
    mean, low, high = (float(interval[name]) for name in ("auc", "low", "high"))
    return {
        "reported": mean,
        "low": low,
        "high": high,
        **fresh,
        "difference": mean - fresh["fresh"],
        "covered": low <= fresh["fresh"] <= high,
        "submitted": result.submitted_model,
        **_at_threshold(cohort.loc[design.test.index], result, point),
    }


def _at_threshold(cohort: pd.DataFrame, result: StackResult, point: OperatingPoint) -> dict[str, object]:
    """Return what the frozen threshold of ``point`` reaches on ``cohort``, and what the run reports for it."""
    y = cohort["target"].to_numpy(dtype=np.float64)
    is_malignant = point.is_malignant(result.probability.loc[cohort.index, result.submitted_model].to_numpy())
    return {
        "threshold_for": point.name,
        "sensitivity": float(is_malignant[y == 1].mean()),
        "reported_sensitivity": point.measures["sensitivity"].value,
        "specificity": float((~is_malignant[y == 0]).mean()),
        "reported_specificity": point.measures["specificity"].value,
    }


def _fresh(cohort: pd.DataFrame, result: StackResult) -> dict[str, float]:
    """Return AUC, calibration and log loss on ``cohort`` of the submitted model and of the true risk."""
    y, risk = (cohort[name].to_numpy(dtype=np.float64) for name in ("target", "risk"))
    p, raw = (
        each.loc[cohort.index, result.submitted_model].to_numpy()
        for each in (result.probability, result.raw_probability)
    )
    return {
        "fresh": auc(y, p),
        "attainable": auc(y, risk),
        "mean_p": float(p.mean()),
        "prevalence": float(y.mean()),
        "ece": expected_calibration_error(y, p),
        "ece_raw": expected_calibration_error(y, raw),
        "log_loss": log_loss(y, p),
        "log_loss_raw": log_loss(y, raw),
        "log_loss_risk": log_loss(y, risk),
    }


def _figures(table: pd.DataFrame) -> dict[str, float | int]:
    bias, error = with_error(table["difference"])
    surplus, surplus_error = with_error(table["mean_p"] - table["prevalence"])
    sensitivity, sensitivity_error = with_error(table["sensitivity"])
    gain, gain_error = with_error(table["log_loss_raw"] - table["log_loss"])
    return {
        "cohorts": len(table),
        "reported": float(table["reported"].mean()),
        "fresh": float(table["fresh"].mean()),
        "difference": bias,
        "difference_error": error,
        "covered": int(table["covered"].sum()),
        "mean_p_minus_prevalence": surplus,
        "mean_p_minus_prevalence_error": surplus_error,
        "ece": float(table["ece"].mean()),
        "sensitivity": sensitivity,
        "sensitivity_error": sensitivity_error,
        "log_loss_gain": gain,
        "log_loss_gain_error": gain_error,
    }


def _sentences(figures: dict[str, float | int]) -> list[str]:
    verdict = "within" if abs(figures["difference"]) <= TOLERANCE else "NOT within"
    return [
        f"reported minus fresh {figures['difference']:+.4f} (standard error {figures['difference_error']:.4f}), "
        f"{verdict} {TOLERANCE} of 0; {figures['covered']} of {figures['cohorts']} intervals cover the fresh AUC",
        f"mean probability minus prevalence {figures['mean_p_minus_prevalence']:+.4f} "
        f"(standard error {figures['mean_p_minus_prevalence_error']:.4f}), ECE {figures['ece']:.4f}; "
        f"calibration improves log loss by {figures['log_loss_gain']:+.5f} ({figures['log_loss_gain_error']:.5f})",
        f"sensitivity at the frozen threshold {figures['sensitivity']:.4f} ({figures['sensitivity_error']:.4f})",
    ]
