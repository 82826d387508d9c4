"""Do the rows that an out-of-fold table lacks tell the diagnosis? Level two sees where a score is missing."""

from collections.abc import Collection

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from level2_stack.foreign.witnesses.candidate import Candidate, add_doubt
from level2_stack.foreign.witnesses.leak_figures import logits_of

MOST_ERRORS = 4.0  # standard errors between the number of malignant cases and the expected one


def check_missing_rows(
    networks: Collection[Candidate], own: Collection[Candidate], target: pd.Series, trust: Collection[str]
) -> None:
    """Refuse networks whose missing rows have far more or fewer malignant cases than the other networks expect.

    Cases that were left out for another reason, such as duplicates, have about the expected number.
    """
    for network in networks:
        has_row = network.score("train").notna()
        expected = _expected([each for each in (*own, *networks) if each is not network], target, has_row)
        count, total = int(target[~has_row].sum()), float(expected.sum())
        # One more case, since the expected shares have an error of their own.
        if abs(count - total) > MOST_ERRORS * np.sqrt((expected * (1 - expected)).sum() + 1):
            add_doubt(
                network.findings,
                f"[missing-rows] {network.where('train')}: of {(~has_row).sum()} train cases without a row {count} are "
                f"malignant, {total:.0f} are expected: a missing row tells the diagnosis; predict these cases too",
                network.name in trust,
            )


def _expected(others: Collection[Candidate], target: pd.Series, has_row: pd.Series) -> pd.Series:
    """Return the probability of malignancy of the cases without a row, by the ``others``' scores of the cases."""
    labels, missing = target[has_row], target.index[~has_row]
    if not others or labels.nunique() < 2 or missing.empty:
        return pd.Series(float(labels.mean()), missing)
    scores = logits_of(others, "train").reindex(target.index)
    scores = scores.fillna(scores.median()).fillna(0.0)
    model = LogisticRegression(max_iter=500).fit(scores[has_row], labels)
    return pd.Series(model.predict_proba(scores.loc[missing])[:, 1] if len(missing) else [], missing)
