"""Speed of a bundle's networks by TensorFlow and by ONNX Runtime in float32 and int8, as ratios in one run."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
from numpy.typing import NDArray

from features.pictures.read import read_picture, resize_square
from level1_cnn.data.metadata import COLUMNS
from level1_cnn.experiment import Experiment
from level1_cnn.finished import read_trained_experiment
from level1_cnn.hardware.devices import Plan, plan_devices
from level1_cnn.inference.forward import TensorFlowForward
from level1_cnn.inference.int8_network import quantise
from level1_cnn.inference.onnx_export import export
from level1_cnn.inference.view_predictions import Forward, predict_views
from level1_cnn.job import Job
from level1_cnn.networks.network import build_backbone, build_network, with_last_map
from level1_cnn.portable.network import BACKBONE_FILE, PortableNetwork
from level1_cnn.training_settings import Finetune
from runtime.errors import InputFault
from runtime.progress import say
from runtime.run_folder import Run

ROUNDS = 3
RUNTIMES = ("TensorFlow", "ONNX Runtime", "ONNX Runtime in int8")
TENSORFLOW, FLOAT32, INT8 = RUNTIMES
# Wall-clock seconds and CPU seconds; other programs on the machine hardly change the latter.
Seconds = NDArray[np.float64]
Timer = Callable[[], Seconds]  # predicts once and returns the seconds without preparation


def run_portable_benchmark(run: Run, networks: Path, count: int) -> dict[str, dict[str, Seconds]]:
    """Print the seconds of each runtime for ``count`` test pictures of ``run``, with the ratios; return the seconds.

    ``networks`` is the folder that ``export_networks`` wrote. All folds predict all views. The runtimes take turns; the
    first turn is a warm-up, of the others the median counts, without reading pictures and loading weights. Only frozen
    networks have 8-bit integers: those that lack them are quantised here, for the speed alone. Raises InputFault when
    the run has no pictures.
    """
    paths = _pictures(run, count)
    seconds = dict[str, dict[str, Seconds]]()
    for folder in sorted(path for path in networks.iterdir() if path.is_dir()):
        side = PortableNetwork(folder).facts.image_size
        pictures = np.stack([resize_square(read_picture(path, shortest=side), side) for path in paths])
        with TemporaryDirectory() as temporary:
            seconds[folder.name] = _in_turns(_timers(run, folder, pictures, Path(temporary)))
        say(f"{folder.name}, {len(pictures)} pictures at {side} px: {_text(seconds[folder.name])}")
        keras.backend.clear_session()
    common = set.intersection(*(set(times) for times in seconds.values()))
    total = {name: np.sum([times[name] for times in seconds.values()], axis=0) for name in RUNTIMES if name in common}
    rates = ", ".join(f"{len(paths) / clock:.2f} by {runtime}" for runtime, (clock, _) in total.items())
    say(f"all {len(seconds)} networks: {_text(total)}; pictures/s: {rates}")
    return seconds


def _timers(run: Run, folder: Path, pictures: np.ndarray, temporary: Path) -> dict[str, Timer]:
    """Return a timer per runtime for the exported network in ``folder``."""
    network, plan = PortableNetwork(folder), plan_devices("cpu")
    timers = {TENSORFLOW: _by_tensorflow(run, network, pictures, plan)}
    if network.facts.method != "frozen":
        return timers | {FLOAT32: _by_onnx(network, pictures)}
    name = network.facts.name
    experiment = read_trained_experiment(run, name)
    for runtime, is_int8 in ((FLOAT32, False), (INT8, True)):
        copy = Path(shutil.copytree(folder, temporary / str(is_int8)))
        if is_int8 and not experiment.is_int8:
            quantise(copy / BACKBONE_FILE, pictures, name)
        elif experiment.is_int8 and not is_int8:
            export(with_last_map(build_backbone(Job(run, name, experiment, "{}").network)), copy / BACKBONE_FILE)
        timers[runtime] = _by_onnx(PortableNetwork(copy), pictures)
    return timers


def _pictures(run: Run, count: int) -> list[Path]:
    cases = run.read_cases()
    if "picture" not in cases:
        raise InputFault(f"{run.folder}: the run has no pictures; give a run whose cases have pictures")
    test = cases.loc[cases["role"] == "test", "picture"].dropna()
    return [Path(run.facts()["data"]) / str(picture) for picture in test[:count]]


def _text(seconds: Mapping[str, Seconds]) -> str:
    times = ", ".join(f"{runtime} {clock:.2f} s" for runtime, (clock, _) in seconds.items())
    slowest = seconds[TENSORFLOW]
    ratios = [
        f"{runtime} {slowest[0] / clock:.2f} ({slowest[1] / cpu:.2f})" for runtime, (clock, cpu) in seconds.items()
    ]
    return f"{times}; times as fast as {TENSORFLOW} (in CPU time): {', '.join(ratios[1:])}"


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
