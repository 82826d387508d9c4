"""Tests for gradcam.py: the heat is highest on a planted blob, for every backbone family and both kinds of head."""

from pathlib import Path

import keras
import numpy as np
import pytest

from level1_cnn import backbones
from level1_cnn.data.metadata import COLUMNS
from level1_cnn.data.targets import melanoma_column, melanoma_logits
from level1_cnn.experiment import Experiment
from level1_cnn.inspect.gradcam import HeatMaps, activation_heat, gradient_heat
from level1_cnn.networks.network import build_backbone, build_network, with_last_map
from level1_cnn.training_settings import Finetune, FrozenFeatures
from runtime.errors import InputFault
from runtime.files import write_json
from runtime.run_folder import Run
from tests.level1_cnn.backbones.untrained import B0_IN_FULL, SMALLEST, network
from tests.level1_cnn.drawn_run import tiny_experiment

SIDE = 64
FROZEN_SETTINGS = FrozenFeatures(method="frozen", regularisation=0.1)


def experiment(training: FrozenFeatures | Finetune) -> Experiment:
    return tiny_experiment(training, image_size=SIDE)


def finetune(**settings: object) -> Finetune:
    return Finetune(method="finetune", epochs=1, learning_rate=0.001, **settings)


def blobs(rows: list[int], columns: list[int]) -> np.ndarray:
    """Return pictures of grey noise, each with a bright blob of 12 px at a given row and column."""
    random = np.random.default_rng(0)
    pictures = random.uniform(117, 137, (len(rows), SIDE, SIDE, 3)).astype(np.float32)
    for picture, row, column in zip(pictures, rows, columns, strict=True):
        picture[row - 6 : row + 6, column - 6 : column + 6] = 250
    return pictures


def peak(heat: np.ndarray) -> tuple[float, float]:
    """Return row and column of the centre of the hottest cell of a map, in pixels."""
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    return (row + 0.5) * SIDE / heat.shape[0], (column + 0.5) * SIDE / heat.shape[1]


def blob_head(model: keras.Model) -> np.ndarray:
    """Return weights of a head: the direction from the features of grey pictures to those of pictures with a blob."""
    with_blob = np.asarray(model(blobs([16, 32, 48], [32, 16, 48])))
    without = np.asarray(model(np.full((1, SIDE, SIDE, 3), 127.0, np.float32)))
    direction = with_blob.mean(axis=0) - without[0]
    return (direction / np.linalg.norm(direction)).astype(np.float32)


PLACES = ([12, 12, 50, 36], [50, 12, 14, 30])


@pytest.mark.parametrize("layers", ["last", "all"])
def test_the_heat_of_a_frozen_model_is_on_a_planted_blob(tmp_path: Path, layers):
    run = Run(tmp_path)
    network_settings = experiment(FROZEN_SETTINGS.model_copy(update={"layers": layers}))
    model = build_backbone(network_settings)
    model_folder = run.level1 / "net"
    (model_folder / "fold_2").mkdir(parents=True)
    np.savez(model_folder / "fold_2" / "head.npz", weights=blob_head(model), intercept=np.float32(0))
    settings = network_settings.model_dump(mode="json")
    write_json(model_folder / "run.json", {"made_from": {"settings": settings}})
    heat = HeatMaps(run, "net").of_fold(2, blobs(*PLACES))
    assert heat.shape == (4, 8, 8)
    for cells, row, column in zip(heat, *PLACES, strict=True):
        assert np.abs(np.array(peak(cells)) - (row, column)).max() <= 8  # a cell is 8 px wide
        assert cells.max() > 0
        is_hot = cells > cells.max() / 2
        assert is_hot.mean() < 0.25  # on the blob, and hardly anywhere else


