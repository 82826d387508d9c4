"""Speed of the training feed, alone and while training, as ratios to a bare training step in one run."""

import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from level1_cnn import backbones
from level1_cnn.augment.settings import Augmentation
from level1_cnn.data.feed import Feed
from level1_cnn.data.training_rows import TrainingRows
from runtime.machine.cores import allowed_cores
from runtime.progress import say

SIDE, BATCH, CASES, FILES = 128, 32, 960, 6
ROUNDS, ALONE_BATCHES, STEPS = 5, 40, 3
Batch = tuple[tuple[tf.Tensor, tf.Tensor], tf.Tensor, tf.Tensor]
Seconds = dict[str, list[tuple[float, float]]]  # per way: wall-clock and CPU seconds per batch


def run_pipeline_benchmark() -> None:
    """Print pictures per second of the feed alone and of training EfficientNet-B0 at 128 px, and their ratios.

    The ways take turns and medians count, so that other work on the machine slows all of them equally. Work is the CPU
    time of all cores, which other programs hardly change.
    """
    with tempfile.TemporaryDirectory() as folder:
        seconds = _measure(_feeds(Path(folder)))
    bare, bare_work = np.array(seconds["bare step"]).T
    say(f"feed, EfficientNet-B0 at {SIDE} px, batches of {BATCH}, {allowed_cores()} cores, medians of {ROUNDS} rounds:")
    for name, pairs in seconds.items():
        clock, work = np.array(pairs).T
        has_same_turns = len(clock) == len(bare)
        ratio = np.median(bare / clock) if has_same_turns else np.median(bare) / np.median(clock)
        share = np.median(work) / np.median(bare_work)
        rate = BATCH / np.median(clock)
        say(f"  {name}: {rate:.1f} pictures/s, {ratio:.2f} of the bare step; work per picture {share:.3f} of it")


def _measure(feeds: dict[str, Feed]) -> Seconds:
    """Return the seconds per batch of every way, without the first round, which is a warm-up."""
    step = _bare_step()
    fixed_batch = next(_endless(feeds["in memory"]))
    ways: list[tuple[str, Callable[[], Batch]]] = [("bare step", lambda: fixed_batch)]
    ways += [(f"training, fed {name}", _endless(feed).__next__) for name, feed in feeds.items()]
    seconds: Seconds = {name: [] for name in [*(name for name, _ in ways), *(f"feed {name}, alone" for name in feeds)]}
    for turn in range((ROUNDS + 1) * STEPS):
        # Every way follows every other equally often. A feed is so fast that it makes its next batch within its turn.
        for name, batch in ways if turn % 2 else ways[::-1]:
            seconds[name].append(_time(lambda batch=batch: step(batch())))  # type: ignore[misc]
    for _, (name, feed) in product(range(ROUNDS + 1), feeds.items()):
        seconds[f"feed {name}, alone"].append(_time_alone(feed))
    return {name: pairs[len(pairs) // (ROUNDS + 1) :] for name, pairs in seconds.items()}


def _time_alone(feed: Feed) -> tuple[float, float]:
    """Return the seconds per batch of a restarted feed; a running one has batches that it made before the clock ran."""
    batches = _endless(feed)
    next(batches)
    clock, work = _time(lambda: [next(batches) for _ in range(ALONE_BATCHES)])
    return clock / ALONE_BATCHES, work / ALONE_BATCHES


def _time(way: Callable[[], object]) -> tuple[float, float]:
    clock, work = time.perf_counter(), time.process_time()
    way()
    return time.perf_counter() - clock, time.process_time() - work


def _bare_step() -> Callable[[Batch], float]:
    """Return one plain training step on (inputs, targets, weights): forward, backward, AdamW."""
    base = backbones.find("efficientnet").build("b0", image_size=SIDE, weights="none")
    model = keras.Model(base.input, keras.layers.Dense(1)(base.output))
    optimizer = keras.optimizers.AdamW(1e-4)
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=False)  # type: ignore[untyped-decorator]
    def step(pictures: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = model(pictures, training=True)[:, 0]
            losses = tf.nn.sigmoid_cross_entropy_with_logits(targets[:, 0], logits)
            loss = tf.reduce_mean(weights * losses)
        optimizer.apply(tape.gradient(loss, model.trainable_variables))
        return loss

    return lambda batch: float(step(batch[0][0], *batch[1:]))


def _endless(feed: Feed) -> Iterator[Any]:
    """Return batches with the default augmentation, more than the benchmark uses."""
    return iter(feed.batches(Augmentation(), batch_size=BATCH, malignant_share=0.3, seed=0, first_step=0, steps=10_000))


def _feeds(folder: Path) -> dict[str, Feed]:
    names = [f"case{number:04d}" for number in range(CASES)]
    no_metadata = np.zeros((CASES, 0), np.float32)
    malignant = np.arange(CASES) % 10 == 0
    targets, weights = malignant[:, None].astype(np.float32), np.ones(CASES, np.float32)
    rows = TrainingRows(names, targets, weights, no_metadata, malignant, external=np.zeros(CASES, bool))
    files = [_write(folder / f"train{file:02d}.tfrec", names[file::FILES], file) for file in range(FILES)]
    return {"in memory": Feed(files, rows, SIDE), "streamed": Feed(files, rows, SIDE, cache_bytes=0)}


def _write(path: Path, names: list[str], seed: int) -> Path:
    """Write synthetic pictures as a shard: soft spots with grain, whose JPEGs are as large as pictures of skin."""
    rng = np.random.default_rng(seed)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name in names:
            spots = tf.image.resize(rng.uniform(60, 220, (6, 6, 3)), (SIDE, SIDE), "bicubic").numpy()
            picture = (spots + rng.normal(0, 4, spots.shape)).clip(0, 255).astype(np.uint8)
            values = {"image": tf.io.encode_jpeg(picture, quality=95).numpy(), "image_name": name.encode()}
            writer.write(_example(values).SerializeToString())
    return path


def _example(values: dict[str, bytes]) -> Any:  # noqa: ANN401  TensorFlow has no types
    parts = {key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for key, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=parts))
