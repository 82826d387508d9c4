"""Tests of training on several devices and hosts: logical devices and real processes, which equal one device."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.sources import ROOT

pytestmark = pytest.mark.full  # every test starts TensorFlow anew, some of them twice


def start(function: str, *arguments: object, environment: dict[str, str] | None = None) -> subprocess.Popen:
    inherited = {key: value for key, value in os.environ.items() if key != "TF_CONFIG"}
    own = {**inherited, "TF_CPP_MIN_LOG_LEVEL": "2", **(environment or {})}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.level1_cnn.training.on_devices", function, *map(str, arguments)],
        cwd=ROOT,
        env=own,
        stderr=subprocess.PIPE,
        text=True,
    )


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
