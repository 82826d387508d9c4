"""Tests for checkpoint.py and history.py: the files from which a killed training continues."""

from pathlib import Path

import numpy as np

from level1_cnn.training.checkpoint import load_state, load_weights, save_state, save_weights
from level1_cnn.training.history import History


def test_a_state_is_read_back_to_the_bit_with_the_number_of_epochs(tmp_path: Path) -> None:
    state = {"model/0000": np.array([1 / 3, np.nan], np.float32), "seed": np.array([7, 2**40], np.int64)}
    save_state(tmp_path / "state.npz", state, 3)
    copy, epochs = load_state(tmp_path / "state.npz") or ({}, -1)
    assert epochs == 3
    assert {name: value.tobytes() for name, value in copy.items()} == {n: v.tobytes() for n, v in state.items()}
    assert copy["seed"].dtype == np.int64


def test_before_the_first_epoch_there_is_no_state(tmp_path: Path) -> None:
    assert load_state(tmp_path / "state.npz") is None


def test_weights_keep_paths_with_slashes(tmp_path: Path) -> None:
    weights = {"stem/conv/kernel": np.ones((2, 3), np.float32), "logits/bias": np.zeros(1, np.float32)}
    save_weights(tmp_path / "weights.npz", weights)
    copy = load_weights(tmp_path / "weights.npz")
    assert list(copy) == list(weights)
    assert all(np.array_equal(copy[name], weights[name]) for name in weights)


def test_an_epoch_in_the_history_without_a_saved_state_is_recorded_again(tmp_path: Path) -> None:
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


def test_a_training_from_the_start_drops_the_history_of_an_older_one(tmp_path: Path) -> None:
    with History(tmp_path, 0) as history:
        history.add(epoch=1, steps=1.0, loss=1.0, learning_rate=0.1, seconds=1.0)
    assert History(tmp_path, 0).table.empty


def test_a_history_is_read_back_to_the_bit(tmp_path: Path) -> None:
    """Otherwise an AUC equal to the best one could seem better after a kill, and another epoch would be the best."""
    with History(tmp_path, 0) as history:
        for epoch in range(1, 41):
            history.add(epoch=epoch, steps=1.0, loss=0.5, learning_rate=0.1, seconds=1.0, validation_auc=epoch / 143)
    with History(tmp_path, 40) as copy:
        assert copy.table["validation_auc"].tolist() == history.table["validation_auc"].tolist()
