"""Tests of training on several devices (logical ones) and hosts (processes): the result is that of one device."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.sources import ROOT

pytestmark = pytest.mark.full  # every test starts TensorFlow in one or two new processes


def start(function: str, *arguments: object, environment: dict[str, str] | None = None) -> subprocess.Popen:
    outer = {key: value for key, value in os.environ.items() if key != "TF_CONFIG"}
    variables = {**outer, "TF_CPP_MIN_LOG_LEVEL": "2", **(environment or {})}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.level1_cnn.training.on_devices", function, *map(str, arguments)],
        cwd=ROOT,
        env=variables,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait(processes: list[subprocess.Popen]) -> None:
    try:
        for process in processes:
            errors = process.communicate(timeout=120)[1]
            assert process.returncode == 0, errors[-3000:]
    finally:
        for process in processes:
            process.kill()


def read(file: Path) -> dict[str, np.ndarray]:
    with np.load(file) as arrays:
        return dict(arrays)


def differences(first, second) -> dict[str, float]:
    """Return the largest absolute difference of losses, weights, optimiser state, averages and losses of pairs."""
    groups: dict[str, float] = {}
    for name in first:
        group = name.split("_")[0]
        if group in {"losses", "model", "optimizer", "ema", "pairs"}:
            groups[group] = max(groups.get(group, 0.0), float(np.abs(first[name] - second[name]).max()))
    return groups


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("distribution")


@pytest.fixture(scope="module")
def single(folder):
    wait([start("train", "cpu", folder / "single.npz")])
    return read(folder / "single.npz")


def test_one_device_learns_and_gives_the_same_bits_again_after_a_reset(single) -> None:
    assert single["losses"][-1] < 0.9 * single["losses"][0]
    assert np.array_equal(single["losses"], single["second"])
    assert int(single["traces"]) == 1


def test_two_devices_give_the_result_of_one(single, folder) -> None:
    wait([start("train", "cpu:2", folder / "two.npz")])
    two = read(folder / "two.npz")
    assert (int(single["replicas"]), int(two["replicas"]), int(two["traces"])) == (1, 2, 1)
    largest = differences(single, two)
    assert set(largest) == {"losses", "model", "optimizer", "ema", "pairs"}
    assert max(largest.values()) < 1e-5
    assert np.array_equal(two["losses"], two["second"])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_two_hosts_give_the_result_of_one_and_have_one_chief(single, folder) -> None:
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


def test_float16_on_two_devices_skips_an_overflow_of_one_and_keeps_both_devices_equal(folder) -> None:
    wait([start("train_in_float16", folder / "float16.npz")])
    results = read(folder / "float16.npz")
    first, overflow, last = results["changes"]
    assert overflow == 0
    assert min(first, last) > 1e-4
    assert bool(results["equal"])
    assert float(results["statistics"]) > 0
    assert (int(results["traces"]), int(results["count"]) > 10) == (1, True)
