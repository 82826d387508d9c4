"""From nested scores to probabilities: blended, calibrated and chosen for each outer fold on its inner scores alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from threadpoolctl import threadpool_limits

from level2_stack.calibration import calibrate
from level2_stack.crossval.choose import RANK_MEAN, Preference, prefer
from level2_stack.crossval.fits import select_columns
from level2_stack.crossval.nested import CrossValidation, Scores
from level2_stack.design.assemble import Design
from level2_stack.learner_contract import STAGES
from level2_stack.learners.logistic import NonNegativeRegression
from level2_stack.recipe import AUTO, BLEND, CHOICE, Recipe

Floats = NDArray[np.float64]
TINY = 1e-12  # the spread of a member that says the same of every row


@dataclass(frozen=True)
class StackResult:
    """Probabilities of every learner, of the blend and of the choice, and what was decided for each outer fold.

    ``probability`` has a row per row of the design and a column per model: calibrated, and for the deployment
    prevalence. A train row's comes from its outer fold, a test row's is the mean over the outer folds. ``raw_probability``
    is the same before calibration. ``by_seed`` holds per model the outer scores of each seed alone, in logits (seeds,
    n). ``submitted_model`` is the model that is handed in; ``preference`` why, None where the recipe names it. ``fold_preferences``
    are the choices of the outer folds, whose honest result is the column "choice".
    """

    probability: pd.DataFrame
    raw_probability: pd.DataFrame
    by_seed: dict[str, Floats]
    submitted_model: str
    preference: Preference | None
    fold_preferences: list[Preference]
    blend_weights: list[dict[str, float]]
    calibrators: dict[str, list[calibrate.CalibratorChoice]]

    @property
    def headline(self) -> str:
        """Return the model whose out-of-fold result is honest for what is submitted: the choice, or the one forced."""
        return CHOICE if self.fold_preferences else self.submitted_model


def decide(design: Design, recipe: Recipe, found: CrossValidation) -> StackResult:
    """Return the probabilities that ``found`` leads to under ``recipe``; no row helps to choose what predicts it."""
    members = {name: found.scores[name] for name in recipe.blend}
    with threadpool_limits(1, user_api="blas"):  # threads that wait for each other made small fits 60 times slower
        blended, weights = blend(members, design.y, found.folds, recipe.blend_weights)
        scores = {**found.scores, BLEND: blended}
        calibrators = {name: _calibrators(each, design.y, found.folds, recipe) for name, each in scores.items()}
    train, test = _probabilities(scores, calibrators, design.y, found.folds, recipe)
    by_fold, preference = _preferences(scores, design, found.folds, recipe)
    if by_fold:
        chosen = np.array([each.choice for each in by_fold])
        train[CHOICE] = np.array([train[name][row] for row, name in enumerate(chosen[found.folds])])
        test[CHOICE] = np.stack([test[name][fold] for fold, name in enumerate(chosen)])
    probability = {name: np.concatenate([train[name], test[name].mean(axis=0)]) for name in train}
    raw = {
        name: expit(np.concatenate([each.outer(found.folds), each.test.mean(axis=0)])) for name, each in scores.items()
    }
    return StackResult(
        probability=pd.DataFrame(probability, index=design.X.index),
        raw_probability=pd.DataFrame(raw, index=design.X.index),
        by_seed={name: each.by_seed for name, each in scores.items()},
        submitted_model=recipe.submit if preference is None else preference.choice,
        preference=preference,
        fold_preferences=by_fold,
        blend_weights=weights,
        calibrators=calibrators,
    )


def predict(X: pd.DataFrame, recipe: Recipe, found: CrossValidation, result: StackResult, y: Floats) -> Floats:
    """Return the probability, (m,), of what ``result`` submits for new rows ``X`` in the columns of the design.

    ``found`` must hold its models; ``y`` are the training targets. It is what the test rows of a design would have got.
    """
    wanted = recipe.blend if result.submitted_model == BLEND else [result.submitted_model]
    tests = {name: _new_scores(X, name, found) for name in wanted}
    if result.submitted_model == BLEND:
        weights = np.array([[by_fold[name] for name in wanted] for by_fold in result.blend_weights])
        tests[BLEND] = np.asarray(sum(weights[:, [i]] * tests[name] for i, name in enumerate(wanted)))
    by_fold = _calibrated(
        tests[result.submitted_model], result.calibrators[result.submitted_model], y, found.folds, recipe
    )
    return np.asarray(by_fold.mean(axis=0))


def _new_scores(X: pd.DataFrame, learner: str, found: CrossValidation) -> Floats:
    """Return the scores of new rows by every outer fold's models, (k, m), the mean over seeds."""
    rows, columns = [], select_columns(learner, X)
    for fold in range(int(found.folds.max()) + 1):
        stage = STAGES.index(found.stage[learner][fold]) if learner in found.stage else 0
        rows.append(np.mean([model.margins(columns)[stage] for model in found.models[learner, fold]], axis=0))
    return np.array(rows, dtype=np.float64)


