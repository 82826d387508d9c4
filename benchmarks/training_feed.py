"""Speed of the training feed as ratios within one run: against a bare training step, alone and while training."""

import os
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
from runtime.progress import say

SIDE, BATCH, CASES, FILES = 128, 32, 960, 6
ROUNDS, ALONE_BATCHES, STEPS = 5, 40, 3
Batch = tuple[tuple[tf.Tensor, tf.Tensor], tf.Tensor, tf.Tensor]
Seconds = dict[str, list[tuple[float, float]]]  # per way: by the clock, and of all cores' work, per batch


def run_pipeline_benchmark() -> None:
    """Print pictures per second of the feed alone and of EfficientNet-B0 trained at 128 px, and their ratios.

    The ways take turns and medians count: other work on the machine slows all of them alike. Work is the time of all
    cores together, which other programs hardly change.
    """
    with tempfile.TemporaryDirectory() as folder:
        seconds = _measure(_feeds(Path(folder)))
    bare, bare_work = np.array(seconds["bare step"]).T
    say(f"feed, EfficientNet-B0 at {SIDE} px, batches of {BATCH}, {os.cpu_count()} cores, medians of {ROUNDS} rounds:")
    for name, measured in seconds.items():
        clock, work = np.array(measured).T
        same_turns = len(clock) == len(bare)
        ratio = np.median(bare / clock) if same_turns else np.median(bare) / np.median(clock)
        share = np.median(work) / np.median(bare_work)
        rate = BATCH / np.median(clock)
        say(f"  {name}: {rate:.1f} pictures/s, {ratio:.2f} of the bare step's; work per picture {share:.3f} of its")


def _measure(feeds: dict[str, Feed]) -> Seconds:
    """Return the seconds per batch of every way, without those of a first round to warm up."""
    step = _bare_step()
    held = next(_endless(feeds["in memory"]))
    ways: list[tuple[str, Callable[[], Batch]]] = [("bare step", lambda: held)]
    ways += [(f"training, fed {name}", _endless(feed).__next__) for name, feed in feeds.items()]
    seconds: Seconds = {name: [] for name in [*(name for name, _ in ways), *(f"feed {name}, alone" for name in feeds)]}
    for turn in range((ROUNDS + 1) * STEPS):
        # Each way follows every other equally often; a feed makes its next batch within its own turn, being far faster.
        for name, batch in ways if turn % 2 else ways[::-1]:
            seconds[name].append(_time(lambda batch=batch: step(batch())))  # type: ignore[misc]
    for _, (name, feed) in product(range(ROUNDS + 1), feeds.items()):
        seconds[f"feed {name}, alone"].append(_time_alone(feed))
    return {name: measured[len(measured) // (ROUNDS + 1) :] for name, measured in seconds.items()}


def _time_alone(feed: Feed) -> tuple[float, float]:
    """Return the seconds per batch of a feed begun anew: batches made before the clock ran would count for nothing."""
    batches = _endless(feed)
    next(batches)
    clock, work = _time(lambda: [next(batches) for _ in range(ALONE_BATCHES)])
    return clock / ALONE_BATCHES, work / ALONE_BATCHES


def _time(way: Callable[[], object]) -> tuple[float, float]:
    clock, work = time.perf_counter(), time.process_time()
    way()
    return time.perf_counter() - clock, time.process_time() - work


def _bare_step() -> Callable[[Batch], float]:
    """Return a step of plain training on (inputs, targets, weights): forward, backward, AdamW."""
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
    """Return batches with the default augmentation, more than the benchmark draws."""
    return iter(feed.batches(Augmentation(), batch_size=BATCH, malignant_share=0.3, seed=0, first_step=0, steps=10_000))


def _feeds(folder: Path) -> dict[str, Feed]:
    names = [f"case{number:04d}" for number in range(CASES)]
    nothing = np.zeros((CASES, 0), np.float32)
    malignant = np.arange(CASES) % 10 == 0
    targets, weights = malignant[:, None].astype(np.float32), np.ones(CASES, np.float32)
    rows = TrainingRows(names, targets, weights, nothing, malignant, external=np.zeros(CASES, bool))
    files = [_write(folder / f"train{file:02d}.tfrec", names[file::FILES], file) for file in range(FILES)]
    return {"in memory": Feed(files, rows, SIDE), "streamed": Feed(files, rows, SIDE, cache_bytes=0)}


def _write(path: Path, names: list[str], seed: int) -> Path:
    """Write drawn pictures as a shard: soft blots with some grain, whose JPEGs are as large as those of skin."""
    rng = np.random.default_rng(seed)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name in names:
            blots = tf.image.resize(rng.uniform(60, 220, (6, 6, 3)), (SIDE, SIDE), "bicubic").numpy()
            picture = (blots + rng.normal(0, 4, blots.shape)).clip(0, 255).astype(np.uint8)
            values = {"image": tf.io.encode_jpeg(picture, quality=95).numpy(), "image_name": name.encode()}
            writer.write(_example(values).SerializeToString())
    return path


def _example(values: dict[str, bytes]) -> Any:  # noqa: ANN401  TensorFlow has no types
    parts = {key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for key, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=parts))
