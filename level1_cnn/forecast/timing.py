"""What takes how long in one model: the trainers' own steps on a sample of pictures, each timed after a first one."""

import resource
import sys
import time
from collections.abc import Callable, Iterator
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
from level1_cnn.experiment import Finetune, FrozenFeatures
from level1_cnn.forecast.measured import HEAD_CASES, Measured, Request
from level1_cnn.hardware.devices import Plan, plan_devices
from level1_cnn.inference.forward import ONNX_FILE, final_forward
from level1_cnn.inference.onnx_export import export
from level1_cnn.inference.predict import predict_batches
from level1_cnn.inference.view_predictions import Forward
from level1_cnn.job import Job
from level1_cnn.networks.network import build_backbone
from level1_cnn.training.checkpoint import STATE, save_state
from level1_cnn.training.fit import Fit, Stage
from level1_cnn.training.frozen import fit_head
from level1_cnn.training.step import Stepper

Done = TypeVar("Done")
STEPS, LEAST_STEPS = 6, 2  # that are timed after a first one, which builds the graph
STEP_SECONDS = 20.0  # no further step is begun after so long


def measured(request: Request) -> Measured:
    """Return what the steps of ``request`` take; call it in a fresh process, whose peak of memory is then its own."""
    job, found = request.job, Measured()
    plan = plan_devices(job.devices, deterministic=job.deterministic)
    keras.utils.set_random_seed(job.experiment.seed)
    training = job.experiment.training
    if isinstance(training, FrozenFeatures):
        _measure_frozen(request, training, plan, found)
    else:
        _measure_finetuned(request, training, plan, found)
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in kilobytes elsewhere
    found.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    found.gpu_peak = _gpu_peak(plan)
    return found


def _measure_frozen(request: Request, settings: FrozenFeatures, plan: Plan, found: Measured) -> None:
    model, found.start = _timed(lambda: build_backbone(request.job.network))
    path = request.folder / ONNX_FILE
    forward, seconds = _timed(lambda: final_forward(model, request.folder, plan))
    _describe(model, path, seconds, found)
    found.features = int(model.output.shape[-1])
    found.views = _time_views(request.job, plan, forward, None)
    found.head = _time_head(len(request.job.experiment.views), found.features, settings)


def _measure_finetuned(request: Request, settings: Finetune, plan: Plan, found: Measured) -> None:
    job = request.job
    cases, side = job.run.read_cases(), job.experiment.image_size
    # There are no pseudo-labels yet, and one more kind of row changes no step.
    rows = model_rows(cases, settings.model_copy(update={"pseudo": None}))
    feed = Feed(shard_files(job.run, side), rows, side)
    steps = max(STEPS + 1, request.epoch_steps)  # the feed ends with the schedule, which may be shorter than we look
    stage, found.start = _timed(lambda: Stage(job, settings, plan, feed, settings.targets, steps))
    if request.train:
        batches = stage.batches(Fit(rows, request.folder, 0, ""), 0)
        found.start += _time_step(stage.stepper, batches)
        found.steps = _repeated(lambda: _time_step(stage.stepper, batches))
        _time_saving(stage.stepper, request.folder, found)
    else:
        found.forward = _time_forward(stage.forward, side, len(COLUMNS) if settings.metadata else 0)
    path = request.folder / ONNX_FILE
    forward, seconds = _timed(lambda: final_forward(stage.model, request.folder, plan, stage.forward))
    _describe(stage.model, path, seconds, found)
    found.features = int(stage.model.outputs[0].shape[-1])
    known = pd.DataFrame(encode_metadata(cases), cases.index, list(COLUMNS)) if settings.metadata else None
    found.views = _time_views(job, plan, forward, known)


def _time_step(stepper: Stepper, batches: Iterator[Any]) -> float:
    """Return the seconds of one step with its batch, awaited: a step returns before the device has done it."""
    return _timed(lambda: float(stepper(next(batches))))[1]


def _time_saving(stepper: Stepper, folder: Path, found: Measured) -> None:
    _, found.saving = _timed(lambda: save_state(folder / STATE, stepper.state(), 1))
    found.state_bytes = (folder / STATE).stat().st_size


def _time_forward(forward: Forward, side: int, metadata: int) -> list[float]:
    """Return the seconds of forward passes of one picture each, after a first one."""
    pixels = np.zeros((1, side, side, 3), np.float32)
    known = np.zeros((1, metadata), np.float32) if metadata else None
    forward(pixels, known)
    return _repeated(lambda: _timed(lambda: forward(pixels, known))[1])


def _time_views(job: Job, plan: Plan, forward: Forward, metadata: pd.DataFrame | None) -> list[float]:
    """Return the seconds of a picture in all views, one number per batch after the first."""
    views, names = job.experiment.views, list(job.run.read_cases().index)
    files = shard_files(job.run, job.experiment.image_size)
    batches = predict_batches(forward, files, views, plan.batch_size, lambda count: None, names, metadata)
    next(batches)

    def one() -> float:
        (found, _), seconds = _timed(lambda: next(batches))
        return seconds / len(found)

    # Neither the first batch nor the last, which may be short.
    between = -(-len(names) // max(1, plan.batch_size // len(views))) - 2
    return _repeated(one, max(1, between))


def _time_head(views: int, features: int, settings: FrozenFeatures) -> float:
    """Return the seconds of fitting a head to drawn embeddings of real ones' shape, a few directions telling most."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(64, features)) / np.arange(1, 65)[:, np.newaxis]
    cases = rng.normal(size=(HEAD_CASES, 1, 64)) @ directions
    embeddings = (cases + 0.1 * rng.normal(size=(HEAD_CASES, views, features))).astype(np.float16)
    target = (rng.random(HEAD_CASES) < 0.2).astype(int)
    return _timed(lambda: fit_head(embeddings, target, settings))[1]


def _describe(model: keras.Model, path: Path, seconds: float, found: Measured) -> None:
    """Keep the size of a network and of its ONNX file, which took ``seconds`` to write if it was wanted already."""
    found.parameters, found.exports = int(model.count_params()), path.is_file()
    found.export = seconds if found.exports else _timed(lambda: export(model, path))[1]
    found.exported_bytes = path.stat().st_size


def _repeated(once: Callable[[], float], most: int = STEPS) -> list[float]:
    """Return what ``once`` measured, up to STEPS times, or fewer where it takes long."""
    found = list[float]()
    while len(found) < min(STEPS, most) and (len(found) < LEAST_STEPS or sum(found) < STEP_SECONDS):
        found.append(once())
    return found


def _timed(work: Callable[[], Done]) -> tuple[Done, float]:
    started = time.perf_counter()
    done = work()
    return done, time.perf_counter() - started


def _gpu_peak(plan: Plan) -> int | None:
    if plan.kind != "GPU":
        return None
    return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
