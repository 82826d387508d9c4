"""Tests for stages.py: features of all stages, for several inputs, as a map that adds up to them."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from level1_cnn import backbones
from level1_cnn.inference.onnx_export import export
from level1_cnn.inference.onnx_session import open_session
from level1_cnn.networks.network import build_backbone, with_last_map
from level1_cnn.networks.stages import (
    centre_weights,
    map_of_stages,
    pool_stages,
    stage_outputs,
    stages_after,
)
from level1_cnn.training_settings import FrozenFeatures, PictureInput
from tests.level1_cnn.backbones.untrained import network
from tests.level1_cnn.drawn_run import tiny_experiment
from tests.sources import ROOT

# Mean and deviation of 16 + 24 + 40 + 80 + 112 + 192 + 320 channels of the stages, and of 1280 of the last map.
ALL_LAYERS_OF_B0 = 2 * (784 + 1280)
SEVERAL = (
    PictureInput(side=64),
    PictureInput(side=32),
    PictureInput(side=40, crop=0.7),
    PictureInput(side=40, crop="field_of_view"),
    PictureInput(side=32, crop="lesion"),
)


def frozen_model(**settings):
    return tiny_experiment(FrozenFeatures(method="frozen", **settings), image_size=64)


def pictures(count=3):
    return np.random.default_rng(5).integers(0, 256, (count, 64, 64, 3)).astype(np.float32)


def stages_of(base):
    return [np.asarray(output) for output in keras.Model(base.input, stage_outputs(base))(pictures())]


@pytest.mark.parametrize(("family", "variant"), [("efficientnet", "b0"), ("efficientnet_lite", "lite0")])
def test_the_stages_of_a_family_are_those_of_the_paper(family, variant):
    channels = [output.shape[-1] for output in stage_outputs(network(family, variant))]
    assert channels == [16, 24, 40, 80, 112, 192, 320, 1280]
    assert 2 * sum(channels) == ALL_LAYERS_OF_B0


def test_the_second_version_of_efficientnet_has_six_stages():
    assert [output.shape[-1] for output in stage_outputs(network("efficientnet_v2", "b0"))] == [
        *(16, 32, 48, 96, 112, 192),
        1280,
    ]


def test_the_features_of_all_layers_are_mean_and_standard_deviation_of_every_stage():
    experiment = frozen_model(layers="all")
    features = np.asarray(build_backbone(experiment)(pictures()))
    outputs = stages_of(build_backbone(frozen_model()))
    expected = [pool(output, axis=(1, 2)) for output in outputs for pool in (np.mean, np.std)]
    np.testing.assert_allclose(features, np.concatenate(expected, axis=1), rtol=1e-4, atol=1e-5)


def test_cells_in_the_middle_count_more_with_pooling_around_the_centre():
    outputs = stages_of(build_backbone(frozen_model()))
    expected = []
    for output in outputs:
        rows = (np.arange(output.shape[1]) + 0.5) / output.shape[1] - 0.5
        weights = np.exp(-(rows[:, np.newaxis] ** 2 + rows**2) / (2 * 0.15**2))[..., np.newaxis]
        weights /= weights.sum()
        mean = (output * weights).sum(axis=(1, 2))
        expected += [mean, np.sqrt((np.square(output - mean[:, np.newaxis, np.newaxis]) * weights).sum(axis=(1, 2)))]
    features = np.asarray(build_backbone(frozen_model(layers="all", pooling="centre"))(pictures()))
    np.testing.assert_allclose(features, np.concatenate(expected, axis=1), rtol=1e-4, atol=1e-5)
    last = np.asarray(build_backbone(frozen_model(pooling="centre"))(pictures()))
    np.testing.assert_allclose(last, expected[-2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cells", [1, 2, 3, 96])
def test_the_weights_of_the_cells_are_symmetric_and_have_the_mean_1(cells):
    weights = centre_weights(cells)
    assert weights.mean() == pytest.approx(1)
    np.testing.assert_array_equal(weights, np.rot90(weights))
    assert weights.max() == weights[cells // 2, cells // 2]


@pytest.mark.parametrize("pooling", ["average", "centre"])
@pytest.mark.parametrize("layers", ["last", "all"])
@pytest.mark.parametrize("inputs", [(), SEVERAL])
def test_the_cells_of_the_map_add_up_to_the_features(layers, inputs, pooling):
    model = build_backbone(frozen_model(layers=layers, inputs=inputs, pooling=pooling))
    maps, features = (np.asarray(output) for output in with_last_map(model)(pictures()))
    assert maps.shape[1:3] == (8, 8)
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), features, rtol=1e-4, atol=1e-5)


def test_an_input_is_the_resized_centre_of_the_picture():
    grey = pictures(1)
    crop = grey[0, 12:52, 12:52].astype(np.uint8)  # 0.625 of 64 px
    smaller = np.asarray(Image.fromarray(crop).resize((32, 32), Image.Resampling.LANCZOS))[np.newaxis]
    whole = tiny_experiment(FrozenFeatures(method="frozen"), image_size=32)
    model_of_centre = frozen_model(inputs=(PictureInput(side=32, crop=0.625),))
    # The network computes with fractions where Pillow rounds to whole values of pixels.
    np.testing.assert_allclose(
        np.asarray(build_backbone(model_of_centre)(grey)), np.asarray(build_backbone(whole)(smaller)), atol=0.01
    )


def test_features_of_several_inputs_are_those_of_each_side_by_side():
    together = np.asarray(build_backbone(frozen_model(layers="all", inputs=SEVERAL))(pictures()))
    alone = [np.asarray(build_backbone(frozen_model(layers="all", inputs=(view,)))(pictures())) for view in SEVERAL]
    np.testing.assert_allclose(together, np.concatenate(alone, axis=1), rtol=1e-4, atol=1e-5)


def test_an_exported_network_of_several_inputs_computes_the_same(tmp_path):
    model = build_backbone(frozen_model(layers="all", inputs=SEVERAL))
    session = open_session(export(with_last_map(model), tmp_path / "network.onnx"))
    maps, features = session(pictures())
    np.testing.assert_allclose(features, np.asarray(model(pictures())), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), features, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((PictureInput(side=96),), "of image_size = 64 has 64 px"),
        ((PictureInput(side=40, crop=0.5),), "of image_size = 64 has 32 px"),
        (
            (PictureInput(side=56, crop="field_of_view"),),
            "crop = field_of_view of a picture of image_size = 64 has 48 px",
        ),
        ((PictureInput(side=32), PictureInput(side=32)), "two inputs are the same"),
    ],
)
def test_inputs_without_pixels_and_repeated_ones_are_refused(inputs, message):
    with pytest.raises(ValidationError, match=message):
        frozen_model(inputs=inputs)


def test_every_family_has_stages():
    for family in backbones.names():
        module = backbones.find(family)
        base = module.build(next(iter(module.VARIANTS)), image_size=32, weights="none")
        assert len(stage_outputs(base)) > 2


EXPORT = """
import sys
from pathlib import Path
from level1_cnn.experiment import Experiment
from level1_cnn.inference.onnx_export import export
from level1_cnn.networks.network import build_backbone, with_last_map
experiment = Experiment.model_validate_json(sys.argv[1])
export(with_last_map(build_backbone(experiment)), Path(sys.argv[2]))
"""


@pytest.mark.full
def test_every_process_exports_the_same_file(tmp_path):
    settings = frozen_model(layers="all", inputs=SEVERAL).model_dump_json()
    files = [tmp_path / f"{seed}.onnx" for seed in (1, 2)]
    for seed, file in enumerate(files, start=1):  # the order of sets of texts depends on the seed of hashes
        environment = os.environ | {"PYTHONHASHSEED": str(seed), "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", EXPORT, settings, str(file)], env=environment, check=True)
    assert len({file.read_bytes() for file in files}) == 1


def test_a_weight_counts_the_stages_that_follow_its_own():
    after = stages_after(network("efficientnet_lite", "lite0"))
    first = {name: number for name, number in after.items() if name.startswith(("stem", "block0_"))}
    assert set(first.values()) == {6}
    last = {name: number for name, number in after.items() if name.startswith(("top_", "block15_"))}
    assert set(last.values()) == {0}
    of_blocks = [{after[name] for name in after if name.startswith(f"block{number}_")} for number in range(16)]
    assert of_blocks == [{number} for number in (6, 5, 5, 4, 4, 3, 3, 3, 2, 2, 2, 1, 1, 1, 1, 0)]


@pytest.mark.parametrize(("layers", "pooling"), [("all", "average"), ("all", "centre"), ("last", "centre")])
def test_a_network_to_be_fine_tuned_has_the_same_features_as_a_frozen_one(layers, pooling):
    base = network("efficientnet_lite", "lite0")
    side = base.input.shape[1]
    expected = pool_stages(lambda side: base, side, [PictureInput(side=side)], layers, pooling)
    last_map, features = map_of_stages(base, layers, pooling)
    pixels = np.random.default_rng(1).integers(0, 256, (2, side, side, 3)).astype(np.float32)
    means, values = (np.asarray(output) for output in keras.Model(base.input, [last_map, features])(pixels))
    np.testing.assert_allclose(values, expected(pixels), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(means.mean(axis=(1, 2)), values, rtol=1e-4, atol=1e-4)
