"""Tests of the value of views: independent noise falls with their number, and equal views add nothing."""

import numpy as np
import pandas as pd
import pytest

from melstack.next_steps.views import view_curve

ROWS = 1500


def _train() -> pd.DataFrame:
    random = np.random.default_rng(0)
    index = pd.Index([f"c{number}" for number in range(ROWS)], name="image_name")
    target = (random.random(ROWS) < 0.3).astype(np.float64)
    return pd.DataFrame({"target": target, "patient_id": [f"p{n // 2}" for n in range(ROWS)]}, index=index)


def _views(train: pd.DataFrame, noise: float) -> pd.DataFrame:
    random = np.random.default_rng(1)
    clear = train["target"].to_numpy() + random.normal(size=ROWS)
    table = {f"v{n}": clear + noise * random.normal(size=ROWS) for n in range(8)}
    return pd.DataFrame(table, index=train.index)


def test_views_with_noise_of_their_own_add_less_with_each_doubling() -> None:
    table = view_curve("net", _views(_train(), 1.0), _train())
    rows = table[table["kind"] == "measured"]
    assert list(rows["views"]) == [1, 2, 4, 8]
    assert (rows["adds_low"].iloc[1:] > 0).all()
    assert rows["adds"].iloc[1:].is_monotonic_decreasing
    last, ahead = rows.iloc[-1], table.iloc[-1]
    assert ahead["views"] == 16
    assert ahead["adds"] == pytest.approx(last["adds"] / 2)


def test_equal_views_add_nothing() -> None:
    table = view_curve("net", _views(_train(), 0.0), _train())
    np.testing.assert_allclose(table["adds"].dropna(), 0, atol=1e-12)
