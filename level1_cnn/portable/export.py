"""Export the networks of finished models as ONNX files and heads, for predictions without TensorFlow."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from level1_cnn.data.metadata import COLUMNS
from level1_cnn.experiment import Experiment
from level1_cnn.finished import read_trained_experiment
from level1_cnn.inference.forward import ONNX_FILE
from level1_cnn.inference.onnx_export import export
from level1_cnn.job import EMBEDDINGS_MARK, Job, intact_fold_file
from level1_cnn.networks.head import head_of
from level1_cnn.networks.network import GeneralizedMean, build_backbone, build_network, with_last_map
from level1_cnn.portable.network import BACKBONE_FILE, FACTS, NetworkFacts, fold_file, head_file
from level1_cnn.training_settings import Finetune
from runtime.files import write_arrays, write_json
from runtime.invocation import command
from runtime.progress import progress_bar
from runtime.provenance import check_outputs
from runtime.run_folder import Run


def export_networks(run: Run, names: Sequence[str], folder: Path) -> None:
    """Write the models ``names`` of ``run`` to ``folder``/<name>; ``PortableNetwork`` reads them.

    Raises InputFault when a model was not trained in this run, or when the weights of a fold are missing.
    """
    folds = int(run.read_cases()["fold"].max()) + 1
    with progress_bar("exporting", len(names), "network") as advance:
        for name in names:
            _export(run, name, folds, folder / name)
            advance(1)


def _export(run: Run, name: str, folds: int, folder: Path) -> None:
    experiment, source = read_trained_experiment(run, name), run.level1 / name
    folder.mkdir(parents=True, exist_ok=True)
    training = experiment.training
    if isinstance(training, Finetune):
        _export_folds(source, experiment, training, folds, folder)
    else:
        _export_frozen(source, Job(run, name, experiment, "{}"), folds, folder)
    facts = NetworkFacts(
        name=name,
        method=training.method,
        image_size=experiment.image_size,
        views=experiment.views,
        targets=training.targets if isinstance(training, Finetune) else "binary",
        metadata=isinstance(training, Finetune) and training.metadata,
        folds=folds,
        licence="" if experiment.onnx is None else experiment.onnx.licence,
    )
    write_json(folder / FACTS, facts.model_dump(mode="json"))
    keras.backend.clear_session()


def _export_frozen(source: Path, job: Job, folds: int, folder: Path) -> None:
    if job.experiment.needs_onnx:  # such a network exists in no other form
        check_outputs(source / EMBEDDINGS_MARK, f"{command('oof')} writes the network again")
    _copy_or_export(source / ONNX_FILE, folder / BACKBONE_FILE, lambda: with_last_map(build_backbone(job.network)))
    for fold in range(folds):
        with np.load(intact_fold_file(source / f"fold_{fold}" / "head.npz"), allow_pickle=False) as head:
            weights, intercept = head["weights"], head["intercept"]
        _write_head(folder / head_file(fold), weights[:, np.newaxis], np.atleast_1d(intercept), 1.0)


def _export_folds(source: Path, experiment: Experiment, training: Finetune, folds: int, folder: Path) -> None:
    # No download of first weights: the trained weights are read from the files of the folds.
    experiment = experiment.model_copy(update={"weights": "none"})
    model = build_network(experiment, training, len(COLUMNS) if training.metadata else 0)
    model_with_map = with_last_map(model)
    for fold in range(folds):
        fold_folder = source / f"fold_{fold}"
        model.load_weights(intact_fold_file(fold_folder / "model.weights.h5"))
        _copy_or_export(fold_folder / ONNX_FILE, folder / fold_file(fold), lambda: model_with_map)
        _write_head(folder / head_file(fold), *head_of(model), _power(model))


def _copy_or_export(source: Path, path: Path, model: Callable[[], keras.Model]) -> None:
    """Copy the ONNX file that the run predicted with to ``path``; export ``model`` where the run used TensorFlow."""
    if source.is_file():
        shutil.copyfile(source, path)
    else:
        export(model(), path)


def _power(model: keras.Model) -> float:
    """Return the power of the network's generalised-mean pooling; 1 for average pooling."""
    pools = [layer for layer in model.layers if isinstance(layer, GeneralizedMean)]
    return float(pools[0].power) if pools else 1.0


def _write_head(path: Path, kernel: np.ndarray, bias: np.ndarray, power: float) -> None:
    write_arrays(path, {"kernel": kernel, "bias": bias, "power": np.array(power)})
