"""Within-patient contrasts: how a picture's logit stands among the same patient's other pictures."""

import pandas as pd

# In logits. Below this spread a patient's pictures look alike to a network; dividing by less would magnify its noise.
STD_FLOOR = 0.25
NETWORKS = "networks"  # the name under which the mean of all networks is contrasted like one more network


def contrasts(logits: pd.DataFrame, patients: pd.Series) -> pd.DataFrame:
    """Return the within-patient contrasts of ``logits`` (n cases x networks, NaN where a network has no prediction).

    ``patients`` holds the patient of every case. The result, on the index of ``logits``, has per network

    * ``difference.<net>``: from the patient's mean, in logits;
    * ``zscore.<net>``: that difference by the patient's standard deviation, which counts as at least ``STD_FLOOR``
      (0 for a patient with one picture);
    * ``rank.<net>``: mid-rank percentile within the patient, in (0, 1); 0.5 for a patient with one picture;
    * ``level.<net>``: the patient's mean, in logits.

    Where there are several networks, their mean logit counts as one more, called ``networks``, and
    ``disagreement.networks`` is the standard deviation of a row's logits over the networks, in logits. A row depends on
    its own patient's rows alone, and not on their order. Only the missing stays missing.
    """
    # A sum of floats depends on the order of its terms: one order for all makes the result equal to the last bit.
    ordered = logits.sort_index()
    columns = _families(_with_mean(ordered), patients.loc[ordered.index])
    if logits.shape[1] > 1:
        columns[f"disagreement.{NETWORKS}"] = ordered.std(axis=1, ddof=0)
    return columns.loc[logits.index]


def _with_mean(logits: pd.DataFrame) -> pd.DataFrame:
    return logits.assign(**{NETWORKS: logits.mean(axis=1)}) if logits.shape[1] > 1 else logits


def _families(logits: pd.DataFrame, patients: pd.Series) -> pd.DataFrame:
    by_patient = logits.groupby(patients)
    level = by_patient.transform("mean").where(logits.notna())
    difference = logits - level
    spread = by_patient.transform("std", ddof=0).clip(lower=STD_FLOOR)
    rank = (by_patient.rank(method="average") - 0.5) / by_patient.transform("count")
    families = {"difference": difference, "zscore": difference / spread, "rank": rank, "level": level}
    return pd.concat([family.add_prefix(f"{name}.") for name, family in families.items()], axis=1)
