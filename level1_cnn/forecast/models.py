"""The forecast of level one: time, disk and memory of every model, from a few measured steps and the counted work."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from level1_cnn.data.feed import CACHE_BYTES
from level1_cnn.data.shards import find_missing_pictures
from level1_cnn.experiment import Experiment
from level1_cnn.forecast.measure import find_hardware, measure, sample_job
from level1_cnn.forecast.measurements import HEAD_CASES, Hardware, Measurements, Request
from level1_cnn.forecast.sample import make_sample, measure_decoding
from level1_cnn.forecast.what_fits import is_step_measurable, memory_refusal, memory_to_train, part_size, with_gpu
from level1_cnn.forecast.work import Work, count_work
from level1_cnn.job import Job
from level1_cnn.networks.network import check_experiment
from level1_cnn.training_settings import Finetune
from runtime.forecasts import (
    Forecast,
    Span,
    check_resources,
    print_forecasts,
    print_total,
    write_forecasts,
)
from runtime.machine.memory import format_bytes
from runtime.machine.resources import Machine
from runtime.progress import say
from runtime.run_folder import Run

# Time of a training step in forward passes of a single picture; used where a step would take minutes (only on a CPU).
STEP_IN_PASSES = Span(low=3.0, high=7.0)
SINGLE_RANGE = (0.8, 1.4)  # factors that turn a single measured time into a range
HEAD_RANGE = (0.5, 2.5)  # the same for a head: random embeddings are fitted faster or slower than real ones
HALF_FLOAT, FLOAT = 2, 4  # bytes
ROW_BYTES = 10  # per number of a row that a head is fitted to, beside the embeddings: standardised, used in 32 bits
TABLE_BYTES = 8  # bytes per number in a table of probabilities, which hardly compresses
MODEL_RESIDUE = 400 << 20  # bytes that TensorFlow does not free after a model; 0.3 to 0.6 GB were measured
FRESH = "fresh: nothing is left to do"


def plan_models(run: Run, experiments: Mapping[str, Experiment], jobs: Sequence[Job], machine: Machine) -> None:
    """Forecast ``experiments``: print a table and write plan.json; ``jobs`` are the models that are not finished.

    Raises InputFault, with alternatives that fit, if the memory or the disk of ``machine`` is too small.
    """
    for job in jobs:
        check_experiment(job.name, job.experiment)
    parts, machine = forecast_models(run, experiments, jobs, machine)
    write_forecasts(run, parts, machine)
    if parts:
        print_forecasts(parts, "level one, forecast")
        print_total(parts, machine)
    check_resources(run, parts, machine)


def forecast_models(
    run: Run, experiments: Mapping[str, Experiment], jobs: Sequence[Job], machine: Machine
) -> tuple[list[Forecast], Machine]:
    """Return the forecasts of decoding and of every model, and ``machine`` with its GPU.

    ``jobs`` are the models that are not finished. Raises InputFault for devices that the machine does not have.
    """
    fresh = [_fresh(name) for name in experiments if name not in {job.name for job in jobs}]
    if not jobs:
        return fresh, machine
    hardware = find_hardware(jobs[0].devices, experiments)
    hardware = with_gpu(hardware, machine, experiments)
    machine = Machine(machine.disk, machine.memory, hardware.memory, machine.cores)
    decoding = _decoding(run, jobs)
    with tempfile.TemporaryDirectory(prefix="melstack-plan-") as folder:
        sample = make_sample(run, Path(folder), sorted({job.experiment.image_size for job in jobs}))
        parts = [_model(job, experiments, sample, hardware, machine) for job in jobs]
    memory = [part.memory + MODEL_RESIDUE * number for number, part in enumerate(parts)]
    models = [part.model_copy(update={"memory": total}) for part, total in zip(parts, memory, strict=True)]
    return [*decoding, *fresh, *models], machine


def _fresh(name: str) -> Forecast:
    return Forecast(level="one", name=name, how=FRESH)


def _decoding(run: Run, jobs: Sequence[Job]) -> list[Forecast]:
    """Return the forecast of decoding: one pass over all missing pictures, which writes all sides."""
    sizes = sorted({job.experiment.image_size for job in jobs})
    missing = find_missing_pictures(run, run.read_cases(), sizes)
    count = sum(len(part.paths) for part in missing)
    if not count:
        return [_fresh("decoding")]
    say(f"plan: decoding: {count} pictures are missing; measuring a sample of them")
    decoding = measure_decoding(missing)
    disk = {
        f"{side} px": round(mean * sum(len(part.paths) for part in missing if side in part.sizes))
        for side, mean in decoding.bytes.items()
    }
    how, seconds = f"measured on {decoding.pictures} pictures", {"decoding": decoding.seconds.times(count)}
    return [Forecast(level="one", name="decoding", seconds=seconds, disk=disk, how=how)]


def _model(
    job: Job, experiments: Mapping[str, Experiment], sample: Run, hardware: Hardware, machine: Machine
) -> Forecast:
    say(f"plan: {job.name}: measuring a few steps")
    work = count_work(job, hardware.batches.get(job.name, 0))
    folder = sample.folder.parent / job.name
    folder.mkdir()
    refusal = memory_refusal(job.name, experiments, hardware, machine) if job.name in hardware.batches else None
    batch = hardware.batches.get(job.name, 0)
    train = refusal is None and is_step_measurable(job.experiment, batch, hardware)
    measurements = measure(Request(sample_job(job, sample), folder, max(1, work.steps), train))
    if measurements is None:
        return Forecast(
            level="one", name=job.name, how="killed by the system while it was measured", refused=_kill_refusal(machine)
        )
    if not isinstance(job.experiment.training, Finetune):
        forecast = _forecast_frozen(job, work, measurements)
        return forecast.model_copy(update={"refused": _head_refusal(job, work, measurements, machine)})
    forecast = _forecast_finetuning(job, work, measurements, hardware)
    if refusal is None:
        peak = forecast.memory if measurements.steps else None
        refusal = memory_refusal(job.name, experiments, hardware, machine, peak)
    return forecast.model_copy(update={"refused": refusal})


def _kill_refusal(machine: Machine) -> str:
    return (
        f"the system killed the process while a few steps were measured, most likely for lack of memory "
        f"({format_bytes(machine.memory)} were available). What fits: a smaller image_size, "
        "or accumulation, which splits the batch into parts"
    )


def _forecast_finetuning(job: Job, work: Work, measurements: Measurements, hardware: Hardware) -> Forecast:
    batch = hardware.batches[job.name]
    step, how = _step(measurements, batch)
    pretraining = work.pretraining[0] * work.pretraining[1]
    saving = _range_of(measurements.saving).times(work.pending * work.epochs + work.pretraining[0])
    validation = step.times(work.pending * work.epochs * work.monitor_pictures / batch / STEP_IN_PASSES.high)
    # The graph of a side is built once for all folds, and once more for a pretraining stage.
    starts = _range_of(measurements.start).times(bool(work.pending) * work.sides + bool(pretraining))
    first_passes = bool(work.pending) * work.first_head_pictures * len(job.experiment.views)
    first_head = step.times(first_passes / batch / STEP_IN_PASSES.high)
    steps = step.times(work.pending * work.epochs * work.steps * work.pixels + pretraining)
    training = starts + first_head + steps + saving + validation
    exporting = _range_of(measurements.export)
    fold_prediction = exporting.times(measurements.uses_onnx) + Span.of(measurements.views).times(work.predictions)
    prediction = fold_prediction.times(work.pending)
    views = len(job.experiment.views)
    weights = measurements.parameters * FLOAT
    predictions = work.folds * work.predictions
    disk = {
        "weights": work.folds * weights + (weights if work.pretraining[0] else 0),
        "exported": work.folds * measurements.onnx_bytes * measurements.uses_onnx,
        "embeddings": round((predictions + work.cases) * measurements.features * HALF_FLOAT),
        "tables": round((predictions + work.cases) * (views + 3) * TABLE_BYTES),
        "bundle": work.folds * measurements.onnx_bytes,
    }
    pictures = min(CACHE_BYTES, work.rows * job.experiment.image_size**2 * 3)
    peak = measurements.peak if measurements.steps or hardware.memory is not None else _estimate_memory(job, hardware)
    return Forecast(
        level="one",
        name=job.name,
        seconds={"training": training, "prediction": prediction, "bundle": exporting.times(work.folds)},
        disk=disk,
        scratch=measurements.state_bytes or 5 * weights,
        memory=peak + pictures,
        gpu=_gpu(job, measurements, hardware),
        how=f"{how}, {len(measurements.views)} batches in {views} views measured; {_folds_left(work)}",
    )


def _forecast_frozen(job: Job, work: Work, measurements: Measurements) -> Forecast:
    views, features = len(job.experiment.views), measurements.features
    starts = bool(work.embeddings_left)
    start = measurements.start + measurements.export * measurements.uses_onnx
    embedding = _range_of(start).times(starts) + Span.of(measurements.views).times(work.embeddings_left)
    head = measurements.head * work.head_pictures / HEAD_CASES
    heads = Span(low=HEAD_RANGE[0] * head, high=HEAD_RANGE[1] * head).times(work.pending)
    numbers = views * features
    disk = {
        "embeddings": round((work.rows * numbers + work.cases * features) * HALF_FLOAT),
        "exported": measurements.onnx_bytes * measurements.uses_onnx,
        "weights": work.folds * features * FLOAT,
        "tables": round((work.folds * work.predictions + work.cases) * (views + 3) * TABLE_BYTES),
        "bundle": measurements.onnx_bytes,
    }
    return Forecast(
        level="one",
        name=job.name,
        seconds={"training": embedding, "prediction": heads, "bundle": _range_of(measurements.export)},
        disk=disk,
        memory=_head_memory(job, work, measurements, views),
        how=f"{len(measurements.views)} batches in {views} views and one fit of a head measured; {_folds_left(work)}",
    )


def _step(measurements: Measurements, batch: int) -> tuple[Span, str]:
    """Return the seconds of one optimiser step, and how they were measured or estimated."""
    if measurements.steps:
        return Span.of(measurements.steps), f"{len(measurements.steps)} steps of {batch} pictures"
    passes = Span.of(measurements.forward).times(batch)
    span = Span(low=STEP_IN_PASSES.low * passes.low, high=STEP_IN_PASSES.high * passes.high)
    factors = f"{STEP_IN_PASSES.low:.0f} to {STEP_IN_PASSES.high:.0f}"
    count = len(measurements.forward)
    return span, f"steps ESTIMATED as {factors} forward passes of each picture ({count} of one picture measured)"


def _range_of(seconds: float) -> Span:
    return Span(low=SINGLE_RANGE[0] * seconds, high=SINGLE_RANGE[1] * seconds)


def _folds_left(work: Work) -> str:
    return f"{work.pending} of {work.folds} folds left"


def _estimate_memory(job: Job, hardware: Hardware) -> int:
    pictures = part_size(job.experiment, hardware.batches[job.name], hardware.replicas)
    return round(memory_to_train(job.experiment, pictures, hardware))


def _gpu(job: Job, measurements: Measurements, hardware: Hardware) -> int | None:
    """Return the GPU memory in bytes: measured, or estimated for the GPU of another machine; None without a GPU."""
    if hardware.memory is None:
        return None
    return measurements.gpu_peak or _estimate_memory(job, hardware)


def _head_memory(job: Job, work: Work, measurements: Measurements, views: int) -> int:
    """Return the peak of memory in bytes while a head is fitted to the embeddings in ``views`` views."""
    training = job.experiment.training
    rows = views if isinstance(training, Finetune) or training.layers == "last" else 1
    numbers = work.head_pictures * measurements.features
    return measurements.peak + round(numbers * (views * HALF_FLOAT + rows * ROW_BYTES))


def _head_refusal(job: Job, work: Work, measurements: Measurements, machine: Machine) -> str | None:
    """Return why the embeddings of all views do not fit the memory while the head is fitted; None where they fit."""
    views = len(job.experiment.views)
    memory = _head_memory(job, work, measurements, views)
    if memory <= machine.memory:
        return None
    fitting = [count for count in range(1, views) if _head_memory(job, work, measurements, count) <= machine.memory]
    fewer_views = f"views = [...] with {fitting[-1]} of the {views}" if fitting else ""
    remedy = fewer_views or "a fine-tuned model, which needs memory for one batch only"
    return (
        f"fitting the head to {work.head_pictures:.0f} cases in {views} views takes {format_bytes(memory)} of memory, "
        f"and {format_bytes(machine.memory)} are available. What fits: {remedy}"
    )
