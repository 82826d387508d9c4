"""A few steps of the real thing, timed in a process of their own: training, saving, exporting, predicting with views."""

import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from level1_cnn.experiment import Experiment, Finetune, Frozen
from level1_cnn.tasks import Job

if TYPE_CHECKING:
    import keras

    from level1_cnn.devices import Plan
    from level1_cnn.view_predictions import Forward

STEPS, LEAST_STEPS = 6, 2  # that are timed after a first one, which builds the graph
STEP_SECONDS = 20.0  # no further step is begun after so long
HEAD_CASES = 400
# On a CPU: more numbers than these in one step, 32 pictures of B0 at 512 px, and a step takes minutes.
MOST_ACTIVATIONS = 1.2e9


@dataclass(frozen=True)
class Hardware:
    """What networks run on: ``memory`` of one device in bytes (None: the host's), and each model's training batch."""

    kind: str
    memory: int | None
    replicas: int
    half: bool
    batches: dict[str, int]


@dataclass(frozen=True)
class Request:
    """What is to be measured: ``job`` over a sample run, and how much work the real run will have of it."""

    job: Job
    folder: Path  # for what is written meanwhile
    epoch_steps: int
    passes: int  # pictures that one fold predicts, every view counted
    train: bool  # False: the memory would not hold it, or a step would take too long; a forward pass stands for it


@dataclass
class Measured:
    """Seconds and bytes of one model on this machine; lists hold one number for each time that was measured."""

    parameters: int = 0
    features: int = 0
    start: float = 0.0  # building the network and its graph
    steps: list[float] = field(default_factory=list)
    forward: list[float] = field(default_factory=list)  # of one picture alone, where no step was taken
    saving: float = 0.0  # the state between two epochs
    state_bytes: int = 0
    export: float = 0.0  # writing the network as ONNX
    exports: bool = False  # whether a fold predicts through that file; the bundle has it anyway
    exported_bytes: int = 0
    views: list[float] = field(default_factory=list)  # of one picture in all views, reading it included
    head: float = 0.0  # fitting a frozen model's head to HEAD_CASES cases
    peak: int = 0
    gpu_peak: int | None = None


def measure(request: Request) -> Measured | None:
    """Return what a few steps of ``request`` take, in a fresh process; None when the system ended it: too much memory.

    Its peak of memory is then its own, and what it needs is given back whatever happens to it.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        try:
            return process.submit(_measure, request).result()
        except BrokenProcessPool:
            return None


def look_at_hardware(devices: str, experiments: Mapping[str, Experiment]) -> Hardware:
    """Return what ``devices`` stands for on this machine, found by a process of its own, which gives it back."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_look, devices, dict(experiments)).result()


def _look(devices: str, experiments: dict[str, Experiment]) -> Hardware:
    from level1_cnn.quiet import import_tensorflow

    import_tensorflow()
    from level1_cnn.devices import plan_devices

    plan = plan_devices(devices)
    trained = {name: one for name, one in experiments.items() if isinstance(one.training, Finetune)}
    batches = {name: plan.training_batch(one) for name, one in trained.items()}
    return Hardware(plan.kind, plan.memory, plan.replicas, plan.precision != "float32", batches)


def too_slow_to_measure(experiment: Experiment, batch: int) -> bool:
    """Tell whether a training step of ``batch`` pictures would take minutes on a CPU."""
    from level1_cnn.memory import activations

    return activations(experiment) * batch > MOST_ACTIVATIONS


def _measure(request: Request) -> Measured:
    from features.progress import console
    from level1_cnn.quiet import import_tensorflow

    console.quiet = True  # what the parts below say is said of the real run
    import_tensorflow()
    import keras

    from level1_cnn.devices import plan_devices

    job = request.job
    plan = plan_devices(job.devices, deterministic=job.deterministic)
    keras.utils.set_random_seed(job.experiment.seed)
    found, training = Measured(), job.experiment.training
    if isinstance(training, Frozen):
        _measure_frozen(request, training, plan, found)
    else:
        _measure_finetuned(request, training, plan, found)
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in kilobytes elsewhere
    found.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    found.gpu_peak = _gpu_peak(plan)
    return found


def _measure_frozen(request: Request, settings: Frozen, plan: "Plan", found: Measured) -> None:
    from level1_cnn.forward import frozen_forward
    from level1_cnn.network import build_backbone

    model, found.start = _timed(lambda: build_backbone(request.job.network))
    path = request.folder / "network.onnx"
    forward, seconds = _timed(lambda: frozen_forward(model, path, plan))
    _describe(model, path, seconds, found)
    found.features = int(model.output.shape[-1])
    found.views = _time_views(request.job, plan, forward, None)
    found.head = _time_head(len(request.job.experiment.views), found.features, settings)


