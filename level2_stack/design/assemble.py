"""The design of level two: level-one predictions and feature blocks, checked and joined into one table of columns."""

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

CLIP = 1e-6  # a probability of 0 or 1 has no finite logit
SITE = "anatom_site_general_challenge"
MAX_MISSING = 0.10  # share of a network's train rows: authors of foreign networks drop duplicates
# Characters that a column name must not have: LightGBM refuses those of JSON and changes spaces, XGBoost refuses [ ] <.
FORBIDDEN = r'[][<>{}:,"\s]'


@dataclass(frozen=True)
class Design:
    """The training data of level two.

    ``X`` has the train rows first, then the test rows, and columns ``<family>.<name>``. ``y`` (0/1), ``folds`` and
    ``groups`` (patients), each (n,), are those of the n train rows. ``missing_blocks`` are blocks of the recipe that
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
        """Return the design without ``columns``, which are full names ``<family>.<name>``."""
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
    """Join the networks and blocks of ``recipe`` into a design over the train and test rows of ``cases``.

    ``predictions`` holds a level-one table per network, ``blocks`` a table per feature block, ``acquisition`` the
    columns of each block that depend on how a picture was taken; they are left out only if the recipe drops them.
    Raises InputFault that names every network and block with missing rows, probabilities outside [0, 1] or columns that
    reveal the target.
    """
    rows = pd.concat([cases[cases["role"] == "train"], cases[cases["role"] == "test"]])
    networks = {name: predictions[name] for name in recipe.select_networks(list(predictions))}
    tables = {
        name: _drop_other_networks(name, blocks[name], predictions, networks)
        for name in recipe.blocks
        if name in blocks
    }
    _check_inputs(rows, networks, tables)
    columns = network_columns(rows, networks, recipe.contrasts)
    for name, table in tables.items():
        acquisition_columns = acquisition.get(name, ()) if recipe.acquisition == "drop" else ()
        columns.append(block_columns(rows, name, table.drop(columns=list(acquisition_columns), errors="ignore")))
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
    """Return the logits and spreads of ``networks`` for ``rows`` (cases with role and patient_id), and their contrasts.

    ``families`` are the contrasts to compute.
    """
    probability = pd.DataFrame({name: table["probability"].loc[rows.index] for name, table in networks.items()})
    logits = probability.clip(CLIP, 1 - CLIP).apply(logit)
    spread = pd.DataFrame({name: table["spread"].loc[rows.index] for name, table in networks.items()})
    columns = [logits.add_prefix("logit."), spread[_usable_spreads(spread, rows)].add_prefix("spread.")]
    return [*columns, contrasts(logits, rows["patient_id"], rows.get(SITE), families)]


def _drop_other_networks(
    block: str, table: pd.DataFrame, all_networks: Collection[str], recipe_networks: Collection[str]
) -> pd.DataFrame:
    """Return the ``table`` of a block without the embeddings of networks that the recipe does not use.

    ``all_networks`` are the networks of the run, ``recipe_networks`` those of the recipe. A block that is not computed
    from embeddings is returned unchanged.
    """
    if "embeddings" not in find(block).NEEDS:
        return table
    # One network's name may be the start of another's, so the longest match owns the column.
    owner = {
        name: max((each for each in all_networks if name.startswith(f"{each}_")), key=len, default="")
        for name in map(str, table)
    }
    return table[[name for name in map(str, table) if not owner[name] or owner[name] in recipe_networks]]


def _usable_spreads(spread: pd.DataFrame, rows: pd.DataFrame) -> list[str]:
    """Return the networks that have a spread in train cases and, if there are any, in test cases.

    A column that is empty in all test cases cannot help to predict them.
    """
    has_values = spread.notna().groupby(rows["role"]).any()
    return [str(name) for name in spread.columns if has_values[name].all()]


def block_columns(rows: pd.DataFrame, name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return the block's columns under their full names; text becomes categories that train and test rows share."""
    block = table.loc[rows.index]
    return pd.DataFrame({f"{name}.{safe_name(str(key))}": _to_feature(column) for key, column in block.items()})


def _to_feature(column: pd.Series) -> pd.Series:
    if types.is_numeric_dtype(column):
        return column
    return column.astype(pd.CategoricalDtype(sorted(column.dropna().unique())))


def safe_name(name: str) -> str:
    """Return ``name`` with an underscore for every character that a booster refuses in a column name."""
    return re.sub(FORBIDDEN, "_", name)


def _check_inputs(rows: pd.DataFrame, networks: Mapping[str, pd.DataFrame], tables: Mapping[str, pd.DataFrame]) -> None:
    faults = Faults()
    for name, table in networks.items():
        for fault in _name_faults(name) or _network_faults(rows, table):
            faults.add(f"network {name}: {fault}")
    for name, table in tables.items():
        for fault in _block_faults(rows, table):
            faults.add(f"block {name}: {fault}")
    faults.raise_if_any("level two")


def _name_faults(name: str) -> list[str]:
    if name in (NETWORKS, BLEND, CHOICE, *learners.names()):
        return ["level two uses this name for something else; rename the network"]
    if name != safe_name(name):
        return [f"the name must not have brackets, quotes, colons, commas or spaces; rename it {safe_name(name)}"]
    return []


def _network_faults(rows: pd.DataFrame, table: pd.DataFrame) -> Iterator[str]:
    missing = rows.index.difference(table.index)
    if len(missing):
        yield f"lacks {list_names(missing)} of {len(rows)} train and test cases; every case needs a row"
        return
    probability = table["probability"].loc[rows.index]
    invalid = probability.index[(probability < 0) | (probability > 1)]
    if len(invalid):
        yield f"has probabilities outside [0, 1]: {list_names(invalid)}"
    test = (rows["role"] == "test").to_numpy()
    without_value = probability.index[test & probability.isna().to_numpy()]
    if len(without_value):
        yield f"has no probability for test cases: {list_names(without_value)}"
    without_value = probability.index[~test & probability.isna().to_numpy()]
    if len(without_value) > MAX_MISSING * (~test).sum():
        train_cases = f"{list_names(without_value)} of {(~test).sum()} train cases"
        yield f"has no probability for {train_cases}; at most 10 % may be missing"


def _block_faults(rows: pd.DataFrame, table: pd.DataFrame) -> Iterator[str]:
    missing = rows.index.difference(table.index)
    if len(missing):
        yield f"lacks {list_names(missing)} of {len(rows)} train and test cases; every case needs a row"
        return
    names = pd.Index([safe_name(str(name)) for name in table.columns])
    if not names.is_unique:
        duplicates = list_names(names[names.duplicated()])
        yield f"has columns whose names differ only in brackets, quotes or spaces: {duplicates}; rename them"
    train = rows[rows["role"] == "train"]
    labels = {label: pd.factorize(train[label].to_numpy()) for label in ("target", "fold")}
    for name, column in table.loc[train.index].items():
        if name in LABELS:
            yield f"column {name!r} is a label (unknown for test cases, or the fold); remove it from the block"
        copies = [label for label, factors in labels.items() if _is_copy(column, *factors)]
        yield from (f"column {name!r} is a copy of the {label} in all train cases; remove it" for label in copies)


def _is_copy(column: pd.Series, label_codes: NDArray[np.intp], labels: Sized) -> bool:
    """Return whether ``column`` is a label with other names for its values (and the label has more than one value)."""
    codes, values = pd.factorize(column)
    return len(labels) > 1 and len(values) == len(labels) and np.array_equal(codes, label_codes)
