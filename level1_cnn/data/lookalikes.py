"""Copies and near-duplicates of validation and test pictures: a fold must not be trained on them."""

from collections.abc import Collection
from functools import cached_property

import pandas as pd

from features.leaks.pairs import read_pairs
from runtime.run_folder import Run


class Lookalikes:
    """The pairs of pictures in a run that show the same lesion, and the training cases to leave out because of them."""

    def __init__(self, run: Run, cases: pd.DataFrame) -> None:
        self._run, self._cases = run, cases

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """Pairs of cases (columns first, second: names) whose pictures show the same lesion."""
        return read_pairs(self._run)

    def of_fold(self, fold: int) -> set[str]:
        """Return the training cases (of other folds, and external) to leave out when ``fold`` is validated.

        These are the cases that form a pair with a validation case of the fold or with a test case.
        """
        return self.of_folds([fold])

    def of_folds(self, folds: Collection[int]) -> set[str]:
        """Return the same for several validation folds at once; without any, the cases that pair with a test case."""
        evaluation = (self._cases["role"] == "test") | (
            (self._cases["role"] == "train") & self._cases["fold"].isin(folds)
        )
        return self._partners(self._cases.index[evaluation], self._cases.index[~evaluation])

    def external(self) -> set[str]:
        """Return the external cases that form a pair with any train or test case.

        A pretraining stage that all folds share must not see them.
        """
        external = self._cases["role"] == "extra"
        return self._partners(self._cases.index[~external], self._cases.index[external])

    def _partners(self, evaluation: pd.Index, training: pd.Index) -> set[str]:
        """Return the ``training`` names that form a pair with one of the ``evaluation`` names."""
        first, second = self.pairs["first"], self.pairs["second"]
        both_ways = ((first, second), (second, first))
        return {
            str(name)
            for column, partners in both_ways
            for name in column[column.isin(training) & partners.isin(evaluation)]
        }
