"""Which training pictures show what a fold is validated on: they are left out of that fold's training."""

from functools import cached_property

import pandas as pd

from features.leaks.pairs import read_pairs
from runtime.run_folder import Run


class Lookalikes:
    """The pictures of a run that show the same, as far as training must know of them."""

    def __init__(self, run: Run, cases: pd.DataFrame) -> None:
        self._run, self._cases = run, cases

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """Pairs of cases (columns first, second: names) whose pictures show the same."""
        return read_pairs(self._run)

    def of_fold(self, fold: int) -> set[str]:
        """Return the training cases of ``fold`` (other folds' and external ones) that show what it is judged on.

        That is: those which are in a pair with a validation case of the fold or with a test case.
        """
        judged = (self._cases["role"] == "test") | ((self._cases["role"] == "train") & (self._cases["fold"] == fold))
        return self._partners(self._cases.index[judged], self._cases.index[~judged])

    def external(self) -> set[str]:
        """Return the external cases in a pair with any train or test case: no stage shared by folds may see them."""
        external = self._cases["role"] == "extra"
        return self._partners(self._cases.index[~external], self._cases.index[external])

    def _partners(self, judged: pd.Index, trained: pd.Index) -> set[str]:
        first, second = self.pairs["first"], self.pairs["second"]
        both_ways = ((first, second), (second, first))
        return {str(name) for one, other in both_ways for name in one[one.isin(trained) & other.isin(judged)]}
