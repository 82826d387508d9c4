"""New cases as rows of the design: with the columns that the training cases had, and their feature blocks."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from features.blocks import Sources, build_block, missing_needs
from features.cases.attach_pictures import SIZES
from level2_stack.design.assemble import block_columns, network_columns
from melstack.bundle.manifest import MetadataColumn
from runtime.errors import Faults, list_names


def match_training_columns(cases: pd.DataFrame, metadata: Mapping[str, MetadataColumn]) -> pd.DataFrame:
    """Return checked ``cases`` with the columns that the training cases had: patient_id, ``metadata`` and the sizes.

    What is not known is missing. Raises InputFault that lists the values which are no numbers where those of the
    training cases are.
    """
    faults, rows = Faults(), cases[["patient_id"]]
    numbers = dict.fromkeys(SIZES, MetadataColumn(kind="number"))
    for name, column in {**metadata, **numbers}.items():
        rows = rows.assign(**{name: _column(cases, name, column, faults)})
    faults.raise_if_any("cases")
    return rows.assign(role="test", fold=-1, target=np.nan)


def blocks_of(
    names: Sequence[str],
    rows: pd.DataFrame,
    statistics: pd.DataFrame | None,
    embeddings: Mapping[str, pd.DataFrame],
) -> dict[str, pd.DataFrame]:
    """Return the feature blocks ``names`` of ``rows``, those left out that need what there is none of."""
    sources = Sources(
        statistics=statistics, embeddings={name: partial(embeddings.__getitem__, name) for name in embeddings}
    )
    return {name: build_block(name, rows, sources) for name in names if not missing_needs(name, sources)}


def rows_of(
    rows: pd.DataFrame,
    networks: Mapping[str, pd.DataFrame],
    blocks: Mapping[str, pd.DataFrame],
    contrasts: Sequence[str],
) -> pd.DataFrame:
    """Return the columns of level two for ``rows``: logits, spreads, contrasts of ``networks``, and the ``blocks``."""
    parts = [*network_columns(rows, networks, contrasts), *(block_columns(rows, *item) for item in blocks.items())]
    return pd.concat(parts, axis=1)


def _column(cases: pd.DataFrame, name: str, column: MetadataColumn, faults: Faults) -> pd.Series:
    values = cases[name].astype(object) if name in cases else pd.Series(np.nan, index=cases.index, dtype=object)
    if column.kind == "text":
        return pd.Series([None if pd.isna(value) else str(value) for value in values], index=cases.index, dtype=object)
    numbers = pd.to_numeric(values, errors="coerce").astype(np.float64)
    bad = cases.index[(values.notna() & ~np.isfinite(numbers)).to_numpy()]
    if len(bad):
        faults.add(f"{name}: not a number in {list_names(bad)}, such as {values[bad[0]]!r}")
    return numbers
