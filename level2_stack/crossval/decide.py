"""From nested scores to probabilities: blend, calibrate and choose for each outer fold, from its inner scores only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from threadpoolctl import threadpool_limits

from level2_stack.calibration import calibrate
from level2_stack.crossval.choose import Preference, prefer
from level2_stack.crossval.fits import select_columns
from level2_stack.crossval.nested import CrossValidation, Scores
from level2_stack.design.assemble import Design
from level2_stack.learner_contract import STAGES
from level2_stack.learners.logistic import NonNegativeRegression
from level2_stack.recipe import AUTO, BLEND, CHOICE, Recipe

Floats = NDArray[np.float64]
Folds = NDArray[np.int64]
MIN_SPREAD = 1e-12  # the standard deviation that a member with the same score in every row counts with


@dataclass(frozen=True)
class StackResult:
    """Probabilities of every learner, the blend and the choice, and the decisions of each outer fold.

    ``probability`` has a row per row of the design and a column per model: calibrated, and for the deployment
    prevalence. A train row gets the probability of its outer fold, a test row the mean over the outer folds.
    ``raw_probability`` is the same before calibration. ``by_seed`` holds per model the outer scores of each seed alone,
    in logits (seeds, n). ``preference`` is the reason for ``submitted_model``, None if the recipe sets the model.
    ``fold_preferences`` are the preferences of the outer folds; the column "choice" is their out-of-fold result, which
    is not biased by the choice. ``scores`` are the nested scores of every learner and the blend.
    """

    probability: pd.DataFrame
    raw_probability: pd.DataFrame
    by_seed: dict[str, Floats]
    submitted_model: str
    preference: Preference | None
    fold_preferences: list[Preference]
    blend_weights: list[dict[str, float]]
    calibrators: dict[str, list[calibrate.CalibratorChoice]]
    scores: dict[str, Scores]

    @property
    def headline(self) -> str:
        """Return the model whose out-of-fold result to report: "choice", or the model that the recipe sets."""
        return CHOICE if self.fold_preferences else self.submitted_model


def decide(design: Design, recipe: Recipe, cross_validation: CrossValidation) -> StackResult:
    """Return the probabilities of ``cross_validation`` under ``recipe``; no row's target affects its own prediction."""
    folds = cross_validation.folds
    members = {name: cross_validation.scores[name] for name in recipe.blend}
    with threadpool_limits(1, user_api="blas"):  # threads that wait for each other made small fits 60 times slower
        blend_scores, weights = blend(members, design.y, folds, recipe.blend_weights)
        scores = {**cross_validation.scores, BLEND: blend_scores}
        calibrators = {name: _choose_calibrators(each, design.y, folds, recipe) for name, each in scores.items()}
    train, test = _probabilities(scores, calibrators, design.y, folds, recipe)
    fold_preferences, preference = _preferences(scores, design, folds, recipe)
    if fold_preferences:
        choices = np.array([each.choice for each in fold_preferences])
        train[CHOICE] = np.array([train[name][row] for row, name in enumerate(choices[folds])])
        test[CHOICE] = np.stack([test[name][fold] for fold, name in enumerate(choices)])
    probability = {name: np.concatenate([train[name], test[name].mean(axis=0)]) for name in train}
    raw = {name: expit(np.concatenate([each.outer(folds), each.test.mean(axis=0)])) for name, each in scores.items()}
    return StackResult(
        probability=pd.DataFrame(probability, index=design.X.index),
        raw_probability=pd.DataFrame(raw, index=design.X.index),
        by_seed={name: each.by_seed for name, each in scores.items()},
        submitted_model=recipe.submit if preference is None else preference.choice,
        preference=preference,
        fold_preferences=fold_preferences,
        blend_weights=weights,
        calibrators=calibrators,
        scores=scores,
    )


def inner_probability(result: StackResult, fold: int, y: Floats, folds: Folds, recipe: Recipe) -> Floats:
    """Return the headline's probabilities of all rows outside ``fold``, by fits that used neither it nor the row.

    They are those of the model that outer fold ``fold`` chose, with its calibrator, which keeps the order of the rows.
    """
    model = result.fold_preferences[fold].choice if result.fold_preferences else result.submitted_model
    inner = folds != fold
    calibrator = result.calibrators[model][fold].calibrator
    return _adjust_prior(calibrator(result.scores[model].train[fold, inner]), y[inner], recipe)


def mean_probability(result: StackResult, y: Floats, folds: Folds, recipe: Recipe) -> Floats:
    """Return the submitted model's mean probability (n,) over k fits per row, none of which used the row's fold.

    A new case gets the mean over k fits, an out-of-fold probability comes from one. Means are less extreme in each
    class, so a threshold for new cases must come from means: here of the outer fit, and of the inner fits that left out
    the row's fold and one other.
    """
    scores, calibrators = result.scores[result.submitted_model].train, result.calibrators[result.submitted_model]
    probability = np.zeros(len(y))
    for fold, choice in enumerate(calibrators):
        own = folds == fold
        by_fit = choice.calibrator(scores[:, own].ravel()).reshape(len(scores), -1)
        probability[own] = _adjust_prior(by_fit, y[~own], recipe).mean(axis=0)
    return probability


