"""Tests of the slider: its thresholds, and the frozen ones among them."""

from pathlib import Path

import numpy as np

from level2_stack.thresholds.operating_point import write_operating_points
from melstack.report.run_page.inputs import read_stack
from melstack.report.run_page.slider import choose_thresholds, slider_of
from tests.level2_stack.thresholds.points import operating_point
from tests.melstack.report.written_runs import write_run


def test_many_scores_are_thinned_and_the_frozen_thresholds_stay_among_them() -> None:
    random = np.random.default_rng(0)
    score = random.random(5000)
    y = (random.random(5000) < 0.1).astype(np.float64)
    thresholds = choose_thresholds(y, score, [0.123, 0.456], max_count=100)
    assert len(thresholds) <= 102
    assert {thresholds[0], thresholds[-1]} == {score.min(), score.max()}
    assert {0.123, 0.456} <= set(thresholds)


def test_a_preset_has_the_measures_of_the_outer_folds_and_not_those_of_all_rows(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write_operating_points(run.level2 / "default" / "thresholds.json", [operating_point(threshold=0.3)])
    slider = slider_of(read_stack(run, "default"))
    (preset,) = slider.table["presets"]
    assert slider.start == preset["index"]
    assert slider.table["columns"]["threshold"][preset["index"]] == 0.3
    assert preset["measures"]["sensitivity"] == {"value": 0.5, "low": 0.25, "high": None}
    assert (preset["true_positives"], preset["false_positives"]) == (9, 20)


def test_a_stack_of_an_older_version_has_a_slider_without_presets(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run.level2 / "default" / "thresholds.json").unlink(missing_ok=True)
    slider = slider_of(read_stack(run, "default"))
    assert slider.table["presets"] == []
    assert 0 < slider.start < slider.count
