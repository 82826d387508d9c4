"""Time the steps of one model on a sample of pictures with the code of the real training."""

import resource
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from level1_cnn.data.feed import Feed
from level1_cnn.data.metadata import COLUMNS, encode_metadata
from level1_cnn.data.run_pictures import shard_files
from level1_cnn.data.training_rows import model_rows
from level1_cnn.forecast.measurements import HEAD_CASES, Measurements, Request
from level1_cnn.hardware.devices import Plan, plan_devices
from level1_cnn.inference.forward import ONNX_FILE, final_forward, open_backbone
from level1_cnn.inference.onnx_export import export
from level1_cnn.inference.predict import predict_batches
from level1_cnn.inference.view_predictions import Forward
from level1_cnn.job import Job
from level1_cnn.networks.network import build_backbone, with_last_map
from level1_cnn.training.checkpoint import STATE, save_state
from level1_cnn.training.fit import Fit, Stage
from level1_cnn.training.frozen import calibration_pictures, training_rows
from level1_cnn.training.linear_head import fit_head
from level1_cnn.training.step import Stepper
from level1_cnn.training_settings import Finetune, FrozenFeatures

Result = TypeVar("Result")
STEPS, LEAST_STEPS = 6, 2  # most and fewest timed steps, after a first one, which builds the graph
STEP_SECONDS = 20.0  # no further step starts after this time


def measure_steps(request: Request) -> Measurements:
    """Measure the steps of ``request``; call it in a new process, whose peak of memory is then the model's."""
    job, measurements = request.job, Measurements()
    plan = plan_devices(job.devices, deterministic=job.deterministic)
    keras.utils.set_random_seed(job.experiment.seed)
    training = job.experiment.training
    if isinstance(training, FrozenFeatures):
        _measure_frozen(request, training, plan, measurements)
    else:
        _measure_finetuning(request, training, plan, measurements)
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in kilobytes elsewhere
    measurements.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    measurements.gpu_peak = _gpu_peak(plan)
    return measurements


def _measure_frozen(request: Request, settings: FrozenFeatures, plan: Plan, measurements: Measurements) -> None:
    path = request.folder / ONNX_FILE
    network, calibration = request.job.network, partial(calibration_pictures, request.job)
    backbone, measurements.export = _time(lambda: open_backbone(network, request.folder, plan, calibration))
    measurements.parameters, measurements.features = backbone.parameters, backbone.features
    measurements.uses_onnx = path.is_file()
    if not measurements.uses_onnx:
        measurements.export = _time(lambda: export(with_last_map(build_backbone(network)), path))[1]
    measurements.onnx_bytes = path.stat().st_size
    measurements.views = _time_views(request.job, plan, backbone.forward, None)
    measurements.head = _time_head(len(request.job.experiment.views), measurements.features, settings)


def _measure_finetuning(request: Request, settings: Finetune, plan: Plan, measurements: Measurements) -> None:
    job = request.job
    cases, side = job.run.read_cases(), job.experiment.image_size
    # Pseudo-labels do not exist yet, and further rows do not change the time of a step.
    rows = model_rows(cases, settings.model_copy(update={"pseudo": None}))
    feed = Feed(shard_files(job.run, side), rows, side)
    # The feed ends with the schedule, which must not be shorter than the measurement.
    steps = max(STEPS + 1, request.epoch_steps)
    stage, measurements.start = _time(lambda: Stage(job, settings, plan, feed, settings.targets, steps))
    if request.measure_training:
        batches = stage.batches(Fit(rows, request.folder, 0, ""), 0)
        measurements.start += _time_step(stage.stepper, batches)
        measurements.steps = _repeat(lambda: _time_step(stage.stepper, batches))
        _time_saving(stage.stepper, request.folder, measurements)
    else:
        measurements.forward = _time_forward(stage.forward, side, len(COLUMNS) if settings.metadata else 0)
    path = request.folder / ONNX_FILE
    forward, seconds = _time(lambda: final_forward(stage.model, request.folder, plan, stage.forward))
    _describe(stage.model, path, seconds, measurements)
    measurements.features = int(stage.model.outputs[0].shape[-1])
    metadata = pd.DataFrame(encode_metadata(cases), cases.index, list(COLUMNS)) if settings.metadata else None
    measurements.views = _time_views(job, plan, forward, metadata)


