"""The sentences at the top of the data page: prevalence, age, picture sizes and shift, from the page's tables."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from melstack.report.column_words import bare_words
from melstack.report.data_page.acquisition import Quantity
from melstack.report.data_page.tables import MIN_PICTURES, MISSING, Rows
from runtime.plural import number_of

LARGE_DIFFERENCE = 0.1  # between the training and test shares of a picture size; smaller ones have no sentence


def summary_sentences(
    cases: pd.DataFrame,
    groups: Sequence[dict[str, Any]],
    sizes: Rows,
    shifts: Rows,
    quantities: Sequence[Quantity] = (),
) -> list[str]:
    """Return sentences on prevalence, shortcuts, age, picture sizes and shift, without topics that the tables lack."""
    target = cases.loc[cases["role"] == "train", "target"]
    first = f"{100 * target.mean():.2f} % of the training pictures are malignant ({int(target.sum()):,})."
    shortcuts = [quantity.sentence() for quantity in quantities if quantity.is_shortcut]
    return [first, *shortcuts, *_age(groups), *_size(sizes), *_shift(shifts)]


def _age(groups: Sequence[dict[str, Any]]) -> Iterator[str]:
    rows: Rows = next((group["rows"] for group in groups if group["title"] == "Age"), [])
    bands = [row for row in rows if row["name"] not in (MISSING, "other") and row["count"] >= MIN_PICTURES]
    if len(bands) > 1:
        low, *_, high = sorted(bands, key=lambda row: row["rate"])
        highest = f"{100 * high['rate']:.1f} % of the pictures are malignant at age {high['name']}"
        yield f"{highest}, {100 * low['rate']:.1f} % at age {low['name']}."


def _size(sizes: Rows) -> Iterator[str]:
    in_test = [row for row in sizes if row["test"] is not None]
    row = max(in_test, key=lambda row: abs(row["test"] - row["share"]), default=None)
    if row and abs(row["test"] - row["share"]) >= LARGE_DIFFERENCE:
        shares = f"{100 * row['share']:.0f} % of training and {100 * row['test']:.0f} % of test pictures"
        yield f"Pictures of {row['name']} px: {shares}."


def _shift(shifts: Rows) -> Iterator[str]:
    beyond = [bare_words(row["name"]) for row in shifts if row["distance"] > row["chance"]]
    if beyond:
        most, columns = ", ".join(beyond[:4]), number_of(len(shifts), "column")
        yield f"Test and training differ beyond chance in {len(beyond)} of {columns}, most in {most}."
