"""New cases as rows of the design: the columns of the training cases, and the cases' feature blocks."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from features.blocks import Sources, build_block, missing_needs
from features.cases.attach_pictures import SIZES
from level2_stack.design.assemble import block_columns, network_columns
from melstack.bundle.manifest import MetadataColumn
from runtime.errors import Faults, InputFault, list_names


def match_training_columns(cases: pd.DataFrame, metadata: Mapping[str, MetadataColumn]) -> pd.DataFrame:
    """Return valid ``cases`` with the columns of the training cases: patient_id, ``metadata`` and the picture sizes.

    A column that ``cases`` lacks is missing in every row. Raises InputFault that lists the values that are not numbers
    in columns that are numeric in the training cases.
    """
    faults, rows = Faults(), cases[["patient_id"]]
    numbers = dict.fromkeys(SIZES, MetadataColumn(kind="number"))
    for name, column in {**metadata, **numbers}.items():
        rows = rows.assign(**{name: _column(cases, name, column, faults)})
    faults.raise_if_any("cases")
    return rows.assign(role="test", fold=-1, target=np.nan)


def build_blocks(
    names: Sequence[str],
    rows: pd.DataFrame,
    statistics: pd.DataFrame | None,
    embeddings: Mapping[str, pd.DataFrame],
) -> dict[str, pd.DataFrame]:
    """Return name -> feature table of ``rows``, without blocks whose statistics or embeddings are not given."""
    sources = Sources(
        statistics=statistics, embeddings={name: partial(embeddings.__getitem__, name) for name in embeddings}
    )
    return {name: build_block(name, rows, sources) for name in names if not missing_needs(name, sources)}


def design_rows(
    rows: pd.DataFrame,
    networks: Mapping[str, pd.DataFrame],
    blocks: Mapping[str, pd.DataFrame],
    contrasts: Sequence[str],
) -> pd.DataFrame:
    """Return the columns of level two for ``rows``: logits, spreads, contrasts of ``networks``, and the ``blocks``."""
    parts = [*network_columns(rows, networks, contrasts), *(block_columns(rows, *item) for item in blocks.items())]
    return pd.concat(parts, axis=1)


def probability_table(name: str, predictions: pd.DataFrame, cases: pd.Index) -> pd.DataFrame:
    """Return probability and spread of a foreign network; raise InputFault for missing or invalid probabilities."""
    absent = cases.difference(predictions.index)
    if len(absent):
        raise InputFault(
            f"foreign network {name}: no prediction for {list_names(absent)} of {len(cases)} cases; add their rows"
        )
    columns = predictions.reindex(cases).reindex(columns=["probability", "spread"])
    table: pd.DataFrame = columns.apply(pd.to_numeric, errors="coerce").astype(np.float64)
    invalid = cases[~table["probability"].between(0, 1)]
    if len(invalid):
        raise InputFault(
            f"foreign network {name}: probabilities must be from 0 to 1; correct those of {list_names(invalid)}"
        )
    return table


def _column(cases: pd.DataFrame, name: str, column: MetadataColumn, faults: Faults) -> pd.Series:
    values = cases[name].astype(object) if name in cases else pd.Series(np.nan, index=cases.index, dtype=object)
    if column.kind == "text":
        return pd.Series([None if pd.isna(value) else str(value) for value in values], index=cases.index, dtype=object)
    numbers = pd.to_numeric(values, errors="coerce").astype(np.float64)
    invalid = cases.index[(values.notna() & ~np.isfinite(numbers)).to_numpy()]
    if len(invalid):
        first = values[invalid[0]]
        faults.add(f"{name}: {first!r} is not a finite number; correct or remove the values of {list_names(invalid)}")
    return numbers
