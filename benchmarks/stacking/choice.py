"""The choice study: the AUC on new patients of what the rule submits, against the rule of earlier versions."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from joblib import delayed
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from benchmarks.stacking.networks import CLIP, Network, draw_cases, train_level_one
from benchmarks.stacking.study import Study, with_error
from benchmarks.stacking.truth import block_tables, design_of
from level2_stack.crossval.choose import RANK_MEAN, prefer
from level2_stack.crossval.decide import decide
from level2_stack.crossval.nested import cross_validate
from level2_stack.evaluation.auc import auc, patient_bootstrap
from level2_stack.recipe import BLEND, Recipe, check_recipe
from runtime.machine.pool import open_pool
from runtime.progress import say

Floats = NDArray[np.float64]
# Networks that see the signs of one lesion, with noise (standard deviation), but neither the metadata nor the
# patient's other lesions.
NOISES = {"weak": (0.8, 0.8, 0.8), "equal": (0.25, 0.25, 0.25), "strong": (0.05, 0.8, 0.8)}
# Networks that each know the risk itself, metadata and other lesions included, with noise of their own on the log odds:
# nothing is better than their mean, so a stack can only lose.
COMPLETE, COMPLETE_NOISES = "complete", (2.5, 2.5, 2.5)
KINDS = (*NOISES, COMPLETE)


def quick_recipe() -> Recipe:
    """Return the default recipe with small boosters, one seed and one calibrator: rules are compared, not stacks."""
    boosters = {"lgbm": {"rounds": 60, "learning_rate": 0.1}, "xgb": {"rounds": 40, "eta": 0.1}}
    return check_recipe({"seeds": 1, "calibration": {"methods": ["platt"]}, **boosters}, "quick recipe")


def choice_study(
    recipe: Recipe, sizes: Sequence[int], cohorts: int, *, test: int, kinds: Sequence[str] = tuple(NOISES)
) -> Study:
    """Return the AUC of what the old and the new rule submit, on ``test`` pictures of new patients.

    For each of ``sizes`` (train pictures) there are ``cohorts`` clinics with a known risk, each with the networks of
    every one of ``kinds``. Both rules choose from the same cross-validation, so their difference is paired.
    """
    jobs = [(size, 10_000 * size + number) for size in sizes for number in range(cohorts)]
    rows: list[dict[str, object]] = []
    parallel = open_pool(return_as="generator")
    for part in parallel(delayed(_of_clinic)(recipe, size, seed, test, kinds) for size, seed in jobs):
        rows += part
        say(f"choice: {len(rows)} of {len(jobs) * len(kinds)} stacks")
    table = pd.DataFrame(rows)
    summary = pd.DataFrame(_summary(table))
    figures = {
        f"{row['cases']}_{row['networks']}_{key}": row[key]
        for row in summary.to_dict("records")
        for key in ("old", "new", "difference", "error")
    }
    mean, error = with_error(table["new"] - table["old"])
    cells = int((summary["difference"] >= 0).sum())
    sentence = (
        f"new minus old rule {mean:+.4f} (standard error {error:.4f}); at least 0 in {cells} of {len(summary)} cells"
    )
    tables = {"every stack": table, "mean AUC on new patients": summary}
    return Study(tables, figures | {"difference": mean, "error": error, "cells": cells}, [sentence])


def old_rule(y: Floats, scores: pd.DataFrame, groups: NDArray[np.object_]) -> str:
    """Return what earlier versions submitted: the rank mean unless the best stack beats it beyond chance.

    The best stack is the blend unless the learner with the highest AUC beats it beyond chance.
    """
    aucs = {str(name): auc(y, scores[name].to_numpy(dtype=np.float64)) for name in scores if name != RANK_MEAN}
    best = max(aucs, key=lambda name: aucs[name])
    for rival in (BLEND, RANK_MEAN):
        table = patient_bootstrap(y, scores[list({rival, best})], groups, reference=best, replicates=300)
        best = best if best == rival or table["gain_low"][rival] > 0 else rival
    return best


def _of_clinic(recipe: Recipe, size: int, seed: int, test: int, kinds: Sequence[str]) -> list[dict[str, object]]:
    """Return a row per kind of networks, for the clinic ``seed``."""
    cohort, cases = draw_cases(size, test, seed)
    blocks = block_tables(cases)
    rows: list[dict[str, object]] = []
    for kind in kinds:
        design = design_of(cases, _networks(cohort, cases, kind, seed), blocks, recipe)
        cross_validation = cross_validate(design, recipe, processes=1)
        # Without the choices of the outer folds, which the two rules do not need.
        result = decide(design, recipe.model_copy(update={"submit": RANK_MEAN}), cross_validation)
        scores = result.raw_probability.iloc[: len(design.y)]
        y = cohort.loc[design.test.index, "target"].to_numpy(dtype=np.float64)
        fresh = {name: auc(y, p.to_numpy()) for name, p in result.probability.loc[design.test.index].items()}
        old, new = old_rule(design.y, scores, design.groups), prefer(design.y, scores, design.groups).choice
        aucs = {"old": fresh[old], "new": fresh[new], "rank_mean": fresh[RANK_MEAN], "blend": fresh[BLEND]}
        names = {"submitted_old": old, "submitted_new": new}
        rows.append({"cases": size, "networks": kind, "seed": seed, **aucs, "best": max(fresh.values()), **names})
    return rows


def _networks(cohort: pd.DataFrame, cases: pd.DataFrame, kind: str, seed: int) -> dict[str, pd.DataFrame]:
    """Return the level-one tables of the networks of ``kind``."""
    if kind == COMPLETE:
        return _draw_networks(cohort, np.random.default_rng([seed, 3]))
    networks = {
        f"linear_{number}": Network(noise, 0, lambda _: LogisticRegression())
        for number, noise in enumerate(NOISES[kind])
    }
    return train_level_one(cohort, cases, networks, seed).out_of_fold()


def _draw_networks(cohort: pd.DataFrame, random: np.random.Generator) -> dict[str, pd.DataFrame]:
    log_odds = logit(cohort["risk"].clip(1e-4, 1 - 1e-4).to_numpy())
    noisy = [log_odds + random.normal(0, noise, len(cohort)) for noise in COMPLETE_NOISES]
    return {
        f"network_{number}": pd.DataFrame(
            {"probability": expit(row).clip(CLIP, 1 - CLIP), "spread": np.nan}, cohort.index
        )
        for number, row in enumerate(noisy)
    }


def _summary(table: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Yield a row per size and kind of networks: mean AUCs, and the difference of the rules with its standard error."""
    for (size, kind), part in table.groupby(["cases", "networks"], sort=False):
        mean, error = with_error(part["new"] - part["old"])
        yield {
            "cases": size,
            "networks": kind,
            **part[["old", "new"]].mean(),
            "difference": mean,
            "error": error,
            **part[["rank_mean", "blend", "best"]].mean(),
            "rank_mean_old": int((part["submitted_old"] == RANK_MEAN).sum()),
            "rank_mean_new": int((part["submitted_new"] == RANK_MEAN).sum()),
        }
