"""A few steps of the real thing, measured in a process of their own: what is asked, and what comes back."""

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

from features.runs import Run
from level1_cnn.experiment import Experiment, Finetune
from level1_cnn.tasks import Job

HEAD_CASES = 400  # that a frozen model's head is fitted to for measuring


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


def measurable(job: Job, sample: Run) -> Job:
    """Return ``job`` over a ``sample`` run, with weights that need no download and no other model.

    Which weights they are changes no second of a step.
    """
    return replace(job, run=sample, experiment=job.experiment.model_copy(update={"weights": "none"}))


def _measure(request: Request) -> Measured:
    from features.progress import quiet
    from level1_cnn.quiet import import_tensorflow

    import_tensorflow()
    from level1_cnn.forecast_timing import measured

    with quiet():  # what its parts say is said of the real run
        return measured(request)


def _look(devices: str, experiments: dict[str, Experiment]) -> Hardware:
    from level1_cnn.quiet import import_tensorflow

    import_tensorflow()
    from level1_cnn.devices import plan_devices

    plan = plan_devices(devices)
    trained = {name: one for name, one in experiments.items() if isinstance(one.training, Finetune)}
    batches = {name: plan.training_batch(one) for name, one in trained.items()}
    return Hardware(plan.kind, plan.memory, plan.replicas, plan.precision != "float32", batches)
