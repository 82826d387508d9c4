"""Tests of the rules that choose thresholds: what new cases of the same clinic reach on average."""

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm

from level2_stack.thresholds.rules import at_cost, at_npv, at_sensitivity, at_specificity

DRAWS = 2000


@pytest.mark.parametrize("count", [15, 40, 200])
def test_new_malignant_cases_reach_the_sensitivity_on_average(count):
    random = np.random.default_rng(count)
    thresholds = [at_sensitivity(expit(random.normal(1.5, 1, count)), 0.9).threshold for _ in range(DRAWS)]
    shares = 1 - norm.cdf(logit(thresholds), 1.5)
    assert abs(shares.mean() - 0.9) < 0.01


@pytest.mark.parametrize("count", [15, 40, 200])
def test_new_benign_cases_reach_the_specificity_on_average(count):
    random = np.random.default_rng(count)
    thresholds = [at_specificity(expit(random.normal(-1, 1, count)), 0.9).threshold for _ in range(DRAWS)]
    shares = norm.cdf(logit(thresholds), -1)
    assert abs(shares.mean() - 0.9) < 0.01


def test_new_cases_below_the_threshold_have_the_npv_on_average():
    random, shares = np.random.default_rng(0), []
    for _ in range(DRAWS):
        y = (random.random(500) < 0.1).astype(float)
        threshold = at_npv(y, expit(random.normal(1.5 * y)), np.ones(500), 0.98).threshold
        malignant, benign = 0.1 * norm.cdf(logit(threshold), 1.5), 0.9 * norm.cdf(logit(threshold))
        shares += [1.0 if threshold == 0 else benign / (benign + malignant)]
    assert 0.98 <= np.mean(shares) < 0.988


def test_a_rank_that_is_whole_is_the_score_of_that_rank():
    positives = np.arange(1, 10) / 10  # 0.1 * (9 + 1) is the first rank
    assert at_sensitivity(positives, 0.9).threshold == 0.1
    assert at_specificity(positives, 0.9).threshold == 0.9
    assert at_sensitivity(positives, 0.8).threshold == 0.2


def test_between_two_ranks_the_threshold_is_between_their_scores():
    assert at_sensitivity(np.array([0.1, 0.2, 0.6]), 0.6).threshold == pytest.approx(0.16)  # rank 1.6


def test_too_few_cases_for_an_aim_give_the_last_score_and_say_how_many_it_takes():
    choice = at_sensitivity(np.array([0.3, 0.4, 0.5]), 0.9)
    assert choice == (0.3, "3 malignant cases are too few for this aim, which takes 9 or more")
    assert at_specificity(np.array([0.3, 0.4]), 0.9) == (
        0.4,
        "2 benign cases are too few for this aim, which takes 9 or more",
    )
    assert at_sensitivity(np.linspace(0.1, 0.9, 9), 0.9).note == ""


def test_benign_cases_with_equal_scores_are_predicted_benign_together():
    negatives = np.repeat([0.1, 0.2, 0.3], [40, 50, 10])
    threshold = at_specificity(negatives, 0.8).threshold
    assert (negatives < threshold).mean() == 0.9


def test_an_npv_that_no_threshold_reaches_refers_every_case():
    y, score = np.array([1.0, 0, 0, 1]), np.array([0.1, 0.2, 0.3, 0.9])
    choice = at_npv(y, score, np.ones(4), 0.9)
    assert choice.threshold == 0
    assert "every case is referred" in choice.note


def test_an_npv_below_the_share_of_benign_cases_refers_no_case():
    y = np.r_[np.ones(1), np.zeros(99)]
    assert at_npv(y, np.linspace(0.1, 0.2, 100), np.ones(100), 0.9).threshold == 1.0


def test_the_npv_holds_at_the_prevalence_of_the_weights():
    random = np.random.default_rng(0)
    y = (random.random(4000) < 0.5).astype(float)
    score, weights = expit(random.normal(2 * y)), np.where(y == 1, 0.02 / 0.5, 0.98 / 0.5)
    threshold = at_npv(y, score, weights, 0.995).threshold
    below = score < threshold
    assert below.mean() > 0.2
    assert 0.995 <= (weights * (1 - y))[below].sum() / weights[below].sum() < 0.997


def test_a_cost_of_twenty_excisions_is_worth_a_probability_of_one_in_twenty_one():
    assert at_cost(20) == pytest.approx(1 / 21)
