"""The null study: targets that mean nothing must give an AUC of 0.5, the base rate as probability, and no gain."""

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


def permuted(y: Floats, folds: NDArray[np.integer], groups: NDArray[np.object_], seed: int) -> Floats:
    """Return the targets ``y`` (n,) handed to other patients of the same fold; ``folds`` and ``groups`` are (n,).

    A fold's targets are lined up patient by patient and given to its rows lined up by the same patients in random
    order. So runs of melanomas within a patient mostly stay together, and every fold keeps its number of them.
    """
    random = np.random.default_rng(seed)
    dealt = np.empty_like(y)
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        patient = pd.factorize(groups[rows])[0]
        place = random.permutation(patient.max() + 1)
        before, after = np.argsort(patient, kind="stable"), np.argsort(place[patient], kind="stable")
        dealt[rows[after]] = y[rows[before]]
    return dealt


def null_study(design: Design, recipe: Recipe, seeds: Sequence[int]) -> Study:
    """Return what ``recipe`` finds in ``design`` when its targets are permuted with each of ``seeds``.

    Beside the pooled ``auc`` stands ``fold_mean``, the mean of the AUCs within folds. Its expectation is 0.5 exactly;
    the pooled one's is below where folds differ in their share of positives: a fold that has more leaves fewer to those
    who predict it, so its rows get less.
    """
    rows: list[dict[str, object]] = []
    models: list[pd.DataFrame] = []
    for seed in seeds:
        y = permuted(design.y, design.folds, design.groups, seed)
        null = Design(design.X, y, design.folds, design.groups, design.missing_blocks)
        result = decide(null, recipe, cross_validate(null, recipe))
        scores = result.probability.iloc[: len(y)]
        models.append(_of_models(null, scores))
        rows.append({"seed": seed, **_judged(null, result, models[-1])})
        say(f"null: seed {seed}: AUC {rows[-1]['auc']:.4f} [{rows[-1]['low']:.4f}, {rows[-1]['high']:.4f}]")
    table = pd.DataFrame(rows)
    figures = _figures(table)
    tables = {"permuted targets": table, "mean AUC over the seeds": _means(pd.concat(models))}
    return Study(tables, figures, _sentences(figures))


def _of_models(null: Design, scores: pd.DataFrame) -> pd.DataFrame:
    """Return a row per model: its mean probability, spread, AUC with interval, whether that holds 0.5, and ECE."""
    drawn = patient_bootstrap(null.y, scores, null.groups).rename_axis("model")
    drawn["covers"] = (drawn["low"] <= CHANCE) & (drawn["high"] >= CHANCE)
    drawn["fold_mean"] = fold_aucs(null.y, null.folds, scores).mean(axis=1)
    drawn["mean_p"], drawn["spread_p"] = scores.mean(), scores.std(ddof=0)
    drawn["ece"] = [expected_calibration_error(null.y, scores[name].to_numpy()) for name in scores]
    return drawn.reset_index()


def _means(models: pd.DataFrame) -> pd.DataFrame:
    by_model = models.groupby("model", sort=False)
    means = by_model[["auc", "fold_mean"]].mean().join(by_model[["auc", "fold_mean"]].sem().add_suffix("_error"))
    return means.assign(covering=by_model["covers"].sum()).reset_index()


def _judged(null: Design, result: StackResult, models: pd.DataFrame) -> dict[str, object]:
    own = models.set_index("model").loc[result.headline]
    about = {"submitted": result.submitted_model, "base_rate": float(null.y.mean())}
    return {**own[["auc", "low", "high", "covers", "fold_mean"]], **about, **own[["mean_p", "ece", "spread_p"]]}


def _figures(table: pd.DataFrame) -> dict[str, float | int]:
    mean, error = with_error(table["auc"])
    within, within_error = with_error(table["fold_mean"])
    return {
        "seeds": len(table),
        "covering": int(table["covers"].sum()),
        "mean_auc": mean,
        "mean_auc_error": error,
        "mean_auc_within_folds": within,
        "mean_auc_within_folds_error": within_error,
        "rank_mean_submitted": int((table["submitted"] == RANK_MEAN).sum()),
        "mean_p_over_base_rate": float((table["mean_p"] / table["base_rate"]).mean()),
        "mean_ece": float(table["ece"].mean()),
        "mean_spread_p": float(table["spread_p"].mean()),
    }


def _sentences(figures: dict[str, float | int]) -> list[str]:
    return [
        f"the interval holds 0.5 in {figures['covering']} of {figures['seeds']}; mean AUC {figures['mean_auc']:.4f}"
        f" (standard error {figures['mean_auc_error']:.4f}), within folds {figures['mean_auc_within_folds']:.4f}"
        f" ({figures['mean_auc_within_folds_error']:.4f})",
        f"the rank mean was submitted in {figures['rank_mean_submitted']} of {figures['seeds']}",
        f"mean probability over base rate {figures['mean_p_over_base_rate']:.4f}, ECE {figures['mean_ece']:.5f}, "
        f"standard deviation of the probabilities {figures['mean_spread_p']:.5f}",
    ]
