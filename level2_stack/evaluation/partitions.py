"""The AUC over several partitions of the patients, in words."""

from collections.abc import Sequence

import pandas as pd


def describe_repeats(table: pd.DataFrame, models: Sequence[str], deviations: pd.Series) -> str:
    """Return a sentence on the AUC of the first of ``models`` over the partitions in ``table`` (repeats.csv).

    ``deviations`` is model -> standard deviation of the AUC over seeds; the sentence has that of the first model with
    one, since a choice among learners has none.
    """
    aucs, by_seed = (
        table.loc[table["model"] == models[0], "auc"],
        deviations.astype(float).reindex(list(models)).dropna(),
    )
    seeds = f"; standard deviation of {by_seed.index[0]} over seeds {by_seed.iloc[0]:.4f}" if len(by_seed) else ""
    return (
        f"AUC of {models[0]} over {len(aucs)} partitions of the patients: mean {aucs.mean():.4f}, standard deviation "
        f"{aucs.std(ddof=1):.4f}, {aucs.min():.4f} to {aucs.max():.4f}{seeds}. The networks keep the folds that "
        "trained them, so this is the spread of level two alone, and not a confidence interval"
    )
