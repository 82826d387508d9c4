"""Level one's forecast: from a few measured steps and the counted work to hours, disk and memory of every model."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from level1_cnn.data.feed import CACHE_BYTES
from level1_cnn.data.shards import find_missing_pictures
from level1_cnn.experiment import Experiment, Finetune
from level1_cnn.forecast.measure import look_at_hardware, measurable, measure
from level1_cnn.forecast.measured import HEAD_CASES, Hardware, Measured, Request
from level1_cnn.forecast.sample import make_sample, measure_decoding
from level1_cnn.forecast.what_fits import at_once, can_be_measured, memory_refusal, needed, with_gpu
from level1_cnn.forecast.work import Work, count_work
from level1_cnn.job import Job
from level1_cnn.networks.network import check_experiment
from runtime.forecasts import (
    Forecast,
    Span,
    check_resources,
    format_bytes,
    print_forecasts,
    print_total,
    write_forecasts,
)
from runtime.machine import Machine
from runtime.progress import say
from runtime.run_folder import Run

# A training step in forward passes of single pictures, where a step itself would take minutes (only on a CPU).
STEP_IN_PASSES = Span(low=3.0, high=7.0)
# Of a state's or a head's range: what is timed once is given this much either way.
ONCE = (0.8, 1.4)
# Drawn embeddings are fitted faster or slower than real ones.
HEAD_RANGE = (0.5, 2.5)
HALF_FLOAT, FLOAT = 2, 4
HEAD_BYTES = 12  # of an embedding's number, while a head is fitted: read in 16 bit, standardised and used in 32
TABLE_BYTES = 8  # of a number in a table of probabilities; it hardly compresses
KEPT = 400 << 20  # TensorFlow keeps of every model that one process has finished: 0.3 to 0.6 GB were seen
FRESH = "fresh: nothing is left to do"


def plan_models(run: Run, experiments: Mapping[str, Experiment], jobs: Sequence[Job], machine: Machine) -> None:
    """Forecast ``experiments``, of which ``jobs`` are not finished: print a table and write it to plan.json.

    Raises InputFault where ``machine`` cannot hold something, with what it could hold.
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
    """Return the forecast of decoding and of every model, and ``machine`` with the GPU that was found.

    ``jobs`` are the models that are not finished. Raises InputFault for devices that are not there.
    """
    fresh = [_fresh(name) for name in experiments if name not in {job.name for job in jobs}]
    if not jobs:
        return fresh, machine
    hardware = look_at_hardware(jobs[0].devices, experiments)
    hardware = with_gpu(hardware, machine, experiments)
    machine = Machine(machine.disk, machine.memory, hardware.memory, machine.cores)
    decoding = _decoding(run, jobs)
    with tempfile.TemporaryDirectory(prefix="melstack-plan-") as folder:
        sample = make_sample(run, Path(folder), sorted({job.experiment.image_size for job in jobs}))
        parts = [_model(job, experiments, sample, hardware, machine) for job in jobs]
    kept = [part.model_copy(update={"memory": part.memory + KEPT * number}) for number, part in enumerate(parts)]
    return [*decoding, *fresh, *kept], machine


def _fresh(name: str) -> Forecast:
    return Forecast(level="one", name=name, how=FRESH)


def _decoding(run: Run, jobs: Sequence[Job]) -> list[Forecast]:
    """Return what decoding takes: one pass over every source picture, for all sides; nothing where it is done."""
    sizes = sorted({job.experiment.image_size for job in jobs})
    left = find_missing_pictures(run, run.read_cases(), sizes)
    count = sum(len(part.paths) for part in left)
    if not count:
        return [Forecast(level="one", name="decoding", how=FRESH)]
    say(f"plan: decoding: measuring, of {count} pictures")
    found = measure_decoding(left)
    disk = {
        f"{side} px": round(mean * sum(len(part.paths) for part in left if side in part.sizes))
        for side, mean in found.bytes.items()
    }
    how = f"measured on {found.pictures} pictures"
    return [
        Forecast(level="one", name="decoding", seconds={"decoding": found.seconds.times(count)}, disk=disk, how=how)
    ]


def _model(
    job: Job, experiments: Mapping[str, Experiment], sample: Run, hardware: Hardware, machine: Machine
) -> Forecast:
    say(f"plan: {job.name}: measuring")
    work = count_work(job, hardware.batches.get(job.name, 0))
    folder = sample.folder.parent / job.name
    folder.mkdir()
    refused = memory_refusal(job.name, experiments, hardware, machine) if job.name in hardware.batches else None
    batch = hardware.batches.get(job.name, 0)
    train = refused is None and can_be_measured(job.experiment, batch, hardware)
    measured = measure(Request(measurable(job, sample), folder, max(1, work.steps), train))
    if measured is None:
        return Forecast(
            level="one", name=job.name, how="ended by the system while it was measured", refused=_killed(machine)
        )
    if isinstance(job.experiment.training, Finetune):
        found = _finetuned(job, work, measured, hardware)
        if refused is None:
            peak = found.memory if measured.steps else None
            refused = memory_refusal(job.name, experiments, hardware, machine, peak)
        return found.model_copy(update={"refused": refused})
    found = _frozen(job, work, measured)
    return found.model_copy(update={"refused": _head_refusal(job, work, measured, machine)})


