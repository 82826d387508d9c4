"""Leaks through columns of the case table: alone or in pairs, in the order of a number or in its form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.planting.cases import LeakyTables
from benchmarks.planting.source import Source

Draw = Callable[[NDArray[np.bool_], np.random.Generator], dict[str, NDArray[np.generic]]]
SHARES = (0.6, 0.8, 1.0)  # by strength: of the cases whose columns follow the target; the others follow a coin


def value(target: NDArray[np.bool_], random: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    """A number that is higher in malignant cases: a thickness that the pathologist measured."""
    return {"thickness": np.round(1 + 3 * target + random.normal(0, 0.5, len(target)), 3)}


def middle(target: NDArray[np.bool_], random: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    """A number whose middle range is malignant, and neither its low nor its high values."""
    outside = random.choice([-1.0, 1.0], len(target)) * random.uniform(3, 8, len(target))
    return {"offset": np.round(np.where(target, random.uniform(-1, 1, len(target)), outside), 3)}


def missing(target: NDArray[np.bool_], random: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    """A number that is known for benign cases alone."""
    return {"follow_up": np.where(target, np.nan, np.round(random.uniform(1, 60, len(target)), 1))}


def category(target: NDArray[np.bool_], random: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    """A code of the treatment."""
    codes = np.where(target, random.integers(5, 8, len(target)), random.integers(0, 5, len(target)))
    return {"procedure": np.char.add("proc ", codes.astype(str))}


def rare_codes(target: NDArray[np.bool_], random: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    """Codes of which each malignant case has one of its own, while benign cases share a few."""
    own = np.char.add("R", random.integers(1000, 10**6, len(target)).astype(str))
    return {"referral": np.where(target, own, np.char.add("Q", random.integers(0, 4, len(target)).astype(str)))}


def prefix(target: NDArray[np.bool_], random: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    """A number of the record that begins with the ward; every case has another one."""
    numbers = random.integers(10**5, 10**6, len(target)).astype(str)
    return {"record": np.char.add(np.where(target, "ONC-", "DER-"), numbers)}


def decimals(target: NDArray[np.bool_], random: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    """A diameter that the pathologist writes with two decimals, and everybody else with one."""
    numbers = random.uniform(2, 12, len(target))
    return {"diameter": np.where(target, np.floor(numbers * 10) / 10 + 0.05, np.round(numbers, 1))}


def last_digit(target: NDArray[np.bool_], random: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    """A running number that is odd for malignant cases."""
    return {"serial": 2.0 * random.integers(1000, 50_000, len(target)) + target}


def exclusive_or(target: NDArray[np.bool_], random: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    """Two columns of 0 and 1 that differ in malignant cases; each alone says nothing."""
    first = random.integers(0, 2, len(target))
    return {"reader_one": first.astype(float), "reader_two": (first ^ target).astype(float)}


def difference(target: NDArray[np.bool_], random: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    """Two days in a year: in malignant cases the second comes within a week of the first."""
    first = random.integers(0, 365, len(target)).astype(float)
    gap = np.where(target, random.integers(0, 7, len(target)), random.integers(14, 200, len(target)))
    return {"day_of_visit": first, "day_of_report": first + gap}


def _planting(draw: Draw) -> Callable[[Source, int, np.random.Generator], LeakyTables]:
    """Return the function that adds the columns of ``draw`` to the tables, and names them as the culprits."""

    def plant(source: Source, strength: int, random: np.random.Generator) -> LeakyTables:
        target = source.train["target"].to_numpy() == 1
        coin = random.random(len(target)) < target.mean()
        follows = random.random(len(target)) < SHARES[strength]
        columns = pd.DataFrame(draw(np.where(follows, target, coin), random), index=source.train.index)
        # The test cases have the column as well, by a coin: there it cannot know the answer.
        on_test = pd.DataFrame(draw(random.random(len(source.test)) < target.mean(), random), index=source.test.index)
        leaky = replace(source, train=source.train.join(columns), test=source.test.join(on_test))
        return leaky, tuple(map(str, columns))

    return plant


KINDS: dict[str, Callable[[Source, int, np.random.Generator], LeakyTables]] = {
    "column: its value": _planting(value),
    "column: its middle range": _planting(middle),
    "column: a missing value": _planting(missing),
    "column: a category": _planting(category),
    "column: rare codes": _planting(rare_codes),
    "column: the prefix of an id": _planting(prefix),
    "column: decimals": _planting(decimals),
    "column: the last digit": _planting(last_digit),
    "two columns: exclusive or": _planting(exclusive_or),
    "two columns: a difference": _planting(difference),
}
