"""Tests for devices.py, batch_size.py and tpu.py: the choice of devices, refused choices, and the batch size."""

import json
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest
import tensorflow as tf

from level1_cnn.experiment import Experiment
from level1_cnn.hardware.batch_size import device_batch
from level1_cnn.hardware.devices import Plan, distribute, gpu_precision, plan_devices, split_batch
from level1_cnn.hardware.tpu import connect_tpu, has_tpu, tpu_name
from level1_cnn.training_settings import Finetune, FrozenFeatures
from runtime.errors import InputFault

GIGABYTE = 1 << 30
CPU = Plan("CPU", False, "float32", True, 32)
GPU = Plan("GPU", True, "mixed_float16", False, 64, memory=16 * GIGABYTE)


def experiment(side: int = 128, backbone: str = "efficientnet", variant: str = "b0", **settings) -> Experiment:
    training = Finetune(method="finetune", epochs=1, learning_rate=1e-3, **settings)
    return Experiment(backbone=backbone, variant=variant, weights="none", image_size=side, training=training)


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch) -> None:
    for name in ("TF_CONFIG", "TPU_NAME", "COLAB_TPU_ADDR", "KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="this machine has a GPU")
@pytest.mark.parametrize("devices", ["auto", "cpu"])
def test_a_machine_without_accelerators_uses_the_cpu_in_float32(devices: str) -> None:
    plan = plan_devices(devices)
    assert (plan.kind, plan.xla, plan.precision, plan.onnx, plan.replicas) == ("CPU", False, "float32", True, 1)
    assert plan.is_chief
    assert plan.describe() == "CPU, float32, XLA off, inference by ONNX Runtime for frozen networks"


def test_the_description_names_devices_hosts_and_determinism() -> None:
    plan = Plan("GPU", True, "mixed_bfloat16", False, 64, replicas=4, workers=2, deterministic=True)
    assert plan.describe() == (
        "4 x GPU on 2 hosts, mixed_bfloat16, XLA on, inference by TensorFlow, "
        "deterministic (slower; bit-identical on the same hardware only)"
    )
    assert plan.local_replicas == 2


@pytest.mark.parametrize("devices", ["gpus", "gpu", "gpu:", "gpu:0,", "cpu:two", "TPU", "", "tpu:"])
def test_an_unknown_value_is_refused_with_the_valid_ones(devices: str) -> None:
    with pytest.raises(InputFault, match=r"is unknown; use one of: auto, cpu, cpu:2 .* mirrored, workers, tpu"):
        plan_devices(devices)


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="this machine has a GPU")
@pytest.mark.parametrize(("devices", "missing"), [("gpu:0", 0), ("gpu:1,0", 0), ("mirrored", 0)])
def test_a_gpu_that_does_not_exist_is_named(devices: str, missing: int) -> None:
    with pytest.raises(InputFault, match=rf"GPU {missing} does not exist: TensorFlow finds 0 GPU\(s\).*cpu:2"):
        plan_devices(devices)


def test_devices_cannot_be_changed_after_tensorflow_started() -> None:
    tf.constant(1.0) + 1
    with pytest.raises(InputFault, match="devices = 'cpu:3' must be chosen before TensorFlow starts"):
        plan_devices("cpu:3")


def test_zero_logical_devices_are_refused() -> None:
    with pytest.raises(InputFault, match="1 or more"):
        plan_devices("cpu:0")


@pytest.mark.parametrize(
    ("capability", "precision"),
    [(12, "mixed_bfloat16"), (8, "mixed_bfloat16"), (7, "mixed_float16"), (6, "float32"), (0, "float32")],
)
def test_the_precision_depends_on_the_compute_capability(capability: int, precision: str) -> None:
    assert gpu_precision(capability) == precision


def test_workers_without_a_cluster_are_refused_with_an_example_of_tf_config() -> None:
    with pytest.raises(InputFault, match="TF_CONFIG names no workers; set it on every host"):
        plan_devices("workers")


@pytest.mark.parametrize("text", ["{nonsense", "[1, 2]"])
def test_an_invalid_tf_config_is_refused(monkeypatch, text: str) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputFault, match="TF_CONFIG is not a JSON object"):
        plan_devices("auto")


def test_a_cluster_of_one_host_counts_as_a_single_machine(monkeypatch) -> None:
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": ["localhost:1"]}}))
    assert plan_devices("auto").workers == 1


