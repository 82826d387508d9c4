"""Tests of training on several devices and hosts: logical devices and real processes, which equal one device."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
STEPS, BATCH = 8, 8

pytestmark = pytest.mark.full  # every test starts TensorFlow anew, some of them twice


def train(devices: str, target: str) -> None:
    """Train the tiny network on shared-out batches and write all that came of it (in a fresh process)."""
    import keras
    import tensorflow as tf

    from level1_cnn.experiment import Experiment, Finetune
    from level1_cnn.hardware.devices import distribute, plan_devices
    from level1_cnn.networks.network import build_network
    from level1_cnn.training.step import Stepper

    plan = plan_devices(devices, deterministic=True)
    # Kept batch normalisation and no dropout: what a picture gives then depends on no other picture of its device.
    settings = Finetune(
        method="finetune",
        epochs=2,
        learning_rate=1e-2,
        warmup_epochs=0.5,
        train_batch_norm=False,
        head_dropout=0,
    )
    experiment = Experiment(backbone="tiny", variant="tiny", weights="none", image_size=32, training=settings)
    keras.utils.set_random_seed(0)
    with plan.strategy.scope():
        network = build_network(experiment, settings)
    stepper = Stepper(network, settings, STEPS, plan, _loss)

    def share(shard: tuple[int, int]) -> tf.data.Dataset:
        count, index = shard
        return (
            tf.data.Dataset.from_tensor_slices(_rows()).batch(BATCH // count, drop_remainder=True).shard(count, index)
        )

    def run() -> list[float]:
        return [float(stepper(batch)) for batch in distribute(plan, share)]

    losses = run()
    state = stepper.state()
    stepper.reset()
    again = run()
    found = {"losses": losses, "again": again, "traces": stepper.traces, "replicas": plan.replicas}
    np.savez(target, chief=plan.is_chief, **found, **{name.replace("/", "_"): value for name, value in state.items()})


def mixed(target: str) -> None:
    """Train in float16 with dropout and moving batch statistics on two devices, one broken batch among others."""
    from dataclasses import replace

    import keras

    from level1_cnn.experiment import Experiment, Finetune
    from level1_cnn.hardware.devices import plan_devices
    from level1_cnn.networks.network import build_network
    from level1_cnn.training.step import Stepper

    plan = replace(plan_devices("cpu:2"), precision="mixed_float16")
    keras.mixed_precision.set_global_policy(plan.precision)
    settings = Finetune(
        method="finetune", epochs=2, learning_rate=1e-2, accumulation=2, pooling="gem", head_dropout=0.5
    )
    experiment = Experiment(backbone="tiny", variant="tiny", weights="none", image_size=32, training=settings)
    with plan.strategy.scope():
        network = build_network(experiment, settings)
    stepper = Stepper(network, settings, STEPS, plan, _loss)
    (pictures, metadata), targets, weights = (_first(part) for part in _rows())
    broken = targets.copy()
    broken[-1] = np.nan  # a loss that only the second device sees
    moved = []
    for wanted in (targets, broken, targets):
        before = {path: value for path, value in stepper.weights().items() if "moving" not in path}
        stepper(((pictures, metadata), wanted, weights))
        after = stepper.weights()
        moved.append(max(float(np.abs(after[path] - value).max()) for path, value in before.items()))
    copies = [[copy.numpy() for copy in variable.value.values] for variable in network.variables]
    equal = all(np.array_equal(*pair) for pair in copies)
    statistics = max(float(np.abs(v.numpy()).max()) for v in network.variables if v.name == "moving_mean")
    np.savez(target, moved=moved, equal=equal, statistics=statistics, count=len(copies), traces=stepper.traces)


def _loss(logits, targets):
    import tensorflow as tf

    return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits), axis=1)


def _rows() -> tuple:
    """Return STEPS batches of bright malignant and dark benign pictures, of unequal weights, in the order of steps."""
    rng = np.random.default_rng(0)
    count = STEPS * BATCH
    targets = (np.arange(count) % 2)[:, None].astype(np.float32)
    pictures = (rng.uniform(0, 60, (count, 32, 32, 3)) + 150 * targets[:, None, None]).astype(np.float32)
    return (pictures, np.zeros((count, 0), np.float32)), targets, rng.uniform(0.5, 2, count).astype(np.float32)


def _first(part):
    return tuple(_first(inner) for inner in part) if isinstance(part, tuple) else part[:BATCH]


def start(function: str, *arguments: object, environment: dict[str, str] | None = None) -> subprocess.Popen:
    shown = ", ".join(repr(str(argument)) for argument in arguments)
    code = f"from tests.test_distribution import {function}; {function}({shown})"
    inherited = {key: value for key, value in os.environ.items() if key != "TF_CONFIG"}
    own = {**inherited, "TF_CPP_MIN_LOG_LEVEL": "2", **(environment or {})}
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=own, stderr=subprocess.PIPE, text=True)


def wait(processes: list[subprocess.Popen]) -> None:
    try:
        for process in processes:
            complaint = process.communicate(timeout=120)[1]
            assert process.returncode == 0, complaint[-3000:]
    finally:
        for process in processes:
            process.kill()


def read(file: Path) -> dict[str, np.ndarray]:
    with np.load(file) as arrays:
        return dict(arrays)


def differences(one, other) -> dict[str, float]:
    """Return the largest absolute difference of losses, weights, optimiser state and averages."""
    groups: dict[str, float] = {}
    for name in one:
        group = name.split("_")[0]
        if group in {"losses", "model", "optimizer", "ema"}:
            groups[group] = max(groups.get(group, 0.0), float(np.abs(one[name] - other[name]).max()))
    return groups


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("distribution")


@pytest.fixture(scope="module")
def single(folder):
    wait([start("train", "cpu", folder / "single.npz")])
    return read(folder / "single.npz")


def test_one_device_learns_and_repeats_itself_to_the_bit_after_a_reset(single) -> None:
    assert single["losses"][-1] < 0.9 * single["losses"][0]
    assert np.array_equal(single["losses"], single["again"])
    assert int(single["traces"]) == 1


def test_two_devices_equal_one(single, folder) -> None:
    wait([start("train", "cpu:2", folder / "mirrored.npz")])
    mirrored = read(folder / "mirrored.npz")
    assert (int(single["replicas"]), int(mirrored["replicas"]), int(mirrored["traces"])) == (1, 2, 1)
    found = differences(single, mirrored)
    assert set(found) == {"losses", "model", "optimizer", "ema"}
    assert max(found.values()) < 1e-5
    assert np.array_equal(mirrored["losses"], mirrored["again"])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_two_hosts_agree_equal_one_and_have_one_chief(single, folder) -> None:
    cluster = {"worker": [f"127.0.0.1:{free_port()}" for _ in range(2)]}
    tasks = [{"cluster": cluster, "task": {"type": "worker", "index": index}} for index in range(2)]
    files = [folder / f"worker{index}.npz" for index in range(2)]
    wait(
        [
            start("train", "auto", file, environment={"TF_CONFIG": json.dumps(task)})
            for file, task in zip(files, tasks, strict=True)
        ]
    )
    workers = [read(file) for file in files]
    assert [bool(worker["chief"]) for worker in workers] == [True, False]
    assert [int(worker["replicas"]) for worker in workers] == [2, 2]
    assert np.array_equal(workers[0]["losses"], workers[1]["losses"])
    assert max(differences(single, workers[0]).values()) < 1e-5
    assert max(differences(workers[0], workers[1]).values()) == 0


def test_float16_on_two_devices_skips_a_step_that_overflows_on_one_and_keeps_the_devices_alike(folder) -> None:
    wait([start("mixed", folder / "mixed.npz")])
    found = read(folder / "mixed.npz")
    before, broken, after = found["moved"]
    assert broken == 0
    assert min(before, after) > 1e-4
    assert bool(found["equal"])
    assert float(found["statistics"]) > 0
    assert (int(found["traces"]), int(found["count"]) > 10) == (1, True)
