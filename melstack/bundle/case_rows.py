"""New cases as rows of the design: checked, with the columns that the training cases had, and their feature blocks."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from features.blocks import Sources, build_block, missing_needs
from features.cases.attach_pictures import SIZES
from features.pictures.read import read_header
from level2_stack.design.assemble import block_columns, network_columns
from melstack.bundle.manifest import MetadataColumn
from runtime.errors import Faults, named


def prepared_cases(
    cases: pd.DataFrame, metadata: Mapping[str, MetadataColumn], pictures: Mapping[str, Path]
) -> pd.DataFrame:
    """Return ``cases`` with patient_id, the ``metadata`` of the training cases, and the sizes of their ``pictures``.

    A case without a patient is a patient of its own; what is not known is missing. Raises InputFault that lists names
    given twice, cases without a picture, values that are no numbers, and pictures whose header cannot be read.
    """
    faults = Faults()
    names = pd.Index(cases.index.astype(str), name="image_name")
    if not names.is_unique:
        faults.add(f"image_name given more than once: {named(names[names.duplicated()].unique())}")
    absent = [name for name in names if pictures and name not in pictures]
    if absent:
        faults.add(f"no picture for {named(absent)}")
    rows = pd.DataFrame({"patient_id": _patients(cases, names)}, index=names)
    for name, column in metadata.items():
        rows[name] = _column(cases, name, column, names, faults)
    faults.raise_if_any("cases")
    return _with_sizes(rows, cases, pictures).assign(role="test", fold=-1, target=np.nan)


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


def _patients(cases: pd.DataFrame, names: pd.Index) -> list[str]:
    if "patient_id" not in cases:
        return list(names)
    given = cases["patient_id"].to_numpy(dtype=object)
    return [name if pd.isna(patient) else str(patient) for name, patient in zip(names, given, strict=True)]


def _column(cases: pd.DataFrame, name: str, column: MetadataColumn, names: pd.Index, faults: Faults) -> pd.Series:
    values = pd.Series(cases[name].to_numpy(dtype=object) if name in cases else np.nan, index=names, dtype=object)
    if column.kind == "text":
        return pd.Series([None if pd.isna(value) else str(value) for value in values], index=names, dtype=object)
    numbers = pd.to_numeric(values, errors="coerce").astype(np.float64)
    bad = names[(values.notna() & ~np.isfinite(numbers)).to_numpy()]
    if len(bad):
        faults.add(f"{name}: not a number in {named(bad)}, such as {values[bad[0]]!r}")
    return numbers


def _with_sizes(rows: pd.DataFrame, cases: pd.DataFrame, pictures: Mapping[str, Path]) -> pd.DataFrame:
    """Add width, height (px) and file_bytes: as ``cases`` know them, else from the header of the picture."""
    if set(SIZES) <= set(cases.columns) or not pictures:
        return rows.assign(**{name: cases[name].to_numpy(np.float64) if name in cases else np.nan for name in SIZES})
    headers = [read_header(pictures[str(name)]) for name in rows.index]
    return rows.assign(**{name: [float(getattr(header, name)) for header in headers] for name in SIZES})
