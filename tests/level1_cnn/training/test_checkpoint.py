"""Tests for checkpoint.py and history.py: what a killed training needs to go on."""

from pathlib import Path

import numpy as np

from level1_cnn.training.checkpoint import load_state, load_weights, save_state, save_weights
from level1_cnn.training.history import History


def test_a_state_comes_back_to_the_bit_with_the_epochs_behind_it(tmp_path: Path) -> None:
    state = {"model/0000": np.array([1 / 3, np.nan], np.float32), "seed": np.array([7, 2**40], np.int64)}
    save_state(tmp_path / "state.npz", state, 3)
    loaded, epochs = load_state(tmp_path / "state.npz") or ({}, -1)
    assert epochs == 3
    assert {name: value.tobytes() for name, value in loaded.items()} == {n: v.tobytes() for n, v in state.items()}
    assert loaded["seed"].dtype == np.int64


def test_before_the_first_epoch_there_is_no_state(tmp_path: Path) -> None:
    assert load_state(tmp_path / "state.npz") is None


def test_weights_keep_paths_with_slashes(tmp_path: Path) -> None:
    weights = {"stem/conv/kernel": np.ones((2, 3), np.float32), "logits/bias": np.zeros(1, np.float32)}
    save_weights(tmp_path / "weights.npz", weights)
    loaded = load_weights(tmp_path / "weights.npz")
    assert list(loaded) == list(weights)
    assert all(np.array_equal(loaded[name], weights[name]) for name in weights)


def test_an_epoch_that_was_recorded_but_not_saved_is_recorded_again(tmp_path: Path) -> None:
    record = {"steps": 4.0, "learning_rate": 0.1, "seconds": 1.0}
    with History(tmp_path, 0) as history:
        history.add(epoch=1, loss=0.9, **record)
        history.add(epoch=2, loss=0.8, **record)
    with History(tmp_path, 1) as history:
        assert history.table["epoch"].tolist() == [1]
        history.add(epoch=2, loss=0.7, validation_auc=0.6, **record)
    table = History(tmp_path, 2).table
    assert table["loss"].tolist() == [0.9, 0.7]
    assert np.isnan(table["validation_auc"][0])
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_a_training_begun_anew_forgets_the_history_of_an_older_one(tmp_path: Path) -> None:
    with History(tmp_path, 0) as history:
        history.add(epoch=1, steps=1.0, loss=1.0, learning_rate=0.1, seconds=1.0)
    assert History(tmp_path, 0).table.empty


def test_a_history_is_read_back_to_the_bit(tmp_path: Path) -> None:
    """Else an AUC that equals the best one so far could seem better after a kill, and another epoch would be kept."""
    with History(tmp_path, 0) as history:
        for epoch in range(1, 41):
            history.add(epoch=epoch, steps=1.0, loss=0.5, learning_rate=0.1, seconds=1.0, validation_auc=epoch / 143)
    with History(tmp_path, 40) as again:
        assert again.table["validation_auc"].tolist() == history.table["validation_auc"].tolist()
