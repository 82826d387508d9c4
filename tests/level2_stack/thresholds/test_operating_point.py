"""Tests of the file of operating points, which stacks, bundles and pages share."""

import numpy as np
import pytest

from level2_stack.thresholds.operating_point import (
    read_operating_points,
    write_operating_points,
)
from runtime.errors import InputFault
from tests.level2_stack.thresholds.points import operating_point as point


def test_operating_points_are_the_same_after_writing_and_reading(tmp_path):
    points = (point(), point(name="net benefit at 20 : 1", rule="net_benefit", aim=20.0, note="a reason"))
    write_operating_points(tmp_path / "thresholds.json", points)
    assert read_operating_points(tmp_path / "thresholds.json") == points


def test_a_folder_of_an_older_version_has_no_operating_points(tmp_path):
    assert read_operating_points(tmp_path / "thresholds.json") == ()


def test_a_damaged_file_is_refused_with_every_wrong_value(tmp_path):
    path = tmp_path / "thresholds.json"
    write_operating_points(path, [point()])
    path.write_text(path.read_text().replace('"threshold": 0.25', '"threshold": 1.25').replace('"rule"', '"rul"'))
    with pytest.raises(InputFault, match=r"(?s)rul.*threshold = 1.25|threshold = 1.25.*rul"):
        read_operating_points(path)


def test_a_probability_at_the_threshold_is_predicted_malignant():
    assert point().is_malignant(np.array([0.2, 0.25, 0.3])).tolist() == [False, True, True]


def test_columns_are_named_by_rule_and_aim():
    assert point().column == "malignant_at_sensitivity_90"
    assert point(rule="npv", aim=0.998).column == "malignant_at_npv_99.8"
    assert point(rule="net_benefit", aim=20.0).column == "malignant_at_net_benefit_20"
