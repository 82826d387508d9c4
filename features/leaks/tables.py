"""Find leaks in the tables of a run: patients or cases in the wrong fold, other folds, features with the target."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from features.blocks import LABELS, Sources, metadata
from features.cases.patient_groups import GROUP_SEPARATOR
from features.cases.patients import patient_keys
from features.folder.picture_locations import EXTRA
from features.leaks.column_leaks import Cases, column_leaks
from features.leaks.findings import BLOCKING, NOTE, RESOLVED_LEAK, RUN_STOPS, WARNING, Finding, findings_of
from runtime.run_folder import Run
from runtime.tables import read_table

FOLLOWS = "each is left out of the training of the fold that validates its patient"
LEAST_UNIQUE = 0.3  # of the cases must have a score of their own in one network at least
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
    tables = {path.parent.name: read_table(path) for path in sorted(run.level1.glob("*/predictions.parquet"))}
    scores = {name: table["probability"] for name, table in tables.items() if "probability" in table}
    if len(scores) == 1:  # two pictures may have one score of one network, but not also one spread over its views
        scores |= {f"spread of {name}": tables[name]["spread"] for name in [*scores] if "spread" in tables[name]}
    yield from _repetitions(pd.DataFrame(scores).reindex(train.index), train["patient_id"])
    for name, table in tables.items():
        yield from _fold_findings(name, table, cases)
        if "fold" in table:
            network_folds = table["fold"].reindex(train.index).fillna(-1)
            differing[name] = int(((network_folds >= 0) & (network_folds != train["fold"])).sum())
    others = [f"{name} ({rows} rows)" for name, rows in differing.items() if rows]
    yield from findings_of(
        "networks with other folds than ours", others, NOTE, "no patient spans two of their folds; rows of one of our "
        "folds come from several of their models, so a little of level two's validation data leaks through them"
    )  # fmt: skip


def _repetitions(scores: pd.DataFrame, patients: pd.Series) -> Iterator[Finding]:
    """Yield the training cases of several patients that have the same ``scores`` of every network.

    Two pictures never have two scores in common, unless they are one picture under two names. Without two columns of
    many different values (votes have few) nothing is said.
    """
    rows = scores.dropna()
    if scores.shape[1] < 2 or len(rows) < 2 or sorted(rows.nunique())[-2] < LEAST_UNIQUE * len(rows):
        return
    groups = rows.groupby(list(rows.columns)).ngroup()
    groups = groups[groups.duplicated(keep=False)]
    counts = patients.reindex(groups.index).groupby(groups).nunique()
    names: list[Any] = [list(map(str, groups.index[groups == group])) for group in counts.index[counts > 1]]
    if names:
        action = "check whether they are one picture under several names, and give these one patient_id"
        what = "groups of cases of several patients with the same scores of every network"
        yield Finding(what, len(names), WARNING, action, names, "same-scores")


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
    """Yield the columns, and pairs of columns of the metadata, that reveal the target of the training cases."""
    train = cases[cases["role"] == "train"]
    tables = {path.stem: read_table(path) for path in sorted(run.blocks.glob("*.parquet"))}
    # Before level one no block exists yet, and training on a leak would be lost time.
    tables.setdefault("metadata", metadata.build(train.drop(columns=["role", *LABELS], errors="ignore"), Sources()))
    columns = {
        f"{block}.{name}": column for block, table in tables.items() for name, column in table.loc[train.index].items()
    }
    # What the blocks compute from pictures and patients has no secret relation between two columns.
    pair_names = [name for name in columns if name.startswith("metadata.")]
    folds = np.unique(train["fold"], return_inverse=True)[1]
    for leak in column_leaks(columns, Cases((train["target"] == 1).to_numpy(), folds), pair_names):
        name = f"column-{'+'.join(leak.columns)}"
        if leak.equals_target:
            action = "leave it out of the data, or out of the mapping" + RUN_STOPS
            yield Finding("column that equals the target", 1, BLOCKING, action, [leak.text()], name)
        else:
            action = "check that its value is known before the diagnosis"
            yield Finding("column that may reveal the target", 1, WARNING, action, [leak.text()], name)
