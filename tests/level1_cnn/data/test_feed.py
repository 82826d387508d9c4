"""Tests for the training feed: only the requested rows, in an order set by seed and step, from memory or streamed."""

import ast
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from level1_cnn.augment.settings import Augmentation
from level1_cnn.data.feed import Feed, picture_batches
from level1_cnn.data.training_rows import TrainingRows
from runtime.errors import InputFault
from tests.level1_cnn.augment.noise_pictures import NO_CHANGES
from tests.level1_cnn.data.grey_shards import (
    CACHE_SIZES,
    CASES,
    FILES,
    MALIGNANT,
    SIDE,
    cases_of_batches,
    draw_batches,
    grey,
    rows_of,
    write_shard,
)
from tests.sources import ROOT


def flat(batches: list[list[int]]) -> list[int]:
    return list(chain.from_iterable(batches))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("shards")
    return [
        write_shard(folder / f"train{file:02d}-8.tfrec", grey(list(range(file, CASES, FILES)))) for file in range(FILES)
    ]


@pytest.fixture(scope="module", params=["decoded", "streamed"])
def feed(request: pytest.FixtureRequest, files: list[Path]) -> Feed:
    return Feed(files, rows_of(list(range(CASES))), SIDE, cache_bytes=CACHE_SIZES[request.param])


def test_an_epoch_shows_every_row_once_and_the_next_in_another_order(feed: Feed) -> None:
    numbers = flat(cases_of_batches(draw_batches(feed)))
    assert Counter(numbers[:CASES]) == Counter(numbers[CASES:]) == Counter(range(CASES))
    assert numbers[:CASES] != numbers[CASES:]
    assert numbers[:CASES] != sorted(numbers[:CASES])


def test_no_picture_outside_the_rows_is_ever_shown(files: list[Path]) -> None:
    for cache_bytes in CACHE_SIZES.values():
        own = [1, 4, 7, 11, 20]
        feed = Feed(files, rows_of(own), SIDE, cache_bytes=cache_bytes)
        assert Counter(flat(cases_of_batches(draw_batches(feed, batch_size=5, steps=8)))) == {
            number: 8 for number in own
        }


def test_a_fit_sees_only_its_own_rows_of_the_feed(feed: Feed) -> None:
    own = [23, 0, 9, 14]
    assert Counter(flat(cases_of_batches(draw_batches(feed, rows=rows_of(own), steps=6)))) == {
        number: 6 for number in own
    }


def test_targets_weights_and_metadata_belong_to_the_picture(feed: Feed) -> None:
    own = [2, 5, 12, 17, 21, 22]
    for (pictures, metadata), targets, weights in draw_batches(feed, rows=rows_of(own), malignant_share=0.5):
        numbers = np.round(pictures.numpy().mean(axis=(1, 2, 3)) / 10)
        np.testing.assert_allclose(targets.numpy()[:, 0], numbers / 100, rtol=1e-6)
        np.testing.assert_allclose(weights.numpy(), numbers + 1)
        np.testing.assert_allclose(metadata.numpy(), np.stack([numbers, -numbers], 1))


def test_a_fit_may_have_other_targets_than_the_feed(feed: Feed) -> None:
    soft = {3: [0.2, 0.5, 0.3], 8: [0.9, 0.0, 0.1]}
    targets = np.array(list(soft.values()), np.float32)
    other = TrainingRows(["c3", "c8"], targets, np.ones(2), np.zeros((2, 0)), np.zeros(2, bool), np.zeros(2, bool))
    for (pictures, metadata), targets, _ in draw_batches(feed, rows=other, batch_size=2):
        numbers = np.round(pictures.numpy().mean(axis=(1, 2, 3)) / 10)
        np.testing.assert_allclose(targets.numpy(), [soft[number] for number in numbers])
        assert metadata.shape == (2, 0)


def assert_equal(batches: list, expected: list) -> None:
    for batch, expected_batch in zip(batches, expected, strict=True):
        tf.nest.map_structure(lambda a, b: np.testing.assert_array_equal(a.numpy(), b.numpy()), batch, expected_batch)


