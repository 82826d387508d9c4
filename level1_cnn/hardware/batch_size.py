"""Compute how many pictures fit on a device in training, from the resolution, the network's size and the memory."""

import ctypes

from level1_cnn import backbones
from level1_cnn.experiment import Experiment
from runtime.errors import InputFault

# Outputs of B0's convolutions per input pixel (134.85, counted). With compound scaling (Tan and Le 2019), width times
# depth grows with about the square of a network's native resolution, which VARIANTS of every family holds. This gives
# 2.88 for B4, whose coefficients give 1.4 * 1.8 = 2.52, and 7.17 for B7 instead of 2.0 * 3.1 = 6.2: a reserve of 15 %.
ACTIVATIONS_PER_PIXEL = 135
NATIVE_SIDE = 224  # of B0
# Bytes per output that training keeps for the backward pass: 17 to 19 measured for B0 at 128 px in float32 on a CPU,
# plus a reserve for a GPU's work space (not measured on a GPU). With 16-bit activations (True) it is more than half,
# because Keras normalises in float32.
BYTES_PER_ACTIVATION = {False: 24, True: 16}
USABLE = 0.8  # share of a device's memory; the rest is for weights, optimiser, work space and fragmentation
UNKNOWN_MEMORY = 8 << 30  # assumed for a GPU whose driver does not report its memory
MOST_PER_DEVICE = 64  # larger batches mean fewer steps, for which the learning rates in our configurations are not set
CPU_BATCH, CPU_SIDE, LEAST_CPU_BATCH = 32, 128, 8  # on a CPU, time is the limit and not memory


def device_batch(experiment: Experiment, memory: int | None, *, half: bool) -> int:
    """Return the number of pictures in one device's part of a training step.

    On a GPU or TPU with ``memory`` bytes: USABLE * memory / (135 * (native side / 224)^2 * side^2 * bytes), at least 1
    and at most 64; ``half`` means 16-bit activations. On a CPU (``memory`` None): 32 up to 128 px, above that the
    number with as many pixels, but at least 8. From 8 on, the number is rounded down to a multiple of 8.
    """
    if memory is None:
        same_pixels = CPU_BATCH * (CPU_SIDE / experiment.image_size) ** 2
        return _round_to_eights(min(CPU_BATCH, max(LEAST_CPU_BATCH, int(same_pixels))))
    return _round_to_eights(min(MOST_PER_DEVICE, max(1, picture_capacity(experiment, memory, half=half))))


def picture_capacity(experiment: Experiment, memory: int, *, half: bool) -> int:
    """Return how many pictures fit in ``memory`` bytes in training; 0 if not even one fits."""
    return int(memory / training_bytes(experiment, 1, half=half))


def training_bytes(experiment: Experiment, pictures: int, *, half: bool) -> float:
    """Return the bytes of memory that a device needs to train on ``pictures`` at once; ``half``: 16-bit activations."""
    return pictures * activations(experiment) * BYTES_PER_ACTIVATION[half] / USABLE


def activations(experiment: Experiment) -> float:
    """Return the number of outputs of all convolutions for one picture: 135 * (native side / 224)^2 * side^2."""
    native = experiment.image_size  # of an ONNX file, which has one side
    if experiment.onnx is None:
        native = backbones.find(experiment.backbone).VARIANTS[experiment.variant].resolution
    return float(ACTIVATIONS_PER_PIXEL * (native / NATIVE_SIDE) ** 2 * experiment.image_size**2)


def check_batch_size(batch_size: int, accumulation: int, replicas: int) -> int:
    """Return ``batch_size``; raise InputFault unless it splits into equal parts for all devices and accumulations."""
    parts = accumulation * replicas
    if batch_size % parts == 0:
        return batch_size
    below, above = batch_size // parts * parts, (batch_size // parts + 1) * parts
    choices = f"{below} or {above}" if below else f"{above}"
    raise InputFault(
        f"training.batch_size = {batch_size} must be a multiple of accumulation * devices = "
        f"{accumulation} * {replicas}; use {choices}"
    )


def gpu_memory(index: int) -> int:
    """Return the bytes of memory of GPU ``index`` from the CUDA driver, or UNKNOWN_MEMORY without an answer."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return UNKNOWN_MEMORY
    device, size = ctypes.c_int(), ctypes.c_size_t()
    error_code = (
        driver.cuInit(0)
        or driver.cuDeviceGet(ctypes.byref(device), index)
        or driver.cuDeviceTotalMem_v2(ctypes.byref(size), device)
    )
    return UNKNOWN_MEMORY if error_code else size.value


def _round_to_eights(count: int) -> int:
    """Round down to a multiple of 8; keep numbers below 8."""
    return count // 8 * 8 or count
