"""A finished stack as a folder of models and JSON: it scores and explains new rows; nothing is unpickled."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from threadpoolctl import threadpool_limits

from level2_stack.calibration import calibrate
from level2_stack.calibration.local_update import update_log_odds
from level2_stack.crossval.fits import Model, select_columns
from level2_stack.explain.fits import MemberScores, exact_split, mean_over_seeds, split_by_column, stage_of
from level2_stack.explain.scales import Split, apply_function, mean_probability, weighted_sum
from level2_stack.portable.facts import Member, StackFacts, check_facts, read_model
from runtime.errors import InputFault
from runtime.files import read_json
from runtime.settings import check_settings

Floats = NDArray[np.float64]
FACTS = "stack.json"


@dataclass(frozen=True)
class PortableStack:
    """The outer models of a stack: ``models`` has one model per seed for every (learner, fold)."""

    facts: StackFacts
    models: dict[tuple[str, int], list[Model]]
    # LightGBM stores in the model which rounds a prediction uses: two predictions at a time would disturb each other.
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    @property
    def folds(self) -> int:
        """The number of outer folds."""
        return len(self.facts.weights)

    def design(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return ``X`` (n rows) with the columns of the stack; columns that ``X`` lacks and unknown text become NaN."""
        columns = {column.name: column.categories for column in self.facts.columns}
        rows = X.reindex(columns=list(columns))
        text = {
            name: _categories(rows[name], categories) for name, categories in columns.items() if categories is not None
        }
        return rows.drop(columns=list(text)).astype(np.float64).assign(**text)[list(columns)]

    def probability(self, X: pd.DataFrame) -> Floats:
        """Return the probabilities for the n rows of ``X``, (n,): the mean over the outer folds, then the update.

        ``X`` has the columns of the stack, as ``design`` returns them.
        """
        by_fold = [self._of_fold(X, fold) for fold in range(self.folds)]
        return self._update(np.mean(by_fold, axis=0))

    def explain(self, X: pd.DataFrame, by_fold: Sequence[pd.DataFrame] = ()) -> tuple[Floats, Split, Floats]:
        """Return ``probability`` (n,), what every column of ``X`` adds to its log odds, and the folds' own (folds, n).

        The probability of a fold is for its design in ``by_fold``; without it, for ``X``.
        """
        if not len(X):
            return np.zeros(0), Split(np.zeros(X.shape), np.zeros(0)), np.zeros((self.folds, 0))
        # One prediction per learner for both designs: for a few rows, its time hardly depends on their number.
        both = [pd.concat([X, each]) for each in by_fold] or [X] * self.folds
        with self._lock, threadpool_limits(1, user_api="blas"):
            scores = [self._members(rows, fold, first=len(X)) for fold, rows in enumerate(both)]
        probabilities = np.stack([self._probability(members, fold) for fold, members in enumerate(scores)])
        first = [[MemberScores(each.score[: len(X)], each.split) for each in members] for members in scores]
        split = mean_probability([self._split(members, fold) for fold, members in enumerate(first)])
        mean = probabilities[:, : len(X)].mean(axis=0)
        return self._update(mean), self._update_split(split), self._update(probabilities[:, -len(X) :])

    def _of_fold(self, X: pd.DataFrame, fold: int) -> Floats:
        with self._lock, threadpool_limits(1, user_api="blas"):
            return self._probability(self._members(X, fold, first=0), fold)

    def _update(self, probability: Floats) -> Floats:
        update = self.facts.update
        return probability if update is None else update_log_odds(probability, update.intercept, update.slope)

    def _update_split(self, split: Split) -> Split:
        update = self.facts.update
        if update is None:
            return split
        return Split(update.slope * split.parts, update.intercept + update.slope * split.base)

    def _members(self, X: pd.DataFrame, fold: int, *, first: int) -> list[MemberScores]:
        """Return the scores of the rows of ``X``, and the splits of the first ``first`` rows."""
        own_rows = X.iloc[:first]
        return [mean_over_seeds(list(self._by_seed(X, own_rows, each, fold))) for each in self.facts.members]

    def _probability(self, members: list[MemberScores], fold: int) -> Floats:
        weights = self.facts.weights[fold]
        terms = [weight * each.score.astype(np.float64) for weight, each in zip(weights, members, strict=True)]
        return np.asarray(expit(self._calibration(fold)(np.sum(terms, axis=0))))

    def _split(self, members: list[MemberScores], fold: int) -> Split:
        blend = weighted_sum([exact_split(each) for each in members], list(self.facts.weights[fold]))
        return apply_function(blend, self._calibration(fold))

    def _by_seed(self, X: pd.DataFrame, own_rows: pd.DataFrame, member: Member, fold: int) -> Iterator[MemberScores]:
        share, _ = stage_of(member.rounds, fold)
        empty = Split(np.zeros((0, 0)), np.zeros(0))
        for model in self.models[member.name, fold]:
            score = model.margin(select_columns(member.name, X), share)
            split = split_by_column(model, member.name, own_rows, share) if len(own_rows) else empty
            yield MemberScores(score, split)

    def _calibration(self, fold: int) -> Callable[[Floats], Floats]:
        """Return the function from the blend's logits to the log odds at the deployment prevalence."""
        parameters = dict(self.facts.calibrators[fold])
        calibrator = calibrate.from_parameters(parameters.pop("name"), parameters)
        return calibrate.calibrated_log_odds(calibrator, self.facts.trained[fold], self.facts.prevalence)


def _categories(values: pd.Series, categories: tuple[str, ...]) -> pd.Series:
    return pd.Series(pd.Categorical(values.astype(object), categories=list(categories)), index=values.index)


def read_portable_stack(folder: Path) -> PortableStack:
    """Read the stack in ``folder``; raise InputFault when a file is missing or damaged."""
    if not (folder / FACTS).is_file():
        raise InputFault(f"{folder / FACTS}: no such file; a bundle's stack has one; write the bundle again")
    facts = check_settings(read_json(folder / FACTS), StackFacts, str(folder / FACTS))
    check_facts(facts, folder / FACTS)
    models = {
        (member.name, fold): [
            Model(read_model(member.name, model_folder(folder, member.name, fold, seed)), correction)
            for seed, correction in enumerate(corrections)
        ]
        for member in facts.members
        for fold, corrections in enumerate(member.corrections)
    }
    stack = PortableStack(facts, models)
    _try(stack, folder)
    return stack


def model_folder(folder: Path, learner: str, fold: int, seed: int) -> Path:
    """Return the folder of one model inside the ``folder`` of the stack."""
    return folder / learner / f"fold_{fold}" / f"seed_{seed}"


def _try(stack: PortableStack, folder: Path) -> None:
    """Raise InputFault unless the stack gives a row without values, and one of zeros, a probability."""
    names = [column.name for column in stack.facts.columns]
    rows = stack.design(pd.DataFrame([[np.nan] * len(names), [0.0] * len(names)], columns=names))
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            probability, split, _ = stack.explain(rows)
    except Exception as error:
        raise InputFault(f"{folder}: its models do not fit together ({error}); write the bundle again") from error
    if not (np.isfinite(probability).all() and np.isfinite(split.base).all() and np.isfinite(split.parts).all()):
        raise InputFault(f"{folder}: its models give values that are not finite; write the bundle again")