@pytest.mark.parametrize(("share", "augmentation"), [(0.0, NO_CHANGES), (0.3, Augmentation())])
def test_a_feed_that_starts_at_a_later_step_continues_exactly(
    feed: Feed, share: float, augmentation: Augmentation
) -> None:
    changes = {"malignant_share": share, "augmentation": augmentation}
    assert_equal(list(draw_batches(feed, first_step=9, steps=3, **changes)), list(draw_batches(feed, **changes))[9:])


def test_the_order_depends_on_its_own_seed_and_not_on_the_global_one(feed: Feed) -> None:
    first = cases_of_batches(draw_batches(feed))
    tf.random.set_seed(99)
    assert cases_of_batches(draw_batches(feed)) == first
    assert cases_of_batches(draw_batches(feed, seed=4)) != first


def test_every_batch_has_the_share_of_malignant_rows_and_none_repeats_before_all_came_once(feed: Feed) -> None:
    batches = cases_of_batches(draw_batches(feed, malignant_share=0.25, steps=24))
    assert [sum(number < MALIGNANT for number in batch) for batch in batches] == [1] * 24
    assert len({tuple(number < MALIGNANT for number in batch) for batch in batches}) > 1
    malignant = [number for number in flat(batches) if number < MALIGNANT]
    benign = [number for number in flat(batches) if number >= MALIGNANT]
    assert Counter(malignant) == {number: 4 for number in range(MALIGNANT)}
    assert Counter(malignant[:MALIGNANT]) == {number: 1 for number in range(MALIGNANT)}
    assert Counter(benign) == {number: 4 for number in range(MALIGNANT, CASES)}


def test_every_batch_has_the_share_of_external_rows(feed: Feed) -> None:
    batches = cases_of_batches(draw_batches(feed, external_share=0.25, malignant_share=0.5, steps=24))
    assert [sum(number % 2 for number in batch) for batch in batches] == [1] * 24
    external = [number for number in flat(batches) if number % 2]
    assert sum(number < MALIGNANT for number in external) == 12
    tail = cases_of_batches(draw_batches(feed, external_share=0.25, malignant_share=0.5, first_step=20, steps=4))
    assert tail == batches[20:]


