"""The null study: permuted targets must give an AUC of 0.5, the base rate as probability, and no gain of the stack."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.stacking.study import Study, with_error
from level2_stack.calibration.reliability import expected_calibration_error
from level2_stack.crossval.choose import RANK_MEAN
from level2_stack.crossval.decide import StackResult, decide
from level2_stack.crossval.nested import cross_validate, fold_aucs
from level2_stack.design.assemble import Design
from level2_stack.evaluation.auc import patient_bootstrap
from level2_stack.recipe import Recipe
from runtime.progress import say

Floats = NDArray[np.float64]
CHANCE = 0.5


def permute_targets(y: Floats, folds: NDArray[np.integer], groups: NDArray[np.object_], seed: int) -> Floats:
    """Return the targets ``y`` (n,), permuted among the patients of each fold; ``folds`` and ``groups`` are (n,).

    The targets of a fold, sorted by patient, are assigned to the fold's rows, sorted by the same patients in random
    order. So several melanomas of one patient mostly stay together, and every fold keeps its number of melanomas.
    """
    random = np.random.default_rng(seed)
    permutation = np.empty_like(y)
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        patient = pd.factorize(groups[rows])[0]
        order = random.permutation(patient.max() + 1)
        before, after = np.argsort(patient, kind="stable"), np.argsort(order[patient], kind="stable")
        permutation[rows[after]] = y[rows[before]]
    return permutation


def null_study(design: Design, recipe: Recipe, seeds: Sequence[int]) -> Study:
    """Return the results of ``recipe`` on ``design`` when its targets are permuted with each of ``seeds``.

    Besides the pooled ``auc`` there is ``fold_mean``, the mean of the AUCs within folds, whose expectation is exactly
    0.5. The expectation of the pooled AUC is lower when folds differ in their share of positives: the models that
    predict a fold with many positives were trained on few, so its rows get low probabilities.
    """
    rows: list[dict[str, object]] = []
    models: list[pd.DataFrame] = []
    for seed in seeds:
        y = permute_targets(design.y, design.folds, design.groups, seed)
        null = Design(design.X, y, design.folds, design.groups, design.missing_blocks)
        result = decide(null, recipe, cross_validate(null, recipe))
        scores = result.probability.iloc[: len(y)]
        models.append(_of_models(null, scores))
        rows.append({"seed": seed, **_headline(null, result, models[-1])})
        say(f"null: seed {seed}: AUC {rows[-1]['auc']:.4f} [{rows[-1]['low']:.4f}, {rows[-1]['high']:.4f}]")
    table = pd.DataFrame(rows)
    figures = _figures(table)
    tables = {"permuted targets": table, "mean AUC over the seeds": _means(pd.concat(models))}
    return Study(tables, figures, _sentences(figures))


def _of_models(null: Design, scores: pd.DataFrame) -> pd.DataFrame:
    """Return a row per model: AUC with interval, whether the interval covers 0.5, mean probability, spread and ECE."""
    table = patient_bootstrap(null.y, scores, null.groups).rename_axis("model")
    table["covers"] = (table["low"] <= CHANCE) & (table["high"] >= CHANCE)
    table["fold_mean"] = fold_aucs(null.y, null.folds, scores).mean(axis=1)
    table["mean_p"], table["spread_p"] = scores.mean(), scores.std(ddof=0)
    table["ece"] = [expected_calibration_error(null.y, scores[name].to_numpy()) for name in scores]
    return table.reset_index()


def _means(models: pd.DataFrame) -> pd.DataFrame:
    by_model = models.groupby("model", sort=False)
    means = by_model[["auc", "fold_mean"]].mean().join(by_model[["auc", "fold_mean"]].sem().add_suffix("_error"))
    return means.assign(covering=by_model["covers"].sum()).reset_index()


def _headline(null: Design, result: StackResult, models: pd.DataFrame) -> dict[str, object]:
    """Return the row of the headline model, its gain over the rank mean, the submitted model and the base rate."""
    by_model = models.set_index("model")
    headline, rank_mean = by_model.loc[result.headline], by_model["fold_mean"].get(RANK_MEAN, float("nan"))
    facts = {"submitted": result.submitted_model, "base_rate": float(null.y.mean())}
    facts["gain"] = float(headline["fold_mean"] - rank_mean)
    scores = [
        headline[names] for names in (["auc", "low", "high", "covers", "fold_mean"], ["mean_p", "ece", "spread_p"])
    ]
    return {**scores[0], **facts, **scores[1]}


def _figures(table: pd.DataFrame) -> dict[str, float | int]:
    mean, error = with_error(table["auc"])
    within, within_error = with_error(table["fold_mean"])
    gain, gain_error = with_error(table["gain"])
    return {
        "seeds": len(table),
        "covering": int(table["covers"].sum()),
        "mean_auc": mean,
        "mean_auc_error": error,
        "mean_auc_within_folds": within,
        "mean_auc_within_folds_error": within_error,
        "gain_over_rank_mean": gain,
        "gain_over_rank_mean_error": gain_error,
        "rank_mean_submitted": int((table["submitted"] == RANK_MEAN).sum()),
        "mean_p_over_base_rate": float((table["mean_p"] / table["base_rate"]).mean()),
        "mean_ece": float(table["ece"].mean()),
        "mean_spread_p": float(table["spread_p"].mean()),
    }


def _sentences(figures: dict[str, float | int]) -> list[str]:
    return [
        f"the interval covers 0.5 for {figures['covering']} of {figures['seeds']} seeds;"
        f" mean AUC {figures['mean_auc']:.4f}"
        f" (standard error {figures['mean_auc_error']:.4f}), within folds {figures['mean_auc_within_folds']:.4f}"
        f" ({figures['mean_auc_within_folds_error']:.4f})",
        f"gain over the rank mean within folds {figures['gain_over_rank_mean']:+.4f} "
        f"(standard error {figures['gain_over_rank_mean_error']:.4f}); the rank mean was submitted for "
        f"{figures['rank_mean_submitted']} of {figures['seeds']} seeds",
        f"mean probability over base rate {figures['mean_p_over_base_rate']:.4f}, ECE {figures['mean_ece']:.5f}, "
        f"standard deviation of the probabilities {figures['mean_spread_p']:.5f}",
    ]
