"""A few steps of the real thing, measured in a process of their own: what is asked, and what comes back."""

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context

from level1_cnn.experiment import Experiment, Finetune
from level1_cnn.forecast.measured import Hardware, Measured, Request
from level1_cnn.job import Job
from runtime.run_folder import Run


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
    from level1_cnn.hardware.import_tensorflow import import_tensorflow
    from runtime.progress import quiet

    import_tensorflow()
    from level1_cnn.forecast.timing import measured

    with quiet():  # what its parts say is said of the real run
        return measured(request)


def _look(devices: str, experiments: dict[str, Experiment]) -> Hardware:
    from level1_cnn.hardware.import_tensorflow import import_tensorflow

    import_tensorflow()
    from level1_cnn.hardware.devices import plan_devices

    plan = plan_devices(devices)
    trained = {name: one for name, one in experiments.items() if isinstance(one.training, Finetune)}
    batches = {name: plan.training_batch(one) for name, one in trained.items()}
    return Hardware(plan.kind, plan.memory, plan.replicas, plan.precision != "float32", batches)
