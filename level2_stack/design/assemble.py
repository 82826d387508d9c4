"""The design of level two: level-one predictions and feature blocks, joined into one checked table of columns."""

import re
from collections.abc import Collection, Iterator, Mapping, Sized
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api import types
from scipy.special import logit

from features.blocks import LABELS, find
from level2_stack import learners
from level2_stack.contrasts import NETWORKS, contrasts
from level2_stack.recipe import BLEND, CHOICE, Recipe
from runtime.errors import Faults, list_names

CLIP = 1e-6  # a probability of 0 or 1 has no logit
SITE = "anatom_site_general_challenge"
MOST_MISSING = 0.10  # share of a network's train rows: duplicates that a foreign network's author dropped
FORBIDDEN = r'[][<>{}:,"\s]'  # in names: LightGBM refuses JSON's characters and changes spaces, XGBoost refuses [ ] <


@dataclass(frozen=True)
class Design:
    """What level two learns from.

    ``X`` has the train rows first, then the test rows, and columns ``<family>.<name>``. ``y`` (0/1), ``folds`` and
    ``groups`` (patients) belong to the train rows. ``missing_blocks`` are in the recipe but
    were not computed.
    """

    X: pd.DataFrame
    y: NDArray[np.float64]
    folds: NDArray[np.int8]
    groups: NDArray[np.object_]
    missing_blocks: tuple[str, ...] = ()

    @property
    def train(self) -> pd.DataFrame:
        """Return the train rows of ``X``."""
        return self.X.iloc[: len(self.y)]

    @property
    def test(self) -> pd.DataFrame:
        """Return the test rows of ``X``."""
        return self.X.iloc[len(self.y) :]

    def without(self, columns: Collection[str]) -> "Design":
        """Return the design without ``columns``, full names of X."""
        return replace(self, X=self.X.drop(columns=list(columns)))

    @property
    def networks(self) -> list[str]:
        """Return the names of the networks whose logits are columns."""
        return [name.removeprefix("logit.") for name in self.X.columns if name.startswith("logit.")]


def assemble(
    cases: pd.DataFrame,
    predictions: Mapping[str, pd.DataFrame],
    blocks: Mapping[str, pd.DataFrame],
    recipe: Recipe,
    acquisition: Mapping[str, Collection[str]],
) -> Design:
    """Join what ``recipe`` names into a design over the train and test rows of ``cases``.

    ``predictions`` holds a level-one table per network, ``blocks`` a table per feature block, ``acquisition`` the
    columns of each block that tell how a picture was taken; they stay out only if the recipe drops them. Raises
    InputFault that names every network and block with missing rows, probabilities outside [0, 1] or columns that give
    the target away.
    """
    rows = pd.concat([cases[cases["role"] == "train"], cases[cases["role"] == "test"]])
    networks = {name: predictions[name] for name in recipe.select_networks(list(predictions))}
    tables = {name: _of_networks(name, blocks[name], predictions, networks) for name in recipe.blocks if name in blocks}
    _refuse_faulty(rows, networks, tables)
    columns = network_columns(rows, networks, recipe.contrasts)
    for name, table in tables.items():
        dropped = acquisition.get(name, ()) if recipe.acquisition == "drop" else ()
        columns.append(block_columns(rows, name, table.drop(columns=list(dropped), errors="ignore")))
    train = rows[rows["role"] == "train"]
    return Design(
        X=pd.concat(columns, axis=1),
        y=train["target"].to_numpy(dtype=np.float64),
        folds=train["fold"].to_numpy(dtype=np.int8),
        groups=train["patient_id"].to_numpy(dtype=object),
        missing_blocks=tuple(name for name in recipe.blocks if name not in blocks),
    )


def network_columns(
    rows: pd.DataFrame, networks: Mapping[str, pd.DataFrame], families: Collection[str]
) -> list[pd.DataFrame]:
    """Return the logits and spreads of ``networks`` for ``rows`` (cases with role and patient_id), and contrasts."""
    probability = pd.DataFrame({name: table["probability"].loc[rows.index] for name, table in networks.items()})
    logits = probability.clip(CLIP, 1 - CLIP).apply(logit)
    spread = pd.DataFrame({name: table["spread"].loc[rows.index] for name, table in networks.items()})
    columns = [logits.add_prefix("logit."), spread[_known_of_both(spread, rows)].add_prefix("spread.")]
    return [*columns, contrasts(logits, rows["patient_id"], rows.get(SITE), families)]


