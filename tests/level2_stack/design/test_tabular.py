"""Tests of tables as designs: what each column becomes, and refusals that say why."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from level2_stack.design.tabular import classify_columns, read_groups

TABLE = pd.DataFrame(
    {
        "net a": [0.5, 0.2, np.nan, 0.9],
        "age": [40, 50, 60, 70],
        "site": ["head", None, "palm", "head"],
        "empty": [None] * 4,
        "patient": [1, 1, 2, 2],
    }
)


def design(table: pd.DataFrame = TABLE, **given: Any) -> pd.DataFrame:
    options = {"scores": ["net a"], "group": "patient", "scale": "probability", "has_contrasts": False, **given}
    columns = classify_columns(table, options.pop("scores"), options.pop("group"), options.pop("scale"), **options)
    return columns.design(table, read_groups(table, None, columns.group))


def test_scores_become_logits_and_the_rest_features_but_for_the_group_and_what_is_empty() -> None:
    assert design().columns.tolist() == ["logit.net_a", "table.age", "table.site"]
    np.testing.assert_allclose(expit(design()["logit.net_a"]), TABLE["net a"])
    assert design()["table.site"].cat.categories.tolist() == ["head", "palm"]


def test_positions_are_as_good_as_names() -> None:
    pd.testing.assert_frame_equal(design(scores=[0], group=4), design())


def test_contrasts_do_not_depend_on_the_order_of_rows_to_the_last_bit() -> None:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"net a": random.random(200), "patient": random.integers(20, size=200)})
    order = random.permutation(200)
    mixed = design(table.iloc[order].reset_index(drop=True), has_contrasts=True)
    assert mixed.shape[1] > 4
    np.testing.assert_array_equal(mixed.to_numpy(), design(table, has_contrasts=True).to_numpy()[order])


def test_without_groups_every_row_is_its_own() -> None:
    assert len(set(read_groups(TABLE, None, None))) == 4
    assert read_groups(TABLE, [7, 7, 8, 8], None).tolist() == ["7", "7", "8", "8"]
    assert read_groups(TABLE, None, "patient").tolist() == ["1", "1", "2", "2"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"scores": ["net c"]}, "scores: X has no column 'net c'"),
        ({"scores": [17]}, "scores: X has no column 17"),
        ({"scores": "net a"}, "a list of columns is needed"),
        ({"scores": ["age"]}, r"outside \[0, 1\]: 1 \(age\)"),
        ({"scores": ["site"]}, "could not convert string to float"),
        ({"scores": ["net a", 0]}, "'net a' is named twice"),
        ({"scores": ["patient"]}, "'patient' is named twice"),
        ({"scores": ["empty"]}, "score 'empty' has no value"),
        ({"scale": "percent"}, "score_scale = 'percent': must be one of probability, logit"),
        ({"group": "clinic"}, "group_column: X has no column 'clinic'"),
    ],
)
def test_a_column_that_cannot_be_is_a_value_error_that_says_why(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        design(**parameters)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"day": pd.Timestamp("2020-01-01")}, r"dates or durations: 1 \(day\)"),
        ({"age": np.inf}, "Input X contains infinity"),
        ({"net_a": 0.5}, "differ in brackets, quotes or spaces only"),
        ({"patient": [None, 1, 1, 2]}, r"groups: rows without one: 1 \(0\)"),
    ],
)
def test_a_table_that_cannot_be_is_a_value_error_that_says_why(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        design(TABLE.assign(**change))


def test_a_score_called_like_a_learner_is_refused() -> None:
    with pytest.raises(ValueError, match="'xgb' would be mistaken for level two's own"):
        design(TABLE.rename(columns={"net a": "xgb"}), scores=["xgb"])


@pytest.mark.parametrize(
    ("groups", "column", "message"),
    [
        (np.arange(10), None, "groups: 10 of them, and X has 4 rows"),
        (np.zeros((4, 2)), None, r"groups: shape \(4, 2\)"),
        ([None, 1, 2, 3], None, r"groups: rows without one: 1 \(0\)"),
        ([1, 2, 3, 4], "patient", "groups are given twice"),
    ],
)
def test_groups_that_cannot_be_are_a_value_error_that_says_why(groups: Any, column: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_groups(TABLE, groups, column)
