"""Tests of the choice of a local update by closed testing."""

import numpy as np
import pytest
from scipy.special import logit

from level2_stack.calibration.local_update import choose_update
from level2_stack.evaluation.frozen_probabilities import cox_coefficients
from tests.level2_stack.drawn_probabilities import draw


@pytest.mark.parametrize(
    ("slope", "intercept", "kind"),
    [(1.0, 0.0, "none"), (1.0, 1.0, "intercept"), (0.5, 0.8, "intercept and slope")],
)
def test_the_smallest_update_that_the_cases_support_is_chosen(slope: float, intercept: float, kind: str) -> None:
    y, p, groups = draw(rows=4000, slope=slope, intercept=intercept)
    update = choose_update(y, p, groups)
    assert update is not None
    assert update.kind == kind


def test_an_updated_probability_is_calibrated() -> None:
    y, p, groups = draw(rows=4000, slope=0.5, intercept=0.8)
    update = choose_update(y, p, groups)
    assert update is not None
    line = cox_coefficients(y, np.asarray(logit(update(p))), np.ones((len(y), 1)), slope=True)[:, 0]
    np.testing.assert_allclose(line, [0, 1], atol=1e-6)


def test_calibrated_probabilities_are_updated_in_about_one_of_twenty_samples() -> None:
    kinds = []
    for seed in range(200):
        y, p, _ = draw(rows=900, slope=1.0, intercept=0.0, seed=seed)
        update = choose_update(y, p, np.arange(len(y)).astype(object))
        kinds.append(update is not None and update.kind != "none")
    assert 0.01 <= np.mean(kinds) <= 0.10


def test_pictures_of_a_patient_are_not_counted_as_independent() -> None:
    y, p, _ = draw(rows=250, slope=1.0, intercept=0.35, seed=4)
    patients = np.arange(len(y)).astype(object)
    once = choose_update(y, p, patients)
    copies = choose_update(np.tile(y, 10), np.tile(p, 10), np.tile(patients, 10))
    assert once is not None
    assert copies is not None
    assert copies.p_any == pytest.approx(once.p_any, rel=0.05)


def test_an_order_that_is_turned_round_is_never_updated_by_its_slope() -> None:
    y, p, groups = draw(rows=2000, slope=-0.8, intercept=0.0)
    update = choose_update(y, p, groups)
    assert update is not None
    assert update.slope == 1.0


def test_one_class_gives_no_update() -> None:
    _, p, groups = draw(rows=100)
    assert choose_update(np.zeros(100), p, groups) is None


@pytest.mark.parametrize(("positives", "patients"), [(2, 300), (9, 300), (100, 5)])
def test_too_few_patients_give_no_update(positives: int, patients: int) -> None:
    y = (np.arange(300) < positives).astype(float)
    p = np.where(y == 1, 0.02, 0.01) * np.linspace(0.5, 2, 300)
    groups = np.array([f"P{index % patients}" for index in range(300)], dtype=object)
    assert choose_update(y, p, groups) is None
