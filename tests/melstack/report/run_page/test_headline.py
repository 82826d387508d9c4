import pandas as pd
import pytest

from melstack.report.formats import count, limits, number, percent, with_sign
from melstack.report.run_page.headline import NOT_BEYOND_CHANCE, verdict
from runtime.plural import number_of


def board(gain: float, low: float, high: float) -> pd.DataFrame:
    rows = {"choice": (0.0, 0.0, 0.0), "rank_mean": (gain, low, high)}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["gain", "gain_low", "gain_high"])


@pytest.mark.parametrize(
    ("gain", "tone", "title"),
    [
        ((0.02, 0.01, 0.03), "good", "The stack beats the rank mean"),
        ((0.02, -0.01, 0.05), "unclear", NOT_BEYOND_CHANCE),
        ((-0.02, -0.03, -0.01), "bad", "The rank mean beats the stack"),
    ],
)
def test_the_verdict_follows_the_paired_interval(gain: tuple[float, float, float], tone: str, title: str) -> None:
    result = verdict(board(*gain), "choice", "blend")
    assert (result.tone, result.title) == (tone, title)
    assert "blend" in result.sentence


def test_if_the_rank_mean_is_submitted_the_verdict_states_the_gain_of_the_best_stack() -> None:
    best_stack = {"preferred": "blend", "gain": 0.0107, "low": -0.0108, "high": 0.0304}
    result = verdict(board(0, 0, 0), "choice", "rank_mean", best_stack)
    assert result.title == NOT_BEYOND_CHANCE
    assert result.sentence.startswith("The gain of blend is +0.0107 [−0.0108, +0.0304]")
    assert result.sentence.endswith("submitted: rank_mean, because no gain on new cases is expected.")


def test_the_verdict_says_why_the_model_is_submitted_although_its_gain_is_not_beyond_chance() -> None:
    row = board(0.02, -0.01, 0.05)
    assert verdict(row, "choice", "blend", {"preferred": "blend"}).sentence.endswith(
        "submitted: blend, expected to be best on new cases."
    )
    assert verdict(row, "xgb", "xgb").sentence.endswith("submitted: xgb, as the recipe says.")


def test_without_a_rank_mean_the_verdict_is_unclear() -> None:
    assert verdict(board(0, 0, 0).drop(index="rank_mean"), "choice", "lgbm").tone == "unclear"
    assert verdict(board(0, 0, 0), "rank_mean", "rank_mean").tone == "unclear"


def test_unknown_numbers_are_a_dash() -> None:
    nan = float("nan")
    assert {number(nan), number(None), with_sign(nan), percent(None), count(nan)} == {"–"}
    assert limits({"auc_low": nan, "auc_high": 1.0}, "auc") == ""


def test_numbers_have_the_digits_that_matter() -> None:
    assert number(0.86755) == "0.8676"
    assert with_sign(-0.0021, 3) == "−0.002"
    assert (percent(0.0176296), percent(0.17)) == ("1.76 %", "17.0 %")
    assert count(33126.0) == "33,126"
    counts = [number_of(1, "picture"), number_of(0, "picture"), number_of(1200, "case with", "cases with")]
    assert counts == ["1 picture", "0 pictures", "1,200 cases with"]
    assert limits({"auc_low": 0.81, "auc_high": 0.9}, "auc") == "[0.810, 0.900]"
