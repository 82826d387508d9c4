"""Level two as a scikit-learn classifier: nested, patient-grouped stacking of any table of scores and features."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from joblib import effective_n_jobs, parallel_config
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from level2_stack.crossval.decide import StackResult, decide, predict
from level2_stack.crossval.nested import CrossValidation, cross_validate
from level2_stack.design.assemble import Design
from level2_stack.design.tabular import Groups, Scale, classify_columns
from level2_stack.estimator_groups import read_groups
from level2_stack.estimator_recipe import recipe_of, without_tables
from level2_stack.estimator_table import check_features, check_order, check_shape, read_texts
from level2_stack.estimator_target import Floats, Target, outer_folds, read_target, warn_of_reversed_scores
from level2_stack.recipe import AUTO, BLEND, Recipe
from level2_stack.results.leaderboard import leaderboard


class NestedStackingClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Stack and calibrate networks' scores and features; groups stay in one fold, every reported number is nested.

    Parameters
    ----------
    scores : sequence of str or int, default=()
        Columns of X (names of a DataFrame, else positions) that hold networks' scores, NaN where a score is missing.
        Without any, learners that weigh networks are left out.
    positive : str, int or bool, default=None
        The class of ``y`` that counts as positive; None: the last in (alphabetical) order, as in scikit-learn.
    score_scale : {"probability", "logit"}, default="probability"
        The scale of the scores.
    group_column : str or int, default=None
        Column of X that names the patient, in place of the argument ``groups``; it is not used as a feature. It also
        works where scikit-learn passes no groups: ``predict`` inside ``cross_val_predict`` or a search.
    contrasts : bool, default=True
        With groups, add features that compare a score with the other scores of its group.
    learners : sequence of str, default=None
        Files of level2_stack/learners; None: lgbm, xgb, ridge; with ``scores`` also logistic and the baselines.
    blend, blend_weights : sequence of str, default=None; {"equal", "fitted"}, default="equal"
        The learners whose logits are averaged, and how. None: lgbm, xgb and ridge; if ``learners`` is given, those of
        them that are not baselines.
    submit : str, default="auto"
        What ``predict_proba`` returns: a learner, "blend", or ("auto") the one with the highest expected AUC.
    n_folds : int, default=5
        Outer folds, at least 3, at most the number of groups of the smaller class.
    seeds, inner_seeds : int, default=3 and 1
        Fits of a learner that depends on a seed, per outer fold and per pair of folds.
    negatives_per_positive : float, default=None
        Negatives per positive that such a fit samples, None: all; its probabilities are corrected for the sampling.
    calibration : sequence of str, default=("platt", "beta", "isotonic")
        Candidates among which inner folds choose by log loss; ("none",) switches calibration off.
    prevalence : float, default=None
        Share of positives where the probabilities will be used, if it differs from that of ``y``.
    params : dict, default=None
        Parameters per learner, for example {"lgbm": {"rounds": 100}}.
    random_state : int, RandomState instance or None, default=0
        Seed of the assignment of groups to folds.
    n_jobs : int, default=None
        Worker processes; None: one (or the number set by joblib.parallel_config), -1: as many as save time, at most one
        per core. The result does not depend on it.

    Attributes
    ----------
    classes_ : ndarray of shape (2,); the classes in sorted order, and the columns of ``predict_proba``.
    positive_ : the class that counts as positive: ``oof_``, ``leaderboard_`` and ``prevalence`` are about it.
    folds_ : ndarray of shape (n_samples,); the outer fold of every row.
    oof_ : ndarray of shape (n_samples,)
        Out-of-fold probability of the positive class. With submit="auto" every outer fold is predicted by the model
        that its inner folds choose, so no row influences the choice of its own model: the leaderboard's "choice".
    leaderboard_ : DataFrame
        Nested out-of-fold AUC of every score, every learner, the blend and the choice, with intervals; see
        leaderboard.py.
    submitted_ : str
        The learner (or "blend") that ``predict_proba`` averages over the outer folds.
    calibrators_ : dict of str to list; per learner and outer fold the calibrator and every candidate's log loss.
    importance_ : DataFrame; mean gain of each column (rows) in each booster (columns), averaged over its outer fits.
    n_features_in_, feature_names_in_ : as in all scikit-learn estimators.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> random = np.random.default_rng(0)
    >>> patient = np.repeat(np.arange(100), 4)
    >>> y = (random.random(400) < 0.3).astype(int)
    >>> p = 1 / (1 + np.exp(2 - 2 * y - random.normal(size=400)))
    >>> X = pd.DataFrame({"net": p, "age": random.integers(20, 90, 400) + 15.0 * y})
    >>> few = {"lgbm": {"rounds": 50}, "xgb": {"rounds": 50}}
    >>> stack = NestedStackingClassifier(scores=["net"], seeds=1, params=few).fit(X, y, groups=patient)
    >>> stack.predict_proba(X, groups=patient).shape
    (400, 2)
    >>> bool(stack.leaderboard_.loc["blend", "auc"] > stack.leaderboard_.loc["net", "auc"])
    True
    >>> sorted(set(stack.folds_.tolist()))
    [0, 1, 2, 3, 4]
    """

    def __init__(
        self,
        scores: Sequence[str | int] = (),
        *,
        positive: str | int | bool | None = None,
        score_scale: Scale = "probability",
        group_column: str | int | None = None,
        contrasts: bool = True,
        learners: Sequence[str] | None = None,
        blend: Sequence[str] | None = None,
        blend_weights: Literal["equal", "fitted"] = "equal",
        submit: str = AUTO,
        n_folds: int = 5,
        seeds: int = 3,
        inner_seeds: int = 1,
        negatives_per_positive: float | None = None,
        calibration: Sequence[str] = ("platt", "beta", "isotonic"),
        prevalence: float | None = None,
        params: dict[str, dict[str, Any]] | None = None,
        random_state: int | np.random.RandomState | None = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.scores = scores
        self.positive = positive
        self.score_scale = score_scale
        self.group_column = group_column
        self.contrasts = contrasts
        self.learners = learners
        self.blend = blend
        self.blend_weights = blend_weights
        self.submit = submit
        self.n_folds = n_folds
        self.seeds = seeds
        self.inner_seeds = inner_seeds
        self.negatives_per_positive = negatives_per_positive
        self.calibration = calibration
        self.prevalence = prevalence
        self.params = params
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Cross-validate on ``X`` (n_samples, n_features) and ``y`` (n_samples,) of two classes; return self.

        ``groups`` (n_samples,) names the patient of every row; a patient is never split between folds. None: every row
        is a patient of its own, as is a row whose patient is missing. Raises ValueError unless there are two classes
        with at least ``n_folds`` groups each, for invalid parameters or columns, for a column that equals ``y``, and
        for ``y`` or ``groups`` whose index has the labels of ``X`` in another order. Warns of classes or scores that
        look reversed, of ids and columns that follow ``y``, and of texts read as numbers.
        """
        check_order(X, y, "y")
        check_order(X, groups, "groups")
        table = self._table(X, reset=True)
        target = read_target(y, len(table), self.positive, self)
        self.classes_, self.positive_ = target.classes, target.positive
        has_groups = groups is not None or self.group_column is not None
        use_contrasts = self.contrasts and has_groups
        columns = classify_columns(table, self.scores, self.group_column, self.score_scale, has_contrasts=use_contrasts)
        table = read_texts(table, columns.roles)
        columns = classify_columns(table, self.scores, self.group_column, self.score_scale, has_contrasts=use_contrasts)
        name = type(self).__name__
        recipe = recipe_of(self.get_params(deep=False), with_scores=bool(columns.scores), where=name)
        patients = read_groups(table, groups, columns.group)
        check_features(table, columns, target.codes, patients, has_groups=has_groups)
        design = Design(columns.design(table, patients), target.codes, self._folds(patients, target), patients)
        warn_of_reversed_scores(columns.score_tables(table), target)
        # Loky: inside a parallel search joblib would use threads, and two boosters in threads of one process can crash.
        # One BLAS thread: L-BFGS works on a dozen numbers, and with several threads such a fit is ten times slower.
        with parallel_config(backend="loky"), threadpool_limits(1, user_api="blas"):
            cross_validation = cross_validate(design, recipe, keep_models=True, processes=_processes(self.n_jobs))
            result = decide(design, recipe, cross_validation)
        self.leaderboard_ = leaderboard(design, columns.score_tables(table), result)
        self.oof_ = result.probability[result.headline].to_numpy()
        self.folds_, self.submitted_ = design.folds, result.submitted_model
        self.calibrators_, self.importance_ = result.calibrators, pd.DataFrame(cross_validation.importance)
        self._columns, self._result, self._targets = columns, result, target.codes
        self._recipe = without_tables(recipe)
        self._models = _models_to_submit(cross_validation, recipe, result)
        return self

    def predict_proba(self, X: ArrayLike, groups: ArrayLike | None = None) -> Floats:
        """Return the probability of both classes (n, 2), in the order of ``classes_``: the mean over the folds' models.

        ``groups`` (n,) names the patient of every row: contrasts compare a score with the patient's other rows in
        ``X``. Warns when the fit used groups for contrasts and none are given here: every row then counts as a patient
        of its own, which was rare in training.
        """
        check_is_fitted(self)
        check_order(X, groups, "groups")
        table = read_texts(self._table(X, reset=False), self._columns.roles, self._columns.numbers)
        if self._columns.has_contrasts and groups is None and self._columns.group is None:
            warnings.warn(
                "the model was fitted with groups, and predict got none: contrasts compare a score with the scores of "
                "its group. Pass groups, set group_column, or fit with contrasts=False",
                stacklevel=2,
            )
        design = self._columns.design(table, read_groups(table, groups, self._columns.group))
        probability = predict(design, self._recipe, self._models, self._result, self._targets)
        columns = [1 - probability, probability]
        return np.column_stack(columns if self.positive_ == self.classes_[1] else columns[::-1])

    def predict(self, X: ArrayLike, groups: ArrayLike | None = None) -> NDArray[Any]:
        """Return the more probable class of every row of ``X``, shape (n,): rarely the positive one if it is rare."""
        codes = self.predict_proba(X, groups).argmax(axis=1)
        return np.asarray(self.classes_[codes])

    def __sklearn_tags__(self) -> Tags:
        """Return scikit-learn's tags: two classes only, missing values allowed."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = True
        return tags

    def _table(self, X: ArrayLike, *, reset: bool) -> pd.DataFrame:
        """Return X, its shape checked, as a DataFrame whose column names are strings; arrays become float64."""
        if isinstance(X, pd.DataFrame):
            check_shape(X)
            validate_data(self, X, reset=reset, skip_check_array=True)
            return X.set_axis(X.columns.map(str), axis=1).reset_index(drop=True)
        array = validate_data(self, X, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan")
        # An array after a DataFrame: scikit-learn has warned that its columns are read by their positions.
        names = range(array.shape[1]) if reset else getattr(self, "feature_names_in_", range(array.shape[1]))
        return pd.DataFrame(array, columns=[str(name) for name in names])

    def _folds(self, patients: Groups, target: Target) -> NDArray[np.int8]:
        state = self.random_state
        seed = int(state) if isinstance(state, Integral) else int(check_random_state(state).randint(2**31 - 1))
        return outer_folds(target, patients, self.n_folds, seed)


def _models_to_submit(cross_validation: CrossValidation, recipe: Recipe, result: StackResult) -> CrossValidation:
    """Return ``cross_validation`` with only the submitted learners' models: the others would fill most of a pickle."""
    learners = recipe.blend if result.submitted_model == BLEND else [result.submitted_model]
    models = {key: model for key, model in cross_validation.models.items() if key[0] in learners}
    return replace(cross_validation, scores={}, models=models)


def _processes(n_jobs: int | None) -> int | None:
    """Return the number of worker processes; None lets the amount of work decide, with at most one per core."""
    return None if n_jobs == -1 else int(effective_n_jobs(n_jobs))
