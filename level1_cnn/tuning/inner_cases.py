"""The cases that a search may use: those of the inner folds, without copies of pictures of the outer fold."""

from dataclasses import dataclass

import pandas as pd

from level1_cnn.data.lookalikes import Lookalikes
from runtime.errors import InputFault, list_names
from runtime.run_folder import Run


@dataclass(frozen=True)
class InnerCases:
    """The cases that a search may use: all except the cases of the outer fold and the test cases."""

    cases: pd.DataFrame
    outer: int  # the outer fold
    folds: list[int]  # all other folds

    @property
    def fold_list(self) -> str:
        """The numbers of the other folds, as text."""
        return ", ".join(str(fold) for fold in self.folds)

    @property
    def optimism_note(self) -> str:
        """A sentence for the user about the AUC of the tuned model."""
        return (
            f"The out-of-fold AUC of the tuned model on folds {self.fold_list} is optimistic, because the choice was "
            f"made on them; the AUC on fold {self.outer} is not."
        )


def inner_cases(run: Run, outer: int) -> InnerCases:
    """Return the cases of a search: without the outer fold, the test cases, and the copies and near-duplicates of both.

    Raises InputFault for an unknown outer fold, fewer than three folds, or another fold with one class only.
    """
    cases = run.read_cases()
    folds = sorted(int(fold) for fold in cases.loc[cases["role"] == "train", "fold"].unique())
    if outer not in folds or len(folds) < 3:
        rule = "a search needs an outer fold of the run and at least two other folds"
        raise InputFault(f"outer fold {outer} of folds {folds}: {rule}; change fold in the search")
    cases = cases[cases["picture"].notna()]
    classes = cases[cases["role"] == "train"].groupby("fold")["target"].nunique()
    one_class_folds = [int(fold) for fold in classes.index[classes < 2] if fold != outer]
    if one_class_folds:
        rule = "an AUC needs both classes; use fewer folds"
        raise InputFault(f"folds with one class only: {list_names(one_class_folds)}; {rule}")
    is_outside = (cases["role"] == "test") | (cases["fold"] == outer)
    copies = Lookalikes(run, cases).of_fold(outer)
    inner = cases[~is_outside & ~cases.index.isin(list(copies))]
    return InnerCases(inner, outer, [fold for fold in folds if fold != outer])
