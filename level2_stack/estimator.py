"""The scikit-learn face of level two: nested, patient-grouped stacking of any table of scores and features."""

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
from sklearn.utils import Tags, check_random_state, check_X_y
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from features.cases.folds import assign_folds
from level2_stack.crossval.decide import StackResult, decide, predict
from level2_stack.crossval.nested import CrossValidated, cross_validate
from level2_stack.design.assemble import Design
from level2_stack.design.fold_checks import LEAST_FOLDS
from level2_stack.design.tabular import Groups, Scale, columns_of, groups_of
from level2_stack.estimator_recipe import recipe_of, without_tables
from level2_stack.recipe import AUTO, BLEND, Recipe
from level2_stack.results.leaderboard import leaderboard

Floats = NDArray[np.float64]
MOST_FOLDS = 100  # beyond that a fold is a row or two, and the pairs of folds are thousands of fits


class NestedStackingClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Stack networks' scores and features, groups kept whole, and calibrate; every number is nested.

    Parameters
    ----------
    scores : sequence of str or int, default=()
        Columns of X (names of a DataFrame, else positions) that hold a network's scores, NaN where it has none.
        Without any, learners that weigh networks are left out.
    score_scale : {"probability", "logit"}, default="probability"
        What the scores are.
    group_column : str or int, default=None
        Column of X that names the patient, in place of the argument ``groups``; it is no feature. It also reaches what
        scikit-learn calls without groups: ``predict`` inside ``cross_val_predict`` or a search.
    contrasts : bool, default=True
        With groups, add how a score stands within its group.
    learners : sequence of str, default=None
        Files of level2_stack/learners; None: lgbm, xgb, ridge; with ``scores`` also logistic and the baselines.
    blend, blend_weights : sequence of str, default=None; {"equal", "fitted"}, default="equal"
        Whose logits are averaged (None: lgbm, xgb and ridge, or of chosen learners all that are no baseline), and how.
    submit : str, default="auto"
        What ``predict_proba`` gives: a learner, "blend", or what nested evaluation prefers.
    n_folds : int, default=5
        Outer folds, at least 3; as many as a class has groups where those are fewer.
    seeds, inner_seeds : int, default=3 and 1
        Fits of a learner that depends on a seed, per outer fold and per pair of folds.
    negatives_per_positive : float, default=None
        Thin the negatives of every such fit; the probabilities are put right.
    calibration : sequence of str, default=("platt", "beta", "isotonic")
        Candidates among which inner folds choose by log loss; ("none",) for none.
    prevalence : float, default=None
        Share of positives where the probabilities will be used, when it is not that of ``y``.
    params : dict, default=None
        Parameters per learner, for example {"lgbm": {"rounds": 100}}.
    random_state : int, RandomState instance or None, default=0
        Deals groups to folds.
    n_jobs : int, default=None
        Worker processes; None: one (or as joblib.parallel_config says), -1: as many as the work is worth, one per
        core at most. The result does not depend on it.

    Attributes
    ----------
    classes_ : ndarray of shape (2,); the second counts as positive.
    folds_ : ndarray of shape (n_samples,)
    oof_ : ndarray of shape (n_samples,)
        Out-of-fold probability of the positive class. Under submit="auto" every outer fold is predicted by what its
        inner folds prefer, so that no row has chosen its own learner: the leaderboard's "choice".
    leaderboard_ : DataFrame
        Nested out-of-fold AUC of every score, learner, the blend and the choice, with intervals; see leaderboard.py.
    submitted_ : str
        The learner (or "blend") that ``predict_proba`` averages over the outer folds.
    calibrators_ : dict of str to list; per learner and outer fold the calibrator and every candidate's log loss.
    importance_ : DataFrame; mean gain of each column (rows) in each booster (columns), averaged over its outer fits.
    n_features_in_, feature_names_in_ : as everywhere in scikit-learn.

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

        ``groups`` (n_samples,) are patients, never split; None: every row is its own. Raises ValueError for other than
        two classes, fewer than 3 groups of a class, and parameters or columns that cannot be.
        """
        table = self._table(X, reset=True)
        target = self._target(y, len(table))
        grouped = groups is not None or self.group_column is not None
        contrasted = self.contrasts and grouped
        columns = columns_of(table, self.scores, self.group_column, self.score_scale, contrasted=contrasted)
        name = type(self).__name__
        recipe = recipe_of(self.get_params(deep=False), with_scores=bool(columns.scores), where=name)
        patients = groups_of(table, groups, columns.group)
        design = Design(columns.design(table, patients), target, self._folds(patients, target), patients)
        # Inside a parallel search joblib would take threads, and boosters are not safe in threads of one process. And
        # BLAS takes threads for the dozen numbers of L-BFGS, which makes such a fit ten times slower.
        with parallel_config(backend="loky"), threadpool_limits(1, user_api="blas"):
            found = cross_validate(design, recipe, keep_models=True, processes=_processes(self.n_jobs))
            result = decide(design, recipe, found)
        self.leaderboard_ = leaderboard(design, columns.score_tables(table), result)
        self.oof_ = result.probability[result.headline].to_numpy()
        self.folds_, self.submitted_ = design.folds, result.submitted
        self.calibrators_, self.importance_ = result.calibrators, pd.DataFrame(found.importance)
        self._columns, self._result, self._targets = columns, result, target
        self._recipe_used, self._found = without_tables(recipe), _for_prediction(found, recipe, result)
        return self

    def predict_proba(self, X: ArrayLike, groups: ArrayLike | None = None) -> Floats:
        """Return the probability of both classes for rows of ``X``, (n, 2): the mean over the outer folds' models.

        ``groups`` (n,) are the patients of the rows, with whose other rows among ``X`` a score is contrasted. Warns
        when the fit had groups to contrast and none are given: every row then stands alone, as few training rows did.
        """
        check_is_fitted(self)
        table = self._table(X, reset=False)
        if self._columns.contrasted and groups is None and self._columns.group is None:
            warnings.warn(
                "fitted with groups, and predicts without: scores have nothing to be contrasted with. "
                "Give groups, name a group_column, or fit with contrasts=False",
                stacklevel=2,
            )
        design = self._columns.design(table, groups_of(table, groups, self._columns.group))
        probability = predict(design, self._recipe_used, self._found, self._result, self._targets)
        return np.column_stack([1 - probability, probability])

    def predict(self, X: ArrayLike, groups: ArrayLike | None = None) -> NDArray[Any]:
        """Return the likelier class of every row of ``X``, shape (n,); the second is rare if its class is."""
        likelier = self.predict_proba(X, groups).argmax(axis=1)
        return np.asarray(self.classes_[likelier])

    def __sklearn_tags__(self) -> Tags:
        """Return what scikit-learn may ask of it: two classes, missing values allowed."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = True
        return tags

    def _table(self, X: ArrayLike, *, reset: bool) -> pd.DataFrame:
        """Return X as a DataFrame of checked shape with strings for names; an array's numbers become float64."""
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, reset=reset, skip_check_array=True)
            return X.set_axis(X.columns.map(str), axis=1).reset_index(drop=True)
        array = validate_data(self, X, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan")
        return pd.DataFrame(array, columns=[str(i) for i in range(array.shape[1])])

    def _target(self, y: ArrayLike, n_samples: int) -> Floats:
        """Return ``y`` as 0.0 and 1.0, and remember the classes."""
        _, values = check_X_y(np.zeros((n_samples, 1)), y, estimator=self)
        check_classification_targets(values)
        self.classes_, codes = np.unique(values, return_inverse=True)
        if len(self.classes_) == 1:
            raise ValueError(f"y has 1 class, {self.classes_[0]!r}; two are needed")
        if len(self.classes_) > 2:
            kind = type_of_target(values, input_name="y")
            raise ValueError(f"Only binary classification is supported. The type of the target is {kind}.")
        return codes.astype(np.float64)

    def _folds(self, patients: Groups, target: Floats) -> NDArray[np.int8]:
        if not isinstance(self.n_folds, Integral) or not LEAST_FOLDS <= self.n_folds <= MOST_FOLDS:
            raise ValueError(f"n_folds = {self.n_folds!r}: must be a whole number from {LEAST_FOLDS} to {MOST_FOLDS}")
        of_class = [len(np.unique(patients[target == label])) for label in (0, 1)]
        count = min(self.n_folds, *of_class)
        if count < LEAST_FOLDS:
            raise ValueError(
                f"n_folds = {self.n_folds}, with {of_class[0]} and {of_class[1]} groups of the classes in "
                f"n_samples = {len(target)}: nested evaluation needs {LEAST_FOLDS} folds with both classes"
            )
        state = self.random_state
        seed = int(state) if isinstance(state, Integral) else int(check_random_state(state).randint(2**31 - 1))
        dealt = assign_folds(pd.Series(patients), pd.Series(target), count=count, seed=seed)
        return dealt.to_numpy(dtype=np.int8)


def _for_prediction(found: CrossValidated, recipe: Recipe, result: StackResult) -> CrossValidated:
    """Return ``found`` with the models of what is submitted alone: the others would make most of a pickle."""
    wanted = recipe.blend if result.submitted == BLEND else [result.submitted]
    return replace(found, scores={}, models={key: found.models[key] for key in found.models if key[0] in wanted})


def _processes(n_jobs: int | None) -> int | None:
    """Return the number of worker processes; None leaves it to the work there is, with all cores at most."""
    return None if n_jobs == -1 else int(effective_n_jobs(n_jobs))
