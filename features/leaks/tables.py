"""Find leaks in the tables of a run: patients or cases in the wrong fold, other folds, features with the target."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.cases.patient_groups import GROUP_SEPARATOR
from features.cases.patients import patient_keys
from features.folder.picture_locations import EXTRA
from features.leaks.findings import BLOCKING, NOTE, RESOLVED_LEAK, Finding, findings_of
from runtime.run_folder import Run
from runtime.tables import read_table

TARGET_AUC = 0.999  # a feature with at least this AUC is the target under another name
SUSPICIOUS_AUC = 0.95  # a feature with at least this AUC needs a check: no known single attribute comes near it
RARE = 5  # cases; rarer text values are too few to estimate their share of malignant cases
FOLLOWS = "each is left out of the training of the fold that validates its patient"
EXTRA_PREFIX = EXTRA + GROUP_SEPARATOR


def case_findings(cases: pd.DataFrame) -> Iterator[Finding]:
    """Yield the faults of the case table: patients in two places, nearly equal ids, external cases in a fold."""
    # Runs that were frozen before spellings of one patient were read as one may still hold several of them.
    keys = patient_keys(cases["patient_id"].astype(object).str.removeprefix(EXTRA_PREFIX))
    cases = cases.assign(patient=pd.Series(keys, index=cases.index, dtype=object).fillna(cases["patient_id"]))
    train, test = (cases[cases["role"] == role] for role in ("train", "test"))
    patients = test.loc[test["patient"].isin(train["patient"].dropna()), "patient_id"].dropna().unique()
    yield from findings_of("patients in both train and test", patients, BLOCKING, "correct patient_id, or remove them")
    folds = train.groupby("patient")["fold"].nunique()
    several = train[train["patient"].isin(folds.index[folds > 1])].drop_duplicates("patient")
    yield from findings_of("patients in several folds", several["patient_id"], BLOCKING, "freeze the cases again")
    plain_names = cases.index.str.lower().str.strip().str.replace(r"\.(jpe?g|png|dcm)$", "", regex=True)
    ambiguous = cases.index[plain_names.duplicated(keep=False)]
    yield from findings_of(
        "ids that differ only in case or file ending", ambiguous, BLOCKING, "give every picture one name"
    )
    fold_of = cases["patient"].map(train.groupby("patient")["fold"].first()).fillna(-1)
    outside = cases.index[(cases["role"] == "test") & (cases["fold"] >= 0)]
    yield from findings_of("test cases in a validation fold", outside, BLOCKING, "freeze the cases again")
    external = cases[(cases["role"] == "extra") & (cases["fold"] != fold_of)]
    yield from findings_of(
        "external cases outside the fold of their patient", external.index, BLOCKING, "freeze them again"
    )
    of_test = cases.index[(cases["role"] == "extra") & cases["patient"].isin(test["patient"])]
    yield from findings_of("external cases of test patients", of_test, BLOCKING, "freeze the cases again")
    followers = cases.index[(cases["role"] == "extra") & (cases["fold"] >= 0) & (cases["fold"] == fold_of)]
    yield from findings_of("external cases of training patients", followers, RESOLVED_LEAK, FOLLOWS)


def network_findings(run: Run, cases: pd.DataFrame) -> Iterator[Finding]:
    """Yield the differences between the folds of level-one tables and those of the cases; a fold of -1 is unknown."""
    train = cases[cases["role"] == "train"]
    differing = {}
    for path in _tables(run.level1.glob("*/predictions.parquet")):
        table = read_table(path)
        name = path.parent.name
        yield from _fold_findings(name, table, cases)
        if "fold" in table:
            network_folds = table["fold"].reindex(train.index).fillna(-1)
            differing[name] = int(((network_folds >= 0) & (network_folds != train["fold"])).sum())
    others = [f"{name} ({rows} rows)" for name, rows in differing.items() if rows]
    yield from findings_of(
        "networks with other folds than ours", others, NOTE, "no patient spans two of their folds; rows of one of our "
        "folds come from several of their models, so a little of level two's validation data leaks through them"
    )  # fmt: skip


def _fold_findings(name: str, table: pd.DataFrame, cases: pd.DataFrame) -> Iterator[Finding]:
    if "fold" not in table:
        return
    network_folds = table.loc[table["fold"] >= 0, "fold"]
    roles = cases["role"].reindex(network_folds.index)
    outside = roles.index[roles.isin(["test", "extra"])]
    yield from findings_of(f"external or test cases validated by {name}", outside, BLOCKING, "remove the network")
    folds = network_folds.groupby(cases["patient_id"].reindex(network_folds.index)).nunique()
    split = folds.index[folds > 1]
    yield from findings_of(f"patients in several folds of {name}", split, BLOCKING, "remove the network")


def feature_findings(run: Run, cases: pd.DataFrame) -> Iterator[Finding]:
    """Yield the feature columns that equal or almost determine the target of the training cases."""
    target = cases.loc[cases["role"] == "train", "target"]
    areas = {
        f"{path.stem}.{name}": single_feature_auc(column, target)
        for path in _tables(run.blocks.glob("*.parquet"))
        for name, column in read_table(path).reindex(target.index).items()
    }
    for what, low, high, severity, action in (
        (
            f"features that equal the target (AUC of {TARGET_AUC} or more)",
            TARGET_AUC,
            2.0,
            BLOCKING,
            "remove them from the block",
        ),
        (
            f"features that almost equal the target (AUC of {SUSPICIOUS_AUC} or more)",
            SUSPICIOUS_AUC,
            TARGET_AUC,
            NOTE,
            "check them",
        ),
    ):
        columns = [f"{name} (AUC {area:.4f})" for name, area in areas.items() if low <= area < high]
        yield from findings_of(what, columns, severity, action)


def single_feature_auc(column: pd.Series, target: pd.Series) -> float:
    """Return the AUC of ``column`` alone for ``target`` (0/1), the better of both directions, 0.5 to 1.

    A text value is replaced by its share of malignant cases; values rarer than RARE count as one value. The result is
    the larger of the AUC of the known values and the AUC of whether a value is missing.
    """
    text = not pd.api.types.is_numeric_dtype(column)
    # Arrays, since looking rows up by name took most of the time for 401,059 cases.
    score = (_shares(column, target) if text else column).to_numpy(dtype=np.float64)
    malignant, is_known = target.to_numpy() == 1, ~np.isnan(score)
    return max(_auc(score[is_known], malignant[is_known]), _auc_of_missingness(is_known, malignant))


def _shares(column: pd.Series, target: pd.Series) -> pd.Series:
    counts = column.map(column.value_counts())
    return target.groupby(column.where(counts >= RARE, "rare values")).transform("mean").where(column.notna())


def _auc(score: NDArray[np.float64], malignant: NDArray[np.bool_]) -> float:
    """Return the exact AUC from ranks (Mann and Whitney 1947), at least 0.5; 0.5 if a class has under RARE cases."""
    positives = int(malignant.sum())
    negatives = len(malignant) - positives
    if min(positives, negatives) < RARE:
        return 0.5
    ranks = float(pd.Series(score).rank().to_numpy()[malignant].sum())
    area = (ranks - positives * (positives + 1) / 2) / (positives * negatives)
    return float(np.maximum(area, 1 - area))


def _auc_of_missingness(is_known: NDArray[np.bool_], malignant: NDArray[np.bool_]) -> float:
    """Return the AUC, 0.5 or more, of whether a value is known; its ROC curve has one point."""
    if min(int(malignant.sum()), int((~malignant).sum())) < RARE:
        return 0.5
    return float(0.5 + abs(is_known[malignant].mean() - is_known[~malignant].mean()) / 2)


def _tables(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths)
