"""The plan of a thousand GPUs: its formulas at numbers that can be done in the head, and the page that shows them."""

from dataclasses import replace
from pathlib import Path

import pytest

from level1_cnn.fleet import Fleet, plan_lines
from runtime.errors import InputFault

PAGE = Path(__file__).resolve().parents[1] / "docs" / "thousand_gpus.md"
# A network of 2e9 x 0.386 operations at its own side, on GPUs that do as many forward passes per second.
EASY = Fleet(
    pictures=3600e3,
    gpus=40,
    network="b0",
    side=224,
    models=2,
    folds=5,
    epochs=3,
    batch=10,
    peak=0.772e9 * 300,
    utilisation=1.0,
    bytes_per_picture=1e4,
    preparation_seconds=0.08,
    decode_seconds=0.02,
    cores_per_gpu=2,
    price=3.0,
)


def test_a_gpu_trains_at_a_third_of_its_forward_passes_and_a_larger_side_costs_its_pixels() -> None:
    assert EASY.training_rate == pytest.approx(100.0)
    assert Fleet(network="b0", side=448).operations == pytest.approx(4 * 0.772e9)


def test_hours_count_every_picture_outside_its_fold_once_per_epoch_and_every_view_once() -> None:
    assert EASY.training_hours == pytest.approx(2 * 4 * 3 * 3600e3 / 100 / 3600)
    assert EASY.prediction_hours == pytest.approx(2 * 8 * 3600e3 / 300 / 3600)
    assert EASY.days == pytest.approx((240 + 53.333333) / 40 / 24)
    assert EASY.cost == pytest.approx(3 * (240 + 53.333333), rel=1e-6)


def test_tasks_share_the_gpus_and_an_epoch_is_shared_by_those_of_its_task() -> None:
    assert (EASY.tasks, EASY.gpus_per_task) == (10, 4)
    assert EASY.epoch_hours == pytest.approx(3600e3 * 0.8 / (100 * 4) / 3600)
    assert Fleet(gpus=3).gpus_per_task == 1


def test_storage_reading_and_decoding_are_the_pictures_times_their_bytes_and_seconds() -> None:
    assert EASY.stored_bytes == pytest.approx(36e9)
    assert EASY.shards == 36
    assert EASY.read_bytes == pytest.approx(40 * 100 * 1e4)
    assert EASY.decode_cores == pytest.approx(2.0)
    assert EASY.preparation_hours == pytest.approx(3600e3 * 0.08 / 80 / 3600)


def test_gradients_are_sent_twice_but_for_ones_own_share() -> None:
    assert EASY.gradient_bytes == pytest.approx(2 * 3 / 4 * 5_330_564 * 4 * 10)


def test_the_best_interval_loses_less_than_shorter_and_longer_ones() -> None:
    lost = [EASY.lost_share(EASY.checkpoint_hours * factor, EASY.checkpoint_seconds) for factor in (0.5, 1.0, 2.0)]
    assert lost[1] == min(lost)
    assert EASY.epoch_hours_with_failures == pytest.approx(EASY.epoch_hours, rel=1e-3)
    frail = replace(EASY, failure_hours=4 * EASY.epoch_hours)
    assert frail.epoch_hours_with_failures == pytest.approx(1.71828 * EASY.epoch_hours, rel=1e-5)
    assert EASY.hours_between_failures == pytest.approx(50_000 / 40)


def test_the_table_of_level_two_is_eight_bytes_a_cell_and_a_ninth_in_bins() -> None:
    assert Fleet(columns=60).design_bytes == pytest.approx(48e9)
    assert Fleet(columns=60).binned_bytes == pytest.approx(6.8e9)


def test_the_page_shows_what_the_command_prints() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [line for line in plan_lines(Fleet()) if line not in text] == []


@pytest.mark.parametrize(
    ("fleet", "said"),
    [
        (Fleet(network="b5"), "network 'b5'; known are: b0, b4, b6"),
        (Fleet(gpus=0), "pictures, gpus and side are 1 or more"),
        (Fleet(utilisation=1.5), "utilisation is a share"),
    ],
)
def test_what_makes_no_plan_is_refused(fleet: Fleet, said: str) -> None:
    with pytest.raises(InputFault, match=said):
        plan_lines(fleet)
