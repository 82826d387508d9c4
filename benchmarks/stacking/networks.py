"""Level one played by real models on noisy views of the clinic's lesions, trained fold by fold as networks are."""

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

from features.cases.folds import assign_folds
from features.clinic.cohort import ATTRIBUTES, draw_cohort
from features.clinic.folder import METADATA

Floats = NDArray[np.float64]
FOLDS = 5
IDLE_SPREAD = 0.3  # of a view's columns that say nothing: as wide as those that do
SUREST = 1e-3  # a network is never surer than this; a share of five neighbours would be


@dataclass(frozen=True)
class Network:
    """A model that sees a lesion's attributes through ``noise`` (standard deviation), beside ``idle`` columns of it."""

    noise: float
    idle: int
    make: Callable[[int], Any]  # seed -> an unfitted classifier of scikit-learn


# What a careful author trains: each generalises, and each looks in another way.
STEADY = {
    "linear": Network(0.25, 0, lambda seed: LogisticRegression()),
    "forest": Network(0.20, 2, lambda seed: RandomForestClassifier(100, min_samples_leaf=10, random_state=seed)),
    "neighbours": Network(0.20, 0, lambda seed: KNeighborsClassifier(50)),
}
# Each of these knows its training rows by heart.
OVERFITTING = {
    "saturated": Network(0.25, 300, lambda seed: LogisticRegression(C=1e4, max_iter=3000)),
    "deep_forest": Network(0.20, 100, lambda seed: RandomForestClassifier(100, random_state=seed)),
    "nearest": Network(0.20, 5, lambda seed: KNeighborsClassifier(1)),
}
KINDS = {"steady": STEADY, "overfitting": OVERFITTING}


def draw_cases(train: int, test: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the clinic ``seed``, latent attributes and risk included, and its case table as a run would freeze it.

    Targets are drawn again, each row by itself: the clinic draws neighbours in risk together, which makes two clinics
    more alike than two samples of patients are, and intervals would look better than they are.
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
    """Level-one models over n cases: ``folds`` (n,) is -1 for test cases; ``fits`` has per network what each fit says.

    A fit is known by the folds it left out: one of them, or two where models were trained in full nesting as well.
    """

    index: pd.Index
    folds: NDArray[np.int8]
    fits: dict[str, dict[frozenset[int], Floats]]

    def out_of_fold(self, held: frozenset[int] = frozenset()) -> dict[str, pd.DataFrame]:
        """Return the level-one tables of a world without the folds ``held``: none of its models has seen them.

        A training row has the prediction of the fit without its fold; every other row, test or held, the mean over
        the fits.
        """
        inner = [fold for fold in range(FOLDS) if fold not in held]
        return {
            name: self._table(np.stack([fits[held | {fold}] for fold in inner]), inner)
            for name, fits in self.fits.items()
        }

    def with_fold_seen(self, outer: int) -> dict[str, pd.DataFrame]:
        """Return the level-one tables that the product makes, as fold ``outer`` meets them.

        A row of another fold has the prediction of the fit without its own fold, which has seen fold ``outer``; rows of
        fold ``outer``, and the test rows in their place, have that of the fit without fold ``outer``.
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
    """Return ``networks`` trained for every fold of ``cases`` and, with ``pairs``, for every two folds left out."""
    folds = cases["fold"].to_numpy()
    y = cases["target"].to_numpy(dtype=np.float64)
    left_out = [frozenset({fold}) for fold in range(FOLDS)]
    left_out += [frozenset(pair) for pair in combinations(range(FOLDS), 2)] if pairs else []
    fits = {}
    for place, (name, network) in enumerate(networks.items()):
        view = _view(cohort, network, np.random.default_rng([seed, 2, place]))
        fits[name] = {folds_out: _fit(network, view, y, folds, folds_out, seed) for folds_out in left_out}
    return LevelOne(cases.index, folds, fits)


def _view(cohort: pd.DataFrame, network: Network, random: np.random.Generator) -> Floats:
    """Return what ``network`` sees of every case: drawn once, as a picture is taken once."""
    seen = cohort[list(ATTRIBUTES)].to_numpy() + random.normal(0, network.noise, (len(cohort), len(ATTRIBUTES)))
    return np.hstack([seen, random.normal(0, IDLE_SPREAD, (len(cohort), network.idle))])


def _fit(
    network: Network, view: Floats, y: Floats, folds: NDArray[np.int8], left_out: Iterable[int], seed: int
) -> Floats:
    seen = (folds >= 0) & ~np.isin(folds, list(left_out))
    model = network.make(seed).fit(view[seen], y[seen])
    return np.clip(np.asarray(model.predict_proba(view)[:, 1], dtype=np.float64), SUREST, 1 - SUREST)


def _as_table(index: pd.Index, probability: Floats) -> pd.DataFrame:
    return pd.DataFrame({"probability": probability, "spread": np.nan}, index=index)
