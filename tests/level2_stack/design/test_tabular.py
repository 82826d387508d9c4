"""Tests of tables as designs: the role of each column, and errors that give the reason."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from level2_stack.design.tabular import classify_columns
from level2_stack.estimator_groups import read_groups

TABLE = pd.DataFrame(
    {
        "net a": [0.5, 0.2, np.nan, 0.9],
        "age": [40, 50, 60, 70],
        "site": ["head", None, "palm", "head"],
        "empty": [None] * 4,
        "patient": [1, 1, 2, 2],
    }
)


def design(table: pd.DataFrame = TABLE, **changes: Any) -> pd.DataFrame:
    options = {"scores": ["net a"], "group": "patient", "scale": "probability", "has_contrasts": False, **changes}
    columns = classify_columns(table, options.pop("scores"), options.pop("group"), options.pop("scale"), **options)
    return columns.design(table, read_groups(table, None, columns.group))


def test_scores_become_logits_and_other_columns_features_except_the_group_and_empty_columns() -> None:
    assert design().columns.tolist() == ["logit.net_a", "table.age", "table.site"]
    np.testing.assert_allclose(expit(design()["logit.net_a"]), TABLE["net a"])
    assert design()["table.site"].cat.categories.tolist() == ["head", "palm"]


def test_columns_can_be_named_by_position() -> None:
    pd.testing.assert_frame_equal(design(scores=[0], group=4), design())


def test_contrasts_are_bitwise_equal_in_any_order_of_rows() -> None:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"net a": random.random(200), "patient": random.integers(20, size=200)})
    order = random.permutation(200)
    other_order = design(table.iloc[order].reset_index(drop=True), has_contrasts=True)
    assert other_order.shape[1] > 4
    np.testing.assert_array_equal(other_order.to_numpy(), design(table, has_contrasts=True).to_numpy()[order])


def test_without_groups_every_row_is_its_own_group() -> None:
    assert len(set(read_groups(TABLE, None, None))) == 4
    assert read_groups(TABLE, [7, 7, 8, 8], None).tolist() == ["7", "7", "8", "8"]
    assert read_groups(TABLE, None, "patient").tolist() == ["1", "1", "2", "2"]


def test_spellings_of_an_id_are_one_group_and_missing_ones_are_groups_of_their_own() -> None:
    with pytest.warns(UserWarning, match="1 id with another spelling of a group's name"):
        assert len(set(read_groups(TABLE, [1, "1", 2, "a"], None))) == 3
    with pytest.warns(UserWarning, match=r"missing in rows 3 \(0, 1, 3\): each of them is a group of its own"):
        assert len(set(read_groups(TABLE, [None, np.nan, "a", "unknown"], None))) == 4
    with pytest.warns(UserWarning, match="different groups: '01' and '1', 'ip-1' and 'ip1'; if they are one"):
        assert len(set(read_groups(TABLE, ["01", "1", "IP-1", "IP1"], None))) == 4


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"scores": ["net c"]}, "scores: X has no column 'net c'"),
        ({"scores": [17]}, "scores: X has no column 17"),
        ({"scores": "net a"}, "must be a list of columns"),
        ({"scores": ["age"]}, r"outside \[0, 1\]: 1 \(age\)"),
        ({"scores": ["site"]}, "could not convert string to float"),
        ({"scores": ["net a", 0]}, "'net a' is named twice"),
        ({"scores": ["patient"]}, "'patient' is named twice"),
        ({"scores": ["empty"]}, "score 'empty' has no values"),
        ({"scale": "percent"}, "score_scale = 'percent': must be one of probability, logit"),
        ({"group": "clinic"}, "group_column: X has no column 'clinic'"),
    ],
)
def test_an_invalid_parameter_raises_a_value_error_with_the_reason(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        design(**parameters)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"day": pd.Timestamp("2020-01-01")}, r"dates or durations: 1 \(day\)"),
        ({"age": np.inf}, "Input X contains infinity"),
        ({"net_a": 0.5}, "differ only in brackets, quotes or spaces"),
    ],
)
def test_an_invalid_table_raises_a_value_error_with_the_reason(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        design(TABLE.assign(**change))


def test_a_score_with_the_name_of_a_learner_is_refused() -> None:
    with pytest.raises(ValueError, match="score 'xgb': level two uses this name"):
        design(TABLE.rename(columns={"net a": "xgb"}), scores=["xgb"])


@pytest.mark.parametrize(
    ("groups", "column", "message"),
    [
        (np.arange(10), None, "groups: found 10 groups for 4 rows of X"),
        (np.zeros((4, 2)), None, r"groups: found shape \(4, 2\)"),
        ([1, 2, 3, 4], "patient", "groups are given twice"),
    ],
)
def test_invalid_groups_raise_a_value_error_with_the_reason(groups: Any, column: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_groups(TABLE, groups, column)
