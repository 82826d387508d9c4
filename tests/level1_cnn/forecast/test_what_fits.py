"""Tests for what_fits.py: a training that does not fit the memory is refused, and the alternatives do fit."""

import re

import pytest

from level1_cnn.experiment import Experiment
from level1_cnn.forecast.measurements import Hardware
from level1_cnn.forecast.what_fits import is_step_measurable, memory_refusal, memory_to_train, part_size, with_gpu
from level1_cnn.hardware.batch_size import device_batch, picture_capacity, training_bytes
from runtime.machine.resources import Machine

GB = 10**9


def experiment(variant: str = "b4", side: int = 512, **training: object) -> Experiment:
    settings = {"method": "finetune", "epochs": 1, "learning_rate": 1e-4, "batch_size": 64, **training}
    facts = {"backbone": "efficientnet", "variant": variant, "weights": "none", "image_size": side}
    return Experiment.model_validate({**facts, "training": settings})


def gpu(memory: int, **batches: int) -> Hardware:
    return Hardware("GPU", memory, 1, True, batches)


def host(memory: int) -> Machine:
    return Machine(disk=GB, memory=memory)


def test_a_training_that_fits_is_not_refused() -> None:
    models = {"b4": experiment(accumulation=16)}
    assert memory_refusal("b4", models, gpu(24 * GB, b4=64), host(GB)) is None


def test_a_batch_that_is_too_large_for_the_gpu_is_refused_with_an_accumulation_that_fits() -> None:
    models, device = {"b4": experiment()}, gpu(16 * GB, b4=64)
    refusal = memory_refusal("b4", models, device, host(GB))
    assert refusal is not None
    assert refusal.startswith("training on 64 pictures of 512 px at once takes ")
    assert "of GPU memory, and 16.0 GB are available" in refusal
    parts = int(re.findall(r"batch_size = 64 with accumulation = (\d+)", refusal)[0])
    pictures = part_size(experiment(accumulation=parts), 64, 1)
    assert memory_to_train(models["b4"], pictures, device) <= 16 * GB
    assert memory_to_train(models["b4"], 64 // (parts // 2), device) > 16 * GB


def test_if_not_even_one_picture_fits_a_smaller_side_variant_and_other_models_are_proposed() -> None:
    models = {"b7": experiment("b7", 768, batch_size=1), "b0": experiment("b0", 96, batch_size=8)}
    device = gpu(6 * GB, b7=1, b0=8)
    refusal = memory_refusal("b7", models, device, host(GB))
    assert refusal is not None
    assert "accumulation" not in refusal
    side = int(re.findall(r"image_size = (\d+) with 1 at once", refusal)[0])
    variant = re.findall(r"variant = '(\w+)' at this side", refusal)[0]
    assert (
        memory_to_train(experiment("b7", side), 1, device)
        <= 6 * GB
        < memory_to_train(experiment("b7", side + 32), 1, device)
    )
    assert memory_to_train(experiment(variant, 768), 1, device) <= 6 * GB
    assert refusal.endswith("these models: b0")


def test_on_a_cpu_the_host_memory_is_the_limit_and_a_measured_peak_replaces_the_estimate() -> None:
    models, cpu = {"b0": experiment("b0", 128)}, Hardware("CPU", None, 1, False, {"b0": 64})
    assert memory_refusal("b0", models, cpu, host(8 * GB)) is None
    assert "of memory, and 1.0 GB are available" in str(memory_refusal("b0", models, cpu, host(GB)))
    assert memory_refusal("b0", models, cpu, host(8 * GB), peak=9 * GB) is not None
    assert memory_refusal("b0", models, cpu, host(3 * GB), peak=2 * GB) is None


def test_the_gpu_of_another_machine_determines_automatic_batch_sizes() -> None:
    models = {"auto": experiment("b4", 512, batch_size="auto", accumulation=2), "fixed": experiment()}
    cpu = Hardware("CPU", None, 1, False, {"auto": 16, "fixed": 64})
    hardware = with_gpu(cpu, Machine(GB, GB, gpu=16 * GB), models)
    assert hardware.memory == 16 * GB
    assert hardware.batches == {"auto": 2 * device_batch(models["auto"], 16 * GB, half=True), "fixed": 64}
    assert with_gpu(cpu, host(GB), models) is cpu


@pytest.mark.parametrize("half", [True, False])
def test_the_picture_capacity_is_the_largest_number_that_fits_the_memory(half: bool) -> None:
    b4 = experiment()
    capacity = picture_capacity(b4, 24 * GB, half=half)
    assert training_bytes(b4, capacity, half=half) <= 24 * GB < training_bytes(b4, capacity + 1, half=half)


def test_a_step_is_measured_on_any_accelerator_but_on_a_cpu_only_if_it_is_short() -> None:
    large, small = experiment("b6", 768), experiment("b0", 96)
    assert is_step_measurable(large, 64, gpu(16 * GB, b6=64))
    for memory in (None, 16 * GB):  # the host itself, or a forecast for the GPU of another machine
        cpu = Hardware("CPU", memory, 1, False, {})
        assert not is_step_measurable(large, 64, cpu)
        assert is_step_measurable(small, 8, cpu)
