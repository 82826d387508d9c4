"""Tests for lookalikes.py: which cases a fold must not be trained on."""

from pathlib import Path

import pandas as pd
import pytest

from features.leaks.pairs import write_pairs
from level1_cnn.data.lookalikes import Lookalikes
from runtime.run_folder import Run

CASES = pd.DataFrame(
    {"role": ["train", "train", "train", "test", "extra", "extra"], "fold": [0, 1, 1, -1, -1, -1]},
    index=pd.Index(["v0", "t1", "u1", "test", "x", "y"], name="image_name"),
)


def pairs(*names: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(names, columns=["first", "second"]).assign(kind="near-duplicate", alike=0.8)


def lookalikes(folder: Path, found: pd.DataFrame) -> Lookalikes:
    run = Run(folder)
    write_pairs(run.pairs, found)
    return Lookalikes(run, CASES)


@pytest.mark.parametrize(
    ("found", "fold", "ruled_out"),
    [
        (pairs(("v0", "t1")), 0, {"t1"}),
        (pairs(("v0", "t1")), 1, {"v0"}),
        (pairs(("t1", "u1")), 0, set()),  # both are trained on, or both validated
        (pairs(("t1", "u1")), 1, set()),
        (pairs(("test", "u1"), ("x", "test")), 0, {"u1", "x"}),
        (pairs(("x", "v0"), ("y", "x")), 0, {"x"}),
        (pairs(("x", "v0")), 1, set()),
    ],
)
def test_what_shows_a_validation_or_test_picture_is_not_trained_on(
    tmp_path: Path, found: pd.DataFrame, fold: int, ruled_out: set[str]
):
    assert lookalikes(tmp_path, found).of_fold(fold) == ruled_out


def test_a_stage_shared_by_all_folds_sees_no_external_copy_of_any_of_their_pictures(tmp_path: Path):
    found = pairs(("x", "v0"), ("t1", "u1"), ("x", "y"))
    assert lookalikes(tmp_path, found).external() == {"x"}
    assert lookalikes(tmp_path, pairs(("test", "y"))).external() == {"y"}
