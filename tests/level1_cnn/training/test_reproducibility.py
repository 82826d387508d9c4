"""Tests of reproducible networks: runs to the byte, forward passes of every family over thread counts to 5e-6."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from level1_cnn import backbones
from level1_cnn.inference.onnx_session import open_session
from tests.level1_cnn.drawn_run import TABLES, make_run, train_alone, write_model
from tests.sources import ROOT

SIDE, PICTURES = 64, 6
THREADS = (1, 4)
ROUNDING = 5e-6  # of probabilities, by sums of float32 in another order; the largest seen is 1.1e-6
FINETUNE = 'method = "finetune"\nepochs = 1\nbatch_size = 8\nlearning_rate = 0.001\nhead_dropout = 0.3\n'
pytestmark = pytest.mark.full
every_family = pytest.mark.parametrize("family", backbones.names())


def smallest(family: str) -> str:
    """Return the variant of a family with the smallest native side."""
    variants = backbones.find(family).VARIANTS
    return min(variants, key=lambda name: variants[name].resolution)


def test_two_runs_in_deterministic_mode_write_the_same_tables_to_the_byte(tmp_path):
    """The steps of EfficientNet; test_tasks.py compares runs of the tiny networks, and below are all forward passes."""
    facts = f'backbone = "efficientnet"\nvariant = "{smallest("efficientnet")}"\nweights = "none"\nimage_size = 32\n'
    model = write_model(tmp_path, "net", f'{facts}views = ["identity", "mirror"]\n[training]\n{FINETUNE}')
    contents = []
    for number in range(2):
        run = make_run(tmp_path / str(number), patients=12, folds=2)
        train_alone(run, [model])
        contents.append([(run.level1 / "net" / table).read_bytes() for table in TABLES])
    assert contents[0] == contents[1]


FORWARD = """
import sys, json, numpy as np
from pathlib import Path
from level1_cnn.hardware.import_tensorflow import import_tensorflow
import_tensorflow()
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[2]))
from level1_cnn import backbones
from level1_cnn.hardware.devices import plan_devices
from level1_cnn.inference.forward import TensorFlowForward
from level1_cnn.networks.network import draw_weights
from level1_cnn.inference.onnx_export import export
plan, folder = plan_devices("cpu"), Path(sys.argv[1])
pictures = np.load(folder / "pictures.npy")
for family, variant in json.loads(sys.argv[3]).items():
    model = backbones.find(family).build(variant, image_size=pictures.shape[1], weights="none")
    draw_weights(model, 0)
    np.save(folder / f"{family}_{sys.argv[2]}.npy", TensorFlowForward(model, plan)(pictures)[0])
    if sys.argv[2] == "1":
        export(model, folder / f"{family}.onnx")
"""


@pytest.fixture(scope="module")
def forward_passes(tmp_path_factory) -> Path:
    """Return a folder with every family's features by TensorFlow with 1 and 4 threads, and its ONNX file."""
    folder = tmp_path_factory.mktemp("threads")
    pixels = np.random.default_rng(0).integers(0, 256, (PICTURES, SIDE, SIDE, 3)).astype(np.float32)
    np.save(folder / "pictures.npy", pixels)
    smallest_of = json.dumps({family: smallest(family) for family in backbones.names()})
    for threads in THREADS:
        command = [sys.executable, "-c", FORWARD, str(folder), str(threads), smallest_of]
        subprocess.run(command, cwd=ROOT, check=True, env=os.environ | {"OMP_NUM_THREADS": str(threads)})
    return folder


def probabilities(features: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return probabilities by a random head whose log odds on ``reference`` have mean 0 and standard deviation 2."""
    kernel = np.random.default_rng(1).normal(size=reference.shape[1])
    odds = reference.astype(np.float64) @ kernel
    return expit((features.astype(np.float64) @ kernel - odds.mean()) * 2 / odds.std())


@every_family
def test_a_forward_pass_by_tensorflow_is_the_same_on_any_number_of_threads(forward_passes, family):
    features = [np.load(forward_passes / f"{family}_{threads}.npy") for threads in THREADS]
    assert np.ptp(probabilities(features[0], features[0])) > 0.1
    for other in features[1:]:
        expected, actual = (probabilities(values, features[0]) for values in (features[0], other))
        np.testing.assert_allclose(actual, expected, rtol=0, atol=ROUNDING)


@every_family
def test_a_forward_pass_by_onnx_runtime_is_the_same_on_any_number_of_threads(forward_passes, family):
    pictures = np.load(forward_passes / "pictures.npy")
    path = forward_passes / f"{family}.onnx"
    features = [open_session(path, threads=threads)(pictures)[0] for threads in THREADS]
    assert np.ptp(probabilities(features[0], features[0])) > 0.1
    for other in features[1:]:
        expected, actual = (probabilities(values, features[0]) for values in (features[0], other))
        np.testing.assert_allclose(actual, expected, rtol=0, atol=ROUNDING)
