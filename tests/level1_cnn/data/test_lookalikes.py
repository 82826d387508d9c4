"""Tests for lookalikes.py: the cases that a fold must not be trained on."""

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


def lookalikes(folder: Path, table: pd.DataFrame) -> Lookalikes:
    run = Run(folder)
    write_pairs(run.pairs, table)
    return Lookalikes(run, CASES)


@pytest.mark.parametrize(
    ("table", "fold", "exclusions"),
    [
        (pairs(("v0", "t1")), 0, {"t1"}),
        (pairs(("v0", "t1")), 1, {"v0"}),
        (pairs(("t1", "u1")), 0, set()),  # both in training, or both in validation
        (pairs(("t1", "u1")), 1, set()),
        (pairs(("test", "u1"), ("x", "test")), 0, {"u1", "x"}),
        (pairs(("x", "v0"), ("y", "x")), 0, {"x"}),
        (pairs(("x", "v0")), 1, set()),
    ],
)
def test_a_fold_is_not_trained_on_lookalikes_of_validation_or_test_pictures(
    tmp_path: Path, table: pd.DataFrame, fold: int, exclusions: set[str]
):
    assert lookalikes(tmp_path, table).of_fold(fold) == exclusions


def test_a_stage_shared_by_all_folds_sees_no_external_lookalike_of_their_pictures(tmp_path: Path):
    table = pairs(("x", "v0"), ("t1", "u1"), ("x", "y"))
    assert lookalikes(tmp_path, table).external() == {"x"}
    assert lookalikes(tmp_path, pairs(("test", "y"))).external() == {"y"}