def _calibrated(
    test: Floats, calibrators: list[calibrate.CalibratorChoice], y: Floats, folds: NDArray[np.int64], recipe: Recipe
) -> Floats:
    """Return what each outer fold makes of its scores ``test`` (k, m), calibrated and deployed."""
    rows = enumerate(zip(calibrators, test, strict=True))
    return np.stack([_deployed(chosen.calibrator(row), y[folds != fold], recipe) for fold, (chosen, row) in rows])


def _calibrators(
    scores: Scores, y: Floats, folds: NDArray[np.int64], recipe: Recipe
) -> list[calibrate.CalibratorChoice]:
    """Return for every outer fold the calibrator that its inner scores choose and fit."""
    return [
        calibrate.choose(
            scores.train[fold, folds != fold],
            y[folds != fold],
            folds[folds != fold],
            recipe.calibration.methods,
            rank_preserving=recipe.calibration.rank_preserving,
        )
        for fold in range(len(scores.train))
    ]


def _probabilities(
    scores: Mapping[str, Scores],
    calibrators: Mapping[str, list[calibrate.CalibratorChoice]],
    y: Floats,
    folds: NDArray[np.int64],
    recipe: Recipe,
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Return per model the outer probabilities of train rows (n,), and those of test rows by each outer fold (k, m)."""
    train, test = {}, {}
    for name, each in scores.items():
        outer, train[name] = each.outer(folds), np.zeros(len(folds))
        for fold, chosen in enumerate(calibrators[name]):
            own = folds == fold
            train[name][own] = _deployed(chosen.calibrator(outer[own]), y[~own], recipe)
        test[name] = _calibrated(each.test, calibrators[name], y, folds, recipe)
    return train, test


def _preferences(
    scores: Mapping[str, Scores], design: Design, folds: NDArray[np.int64], recipe: Recipe
) -> tuple[list[Preference], Preference | None]:
    """Return what the inner scores of every outer fold prefer, and what all outer scores prefer."""
    if recipe.submit != AUTO:
        return [], None
    candidates = [name for name in scores if name != RANK_MEAN]
    by_fold = []
    for fold in range(int(folds.max()) + 1):
        inner = folds != fold
        table = pd.DataFrame({name: each.train[fold, inner] for name, each in scores.items()})
        by_fold.append(prefer(design.y[inner], table, design.groups[inner], candidates))
    outer = pd.DataFrame({name: each.outer(folds) for name, each in scores.items()})
    return by_fold, prefer(design.y, outer, design.groups, candidates)


def _deployed(probability: Floats, y: Floats, recipe: Recipe) -> Floats:
    """Return ``probability`` of a calibrator fitted to ``y`` as it stands where the recipe's prevalence holds."""
    if recipe.calibration.prevalence is None:
        return probability
    return calibrate.shift_prior(probability, float(y.mean()), recipe.calibration.prevalence)


def blend(
    members: dict[str, Scores], y: Floats, folds: NDArray[np.int64], weights: Literal["equal", "fitted"]
) -> tuple[Scores, list[dict[str, float]]]:
    """Return the scores of the blend of ``members`` and, per outer fold, the weight of each.

    ``y`` (n,) is 0/1, ``folds`` (n,) 0..k-1. Equal weights make the mean of the members' logits. Fitted ones are those
    of a non-negative logistic regression of ``y`` on the members' inner scores, without its intercept: calibration has
    one.
    """
    names = list(members)
    found = [_weights(members, names, y, folds, fold, weights) for fold in range(int(folds.max()) + 1)]
    by_fold = np.array(found)
    seeds = max(len(scores.by_seed) for scores in members.values())
    train = sum(by_fold[:, [i]] * members[name].train for i, name in enumerate(names))
    test = sum(by_fold[:, [i]] * members[name].test for i, name in enumerate(names))
    by_seed = sum(by_fold[folds, i] * _per_seed(members[name].by_seed, seeds) for i, name in enumerate(names))
    scores = Scores(np.asarray(train), np.asarray(test), np.asarray(by_seed))
    return scores, [dict(zip(names, row, strict=True)) for row in by_fold.tolist()]


def _weights(
    members: dict[str, Scores],
    names: Sequence[str],
    y: Floats,
    folds: NDArray[np.int64],
    fold: int,
    how: Literal["equal", "fitted"],
) -> Floats:
    if how == "equal":
        return np.full(len(names), 1 / len(names))
    inner = folds != fold
    X = pd.DataFrame({name: members[name].train[fold, inner] for name in names})
    standardised = NonNegativeRegression.fitted(X, y[inner], l2=1.0).weights
    return np.array([standardised[name] / max(float(X[name].std(ddof=0)), TINY) for name in names])


def _per_seed(by_seed: Floats, seeds: int) -> Floats:
    """Return one row per seed; a learner that has fewer seeds repeats its last."""
    return by_seed[np.minimum(np.arange(seeds), len(by_seed) - 1)]
