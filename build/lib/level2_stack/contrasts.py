"""Within-patient contrasts: how a picture's logit stands among the same patient's others, and those at its site."""

from collections.abc import Collection

import numpy as np
import pandas as pd
from scipy.special import log_expit

# In logits. Below this spread a patient's pictures look alike to a network; dividing by less would magnify its noise.
STD_FLOOR = 0.25
WITHIN = ("difference", "zscore", "rank", "share")
FAMILIES = (*WITHIN, "level", *(f"site_{name}" for name in WITHIN), "disagreement")
# Shares and contrasts within the site are not among them: on the contest's 33,126 rows they cost the boosters 0.001.
DEFAULT = ("difference", "zscore", "rank", "level", "disagreement")
NETWORKS = "networks"  # the name under which the mean of all networks is contrasted like one more network


def contrasts(
    logits: pd.DataFrame, patients: pd.Series, sites: pd.Series | None = None, families: Collection[str] = DEFAULT
) -> pd.DataFrame:
    """Return those ``families`` of contrasts of ``logits`` (n cases x networks, NaN where a network has no prediction).

    ``patients`` holds the patient of every case, ``sites`` where on the body it is, if that is known of any. The
    result, on the index of ``logits``, has per network

    * ``difference.<net>``: from the patient's mean, in logits;
    * ``zscore.<net>``: that difference by the patient's standard deviation, which counts as at least ``STD_FLOOR``
      (0 for a patient with one picture);
    * ``rank.<net>``: mid-rank percentile within the patient, in (0, 1); 0.5 for a patient with one picture;
    * ``share.<net>``: the probability as a share of the patient's largest, in (0, 1]; 1 for a patient with one picture;
    * ``level.<net>``: the patient's mean, in logits.

    Where there are several networks, their mean logit counts as one more, called ``networks``, and
    ``disagreement.networks`` is the standard deviation of a row's logits over the networks, in logits. Of that mean (or
    of the only network) there are also ``site_difference``, ``site_zscore``, ``site_rank``, ``site_share``: the same as
    above among the patient's pictures at the same site; an unknown site is a site of its own. A row depends on its own
    patient's rows alone, and not on their order. Only the missing stays missing.
    """
    # A sum of floats depends on the order of its terms: one order for all makes the result equal to the last bit.
    ordered = logits.sort_index()
    every, patient = _with_mean(ordered), patients.loc[ordered.index]
    summary = every.iloc[:, [-1]]
    found = _within(every, patient, "") | {"level": _level(every, patient)}
    if sites is not None:
        place = patient.astype(str) + "\n" + sites.loc[ordered.index].astype("object").fillna("").astype(str)
        found |= _within(summary, place, "site_")
    if logits.shape[1] > 1:
        found["disagreement"] = ordered.std(axis=1, ddof=0).rename(NETWORKS).to_frame()
    chosen = [table.add_prefix(f"{name}.") for name, table in found.items() if name in families]
    return pd.concat(chosen, axis=1).loc[logits.index] if chosen else pd.DataFrame(index=logits.index)


def _with_mean(logits: pd.DataFrame) -> pd.DataFrame:
    return logits.assign(**{NETWORKS: logits.mean(axis=1)}) if logits.shape[1] > 1 else logits


def _level(logits: pd.DataFrame, group: pd.Series) -> pd.DataFrame:
    return logits.groupby(group).transform("mean").where(logits.notna())


def _within(logits: pd.DataFrame, group: pd.Series, prefix: str) -> dict[str, pd.DataFrame]:
    by_group = logits.groupby(group)
    difference = logits - _level(logits, group)
    spread = by_group.transform("std", ddof=0).clip(lower=STD_FLOOR)
    rank = (by_group.rank(method="average") - 0.5) / by_group.transform("count")
    share = np.exp(log_expit(logits) - log_expit(by_group.transform("max")))
    return dict(
        zip((f"{prefix}{name}" for name in WITHIN), (difference, difference / spread, rank, share), strict=True)
    )
