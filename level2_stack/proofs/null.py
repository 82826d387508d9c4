"""The null study: targets that mean nothing must give an AUC of 0.5, the base rate as probability, and no gain."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.progress import say
from level2_stack.assemble import Design
from level2_stack.choose import RANK_MEAN
from level2_stack.crossval import cross_validate
from level2_stack.evaluate import auc, patient_bootstrap
from level2_stack.nested import StackResult, decide
from level2_stack.proofs.study import Study, with_error
from level2_stack.recipe import Recipe
from level2_stack.reliability import expected_calibration_error

Floats = NDArray[np.float64]


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
    """Return what ``recipe`` finds in ``design`` when its targets are permuted with each of ``seeds``."""
    rows: list[dict[str, object]] = []
    aucs: list[dict[str, float]] = []
    for seed in seeds:
        y = permuted(design.y, design.folds, design.groups, seed)
        null = Design(design.X, y, design.folds, design.groups, design.absent)
        result = decide(null, recipe, cross_validate(null, recipe))
        scores = result.probability.iloc[: len(y)]
        rows.append({"seed": seed, **_judged(null, result, scores)})
        aucs.append({str(name): auc(y, scores[name].to_numpy()) for name in scores})
        say(f"null: seed {seed}: AUC {rows[-1]['auc']:.4f} [{rows[-1]['low']:.4f}, {rows[-1]['high']:.4f}]")
    table = pd.DataFrame(rows)
    models = pd.DataFrame(aucs)
    means = pd.DataFrame({"model": models.columns, "auc": models.mean().to_numpy(), "error": models.sem().to_numpy()})
    figures = _figures(table)
    return Study({"permuted targets": table, "mean AUC over the seeds": means}, figures, _sentences(figures))


def _judged(null: Design, result: StackResult, scores: pd.DataFrame) -> dict[str, object]:
    headline = scores[[result.headline]]
    drawn = patient_bootstrap(null.y, headline, null.groups).loc[result.headline]
    probability = headline.to_numpy()[:, 0]
    low, high = float(drawn["low"]), float(drawn["high"])
    return {
        "auc": float(drawn["auc"]),
        "low": low,
        "high": high,
        "covers": low <= 0.5 <= high,
        "submitted": result.submitted,
        "mean_p": float(probability.mean()),
        "base_rate": float(null.y.mean()),
        "ece": expected_calibration_error(null.y, probability),
        "spread_p": float(probability.std()),
    }


def _figures(table: pd.DataFrame) -> dict[str, float | int]:
    mean, error = with_error(table["auc"])
    return {
        "seeds": len(table),
        "covering": int(table["covers"].sum()),
        "mean_auc": mean,
        "mean_auc_error": error,
        "rank_mean_submitted": int((table["submitted"] == RANK_MEAN).sum()),
        "mean_p_over_base_rate": float((table["mean_p"] / table["base_rate"]).mean()),
        "mean_ece": float(table["ece"].mean()),
        "mean_spread_p": float(table["spread_p"].mean()),
    }


def _sentences(figures: dict[str, float | int]) -> list[str]:
    return [
        f"the interval holds 0.5 in {figures['covering']} of {figures['seeds']}; mean AUC {figures['mean_auc']:.4f}"
        f" (standard error {figures['mean_auc_error']:.4f})",
        f"the rank mean was submitted in {figures['rank_mean_submitted']} of {figures['seeds']}",
        f"mean probability over base rate {figures['mean_p_over_base_rate']:.4f}, ECE {figures['mean_ece']:.5f}, "
        f"standard deviation of the probabilities {figures['mean_spread_p']:.5f}",
    ]
