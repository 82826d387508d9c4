"""Tests of the learning curve: nested parts of patients, the power law, and what it says of drawn growth."""

import numpy as np
import pytest

from level2_stack.evaluation.auc import Interval
from level2_stack.outlook.growth import SHARES, double_gain, growth, power_law
from level2_stack.outlook.refit import Part, rows_of_part

ROWS = 1200
PATIENTS = np.array([f"p{number // 3}" for number in range(ROWS)], dtype=object)


def _targets() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    return (random.random(ROWS) < 0.3).astype(np.float64), np.arange(ROWS) // 3 % 4


def _scores(y: np.ndarray, noise: dict[float, float]) -> dict[Part, np.ndarray]:
    """Return scores of which a share ``noise[share]`` of the deviation is new in every draw."""
    common = np.random.default_rng(2).normal(size=ROWS)
    parts = [Part(share, draw) for share in SHARES for draw in range(4)]
    return {
        part: 1.5 * y + common + noise[part.share] * np.random.default_rng([part.draw, 3]).normal(size=ROWS)
        for part in parts
    }


def _patients() -> dict[float, float]:
    return {share: 300 * share for share in SHARES}


def test_a_smaller_share_of_a_draw_is_within_a_larger_one_and_patients_are_whole() -> None:
    y, folds = _targets()
    before = np.zeros(ROWS, dtype=bool)
    for share in SHARES:
        rows = rows_of_part(Part(share, 5), y, folds, PATIENTS)
        assert (rows | ~before).all()
        assert len({*PATIENTS[rows]} & {*PATIENTS[~rows]}) == 0
        assert rows.mean() == pytest.approx(share, abs=0.02)
        before = rows
    assert before.all()


def test_two_draws_have_different_patients() -> None:
    y, folds = _targets()
    assert (rows_of_part(Part(0.2, 0), y, folds, PATIENTS) != rows_of_part(Part(0.2, 1), y, folds, PATIENTS)).any()


@pytest.mark.parametrize(("size", "rate"), [(0.03, 0.5), (0.1, 0.3), (-0.01, 0.5)])
def test_the_gain_of_twice_the_patients_is_that_of_a_known_power_law(size: float, rate: float) -> None:
    shares = np.array(SHARES)
    expected = power_law(np.array([2.0]), 0.85, size, rate)[0] - 0.85
    assert double_gain(shares, power_law(shares, 0.85, size, rate)) == pytest.approx(expected, abs=1e-5)


def test_a_rising_curve_is_told_from_a_flat_one() -> None:
    y, _ = _targets()
    rising = growth("rising", y, _scores(y, {share: 0.9 * share**-0.6 for share in SHARES}), PATIENTS, _patients())
    flat = growth("flat", y, _scores(y, dict.fromkeys(SHARES, 0.0)), PATIENTS, _patients())
    assert rising.of_double.low > 0
    assert rising.from_half.low > 0
    assert rising.verdict() == "more patients help"
    assert flat.of_double.value == pytest.approx(0, abs=1e-4)
    assert flat.verdict().startswith("the curve is flat")


@pytest.mark.parametrize(
    ("gain", "words"),
    [
        (Interval(0.01, 0.002, 0.018), "more patients help"),
        (Interval(0.0, -0.001, 0.001), "the curve is flat"),
        (Interval(0.01, -0.02, 0.04), "too noisy to say"),
        (Interval(0.003, -0.001, 0.006), "a small gain at most"),
    ],
)
def test_the_words_follow_from_the_interval(gain: Interval, words: str) -> None:
    y, _ = _targets()
    curve = growth("any", y, _scores(y, dict.fromkeys(SHARES, 0.0)), PATIENTS, _patients())
    assert curve._replace(of_double=gain).verdict().startswith(words)
