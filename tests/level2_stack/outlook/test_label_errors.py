"""Tests of the candidates for another look: planted label errors come first, and right labels stay out."""

import numpy as np
import pandas as pd
import pytest

from level2_stack.outlook.label_errors import (
    class_means,
    disagrees,
    label_candidates,
    opposed_neighbours,
    surprise,
    wrong_probability,
)

ROWS = 4000


def _candidates(seed: int = 0, share: float = 0.03) -> tuple[pd.DataFrame, set[str]]:
    """Return the candidates of drawn cases of which a ``share`` of labels is inverted, and the names of these."""
    random = np.random.default_rng(seed)
    truth = (random.random(ROWS) < 0.2).astype(np.float64)
    logits = -2.4 + 2.5 * truth + random.normal(size=ROWS)
    names = pd.Index([f"c{number}" for number in range(ROWS)])
    wrong = random.choice(ROWS, round(share * ROWS), replace=False)
    y = truth.copy()
    y[wrong] = 1 - y[wrong]
    probability = 1 / (1 + np.exp(-logits))
    networks = pd.DataFrame({"a": probability, "b": random.random(ROWS)}, index=names)
    return label_candidates(names, y, np.arange(ROWS) % 5, probability, networks), set(names[wrong])


def test_planted_label_errors_are_found_and_come_first() -> None:
    table, wrong = _candidates()
    is_wrong = table["image_name"].isin(wrong)
    assert is_wrong.sum() / len(wrong) > 0.6
    assert is_wrong.head(60).mean() > 0.5
    assert is_wrong.head(60).mean() > is_wrong.mean()
    assert set(table["label"]) == {0, 1}


def test_the_networks_that_agree_are_counted() -> None:
    table, _ = _candidates()
    assert (table["networks"] == 2).all()
    assert (table["networks_against"] >= 1).mean() > 0.9


def test_limits_come_from_the_other_folds() -> None:
    y, folds = np.array([0.0, 1, 0, 1]), np.array([0, 0, 1, 1])
    means = class_means(y, folds, np.array([0.1, 0.9, 0.3, 0.7]))
    np.testing.assert_allclose(means, [[0.3, 0.7], [0.3, 0.7], [0.1, 0.9], [0.1, 0.9]])


def test_a_score_that_ranks_the_classes_the_wrong_way_gives_no_candidates() -> None:
    y, means = np.array([0.0, 1]), np.array([[0.6, 0.4], [0.6, 0.4]])
    assert not disagrees(y, np.array([0.9, 0.1]), means).any()
    assert not disagrees(y, np.array([np.nan, np.nan]), means[:, ::-1]).any()


def test_the_probability_of_a_wrong_label_is_bayes_rule() -> None:
    y = np.array([0.0, 0, 0, 1])
    probability = np.array([0.25, 0.9, 0.1, 0.25])
    np.testing.assert_allclose(surprise(y, probability)[[0, 3]], 0, atol=1e-12)  # no more likely than by prevalence
    wrong = wrong_probability(y, probability, 0.01)
    assert wrong[0] == pytest.approx(0.01)
    ratio = (0.9 / 0.1) / (0.25 / 0.75)
    assert wrong[1] == pytest.approx(0.01 * ratio / (0.01 * ratio + 0.99))


def test_neighbours_are_cases_of_other_patients() -> None:
    random = np.random.default_rng(0)
    y = np.repeat([0.0, 1.0], 40)
    points = np.where(y, 3.0, -3.0)[:, np.newaxis] + random.normal(size=(80, 4))
    labels = y.copy()
    labels[5] = 1
    patients = np.array([f"p{number}" for number in range(80)], dtype=object)
    shares = opposed_neighbours(points, labels, patients, np.array([5, 6]))
    assert shares[0] == 1.0
    assert shares[1] <= 0.1
    patients[:40] = "one"  # then its neighbours can only be among the others
    assert opposed_neighbours(points, y, patients, np.array([6]))[0] == 1.0
