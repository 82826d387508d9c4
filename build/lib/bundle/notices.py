"""Why a case is not like those that the stack learned from, in sentences."""

from collections.abc import Mapping, Sequence

import pandas as pd

from bundle.manifest import MetadataColumn

FAR = 0.99  # of the training pictures have a nearer neighbour than a picture that is told of


def notices(
    cases: pd.DataFrame, metadata: Mapping[str, MetadataColumn], unusual: Sequence[float]
) -> dict[str, list[str]]:
    """Return per case the sentences about a picture unlike all training pictures, and values that none of them had.

    ``unusual`` (n,) is NaN where it is not known.
    """
    return {
        str(name): [*_of_picture(share), *_of_values(row, metadata)]
        for (name, row), share in zip(cases.iterrows(), unusual, strict=True)
    }


def _of_picture(share: float) -> list[str]:
    if not share > FAR:
        return []
    return [
        f"the picture is unlike the training pictures: {100 * share:.1f} % of them have a nearer neighbour than it has"
    ]


def _of_values(row: pd.Series, metadata: Mapping[str, MetadataColumn]) -> list[str]:
    found = []
    for name, column in metadata.items():
        value = row.get(name)
        if value is None or pd.isna(value):
            continue
        if column.kind == "number" and not _within(float(value), column):
            found.append(f"{name} {value:g} lies outside the training cases' {column.low:g} to {column.high:g}")
        if column.kind == "text" and str(value) not in column.values:
            found.append(f"{name} {str(value)!r} is not among the training cases' values")
    return found


def _within(value: float, column: MetadataColumn) -> bool:
    return column.low is not None and column.high is not None and column.low <= value <= column.high
