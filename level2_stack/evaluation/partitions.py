"""The AUC over several partitions of the patients, in words."""

import numpy as np
import pandas as pd


def describe_repeats(table: pd.DataFrame, model: str, seed_std: float) -> str:
    """Return a sentence on the AUC of ``model`` over the partitions; ``seed_std``: its deviation over seeds, or NaN."""
    aucs = table.loc[table["model"] == model, "auc"]
    seeds = "" if np.isnan(seed_std) else f"; standard deviation over seeds {seed_std:.4f}"
    return (
        f"AUC of {model} over {len(aucs)} partitions of the patients: mean {aucs.mean():.4f}, standard deviation "
        f"{aucs.std(ddof=1):.4f}, {aucs.min():.4f} to {aucs.max():.4f}{seeds}. The networks keep the folds that "
        "trained them, so this is the spread of level two alone, and not a confidence interval"
    )
