"""Which training pictures show what a fold is validated on: they are left out of that fold's training."""

from functools import cached_property

import pandas as pd

from features.duplicates import conflicts, conflicts_with_any, near_duplicates
from features.runs import Run
from level1_cnn.shards import hashes


class Conflicts:
    """The near-duplicates among a run's pictures, as far as training must know of them."""

    def __init__(self, run: Run, cases: pd.DataFrame) -> None:
        self._run, self._cases = run, cases

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """Pairs of cases whose pictures are the same or nearly, found once per process."""
        return near_duplicates(hashes(self._run).reindex(self._cases.index))

    def of_fold(self, fold: int) -> set[str]:
        """Return the cases that fold ``fold`` must not train on beside its own."""
        return conflicts(self.pairs, self._cases, fold)

    def with_any(self) -> set[str]:
        """Return the external cases that show a train or test picture."""
        return conflicts_with_any(self.pairs, self._cases)
