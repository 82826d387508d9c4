"""Whether a model's training fits the memory there is, and if not, which batch, side, variant or model would."""

from collections.abc import Iterator, Mapping

from level1_cnn import backbones
from level1_cnn.experiment import Experiment, Finetune
from level1_cnn.forecast.measured import Hardware
from level1_cnn.hardware.batch_size import activations, device_batch, training_bytes
from runtime.forecasts import format_bytes
from runtime.machine import Machine, available_memory

# Of an output of a convolution in training on a CPU, float32: 17 to 19 were measured for B0 at 128 px.
HOST_BYTES = 19
PROGRAM = 900 << 20  # of TensorFlow, the tables and the network, before it is trained
# On a CPU: more numbers than these in one step, 32 pictures of B0 at 512 px, and a step takes minutes.
MOST_ACTIVATIONS = 1.2e9
SIDE_STEP = 32  # px between the sides that are proposed


def with_gpu(hardware: Hardware, machine: Machine, experiments: Mapping[str, Experiment]) -> Hardware:
    """Return ``hardware`` as if it had the GPU that ``machine`` names, where it has none or another.

    Batches that are left to the device become those of that GPU, in mixed precision; ``kind`` stays what is here.
    """
    if machine.gpu is None or machine.gpu == hardware.memory:
        return hardware
    batches = {
        name: _batch_on(one, one.training, machine.gpu, hardware.replicas)
        for name, one in experiments.items()
        if isinstance(one.training, Finetune)
    }
    return Hardware(hardware.kind, machine.gpu, hardware.replicas, True, batches)


def at_once(experiment: Experiment, batch: int, replicas: int) -> int:
    """Return the pictures that one device holds at once: its share of a part of the batch."""
    settings = experiment.training
    parts = settings.accumulation if isinstance(settings, Finetune) else 1
    return max(1, batch // (parts * replicas))


def needed(experiment: Experiment, pictures: int, hardware: Hardware) -> float:
    """Return the estimated bytes of the memory in question (a GPU's, or the host's) for ``pictures`` at once."""
    if hardware.memory is None:
        return PROGRAM + pictures * activations(experiment) * HOST_BYTES
    return training_bytes(experiment, pictures, half=hardware.half)


def can_be_measured(experiment: Experiment, batch: int, hardware: Hardware) -> bool:
    """Tell whether a training step can be taken here for measuring: on a CPU it must be short, and held in memory."""
    if hardware.kind != "CPU":
        return True
    held = PROGRAM + at_once(experiment, batch, hardware.replicas) * activations(experiment) * HOST_BYTES
    return held <= available_memory() and activations(experiment) * batch <= MOST_ACTIVATIONS


def memory_refusal(
    name: str, experiments: Mapping[str, Experiment], hardware: Hardware, machine: Machine, peak: int | None = None
) -> str | None:
    """Return why fine-tuning ``name`` does not fit the memory, and what would; None where it fits.

    ``peak`` is the host memory that was measured; it takes the place of the estimate on a CPU.
    """
    experiment, batch = experiments[name], hardware.batches[name]
    limit = machine.memory if hardware.memory is None else hardware.memory
    pictures = at_once(experiment, batch, hardware.replicas)
    wanted = float(peak) if peak is not None and hardware.memory is None else needed(experiment, pictures, hardware)
    if wanted <= limit:
        return None
    place = "memory" if hardware.memory is None else "GPU memory"
    held = "available" if hardware.memory is None else "there"
    would = "; or ".join(_what_would(name, experiments, hardware, limit)) or "nothing of this profile does"
    side = experiment.image_size
    return (
        f"training on {pictures} picture(s) of {side} px at once takes {format_bytes(int(wanted))} of {place}, "
        f"and {format_bytes(limit)} are {held}. What fits: {would}"
    )


def _what_would(name: str, experiments: Mapping[str, Experiment], hardware: Hardware, limit: int) -> Iterator[str]:
    """Yield what would fit ``limit`` bytes: smaller parts of the batch, a smaller side, a smaller network, a model."""
    experiment, batch = experiments[name], hardware.batches[name]
    parts = _parts(experiment, batch, hardware, limit)
    if parts is not None:
        pictures = batch // (parts * hardware.replicas)
        yield f"batch_size = {batch} with accumulation = {parts}: {pictures} picture(s) at once, the same batch"
    pictures = 1 if parts is None else at_once(experiment, batch, hardware.replicas)
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
        yield f"of these models: {', '.join(others)}"


def _parts(experiment: Experiment, batch: int, hardware: Hardware, limit: int) -> int | None:
    """Return the fewest equal parts of ``batch`` of which each fits."""
    for parts in range(1, batch // hardware.replicas + 1):
        whole = batch % (parts * hardware.replicas) == 0
        if whole and needed(experiment, batch // (parts * hardware.replicas), hardware) <= limit:
            return parts
    return None


def _side(experiment: Experiment, pictures: int, hardware: Hardware, limit: int) -> int | None:
    sides = range((experiment.image_size - 1) // SIDE_STEP * SIDE_STEP, backbones.SMALLEST_SIZE - 1, -SIDE_STEP)
    smaller = ((side, experiment.model_copy(update={"image_size": side})) for side in sides)
    return next((side for side, one in smaller if needed(one, pictures, hardware) <= limit), None)


def _variant(experiment: Experiment, pictures: int, hardware: Hardware, limit: int) -> str | None:
    """Return the largest of the family's networks that fits at the same side; they are ordered by their own side."""
    variants = backbones.find(experiment.backbone).VARIANTS
    own = variants[experiment.variant].resolution
    smaller = sorted((each.resolution, name) for name, each in variants.items() if each.resolution < own)
    for _, name in reversed(smaller):
        if needed(experiment.model_copy(update={"variant": name}), pictures, hardware) <= limit:
            return str(name)
    return None


def _fits(experiment: Experiment, name: str, hardware: Hardware, limit: int) -> bool:
    return needed(experiment, at_once(experiment, hardware.batches[name], hardware.replicas), hardware) <= limit


def _batch_on(experiment: Experiment, settings: Finetune, memory: int, replicas: int) -> int:
    if settings.batch_size == "auto":
        return settings.accumulation * replicas * device_batch(experiment, memory, half=True)
    return settings.batch_size