def _of_networks(block: str, table: pd.DataFrame, known: Collection[str], chosen: Collection[str]) -> pd.DataFrame:
    """Return a ``block`` that is made from embeddings without the columns of ``known`` networks that are not chosen."""
    if "embeddings" not in find(block).NEEDS:
        return table
    # One network's name may begin another's: the longest is the owner.
    owner = {
        name: max((each for each in known if name.startswith(f"{each}_")), key=len, default="")
        for name in map(str, table)
    }
    return table[[name for name in map(str, table) if not owner[name] or owner[name] in chosen]]


def _known_of_both(spread: pd.DataFrame, rows: pd.DataFrame) -> list[str]:
    """Return the networks whose spread is known of train and, where there are any, of test cases.

    What a learner makes of a column that all test cases lack is of no use to them.
    """
    known = spread.notna().groupby(rows["role"]).any()
    return [str(name) for name in spread.columns if known[name].all()]


def block_columns(rows: pd.DataFrame, name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return the block's columns under their full names; text becomes categories, known to train and test alike."""
    block = table.loc[rows.index]
    return pd.DataFrame({f"{name}.{safe_name(str(key))}": _feature(column) for key, column in block.items()})


def _feature(column: pd.Series) -> pd.Series:
    if types.is_numeric_dtype(column):
        return column
    return column.astype(pd.CategoricalDtype(sorted(column.dropna().unique())))


def safe_name(name: str) -> str:
    """Return ``name`` with an underscore for every character that a booster refuses in the name of a column."""
    return re.sub(FORBIDDEN, "_", name)


def _refuse_faulty(
    rows: pd.DataFrame, networks: Mapping[str, pd.DataFrame], tables: Mapping[str, pd.DataFrame]
) -> None:
    faults = Faults()
    for name, table in networks.items():
        for fault in _faults_of_name(name) or _faults_of_network(rows, table):
            faults.add(f"network {name}: {fault}")
    for name, table in tables.items():
        for fault in _faults_of_block(rows, table):
            faults.add(f"block {name}: {fault}")
    faults.raise_if_any("level two")


def _faults_of_name(name: str) -> list[str]:
    if name in (NETWORKS, BLEND, CHOICE, *learners.names()):
        return ["this name means something else in level two; give the network another"]
    return [f"the name must do without brackets, quotes, colons, commas and spaces: {safe_name(name)}"] * (
        name != safe_name(name)
    )


def _faults_of_network(rows: pd.DataFrame, table: pd.DataFrame) -> Iterator[str]:
    absent = rows.index.difference(table.index)
    if len(absent):
        yield f"lacks {list_names(absent)} of {len(rows)} train and test cases"
        return
    probability = table["probability"].loc[rows.index]
    impossible = probability.index[(probability < 0) | (probability > 1)]
    if len(impossible):
        yield f"has probabilities outside [0, 1]: {list_names(impossible)}"
    test = (rows["role"] == "test").to_numpy()
    unknown = probability.index[test & probability.isna().to_numpy()]
    if len(unknown):
        yield f"has no probability for test cases: {list_names(unknown)}"
    unknown = probability.index[~test & probability.isna().to_numpy()]
    if len(unknown) > MOST_MISSING * (~test).sum():
        yield f"has no probability for {list_names(unknown)} of {(~test).sum()} train cases; 10 % may be missing"


def _faults_of_block(rows: pd.DataFrame, table: pd.DataFrame) -> Iterator[str]:
    absent = rows.index.difference(table.index)
    if len(absent):
        yield f"lacks {list_names(absent)} of {len(rows)} train and test cases"
        return
    names = pd.Index([safe_name(str(name)) for name in table.columns])
    if not names.is_unique:
        yield f"has columns that differ in brackets, quotes or spaces only: {list_names(names[names.duplicated()])}"
    train = rows[rows["role"] == "train"]
    labels = {label: pd.factorize(train[label].to_numpy()) for label in ("target", "fold")}
    for name, column in table.loc[train.index].items():
        if name in LABELS:
            yield f"column {name!r} is not known of a test case or tells its fold; it cannot be a feature"
        told = [label for label, coded in labels.items() if _same(column, *coded)]
        yield from (f"column {name!r} tells the {label} of every train case" for label in told)


def _same(column: pd.Series, label_codes: NDArray[np.intp], labels: Sized) -> bool:
    """Return whether ``column`` is a label under other names for its values (and the label has more than one)."""
    codes, values = pd.factorize(column)
    return len(labels) > 1 and len(values) == len(labels) and np.array_equal(codes, label_codes)
