"""Tests for early_exit.py: clear pictures need one view, and the margin keeps the decision of the others."""

import numpy as np
import pandas as pd

from benchmarks.early_exit import stop_early


def drawn_cases(count: int = 600) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    return pd.DataFrame({"fold": np.arange(count) % 5, "target": rng.integers(0, 2, count)})


def test_equal_views_are_left_after_the_first() -> None:
    cases = drawn_cases()
    probability = np.random.default_rng(1).random(len(cases))
    scores, counts, decisions = stop_early(np.repeat(probability[:, np.newaxis], 8, axis=1), cases, 0.99)
    np.testing.assert_allclose(scores, probability)
    assert (counts == 1).all()
    assert decisions == 0


def test_pictures_near_the_threshold_get_more_views_than_clear_ones() -> None:
    cases = drawn_cases()
    rng = np.random.default_rng(3)
    centre = np.clip(0.3 + 0.4 * cases["target"].to_numpy() + rng.normal(0, 0.15, len(cases)), 0, 1)
    views = centre[:, np.newaxis] + rng.normal(0, 0.03, (len(cases), 8))
    _, counts, decisions = stop_early(views, cases, 0.99)
    threshold = np.quantile(views.mean(axis=1)[cases["target"] == 1], 0.1)
    is_near = np.abs(centre - threshold) < 0.02
    assert counts[is_near].mean() > 5
    assert counts[np.abs(centre - threshold) > 0.2].max() <= 2
    assert decisions < 0.02
