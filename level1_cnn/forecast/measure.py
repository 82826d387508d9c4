"""Measure a few real steps of a model, or look up the hardware, in a separate process."""

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context

from level1_cnn.experiment import Experiment
from level1_cnn.forecast.measurements import Hardware, Measurements, Request
from level1_cnn.job import Job
from level1_cnn.training_settings import Finetune
from runtime.run_folder import Run


def measure(request: Request) -> Measurements | None:
    """Measure a few steps of ``request`` in a new process; return None when the system killed it for lack of memory.

    The process's peak of memory is then caused by this model alone, and all memory is free again when the process ends.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        try:
            return process.submit(_measure, request).result()
        except BrokenProcessPool:
            return None


def find_hardware(devices: str, experiments: Mapping[str, Experiment]) -> Hardware:
    """Return the hardware that ``devices`` names on this machine; a separate process looks it up and frees it again."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_find_hardware, devices, dict(experiments)).result()


def sample_job(job: Job, sample: Run) -> Job:
    """Return ``job`` on the ``sample`` run, with random weights, which need neither a download nor another model.

    The time of a step does not depend on the weights.
    """
    return replace(job, run=sample, experiment=job.experiment.model_copy(update={"weights": "none"}))


def _measure(request: Request) -> Measurements:
    from level1_cnn.hardware.import_tensorflow import import_tensorflow
    from runtime.progress import quiet

    import_tensorflow()
    from level1_cnn.forecast.timing import measure_steps

    with quiet():  # the messages of a training would mislead here
        return measure_steps(request)


def _find_hardware(devices: str, experiments: dict[str, Experiment]) -> Hardware:
    from level1_cnn.hardware.import_tensorflow import import_tensorflow

    import_tensorflow()
    from level1_cnn.hardware.devices import plan_devices

    plan = plan_devices(devices)
    models = {name: experiment for name, experiment in experiments.items() if isinstance(experiment.training, Finetune)}
    batches = {name: plan.training_batch(experiment) for name, experiment in models.items()}
    return Hardware(plan.kind, plan.memory, plan.replicas, plan.precision != "float32", batches)