def _time_step(stepper: Stepper, batches: Iterator[Any]) -> float:
    """Return the seconds of one step and its batch; ``float`` waits for the device, which computes the step later."""
    return _time(lambda: float(stepper(next(batches))))[1]


def _time_saving(stepper: Stepper, folder: Path, measurements: Measurements) -> None:
    _, measurements.saving = _time(lambda: save_state(folder / STATE, stepper.state(), 1))
    measurements.state_bytes = (folder / STATE).stat().st_size


def _time_forward(forward: Forward, side: int, metadata: int) -> list[float]:
    """Return the seconds of forward passes of one picture each, after a first, untimed one."""
    pixels = np.zeros((1, side, side, 3), np.float32)
    row = np.zeros((1, metadata), np.float32) if metadata else None
    forward(pixels, row)
    return _repeat(lambda: _time(lambda: forward(pixels, row))[1])


def _time_views(job: Job, plan: Plan, forward: Forward, metadata: pd.DataFrame | None) -> list[float]:
    """Return the seconds per picture in all views, one number per batch after the first."""
    views, names = job.experiment.views, list(job.run.read_cases().index)
    files = shard_files(job.run, job.experiment.image_size)
    batches = predict_batches(forward, files, views, plan.batch_size, lambda count: None, names, metadata)
    next(batches)

    def time_batch() -> float:
        """Return the seconds per picture of the next batch."""
        (batch, _), seconds = _time(lambda: next(batches))
        return seconds / len(batch)

    # Without the first batch and the last, which may be smaller.
    inner_batches = -(-len(names) // max(1, plan.batch_size // len(views))) - 2
    return _repeat(time_batch, max(1, inner_batches))


def _time_head(views: int, features: int, settings: FrozenFeatures) -> float:
    """Return the seconds to fit a head to random embeddings, with most variance in few directions, as in real ones."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(64, features)) / np.arange(1, 65)[:, np.newaxis]
    cases = rng.normal(size=(HEAD_CASES, 1, 64)) @ directions
    embeddings = (cases + 0.1 * rng.normal(size=(HEAD_CASES, views, features))).astype(np.float16)
    target = (rng.random(HEAD_CASES) < 0.2).astype(int)
    rows = training_rows(embeddings, settings.layers)
    repeats = len(rows) // HEAD_CASES
    folds = np.repeat(np.arange(HEAD_CASES) % 4, repeats)
    return _time(lambda: fit_head(rows, np.repeat(target, repeats), settings.regularisation, folds))[1]


def _describe(model: keras.Model, path: Path, seconds: float, measurements: Measurements) -> None:
    """Record the size of a network and of its ONNX file; ``seconds`` is the time of the export if the file exists."""
    measurements.parameters, measurements.uses_onnx = int(model.count_params()), path.is_file()
    measurements.export = seconds if measurements.uses_onnx else _time(lambda: export(model, path))[1]
    measurements.onnx_bytes = path.stat().st_size


def _repeat(measure: Callable[[], float], most: int = STEPS) -> list[float]:
    """Return the seconds that ``measure`` returns, up to STEPS times, or fewer if they are long."""
    seconds = list[float]()
    while len(seconds) < min(STEPS, most) and (len(seconds) < LEAST_STEPS or sum(seconds) < STEP_SECONDS):
        seconds.append(measure())
    return seconds


def _time(work: Callable[[], Result]) -> tuple[Result, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def _gpu_peak(plan: Plan) -> int | None:
    if plan.kind != "GPU":
        return None
    return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
