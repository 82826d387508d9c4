"""Whether the training of a model fits the memory, and if not, which batch, side, variant or model fits."""

from collections.abc import Iterator, Mapping

from level1_cnn import backbones
from level1_cnn.experiment import Experiment
from level1_cnn.forecast.measurements import Hardware
from level1_cnn.hardware.batch_size import activations, device_batch, training_bytes
from level1_cnn.training_settings import Finetune
from runtime.machine.memory import available_memory, format_bytes
from runtime.machine.resources import Machine
from runtime.plural import number_of

# Bytes per output of a convolution in training on a CPU in float32; 17 to 19 were measured for B0 at 128 px.
HOST_BYTES = 19
PROGRAM = 900 << 20  # bytes of TensorFlow, the tables and the network before the training
# With more outputs of convolutions in one step (32 pictures of B0 at 512 px) a step on a CPU takes minutes.
MOST_ACTIVATIONS = 1.2e9
SIDE_STEP = 32  # px between the sides that are proposed as a remedy


def with_gpu(hardware: Hardware, machine: Machine, experiments: Mapping[str, Experiment]) -> Hardware:
    """Return ``hardware`` with the GPU memory of ``machine``, if that is the GPU of another machine.

    ``batch_size = "auto"`` becomes the batch of that GPU in mixed precision; ``kind`` remains the one of this machine.
    """
    if machine.gpu is None or machine.gpu == hardware.memory:
        return hardware
    batches = {
        name: _batch_on(experiment, experiment.training, machine.gpu, hardware.replicas)
        for name, experiment in experiments.items()
        if isinstance(experiment.training, Finetune)
    }
    return Hardware(hardware.kind, machine.gpu, hardware.replicas, True, batches)


def part_size(experiment: Experiment, batch: int, replicas: int) -> int:
    """Return how many pictures one device holds at once: its share of one part of the batch."""
    settings = experiment.training
    parts = settings.accumulation if isinstance(settings, Finetune) else 1
    return max(1, batch // (parts * replicas))


def memory_to_train(experiment: Experiment, pictures: int, hardware: Hardware) -> float:
    """Return the estimated bytes of GPU memory, or on a CPU of host memory, to train on ``pictures`` at once."""
    if hardware.memory is None:
        return PROGRAM + pictures * activations(experiment) * HOST_BYTES
    return training_bytes(experiment, pictures, half=hardware.half)


def is_step_measurable(experiment: Experiment, batch: int, hardware: Hardware) -> bool:
    """Return whether a training step can be measured here; on a CPU it must be short and fit the memory."""
    if hardware.kind != "CPU":
        return True
    memory = PROGRAM + part_size(experiment, batch, hardware.replicas) * activations(experiment) * HOST_BYTES
    return memory <= available_memory() and activations(experiment) * batch <= MOST_ACTIVATIONS


def memory_refusal(
    name: str, experiments: Mapping[str, Experiment], hardware: Hardware, machine: Machine, peak: int | None = None
) -> str | None:
    """Return why the fine-tuning of ``name`` does not fit the memory, with alternatives that fit; None if it fits.

    ``peak`` is the measured host memory in bytes; on a CPU it is used instead of the estimate.
    """
    experiment, batch = experiments[name], hardware.batches[name]
    limit = machine.memory if hardware.memory is None else hardware.memory
    pictures = part_size(experiment, batch, hardware.replicas)
    demand = memory_to_train(experiment, pictures, hardware)
    if peak is not None and hardware.memory is None:
        demand = float(peak)
    if demand <= limit:
        return None
    kind = "memory" if hardware.memory is None else "GPU memory"
    alternatives = "; or ".join(_alternatives(name, experiments, hardware, limit)) or "no model of this profile"
    side = experiment.image_size
    return (
        f"training on {number_of(pictures, 'picture')} of {side} px at once takes {format_bytes(int(demand))} of "
        f"{kind}, and {format_bytes(limit)} are available. What fits: {alternatives}"
    )


def _alternatives(name: str, experiments: Mapping[str, Experiment], hardware: Hardware, limit: int) -> Iterator[str]:
    """Yield what fits ``limit`` bytes: smaller parts of the batch, a smaller side, a smaller network, other models."""
    experiment, batch = experiments[name], hardware.batches[name]
    parts = _parts(experiment, batch, hardware, limit)
    if parts is not None:
        pictures = batch // (parts * hardware.replicas)
        at_once = number_of(pictures, "picture")
        yield f"batch_size = {batch} with accumulation = {parts}: {at_once} at once, the same batch"
    pictures = 1 if parts is None else part_size(experiment, batch, hardware.replicas)
    side = _side(experiment, pictures, hardware, limit)
    if side is not None:
        yield f"image_size = {side} with {pictures} at once"
    variant = _variant(experiment, pictures, hardware, limit)
    if variant is not None:
        yield f"variant = '{variant}' at this side with {pictures} at once"
    others = [
        other for other in hardware.batches if other != name and _fits(experiments[other], other, hardware, limit)
    ]
    if others:
        yield f"these models: {', '.join(others)}"


def _parts(experiment: Experiment, batch: int, hardware: Hardware, limit: int) -> int | None:
    """Return the smallest number of equal parts of ``batch`` that fit; None if not even one picture fits."""
    for parts in range(1, batch // hardware.replicas + 1):
        is_equal = batch % (parts * hardware.replicas) == 0
        if is_equal and memory_to_train(experiment, batch // (parts * hardware.replicas), hardware) <= limit:
            return parts
    return None


def _side(experiment: Experiment, pictures: int, hardware: Hardware, limit: int) -> int | None:
    sides = range((experiment.image_size - 1) // SIDE_STEP * SIDE_STEP, backbones.SMALLEST_SIZE - 1, -SIDE_STEP)
    smaller = ((side, experiment.model_copy(update={"image_size": side})) for side in sides)
    return next((side for side, copy in smaller if memory_to_train(copy, pictures, hardware) <= limit), None)


def _variant(experiment: Experiment, pictures: int, hardware: Hardware, limit: int) -> str | None:
    """Return the largest smaller network of the family that fits at the same side; the native side orders networks."""
    variants = backbones.find(experiment.backbone).VARIANTS
    native_side = variants[experiment.variant].resolution
    smaller = sorted((facts.resolution, name) for name, facts in variants.items() if facts.resolution < native_side)
    for _, name in reversed(smaller):
        if memory_to_train(experiment.model_copy(update={"variant": name}), pictures, hardware) <= limit:
            return str(name)
    return None


def _fits(experiment: Experiment, name: str, hardware: Hardware, limit: int) -> bool:
    pictures = part_size(experiment, hardware.batches[name], hardware.replicas)
    return memory_to_train(experiment, pictures, hardware) <= limit


def _batch_on(experiment: Experiment, settings: Finetune, memory: int, replicas: int) -> int:
    if settings.batch_size == "auto":
        return settings.accumulation * replicas * device_batch(experiment, memory, half=True)
    return settings.batch_size