def _measure_finetuned(request: Request, settings: Finetune, plan: "Plan", found: Measured) -> None:
    from level1_cnn.feed import Feed
    from level1_cnn.forward import fold_forward
    from level1_cnn.metadata import COLUMNS, encode_metadata
    from level1_cnn.rows import candidates
    from level1_cnn.shards import shard_files
    from level1_cnn.stage import Fit, Stage

    job = request.job
    cases, side = job.run.read_cases(), job.experiment.image_size
    rows = candidates(cases, replace_pseudo(settings))
    feed = Feed(shard_files(job.run, side), rows, side)
    stage, found.start = _timed(lambda: Stage(job, settings, plan, feed, settings.targets, request.epoch_steps))
    if request.train:
        batches = stage.batches(Fit(rows, request.folder, 0, ""), 0)
        found.start += _time_step(stage.stepper, batches)
        found.steps = _repeated(lambda: _time_step(stage.stepper, batches))
        _time_saving(stage.stepper, request.folder, found)
    else:
        found.forward = _time_forward(stage.forward, side, len(COLUMNS) if settings.metadata else 0)
    path = request.folder / "network.onnx"
    forward, seconds = _timed(lambda: fold_forward(stage.model, stage.forward, path, plan, request.passes))
    _describe(stage.model, path, seconds, found)
    found.features = int(stage.model.outputs[0].shape[-1])
    known = encode_metadata(cases) if settings.metadata else None
    table = None if known is None else _metadata_table(known, cases.index, COLUMNS)
    found.views = _time_views(job, plan, forward, table)


def replace_pseudo(settings: Finetune) -> Finetune:
    """Return the settings without pseudo-labels: there are none yet, and one more kind of row changes no step."""
    return settings.model_copy(update={"pseudo": None})


def measurable(job: Job, sample: Any) -> Job:  # noqa: ANN401  a Run
    """Return ``job`` over a ``sample`` run, with weights that need no download and no finished model: all take as long."""
    return replace(job, run=sample, experiment=job.experiment.model_copy(update={"weights": "none"}))


def _metadata_table(known: Any, index: Any, columns: Any) -> Any:  # noqa: ANN401  pandas is slow to import
    import pandas as pd

    return pd.DataFrame(known, index=index, columns=list(columns))


def _time_step(stepper: Any, batches: Iterator[Any]) -> float:  # noqa: ANN401  a Stepper
    """Return the seconds of one step with its batch, awaited: a step returns before the device has done it."""
    return _timed(lambda: float(stepper(next(batches))))[1]


def _time_saving(stepper: Any, folder: Path, found: Measured) -> None:  # noqa: ANN401  a Stepper
    from level1_cnn.checkpoint import STATE, save_state

    _, found.saving = _timed(lambda: save_state(folder / STATE, stepper.state(), 1))
    found.state_bytes = (folder / STATE).stat().st_size


def _time_forward(forward: "Forward", side: int, metadata: int) -> list[float]:
    """Return the seconds of forward passes of one picture each, after a first one."""
    pixels = np.zeros((1, side, side, 3), np.float32)
    known = np.zeros((1, metadata), np.float32) if metadata else None
    forward(pixels, known)
    return _repeated(lambda: _timed(lambda: forward(pixels, known))[1])


def _time_views(job: Job, plan: "Plan", forward: "Forward", metadata: Any) -> list[float]:  # noqa: ANN401  a table
    """Return the seconds of a picture in all views, one number per batch after the first."""
    from level1_cnn.predictions import over_views
    from level1_cnn.shards import shard_files

    files, names = shard_files(job.run, job.experiment.image_size), list(job.run.read_cases().index)
    batches = over_views(forward, files, job.experiment.views, plan.batch_size, lambda count: None, names, metadata)
    next(batches)

    def one() -> float:
        (found, _), seconds = _timed(lambda: next(batches))
        return seconds / len(found)

    # The sample's last batch may be short: it is left out where there are enough.
    most = max(1, len(names) * len(job.experiment.views) // max(plan.batch_size, len(job.experiment.views)) - 1)
    return _repeated(one, most)


def _time_head(views: int, features: int, settings: Frozen) -> float:
    """Return the seconds of fitting a head to drawn embeddings: of real ones' shape, with a few directions that matter."""
    from level1_cnn.frozen import fit_head

    rng = np.random.default_rng(0)
    directions = rng.normal(size=(64, features)) / np.arange(1, 65)[:, np.newaxis]
    cases = rng.normal(size=(HEAD_CASES, 1, 64)) @ directions
    embeddings = (cases + 0.1 * rng.normal(size=(HEAD_CASES, views, features))).astype(np.float16)
    target = (rng.random(HEAD_CASES) < 0.2).astype(int)
    return _timed(lambda: fit_head(embeddings, target, settings))[1]


def _describe(model: "keras.Model", path: Path, seconds: float, found: Measured) -> None:
    """Keep the size of a network and of its ONNX file, which took ``seconds`` to write if it was wanted already."""
    from level1_cnn.onnx_inference import export

    found.parameters, found.exports = int(model.count_params()), path.is_file()
    found.export = seconds if found.exports else _timed(lambda: export(model, path))[1]
    found.exported_bytes = path.stat().st_size


def _repeated(once: Callable[[], float], most: int = STEPS) -> list[float]:
    """Return what ``once`` measured, up to STEPS times, or fewer where it takes long."""
    found = list[float]()
    while len(found) < min(STEPS, most) and (len(found) < LEAST_STEPS or sum(found) < STEP_SECONDS):
        found.append(once())
    return found


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    done = work()
    return done, time.perf_counter() - started


def _gpu_peak(plan: "Plan") -> int | None:
    if plan.kind != "GPU":
        return None
    import tensorflow as tf

    return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
