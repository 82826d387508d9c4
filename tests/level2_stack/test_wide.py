"""Tests of forecast/wide.py: a stack over many columns says before it begins how long it takes, and what is cheaper."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from level2_stack.design.assemble import Design
from level2_stack.forecast.wide import MANY, announce_wide, forecast_wide
from level2_stack.recipe import read_recipe
from level2_stack.recipe_files import recipe_file
from tests.level2_stack.small_designs import make_design, recipe


def wide_design(columns: int) -> Design:
    design = make_design()
    numbers = np.random.default_rng(0).normal(size=(len(design.X), columns))
    names = [f"metadata.gene_{number}" for number in range(columns)]
    return replace(design, X=design.X.join(pd.DataFrame(numbers, design.X.index, names)))


def test_few_columns_need_no_announcement(capsys: pytest.CaptureFixture[str]) -> None:
    announce_wide(wide_design(MANY - 10), recipe("lgbm"), 1)
    assert capsys.readouterr().out == ""


def test_many_columns_are_announced_with_the_time_and_the_cheaper_recipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    announce_wide(wide_design(MANY), recipe("lgbm"), 1)
    assert "cheaper" not in capsys.readouterr().out
    monkeypatch.setattr("level2_stack.forecast.wide.LONG", 0.0)
    announce_wide(wide_design(MANY), recipe("lgbm", ablation=True), 1)
    first, second, third = capsys.readouterr().out.splitlines()
    assert "level two: 503 columns: " in first
    assert "cheaper: --recipe wide" in second
    assert "metadata = [...] under [columns] in cases.toml" in third
    announce_wide(wide_design(MANY), read_recipe(recipe_file("wide")), 1)
    assert "cheaper" not in capsys.readouterr().out


@pytest.mark.full
def test_the_cheaper_recipe_has_fewer_and_shorter_fits() -> None:
    design, default = wide_design(MANY), read_recipe(recipe_file("default"))
    cheaper = read_recipe(recipe_file("wide"))
    seconds, fits, _ = forecast_wide(design, default, 1)
    cheaper_seconds, cheaper_fits, _ = forecast_wide(design, cheaper, 1)
    assert cheaper_fits < fits
    assert cheaper_seconds.high < seconds.high / 2
