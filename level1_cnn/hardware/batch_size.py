"""How many pictures a device holds in training, from the resolution, the network's size and its memory."""

import ctypes

from level1_cnn import backbones
from level1_cnn.experiment import Experiment
from runtime.errors import InputFault

# Outputs of B0's convolutions per input pixel (134.85, counted). Compound scaling (Tan and Le 2019) lets width times
# depth grow with about the square of a network's own resolution, which every family's VARIANTS give: for B4 this says
# 2.88 where its coefficients say 1.4 * 1.8 = 2.52, for B7 7.17 where they say 2.0 * 3.1 = 6.2; a reserve of 15 %.
ACTIVATIONS_PER_PIXEL = 135
NATIVE_SIDE = 224
# Of one such output in training, kept for the backward pass: 17 to 19 measured for B0 at 128 px in float32 on a CPU,
# with a reserve on top for a GPU's work space (not measured on one). In 16 bit it is not half: Keras normalises in
# float32.
BYTES_PER_ACTIVATION = {False: 24, True: 16}
USABLE = 0.8  # of a device's memory: the rest is weights, optimiser, work space and fragments
UNKNOWN_MEMORY = 8 << 30  # of a GPU whose driver cannot be asked
MOST_PER_DEVICE = 64  # more pictures per step means fewer steps, which no learning rate in our configurations expects
CPU_BATCH, CPU_SIDE, LEAST_CPU_BATCH = 32, 128, 8  # on a CPU time is short, not memory


def device_batch(experiment: Experiment, memory: int | None, *, half: bool) -> int:
    """Return the pictures that one device takes at once.

    On a GPU or TPU with ``memory`` bytes: USABLE * memory / (135 * (native side / 224)^2 * side^2 * bytes), at
    most 64, in eights where it is that many; ``half`` when activations are 16 bit. On a CPU (``memory`` None): 32 up to
    128 px, then as many pixels as that, 8 at least.
    """
    if memory is None:
        shrunk = CPU_BATCH * (CPU_SIDE / experiment.image_size) ** 2
        return _in_eights(min(CPU_BATCH, max(LEAST_CPU_BATCH, int(shrunk))))
    return _in_eights(min(MOST_PER_DEVICE, max(1, picture_capacity(experiment, memory, half=half))))


def picture_capacity(experiment: Experiment, memory: int, *, half: bool) -> int:
    """Return how many pictures ``memory`` bytes hold in training, 0 where not even one."""
    return int(memory / training_bytes(experiment, 1, half=half))


def training_bytes(experiment: Experiment, pictures: int, *, half: bool) -> float:
    """Return the memory that a device must have to train on ``pictures`` at once; ``half``: in 16 bit."""
    return pictures * activations(experiment) * BYTES_PER_ACTIVATION[half] / USABLE


def activations(experiment: Experiment) -> float:
    """Return how many numbers its convolutions put out for one picture: 135 * (native side / 224)^2 * side^2."""
    native = backbones.find(experiment.backbone).VARIANTS[experiment.variant].resolution
    return float(ACTIVATIONS_PER_PIXEL * (native / NATIVE_SIDE) ** 2 * experiment.image_size**2)


def whole_batch(batch_size: int, accumulation: int, replicas: int) -> int:
    """Return ``batch_size``; raise InputFault when it does not divide into equal parts for every device."""
    parts = accumulation * replicas
    if batch_size % parts == 0:
        return batch_size
    below, above = batch_size // parts * parts, (batch_size // parts + 1) * parts
    right = f"{below} or {above}" if below else f"{above}"
    raise InputFault(
        f"training.batch_size = {batch_size} does not divide by accumulation * devices = {accumulation} * {replicas}; "
        f"nearest right: {right}"
    )


def gpu_memory(index: int) -> int:
    """Return the bytes of GPU ``index`` as the CUDA driver tells them; an assumption when there is no such driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return UNKNOWN_MEMORY
    device, size = ctypes.c_int(), ctypes.c_size_t()
    failed = (
        driver.cuInit(0)
        or driver.cuDeviceGet(ctypes.byref(device), index)
        or driver.cuDeviceTotalMem_v2(ctypes.byref(size), device)
    )
    return UNKNOWN_MEMORY if failed else size.value


def _in_eights(count: int) -> int:
    return count // 8 * 8 or count
