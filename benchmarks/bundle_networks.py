"""Speed of a bundle's networks as ratios within one run: all folds and views of pictures through both runtimes."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from features.pictures.read import read_picture, resize_square
from level1_cnn.data.metadata import COLUMNS
from level1_cnn.experiment import Experiment, Finetune
from level1_cnn.hardware.devices import Plan, plan_devices
from level1_cnn.inference.forward import tensorflow_forward
from level1_cnn.inference.view_predictions import Forward, predict_views
from level1_cnn.inspect.gradcam import read_trained_experiment
from level1_cnn.job import Job
from level1_cnn.networks.network import build_backbone, build_network
from level1_cnn.portable.network import PortableNetwork
from runtime.errors import InputFault
from runtime.progress import say
from runtime.run_folder import Run

ROUNDS = 3
WAYS = ("TensorFlow", "ONNX Runtime")
# Seconds of the clock, and of a core: the latter says what a busy machine's clock does not.
Seconds = NDArray[np.float64]
Timed = Callable[[], Seconds]  # does the work, and returns how long the part of it took that is no preparation


def run_portable_benchmark(run: Run, networks: Path, count: int) -> dict[str, dict[str, Seconds]]:
    """Print how long each way takes for ``count`` test pictures of ``run``, and their ratio; return the seconds.

    ``networks`` holds what ``export_networks`` wrote. The ways take turns; the first turn warms up, of the others the
    median counts. Reading pictures and loading weights is not counted. Raises InputFault when the run has no pictures.
    """
    paths = _pictures(run, count)
    plan, found = plan_devices("cpu"), dict[str, dict[str, Seconds]]()
    for folder in sorted(path for path in networks.iterdir() if path.is_dir()):
        network = PortableNetwork(folder)
        side = network.facts.image_size
        pictures = np.stack([resize_square(read_picture(path, shortest=side), side) for path in paths])
        ways = {"TensorFlow": _by_tensorflow(run, network, pictures, plan), "ONNX Runtime": _by_onnx(network, pictures)}
        found[folder.name] = _in_turns(ways)
        say(f"{folder.name}, {len(pictures)} pictures at {side} px: {_told(found[folder.name])}")
        keras.backend.clear_session()
    total = {way: np.sum([one[way] for one in found.values()], axis=0) for way in WAYS}
    rate = len(paths) / total["ONNX Runtime"][0]
    say(f"all {len(found)} networks: {_told(total)}; {rate:.2f} pictures/s by ONNX Runtime")
    return found


def _pictures(run: Run, count: int) -> list[Path]:
    cases = run.read_cases()
    if "picture" not in cases:
        raise InputFault(f"{run.folder}: the run has no pictures")
    test = cases.loc[cases["role"] == "test", "picture"].dropna()
    return [Path(run.facts()["data"]) / str(picture) for picture in test[:count]]


def _told(seconds: Mapping[str, Seconds]) -> str:
    clock, core = seconds["TensorFlow"] / seconds["ONNX Runtime"]
    told = ", ".join(f"{way} {one[0]:.2f} s" for way, one in seconds.items())
    return f"{told}, ratio {clock:.2f}, by time of a core {core:.2f}"


def _now() -> Seconds:
    return np.array([time.perf_counter(), time.process_time()])


def _by_onnx(network: PortableNetwork, pictures: np.ndarray) -> Timed:
    metadata = _nothing_known(network, len(pictures))

    def run() -> Seconds:
        started = _now()
        network.predict(pictures, metadata)
        return _now() - started

    return run


def _by_tensorflow(run: Run, network: PortableNetwork, pictures: np.ndarray, plan: Plan) -> Timed:
    """Return a call that does what ``network.predict`` does through TensorFlow, with the same weights."""
    experiment = read_trained_experiment(run, network.facts.name)
    metadata, views = _nothing_known(network, len(pictures)), network.facts.views

    folds = _folds(run, network, experiment, plan)

    def timed() -> Seconds:
        seconds = np.zeros(2)
        for forward in folds():
            started = _now()
            predict_views(forward, pictures, views, metadata)
            seconds += _now() - started
        return seconds

    return timed


def _folds(run: Run, network: PortableNetwork, experiment: Experiment, plan: Plan) -> Callable[[], Iterator[Forward]]:
    """Return what yields the forward pass of every fold; one for all folds of a frozen network."""
    training, source = experiment.training, run.level1 / network.facts.name
    if not isinstance(training, Finetune):
        shared = tensorflow_forward(build_backbone(Job(run, network.facts.name, experiment, "{}").network), plan)
        return lambda: iter([shared])
    untrained = experiment.model_copy(update={"weights": "none"})
    model = build_network(untrained, training, len(COLUMNS) if training.metadata else 0)
    live = tensorflow_forward(model, plan)

    def each() -> Iterator[Forward]:
        for fold in range(network.facts.folds):
            model.load_weights(source / f"fold_{fold}" / "model.weights.h5")
            yield live

    return each


def _nothing_known(network: PortableNetwork, count: int) -> np.ndarray | None:
    return np.zeros((count, len(COLUMNS)), np.float32) if network.facts.metadata else None


def _in_turns(ways: Mapping[str, Timed]) -> dict[str, Seconds]:
    turns = [{way: run() for way, run in ways.items()} for _ in range(ROUNDS + 1)]
    return {way: np.median([turn[way] for turn in turns[1:]], axis=0) for way in ways}
