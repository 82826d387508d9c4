"""Columns and pairs of columns that reveal the target are found with the right culprit; honest ones are not blamed."""

import numpy as np
import pandas as pd
import pytest

from features.leaks.cells import count_cells
from features.leaks.column_leaks import Cases, column_leaks

ROWS = 1500
RANDOM = np.random.default_rng(7)
TARGET = RANDOM.random(ROWS) < 0.1
CASES = Cases(TARGET, np.arange(ROWS) % 5)
AGE = np.round(50 + 12 * TARGET + RANDOM.normal(0, 12, ROWS))
SITE = RANDOM.choice(["torso", "head", "leg"], ROWS)
FIRST = RANDOM.integers(0, 2, ROWS)
VISIT = RANDOM.integers(0, 365, ROWS)
NUMBERS = RANDOM.integers(10**5, 10**6, ROWS)

LEAKS = {
    "its values": {"stage": np.where(TARGET, "t1", RANDOM.choice(["none", "low"], ROWS))},
    "ranges of it": {"offset": np.where(TARGET, RANDOM.uniform(-1, 1, ROWS), RANDOM.choice([-5, 5], ROWS) + FIRST)},
    "missing": {"follow_up": np.where(TARGET, np.nan, RANDOM.uniform(1, 60, ROWS))},
    "rare": {"referral": np.where(TARGET, [f"R{number}" for number in NUMBERS], "Q")},
    "first character": {"record": np.where(TARGET, [f"O{n}" for n in NUMBERS], [f"D{n}" for n in NUMBERS])},
    "decimals": {"size": np.where(TARGET, np.floor(NUMBERS / 1e4) + 0.25, np.floor(NUMBERS / 1e4) + 0.5)},
    "last digit": {"serial": 2 * NUMBERS + TARGET},
    "both together": {"one": FIRST.astype(float), "two": (FIRST ^ TARGET).astype(float)},
    "difference": {"visit": VISIT, "report": VISIT + np.where(TARGET, 3, 20 + NUMBERS % 100)},
}


def leaks_of(columns: dict[str, np.ndarray]) -> list:
    series = {name: pd.Series(values) for name, values in columns.items()}
    return column_leaks(series, CASES, list(series))


@pytest.mark.parametrize("kind", LEAKS)
def test_the_culprit_is_named_and_age_and_site_are_not(kind: str) -> None:
    leaks = leaks_of({"age": AGE, "site": SITE} | LEAKS[kind])
    assert [leak.columns for leak in leaks] == [tuple(LEAKS[kind])]
    assert leaks[0].auc.low > 0.9


@pytest.mark.parametrize("share", [0.6, 0.8])
def test_a_leak_that_holds_for_a_part_of_the_cases_is_named_too(share: float) -> None:
    random = np.random.default_rng(1)
    follows = random.random(ROWS) < share
    guess = np.where(follows, TARGET, random.random(ROWS) < 0.1)
    assert [leak.columns for leak in leaks_of({"age": AGE, "follow_up": np.where(guess, np.nan, 1.0)})] == [
        ("follow_up",)
    ]
    pair = {"one": FIRST.astype(float), "two": (FIRST ^ guess).astype(float)}
    assert [leak.columns for leak in leaks_of({"age": AGE} | pair)] == [("one", "two")]


@pytest.mark.parametrize("seed", range(10))
def test_columns_that_know_nothing_of_the_target_are_not_named(seed: int) -> None:
    random = np.random.default_rng(seed)
    noise = random.normal(size=ROWS)
    columns = {
        "number": noise,
        "rounded": np.round(noise * 10),
        "missing": np.where(random.random(ROWS) < 0.3, np.nan, noise),
        "code": random.choice([f"c{number}" for number in range(400)], ROWS),
        "flag": random.integers(0, 2, ROWS).astype(float),
        "age": AGE,
        "site": SITE,
    }
    assert leaks_of(columns) == []


def test_too_few_cases_of_a_class_or_one_fold_reveal_nothing() -> None:
    columns = {"word": pd.Series(TARGET.astype(float))}
    few = Cases(np.arange(ROWS) < 9, CASES.folds)
    assert column_leaks({"word": pd.Series(few.malignant.astype(float))}, few, []) == []
    assert column_leaks(columns, Cases(TARGET, np.zeros(ROWS, np.intp)), []) == []


def test_a_cell_is_scored_by_the_other_folds_alone() -> None:
    """A code that only one fold has says nothing of its target, so a code per case has no AUC."""
    codes = np.arange(ROWS)
    counts = count_cells(codes, TARGET, CASES.folds)
    assert abs(counts.auc(counts.log_odds()).value - 0.5) < 0.05