def test_augmentation_differs_between_pictures_and_between_epochs_but_not_between_runs(feed: Feed) -> None:
    own = rows_of([10, 10 + 1])
    runs = [
        [
            pictures.numpy()
            for (pictures, _), _, _ in draw_batches(feed, rows=own, batch_size=2, augmentation=Augmentation())
        ]
        for _ in range(2)
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert len({round(float(picture.mean()), 3) for batch in runs[0] for picture in batch}) == 24


def test_mixup_mixes_targets_like_pictures(feed: Feed) -> None:
    mixing = NO_CHANGES.model_copy(update={"mixup": 1.0})
    own = rows_of(list(range(CASES)))
    equal = replace(own, weights=np.ones(CASES))
    for (pictures, _), targets, _ in draw_batches(feed, rows=equal, augmentation=mixing):
        level = pictures.numpy().mean(axis=(1, 2, 3))
        np.testing.assert_allclose(targets.numpy()[:, 0], level / 1000, atol=1e-3)
        assert (np.abs(level / 10 - np.round(level / 10)) > 0.02).any()


def test_shapes_are_static_and_the_number_of_elements_is_known(feed: Feed) -> None:
    dataset = draw_batches(feed)
    (pictures, metadata), targets, weights = dataset.element_spec
    assert pictures == tf.TensorSpec((4, SIDE, SIDE, 3), tf.float32)
    assert (metadata.shape, targets.shape, weights.shape) == ((4, 2), (4, 1), (4,))
    assert int(dataset.cardinality()) == 12


def test_the_parts_of_all_workers_together_are_the_global_batch(feed: Feed) -> None:
    whole = cases_of_batches(draw_batches(feed, malignant_share=0.5))
    parts = [cases_of_batches(draw_batches(feed, malignant_share=0.5, shard=(2, index))) for index in range(2)]
    assert whole == [first + second for first, second in zip(*parts, strict=True)]


def test_workers_that_cannot_share_a_batch_are_refused(feed: Feed) -> None:
    with pytest.raises(ValueError, match="batch of 4 cannot be split evenly among 3 workers"):
        draw_batches(feed, shard=(3, 0))


def test_jpegs_in_memory_give_the_same_batches_as_decoded_pictures(files: list[Path]) -> None:
    rows = rows_of(list(range(CASES)))
    first, second = (Feed(files, rows, SIDE, cache_bytes=CACHE_SIZES[storage]) for storage in ("decoded", "jpegs"))
    assert first.in_memory
    assert not second.in_memory
    mixup = Augmentation(mixup=1.0)
    for changes in (
        {"malignant_share": 0.4, "rows": rows_of([2, 5, 12, 17])},
        {"malignant_share": 0.5, "external_share": 0.25, "first_step": 9, "steps": 15},
        {"shard": (2, 1), "augmentation": mixup, "steps": 3},
    ):
        assert_equal(list(draw_batches(second, **changes)), list(draw_batches(first, **changes)))


def test_a_case_in_no_file_is_named_with_the_count(files: list[Path]) -> None:
    with pytest.raises(InputFault, match=r"3 shard file\(s\)(.|\n)*in none of the files: 2 \(c77, c78\)"):
        Feed(files, rows_of([1, 77, 78]), SIDE)


def test_a_case_in_two_files_is_named(files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputFault, match=r"more than once: 1 \(c1\)"):
        Feed([*files, write_shard(tmp_path / "extra00-1.tfrec", grey([1]))], rows_of([1, 2]), SIDE)


def test_shards_of_another_size_are_refused(files: list[Path], tmp_path: Path) -> None:
    other = write_shard(tmp_path / "extra00-1.tfrec", grey([25], side=24))
    with pytest.raises(InputFault, match=r"extra00-1.tfrec: 1 \(c25\); the first is 24 x 24"):
        Feed([*files, other], rows_of([1, 2]), SIDE)


def test_a_row_that_is_not_in_the_feed_is_refused(feed: Feed) -> None:
    with pytest.raises(InputFault, match=r"not in this feed: 1 \(c99\)"):
        draw_batches(feed, rows=rows_of([1, 99]))


def test_a_case_with_two_rows_is_refused(feed: Feed) -> None:
    with pytest.raises(InputFault, match=r"more than one training row: 1 \(c4\)"):
        draw_batches(feed, rows=rows_of([4, 5, 4]))


def test_prediction_sees_the_files_in_order_and_only_the_named_cases(files: list[Path]) -> None:
    every = list(picture_batches(files, 10))
    assert [len(names) for names, _ in every] == [10, 10, 4]
    assert flat([names for names, _ in every])[:9] == ["c0", "c3", "c6", "c9", "c12", "c15", "c18", "c21", "c1"]
    ((names, pictures),) = picture_batches(files, 10, names={"c21", "c1", "c3"})
    assert names == ["c3", "c21", "c1"]
    assert pictures.dtype == np.uint8
    np.testing.assert_allclose(pictures.mean(axis=(1, 2, 3)), [30, 210, 10], atol=1)


def test_prediction_of_a_case_in_no_file_is_refused(files: list[Path]) -> None:
    with pytest.raises(InputFault, match=r"none of the files: 1 \(c50\)"):
        next(picture_batches(files, 10, names=["c1", "c50"]))


@pytest.mark.full
def test_replicas_split_every_batch_and_workers_yield_their_part(files: list[Path]) -> None:
    command = [sys.executable, "-m", "tests.level1_cnn.data.feed_on_two_devices", *map(str, files)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-3000:]
    lines = [ast.literal_eval(line) for line in process.stdout.splitlines()]
    for batches, split_batches, worker_batches in (lines[:3], lines[3:]):
        assert len(batches) == 12
        assert [[batch[:2], batch[2:]] for batch in batches] == split_batches
        # The batches of a worker are not split again: its replicas take turns.
        assert [part for both in worker_batches for part in both] == [batch[2:] for batch in batches]
