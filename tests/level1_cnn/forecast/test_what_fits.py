"""Tests for what_fits.py: what does not fit a memory is refused with what would, and what is proposed does fit."""

import re

import pytest
from level1_cnn.forecast.measured import Hardware

from level1_cnn.experiment import Experiment
from level1_cnn.forecast.what_fits import at_once, can_be_measured, memory_refusal, needed, with_gpu
from level1_cnn.hardware.batch_size import device_batch, picture_capacity, training_bytes
from runtime.machine import Machine

GB = 10**9


def experiment(variant: str = "b4", side: int = 512, **training: object) -> Experiment:
    settings = {"method": "finetune", "epochs": 1, "learning_rate": 1e-4, "batch_size": 64, **training}
    facts = {"backbone": "efficientnet", "variant": variant, "weights": "none", "image_size": side}
    return Experiment.model_validate({**facts, "training": settings})


def gpu(memory: int, **batches: int) -> Hardware:
    return Hardware("GPU", memory, 1, True, batches)


def host(memory: int) -> Machine:
    return Machine(disk=GB, memory=memory)


def test_what_fits_is_not_refused() -> None:
    models = {"b4": experiment(accumulation=16)}
    assert memory_refusal("b4", models, gpu(24 * GB, b4=64), host(GB)) is None


def test_a_batch_that_is_too_large_for_the_gpu_is_refused_with_an_accumulation_that_fits() -> None:
    models, device = {"b4": experiment()}, gpu(16 * GB, b4=64)
    said = memory_refusal("b4", models, device, host(GB))
    assert said is not None
    assert said.startswith("training on 64 picture(s) of 512 px at once takes ")
    assert "of GPU memory, and 16.0 GB are there" in said
    parts = int(re.findall(r"batch_size = 64 with accumulation = (\d+)", said)[0])
    pictures = at_once(experiment(accumulation=parts), 64, 1)
    assert needed(models["b4"], pictures, device) <= 16 * GB
    assert needed(models["b4"], 64 // (parts // 2), device) > 16 * GB


def test_where_not_even_one_picture_fits_a_side_a_variant_and_other_models_are_proposed() -> None:
    models = {"b7": experiment("b7", 768, batch_size=1), "b0": experiment("b0", 96, batch_size=8)}
    device = gpu(6 * GB, b7=1, b0=8)
    said = memory_refusal("b7", models, device, host(GB))
    assert said is not None
    assert "accumulation" not in said
    side = int(re.findall(r"image_size = (\d+) with 1 at once", said)[0])
    variant = re.findall(r"variant = '(\w+)' at this side", said)[0]
    assert needed(experiment("b7", side), 1, device) <= 6 * GB < needed(experiment("b7", side + 32), 1, device)
    assert needed(experiment(variant, 768), 1, device) <= 6 * GB
    assert said.endswith("of these models: b0")


def test_on_a_cpu_the_hosts_memory_is_what_counts_and_a_measured_peak_before_an_estimate() -> None:
    models, cpu = {"b0": experiment("b0", 128)}, Hardware("CPU", None, 1, False, {"b0": 64})
    assert memory_refusal("b0", models, cpu, host(8 * GB)) is None
    assert "of memory, and 1.0 GB are available" in str(memory_refusal("b0", models, cpu, host(GB)))
    assert memory_refusal("b0", models, cpu, host(8 * GB), peak=9 * GB) is not None
    assert memory_refusal("b0", models, cpu, host(3 * GB), peak=2 * GB) is None


def test_another_machines_gpu_decides_the_batches_that_are_left_to_the_device() -> None:
    models = {"auto": experiment("b4", 512, batch_size="auto", accumulation=2), "fixed": experiment()}
    cpu = Hardware("CPU", None, 1, False, {"auto": 16, "fixed": 64})
    found = with_gpu(cpu, Machine(GB, GB, gpu=16 * GB), models)
    assert found.memory == 16 * GB
    assert found.batches == {"auto": 2 * device_batch(models["auto"], 16 * GB, half=True), "fixed": 64}
    assert with_gpu(cpu, host(GB), models) is cpu


@pytest.mark.parametrize("half", [True, False])
def test_as_many_pictures_are_held_as_have_the_memory(half: bool) -> None:
    b4 = experiment()
    held = picture_capacity(b4, 24 * GB, half=half)
    assert training_bytes(b4, held, half=half) <= 24 * GB < training_bytes(b4, held + 1, half=half)


def test_a_step_is_taken_for_measuring_on_any_accelerator_and_on_a_cpu_only_where_it_is_short() -> None:
    large, small = experiment("b6", 768), experiment("b0", 96)
    assert can_be_measured(large, 64, gpu(16 * GB, b6=64))
    for memory in (None, 16 * GB):  # the host itself, and another machine's GPU that is planned for on a CPU
        cpu = Hardware("CPU", memory, 1, False, {})
        assert not can_be_measured(large, 64, cpu)
        assert can_be_measured(small, 8, cpu)
