"""Within-patient contrasts: how a picture's logit compares with the patient's other pictures, or those at its site."""

from collections.abc import Callable, Collection
from functools import cache

import numpy as np
import pandas as pd
from scipy.special import log_expit

# In logits. A smaller standard deviation within a patient is mostly the network's noise; dividing by it amplifies it.
STD_FLOOR = 0.25
WITHIN = ("difference", "zscore", "rank", "share")
FAMILIES = (*WITHIN, "level", *(f"site_{name}" for name in WITHIN), "disagreement")
# Without shares and contrasts within the site: on the contest's 33,126 rows they cost the boosters 0.001 of AUC.
DEFAULT = ("difference", "zscore", "rank", "level", "disagreement")
NETWORKS = "networks"  # the name of the mean over all networks, which gets the same contrasts as a network


def contrasts(
    logits: pd.DataFrame, patients: pd.Series, sites: pd.Series | None = None, families: Collection[str] = DEFAULT
) -> pd.DataFrame:
    """Return the contrasts of ``logits`` that ``families`` names.

    ``logits`` has n cases x networks, NaN where a network has no prediction. ``patients`` holds the patient of every
    case, ``sites`` the place on the body (None where no case has one). The result has the index of ``logits`` and, per
    network,

    * ``difference.<net>``: the logit minus the patient's mean;
    * ``zscore.<net>``: that difference divided by the patient's standard deviation, which is taken as at least
      ``STD_FLOOR``; 0 for a patient with one picture;
    * ``rank.<net>``: mid-rank percentile within the patient, in (0, 1); 0.5 for a patient with one picture;
    * ``share.<net>``: the probability divided by the patient's largest, in (0, 1]; 1 for a patient with one picture;
    * ``level.<net>``: the patient's mean, in logits.

    With several networks, their mean logit is contrasted like one more network, named ``networks``, and
    ``disagreement.networks`` is the standard deviation of a row's logits over the networks, in logits. That mean (or
    the only network) also gets ``site_difference``, ``site_zscore``, ``site_rank`` and ``site_share``: the same
    contrasts among the patient's pictures at the same site, where unknown sites count as one site. A row depends only
    on the rows of its own patient, not on their order. A contrast is missing only where the logit is missing.
    """
    # A sum of floats depends on the order of its terms: a fixed order makes the result equal to the last bit.
    sorted_logits = logits.sort_index()
    with_mean, patient = _with_mean(sorted_logits), patients.loc[sorted_logits.index]
    mean = with_mean.iloc[:, [-1]]
    ways = _within(with_mean, patient, "") | {"level": lambda: _level(with_mean, patient)}
    if sites is not None and any(name.startswith("site_") for name in families):
        site = patient.astype(str) + "\n" + sites.loc[sorted_logits.index].astype("object").fillna("").astype(str)
        ways |= _within(mean, site, "site_")
    if logits.shape[1] > 1:
        ways["disagreement"] = lambda: sorted_logits.std(axis=1, ddof=0).rename(NETWORKS).to_frame()
    columns = [compute().add_prefix(f"{name}.") for name, compute in ways.items() if name in families]
    return pd.concat(columns, axis=1).loc[logits.index] if columns else pd.DataFrame(index=logits.index)


def _with_mean(logits: pd.DataFrame) -> pd.DataFrame:
    return logits.assign(**{NETWORKS: logits.mean(axis=1)}) if logits.shape[1] > 1 else logits


def _level(logits: pd.DataFrame, group: pd.Series) -> pd.DataFrame:
    return logits.groupby(group).transform("mean").where(logits.notna())


def _within(logits: pd.DataFrame, group: pd.Series, prefix: str) -> dict[str, Callable[[], pd.DataFrame]]:
    """Return, per contrast within ``group``, a function that computes it: for one lesion, each is a millisecond."""
    by_group = logits.groupby(group)

    @cache
    def difference() -> pd.DataFrame:
        """Return the logits minus the mean of their group."""
        return logits - _level(logits, group)

    def zscore() -> pd.DataFrame:
        """Return ``difference`` in standard deviations of the group."""
        return difference() / by_group.transform("std", ddof=0).clip(lower=STD_FLOOR)

    def rank() -> pd.DataFrame:
        """Return the mid-rank percentile within the group."""
        return (by_group.rank(method="average") - 0.5) / by_group.transform("count")

    def share() -> pd.DataFrame:
        """Return the probability as a share of the group's largest."""
        shares: pd.DataFrame = np.exp(log_expit(logits) - log_expit(by_group.transform("max")))
        return shares

    return dict(zip((f"{prefix}{name}" for name in WITHIN), (difference, zscore, rank, share), strict=True))