# TPU


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ("kaggle-7", "kaggle-7"),
        ("local", "local"),
        ("10.0.0.2:8470", "grpc://10.0.0.2:8470"),
        ("grpc://10.0.0.2:8470", "grpc://10.0.0.2:8470"),
        ("", "from-the-environment"),
    ],
)
def test_a_tpu_is_found_by_name_address_or_environment(choice: str, name: str, tmp_path: Path) -> None:
    assert tpu_name(choice, {"TPU_NAME": "from-the-environment"}, tmp_path) == name


def test_a_machine_with_tpu_chips_has_a_local_tpu(tmp_path: Path) -> None:
    assert not has_tpu({}, tmp_path)
    (tmp_path / "accel0").touch()
    assert has_tpu({}, tmp_path)
    assert tpu_name("", {}, tmp_path) == "local"


def test_without_a_tpu_the_message_lists_the_variables_and_device_files(tmp_path: Path) -> None:
    message = r"no TPU is configured: none of TPU_NAME, .* is set, and .*accel0.* use devices = tpu:<name"
    with pytest.raises(InputFault, match=message):
        tpu_name("", {}, tmp_path)


def test_a_tpu_that_does_not_answer_is_refused_in_seconds() -> None:
    with socket.socket() as listener:  # it never listens, so every connection is refused
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        start = time.monotonic()
        with pytest.raises(InputFault, match=f"TPU 'grpc://{address}': {address} does not answer within 3 s"):
            connect_tpu(address, {})
    assert time.monotonic() - start < 5


def test_an_error_of_tensorflow_about_a_tpu_is_one_line() -> None:
    with pytest.raises(InputFault, match=r"^TPU 'local' cannot be used: TPUs not found in the cluster.*$"):
        connect_tpu("local", {})


# Batch size


@pytest.mark.parametrize(("side", "batch"), [(32, 32), (128, 32), (160, 16), (192, 8), (224, 8), (768, 8)])
def test_on_a_cpu_larger_pictures_have_smaller_batches(side: int, batch: int) -> None:
    assert CPU.training_batch(experiment(side)) == batch


def test_on_a_gpu_the_batch_follows_the_formula() -> None:
    # 0.8 * 16 GiB / (135 * (380 / 224)^2 * 384^2 * 16 bytes) = 14.99, and 37.5 with 40 GiB
    assert device_batch(experiment(384, variant="b4"), 16 * GIGABYTE, half=True) == 8
    assert device_batch(experiment(384, variant="b4"), 40 * GIGABYTE, half=True) == 32
    assert device_batch(experiment(768, variant="b7"), 16 * GIGABYTE, half=True) == 1
    assert device_batch(experiment(128), 16 * GIGABYTE, half=False) == 64


def test_an_automatic_batch_is_a_multiple_of_parts_and_devices() -> None:
    batch = GPU.training_batch(experiment(384, variant="b4"))
    four_gpus = replace(GPU, replicas=4)
    assert four_gpus.training_batch(experiment(384, variant="b4")) == 4 * batch
    assert four_gpus.training_batch(experiment(384, variant="b4", accumulation=2)) == 8 * batch


def test_a_batch_size_that_does_not_split_evenly_is_refused_with_the_nearest_valid_ones() -> None:
    two_cpus = replace(CPU, replicas=2)
    assert two_cpus.training_batch(experiment(batch_size=24, accumulation=3)) == 24
    with pytest.raises(InputFault, match=r"batch_size = 32 must be a multiple of .* = 3 \* 2; use 30 or 36"):
        two_cpus.training_batch(experiment(batch_size=32, accumulation=3))
    with pytest.raises(InputFault, match=r"use 2$"):
        two_cpus.training_batch(experiment(batch_size=1))


def test_a_frozen_network_has_no_training_batch() -> None:
    frozen_network = experiment().model_copy(update={"training": FrozenFeatures(method="frozen", regularisation=1.0)})
    with pytest.raises(InputFault, match=r"training\.method = 'frozen' has no training batches"):
        CPU.training_batch(frozen_network)


def test_a_single_device_gets_the_unchanged_dataset() -> None:
    rows = distribute(CPU, lambda shard: tf.data.Dataset.from_tensors(shard))
    assert [[int(value) for value in row] for row in rows] == [[1, 0]]
    batch = ((tf.zeros((2, 1)), tf.zeros((2, 0))), tf.zeros((2, 1)), tf.zeros(2))
    assert split_batch(CPU, batch) is batch


def test_a_batch_that_does_not_split_evenly_is_refused() -> None:
    with pytest.raises(ValueError, match="3 cannot be split into 2 equal pieces"):
        split_batch(replace(CPU, replicas=2), (tf.zeros((3, 1)),))
