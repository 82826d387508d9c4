"""Speed of a bundle's networks through ONNX Runtime and TensorFlow, as ratios in one run: all folds, all views."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from features.pictures.read import read_picture, resize_square
from level1_cnn.data.metadata import COLUMNS
from level1_cnn.experiment import Experiment
from level1_cnn.hardware.devices import Plan, plan_devices
from level1_cnn.inference.forward import TensorFlowForward
from level1_cnn.inference.view_predictions import Forward, predict_views
from level1_cnn.inspect.gradcam import read_trained_experiment
from level1_cnn.job import Job
from level1_cnn.networks.network import build_backbone, build_network
from level1_cnn.portable.network import PortableNetwork
from level1_cnn.training_settings import Finetune
from runtime.errors import InputFault
from runtime.progress import say
from runtime.run_folder import Run

ROUNDS = 3
RUNTIMES = ("TensorFlow", "ONNX Runtime")
# Wall-clock seconds and CPU seconds; other programs on the machine hardly change the latter.
Seconds = NDArray[np.float64]
Timer = Callable[[], Seconds]  # predicts once and returns the seconds without preparation


def run_portable_benchmark(run: Run, networks: Path, count: int) -> dict[str, dict[str, Seconds]]:
    """Print the seconds of each runtime for ``count`` test pictures of ``run`` and their ratio; return the seconds.

    ``networks`` is the folder that ``export_networks`` wrote. The runtimes take turns; the first turn is a warm-up, of
    the others the median counts, without reading pictures and loading weights. Raises InputFault when the run has no
    pictures.
    """
    paths = _pictures(run, count)
    plan, seconds = plan_devices("cpu"), dict[str, dict[str, Seconds]]()
    for folder in sorted(path for path in networks.iterdir() if path.is_dir()):
        network = PortableNetwork(folder)
        side = network.facts.image_size
        pictures = np.stack([resize_square(read_picture(path, shortest=side), side) for path in paths])
        timers = {
            "TensorFlow": _by_tensorflow(run, network, pictures, plan),
            "ONNX Runtime": _by_onnx(network, pictures),
        }
        seconds[folder.name] = _in_turns(timers)
        say(f"{folder.name}, {len(pictures)} pictures at {side} px: {_text(seconds[folder.name])}")
        keras.backend.clear_session()
    total = {runtime: np.sum([network[runtime] for network in seconds.values()], axis=0) for runtime in RUNTIMES}
    rate = len(paths) / total["ONNX Runtime"][0]
    say(f"all {len(seconds)} networks: {_text(total)}; {rate:.2f} pictures/s by ONNX Runtime")
    return seconds


def _pictures(run: Run, count: int) -> list[Path]:
    cases = run.read_cases()
    if "picture" not in cases:
        raise InputFault(f"{run.folder}: the run has no pictures; give a run whose cases have pictures")
    test = cases.loc[cases["role"] == "test", "picture"].dropna()
    return [Path(run.facts()["data"]) / str(picture) for picture in test[:count]]


def _text(seconds: Mapping[str, Seconds]) -> str:
    clock_ratio, cpu_ratio = seconds["TensorFlow"] / seconds["ONNX Runtime"]
    times = ", ".join(f"{runtime} {clock:.2f} s" for runtime, (clock, _) in seconds.items())
    return f"{times}, ratio {clock_ratio:.2f}, of CPU time {cpu_ratio:.2f}"


def _now() -> Seconds:
    return np.array([time.perf_counter(), time.process_time()])


def _by_onnx(network: PortableNetwork, pictures: np.ndarray) -> Timer:
    metadata = _unknown_metadata(network, len(pictures))

    def predict() -> Seconds:
        start = _now()
        network.predict(pictures, metadata)
        return _now() - start

    return predict


def _by_tensorflow(run: Run, network: PortableNetwork, pictures: np.ndarray, plan: Plan) -> Timer:
    """Return a timer of the same predictions through TensorFlow, with the same weights."""
    experiment = read_trained_experiment(run, network.facts.name)
    metadata, views = _unknown_metadata(network, len(pictures)), network.facts.views

    folds = _folds(run, network, experiment, plan)

    def predict() -> Seconds:
        seconds = np.zeros(2)
        for forward in folds():
            start = _now()
            predict_views(forward, pictures, views, metadata)
            seconds += _now() - start
        return seconds

    return predict


def _folds(run: Run, network: PortableNetwork, experiment: Experiment, plan: Plan) -> Callable[[], Iterator[Forward]]:
    """Return a function that yields the forward pass of every fold; a frozen network has one for all folds."""
    training, source = experiment.training, run.level1 / network.facts.name
    if not isinstance(training, Finetune):
        forward = TensorFlowForward(build_backbone(Job(run, network.facts.name, experiment, "{}").network), plan)
        return lambda: iter([forward])
    without_weights = experiment.model_copy(update={"weights": "none"})
    model = build_network(without_weights, training, len(COLUMNS) if training.metadata else 0)
    live = TensorFlowForward(model, plan)

    def load_folds() -> Iterator[Forward]:
        for fold in range(network.facts.folds):
            model.load_weights(source / f"fold_{fold}" / "model.weights.h5")
            yield live

    return load_folds


def _unknown_metadata(network: PortableNetwork, count: int) -> np.ndarray | None:
    return np.zeros((count, len(COLUMNS)), np.float32) if network.facts.metadata else None


def _in_turns(timers: Mapping[str, Timer]) -> dict[str, Seconds]:
    """Return the median seconds of each timer over rounds in which they take turns; the first round is a warm-up."""
    rounds = [{name: predict() for name, predict in timers.items()} for _ in range(ROUNDS + 1)]
    return {name: np.median([seconds[name] for seconds in rounds[1:]], axis=0) for name in timers}
