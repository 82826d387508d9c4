"""What a newcomer to a data set should know first: a few sentences, each a count of the exploration's tables."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from melstack.report.data_page.tables import FEWEST, MISSING, Rows

FAR = 0.1  # difference of the shares of a picture size that is worth a sentence


def standing_out(cases: pd.DataFrame, groups: Sequence[dict[str, Any]], sizes: Rows, shifts: Rows) -> list[str]:
    """Return sentences on prevalence, age, picture sizes and shift, as far as ``cases`` and the tables tell them."""
    target = cases.loc[cases["role"] == "train", "target"]
    first = f"{100 * target.mean():.2f} % of the training pictures are malignant ({int(target.sum()):,})."
    return [first, *_age(groups), *_size(sizes), *_shift(shifts)]


def _age(groups: Sequence[dict[str, Any]]) -> Iterator[str]:
    rows: Rows = next((group["rows"] for group in groups if group["title"] == "Age"), [])
    known = [row for row in rows if row["name"] not in (MISSING, "other") and row["count"] >= FEWEST]
    if len(known) > 1:
        ordered = sorted(known, key=lambda row: row["rate"])
        most, least = (
            f"{100 * row['rate']:.1f} % are malignant at age {row['name']}" for row in (ordered[-1], ordered[0])
        )
        yield f"{most}, {least.replace('are malignant ', '')}."


def _size(sizes: Rows) -> Iterator[str]:
    told = [row for row in sizes if row["test"] is not None]
    row = max(told, key=lambda row: abs(row["test"] - row["share"]), default=None)
    if row and abs(row["test"] - row["share"]) >= FAR:
        shares = f"{100 * row['share']:.0f} % of training and {100 * row['test']:.0f} % of test pictures"
        yield f"{row['name']} px: {shares}."


def _shift(shifts: Rows) -> Iterator[str]:
    beyond = [row["name"] for row in shifts if row["distance"] > row["chance"]]
    if beyond:
        most = ", ".join(beyond[:4])
        yield f"Test differs from training beyond chance in {len(beyond)} of {len(shifts)} columns, most in {most}."