def _killed(machine: Machine) -> str:
    return (
        f"the system ended it while a few steps were measured, most likely for want of memory "
        f"({format_bytes(machine.memory)} were available). What fits: a smaller image_size, "
        "or accumulation, which takes the batch in parts"
    )


def _finetuned(job: Job, work: Work, measured: Measured, hardware: Hardware) -> Forecast:
    batch = hardware.batches[job.name]
    step, how = _step(measured, batch)
    pretraining = work.pretraining[0] * work.pretraining[1]
    saving = _once(measured.saving).times(work.pending * work.epochs + work.pretraining[0])
    watching = step.times(work.pending * work.epochs * work.monitor_pictures / batch / STEP_IN_PASSES.high)
    # The graph is built once for all folds, and once more for a stage of its own.
    starts = _once(measured.start).times(bool(work.pending) + bool(pretraining))
    training = starts + step.times(work.pending * work.epochs * work.steps + pretraining) + saving + watching
    exporting = _once(measured.export)
    predicting = (exporting.times(measured.exports) + Span.of(measured.views).times(work.predictions)).times(
        work.pending
    )
    views = len(job.experiment.views)
    weights = measured.parameters * FLOAT
    asked = work.folds * work.predictions
    disk = {
        "weights": work.folds * weights + (weights if work.pretraining[0] else 0),
        "exported": work.folds * measured.exported_bytes * measured.exports,
        "embeddings": round((asked + work.cases) * measured.features * HALF_FLOAT),
        "tables": round((asked + work.cases) * (views + 3) * TABLE_BYTES),
        "bundle": work.folds * measured.exported_bytes,
    }
    pictures = min(CACHE_BYTES, work.rows * job.experiment.image_size**2 * 3)
    peak = measured.peak if measured.steps or hardware.memory is not None else _estimated(job, hardware)
    return Forecast(
        level="one",
        name=job.name,
        seconds={"training": training, "prediction": predicting, "bundle": exporting.times(work.folds)},
        disk=disk,
        scratch=measured.state_bytes or 5 * weights,
        memory=peak + pictures,
        gpu=_gpu(job, measured, hardware),
        how=f"{how}, {len(measured.views)} batches in {views} views measured; {_left(work)}",
    )


def _frozen(job: Job, work: Work, measured: Measured) -> Forecast:
    views, features = len(job.experiment.views), measured.features
    begun = bool(work.embeddings_left)
    started = measured.start + measured.export * measured.exports
    embedding = _once(started).times(begun) + Span.of(measured.views).times(work.embeddings_left)
    head = measured.head * work.head_pictures / HEAD_CASES
    heads = Span(low=HEAD_RANGE[0] * head, high=HEAD_RANGE[1] * head).times(work.pending)
    numbers = views * features
    disk = {
        "embeddings": round((work.rows * numbers + work.cases * features) * HALF_FLOAT),
        "exported": measured.exported_bytes * measured.exports,
        "weights": work.folds * features * FLOAT,
        "tables": round((work.folds * work.predictions + work.cases) * (views + 3) * TABLE_BYTES),
        "bundle": measured.exported_bytes,
    }
    return Forecast(
        level="one",
        name=job.name,
        seconds={"training": embedding, "prediction": heads, "bundle": _once(measured.export)},
        disk=disk,
        memory=measured.peak + round(work.head_pictures * numbers * HEAD_BYTES),
        how=f"{len(measured.views)} batches in {views} views and one fit of a head measured; {_left(work)}",
    )


def _step(measured: Measured, batch: int) -> tuple[Span, str]:
    """Return the seconds of one optimiser step, and how they are known."""
    if measured.steps:
        return Span.of(measured.steps), f"{len(measured.steps)} steps of {batch} pictures"
    one = Span.of(measured.forward).times(batch)
    span = Span(low=STEP_IN_PASSES.low * one.low, high=STEP_IN_PASSES.high * one.high)
    factors = f"{STEP_IN_PASSES.low:.0f} to {STEP_IN_PASSES.high:.0f}"
    return span, f"steps ESTIMATED as {factors} of {len(measured.forward)} forward passes of one picture"


def _once(seconds: float) -> Span:
    return Span(low=ONCE[0] * seconds, high=ONCE[1] * seconds)


def _left(work: Work) -> str:
    return f"{work.pending} of {work.folds} folds left"


def _estimated(job: Job, hardware: Hardware) -> int:
    return round(
        needed(job.experiment, at_once(job.experiment, hardware.batches[job.name], hardware.replicas), hardware)
    )


def _gpu(job: Job, measured: Measured, hardware: Hardware) -> int | None:
    """Return the memory of a GPU: what was measured, or estimated where the GPU is another machine's."""
    if hardware.memory is None:
        return None
    return measured.gpu_peak or _estimated(job, hardware)


def _head_refusal(job: Job, work: Work, measured: Measured, machine: Machine) -> str | None:
    views = len(job.experiment.views)
    of_a_view = work.head_pictures * measured.features * HEAD_BYTES
    memory = measured.peak + round(views * of_a_view)
    if memory <= machine.memory:
        return None
    fitting = int((machine.memory - measured.peak) / of_a_view)
    fewer = f"views = [...] with {fitting} of the {views}" if fitting > 0 else "a fine-tuned model: it holds one batch"
    return (
        f"fitting the head to {work.head_pictures:.0f} cases in {views} views takes {format_bytes(memory)} of memory, and "
        f"{format_bytes(machine.memory)} are available. What fits: {fewer}"
    )