@pytest.mark.parametrize("pooling", ["average", "gem"])
@pytest.mark.parametrize("targets", ["binary", "diagnosis3"])
def test_the_heat_of_a_finetuned_model_is_on_a_planted_blob_with_the_weights_of_its_fold(tmp_path, targets, pooling):
    settings = finetune(targets=targets, pooling=pooling, metadata=True)
    model = build_network(experiment(settings), settings, len(COLUMNS))
    kernel = np.zeros(model.get_layer("logits").kernel.shape, np.float32)
    features = keras.Model(model.inputs[0], model.outputs[0])
    kernel[: features.output_shape[-1], melanoma_column(targets)] = blob_head(features)
    model.get_layer("logits").kernel.assign(kernel)
    run = Run(tmp_path)
    (run.level1 / "net" / "fold_0").mkdir(parents=True)
    model.save_weights(run.level1 / "net" / "fold_0" / "model.weights.h5")
    made_from = {"settings": experiment(settings).model_dump(mode="json")}
    write_json(run.level1 / "net" / "run.json", {"made_from": made_from})
    maps = HeatMaps(run, "net")
    assert maps.takes_metadata
    heat = maps.of_fold(0, blobs(*PLACES), np.zeros((4, len(COLUMNS)), np.float32))
    for cells, row, column in zip(heat, *PLACES, strict=True):
        assert np.abs(np.array(peak(cells)) - (row, column)).max() <= 8


@pytest.mark.parametrize(("family", "variant"), B0_IN_FULL)
def test_the_cells_of_every_family_add_up_to_the_logit_of_a_linear_head(family, variant):
    assert {name for name, _ in SMALLEST} == set(backbones.names())
    maps, features = (np.asarray(output) for output in with_last_map(network(family, variant))(blobs(*PLACES)))
    weights = np.random.default_rng(1).normal(size=features.shape[1]).astype(np.float32)
    logits = features @ weights
    heat = activation_heat(maps, weights)
    assert heat.shape[:2] == maps.shape[:2]
    np.testing.assert_allclose(heat.sum(axis=(1, 2)), logits, rtol=1e-4, atol=1e-4 * np.abs(logits).max())


def test_gradients_and_class_activation_give_the_same_heat_for_a_linear_head():
    settings = finetune()
    model = build_network(experiment(settings), settings)
    pictures, with_map = blobs(*PLACES), with_last_map(model)
    exact = activation_heat(np.asarray(with_map(pictures)[0]), np.asarray(model.get_layer("logits").kernel)[:, 0])
    np.testing.assert_allclose(gradient_heat(with_map, [pictures], "binary"), exact, rtol=1e-4, atol=1e-7)


def test_the_gradient_of_several_classes_is_that_of_the_melanoma_odds():
    settings = finetune(targets="diagnosis3")
    model = build_network(experiment(settings), settings)
    model.get_layer("logits").kernel.assign(np.random.default_rng(2).normal(size=(32, 3)))
    pictures = blobs(*PLACES)[:1]
    with_map = with_last_map(model)
    maps, _, logits = (np.asarray(output, np.float64) for output in with_map(pictures))
    kernel = np.asarray(model.get_layer("logits").kernel, np.float64)
    step, direction = 1e-4, np.zeros(3)

    def odds(shift: np.ndarray) -> float:
        return float(melanoma_logits(logits + shift, "diagnosis3")[0])

    for column in range(3):  # numerical derivative of the odds by each logit
        direction[column] = (odds(step * np.eye(3)[column]) - odds(-step * np.eye(3)[column])) / (2 * step)
    expected = activation_heat(maps, kernel @ direction)
    np.testing.assert_allclose(gradient_heat(with_map, [pictures], "diagnosis3"), expected, rtol=1e-3, atol=1e-6)


def test_heat_maps_of_a_foreign_network_are_refused(tmp_path: Path):
    run = Run(tmp_path)
    (run.level1 / "net").mkdir(parents=True)
    write_json(run.level1 / "net" / "run.json", {"made_from": {"foreign": "b"}})
    with pytest.raises(InputFault, match="net: not a network trained in this run"):
        HeatMaps(run, "net")


def test_a_missing_weights_file_is_named(tmp_path: Path):
    run = Run(tmp_path)
    (run.level1 / "net").mkdir(parents=True)
    made_from = {"settings": experiment(FROZEN_SETTINGS).model_dump(mode="json")}
    write_json(run.level1 / "net" / "run.json", {"made_from": made_from})
    with pytest.raises(InputFault, match=r"fold_1/head.npz: no such file"):
        HeatMaps(run, "net").of_fold(1, blobs(*PLACES))