def predict(
    X: pd.DataFrame, recipe: Recipe, cross_validation: CrossValidation, result: StackResult, y: Floats
) -> Floats:
    """Return the probability, (m,), of the submitted model for new rows ``X`` with the columns of the design.

    ``cross_validation`` must hold the fitted models of the submitted model; ``y`` are the training targets. The
    probabilities are those that the rows would get as test rows of the design.
    """
    model = result.submitted_model
    learners = recipe.blend if model == BLEND else [model]
    scores = {name: _score_new_rows(X, name, cross_validation) for name in learners}
    if model == BLEND:
        weights = np.array([[row[name] for name in learners] for row in result.blend_weights])
        scores[BLEND] = np.asarray(sum(weights[:, [i]] * scores[name] for i, name in enumerate(learners)))
    probability = _calibrate(scores[model], result.calibrators[model], y, cross_validation.folds, recipe)
    return np.asarray(probability.mean(axis=0))


def _score_new_rows(X: pd.DataFrame, learner: str, cross_validation: CrossValidation) -> Floats:
    """Return the scores of new rows by every outer fold's models, (k, m), the mean over seeds."""
    rows, columns = [], select_columns(learner, X)
    for fold in range(int(cross_validation.folds.max()) + 1):
        shares = cross_validation.stage.get(learner)
        stage = STAGES.index(shares[fold]) if shares else 0
        margins = [model.margins(columns)[stage] for model in cross_validation.models[learner, fold]]
        rows.append(np.mean(margins, axis=0))
    return np.array(rows, dtype=np.float64)


def _calibrate(
    test: Floats, calibrators: list[calibrate.CalibratorChoice], y: Floats, folds: Folds, recipe: Recipe
) -> Floats:
    """Return the probabilities (k, m) of the scores ``test`` (k, m): each outer fold calibrates its own row."""
    rows = enumerate(zip(calibrators, test, strict=True))
    return np.stack([_adjust_prior(choice.calibrator(row), y[folds != fold], recipe) for fold, (choice, row) in rows])


def _choose_calibrators(scores: Scores, y: Floats, folds: Folds, recipe: Recipe) -> list[calibrate.CalibratorChoice]:
    """Choose and fit a calibrator for every outer fold, from its inner scores."""
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
    folds: Folds,
    recipe: Recipe,
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Return per model the outer probabilities of train rows (n,), and those of test rows by each outer fold (k, m)."""
    train, test = {}, {}
    for name, each in scores.items():
        outer, train[name] = each.outer(folds), np.zeros(len(folds))
        for fold, choice in enumerate(calibrators[name]):
            own = folds == fold
            train[name][own] = _adjust_prior(choice.calibrator(outer[own]), y[~own], recipe)
        test[name] = _calibrate(each.test, calibrators[name], y, folds, recipe)
    return train, test


def _preferences(
    scores: Mapping[str, Scores], design: Design, folds: Folds, recipe: Recipe
) -> tuple[list[Preference], Preference | None]:
    """Return the preference of every outer fold, from its inner scores, and that of all outer scores."""
    if recipe.submit != AUTO:
        return [], None
    fold_preferences = []
    for fold in range(int(folds.max()) + 1):
        inner = folds != fold
        table = pd.DataFrame({name: each.train[fold, inner] for name, each in scores.items()})
        fold_preferences.append(prefer(design.y[inner], table, design.groups[inner]))
    outer = pd.DataFrame({name: each.outer(folds) for name, each in scores.items()})
    return fold_preferences, prefer(design.y, outer, design.groups)


def _adjust_prior(probability: Floats, y: Floats, recipe: Recipe) -> Floats:
    """Return ``probability``, of a calibrator fitted to ``y``, for the recipe's deployment prevalence if it has one."""
    if recipe.calibration.prevalence is None:
        return probability
    return calibrate.shift_prior(probability, float(y.mean()), recipe.calibration.prevalence)


def blend(
    members: dict[str, Scores], y: Floats, folds: Folds, weights: Literal["equal", "fitted"]
) -> tuple[Scores, list[dict[str, float]]]:
    """Return the scores of the blend of ``members`` and, per outer fold, the weight of each.

    ``y`` (n,) is 0/1, ``folds`` (n,) 0..k-1. With equal weights the blend is the mean of the members' logits. Fitted
    weights are those of a non-negative logistic regression of ``y`` on the members' inner scores; its intercept is
    dropped, because calibration adds one.
    """
    names = list(members)
    rows = [_weights(members, names, y, folds, fold, weights) for fold in range(int(folds.max()) + 1)]
    fold_weights = np.array(rows)
    seeds = max(len(scores.by_seed) for scores in members.values())
    train = sum(fold_weights[:, [i]] * members[name].train for i, name in enumerate(names))
    test = sum(fold_weights[:, [i]] * members[name].test for i, name in enumerate(names))
    by_seed = sum(fold_weights[folds, i] * _repeat_last(members[name].by_seed, seeds) for i, name in enumerate(names))
    scores = Scores(np.asarray(train), np.asarray(test), np.asarray(by_seed))
    return scores, [dict(zip(names, row, strict=True)) for row in fold_weights.tolist()]


def _weights(
    members: dict[str, Scores],
    names: Sequence[str],
    y: Floats,
    folds: Folds,
    fold: int,
    method: Literal["equal", "fitted"],
) -> Floats:
    if method == "equal":
        return np.full(len(names), 1 / len(names))
    inner = folds != fold
    X = pd.DataFrame({name: members[name].train[fold, inner] for name in names})
    weights = NonNegativeRegression.fit(X, y[inner], l2=1.0).weights
    # The regression's weights are per standard deviation of a member; the blend needs them per logit.
    return np.array([weights[name] / max(float(X[name].std(ddof=0)), MIN_SPREAD) for name in names])


def _repeat_last(by_seed: Floats, seeds: int) -> Floats:
    """Return one row per seed; a learner that has fewer seeds repeats its last."""
    return by_seed[np.minimum(np.arange(seeds), len(by_seed) - 1)]
