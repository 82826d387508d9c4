"""A substitute for level one: scikit-learn models on noisy signs of the clinic's lesions, trained fold by fold."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from features.cases.fold_design.by_patient import assign_folds
from features.clinic.cohort import SIGNS, draw_cohort
from features.clinic.folder import METADATA

Floats = NDArray[np.float64]
FOLDS = 5
IDLE_SPREAD = 0.3  # standard deviation of uninformative columns, as large as that of the informative ones
CLIP = 1e-3  # probabilities stay within CLIP and 1 - CLIP; a share of five neighbours could be 0 or 1


@dataclass(frozen=True)
class Network:
    """A model of a lesion's signs with added ``noise`` (standard deviation) and ``idle`` uninformative columns."""

    noise: float
    idle: int
    make: Callable[[int], Any]  # seed -> an unfitted classifier of scikit-learn


# Carefully trained models: each generalises, and each is of a different kind.
STEADY = {
    "linear": Network(0.25, 0, lambda seed: LogisticRegression()),
    "forest": Network(0.20, 2, lambda seed: RandomForestClassifier(100, min_samples_leaf=10, random_state=seed)),
    "neighbours": Network(0.20, 0, lambda seed: KNeighborsClassifier(50)),
}
# Each of these models memorises its training rows.
OVERFITTING = {
    "saturated": Network(0.25, 300, lambda seed: LogisticRegression(C=1e4, max_iter=3000)),
    "deep_forest": Network(0.20, 100, lambda seed: RandomForestClassifier(100, random_state=seed)),
    "nearest": Network(0.20, 5, lambda seed: KNeighborsClassifier(1)),
}
KINDS = {"steady": STEADY, "overfitting": OVERFITTING}


def draw_cases(train: int, test: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the clinic ``seed`` with its signs and risk, and its case table as a run would freeze it.

    Targets are drawn again, independently for each row. The clinic draws targets of similar risk together, so two
    clinics differ less than two samples of patients, and confidence intervals would look better than they are.
    """
    cohort = draw_cohort(train, test, seed)
    cohort["target"] = (np.random.default_rng([seed, 1]).random(len(cohort)) < cohort["risk"]).astype(np.int64)
    cases = cohort[["role", *METADATA]].assign(
        target=cohort["target"].where(cohort["role"] == "train"), fold=np.int8(-1)
    )
    rows = cases["role"] == "train"
    folds = assign_folds(cases.loc[rows, "patient_id"], cases.loc[rows, "target"], count=FOLDS, seed=seed)
    cases.loc[rows, "fold"] = folds
    return cohort, cases


@dataclass(frozen=True)
class LevelOne:
    """Level-one models over n cases: ``folds`` (n,), -1 for test cases, and ``fits``: network -> fit -> predictions.

    The key of a fit is the set of folds it was not trained on: one fold, or two for fully nested fits.
    """

    index: pd.Index
    folds: NDArray[np.int8]
    fits: dict[str, dict[frozenset[int], Floats]]

    def out_of_fold(self, held_out: frozenset[int] = frozenset()) -> dict[str, pd.DataFrame]:
        """Return the level-one tables of models that were not trained on any of the folds ``held_out``.

        A training row has the prediction of the fit without its fold; test rows and rows of ``held_out`` have the mean
        over the fits.
        """
        inner = [fold for fold in range(FOLDS) if fold not in held_out]
        return {
            name: self._table(np.stack([fits[held_out | {fold}] for fold in inner]), inner)
            for name, fits in self.fits.items()
        }

    def usual_tables(self, outer: int) -> dict[str, pd.DataFrame]:
        """Return the level-one tables that melstack makes, as they are used when fold ``outer`` is held out.

        A row of another fold has the prediction of the fit without its own fold, which was trained on fold ``outer``
        too. Rows of fold ``outer`` and test rows have the prediction of the fit without fold ``outer``.
        """
        others = [fold for fold in range(FOLDS) if fold != outer]
        tables = {}
        for name, fits in self.fits.items():
            probability = fits[frozenset({outer})].copy()
            for fold in others:
                probability[self.folds == fold] = fits[frozenset({fold})][self.folds == fold]
            tables[name] = _as_table(self.index, probability)
        return tables

    def _table(self, by_fold: Floats, inner: list[int]) -> pd.DataFrame:
        probability = by_fold.mean(axis=0)
        for row, fold in zip(by_fold, inner, strict=True):
            probability[self.folds == fold] = row[self.folds == fold]
        return _as_table(self.index, probability)


def train_level_one(
    cohort: pd.DataFrame, cases: pd.DataFrame, networks: Mapping[str, Network], seed: int, *, pairs: bool = False
) -> LevelOne:
    """Train ``networks`` without each fold of ``cases`` and, with ``pairs``, also without each pair of folds."""
    folds = cases["fold"].to_numpy()
    y = cases["target"].to_numpy(dtype=np.float64)
    held_out_sets = [frozenset({fold}) for fold in range(FOLDS)]
    held_out_sets += [frozenset(pair) for pair in combinations(range(FOLDS), 2)] if pairs else []
    fits = {}
    for number, (name, network) in enumerate(networks.items()):
        inputs = _inputs(cohort, network, np.random.default_rng([seed, 2, number]))
        fits[name] = {held_out: _fit(network, inputs, y, folds, held_out, seed) for held_out in held_out_sets}
    return LevelOne(cases.index, folds, fits)


def _inputs(cohort: pd.DataFrame, network: Network, random: np.random.Generator) -> Floats:
    """Return the network's inputs for every case; they are drawn once, since a lesion is photographed once."""
    signs = cohort[list(SIGNS)].to_numpy() + random.normal(0, network.noise, (len(cohort), len(SIGNS)))
    return np.hstack([signs, random.normal(0, IDLE_SPREAD, (len(cohort), network.idle))])


def _fit(
    network: Network, inputs: Floats, y: Floats, folds: NDArray[np.int8], held_out: Iterable[int], seed: int
) -> Floats:
    is_train = (folds >= 0) & ~np.isin(folds, list(held_out))
    model = network.make(seed).fit(inputs[is_train], y[is_train])
    return np.clip(np.asarray(model.predict_proba(inputs)[:, 1], dtype=np.float64), CLIP, 1 - CLIP)


def _as_table(index: pd.Index, probability: Floats) -> pd.DataFrame:
    return pd.DataFrame({"probability": probability, "spread": np.nan}, index=index)
