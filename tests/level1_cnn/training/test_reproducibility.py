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
METHODS = {
    "finetuned": 'method = "finetune"\nepochs = 1\nbatch_size = 8\nlearning_rate = 0.001\nhead_dropout = 0.3\n',
    "frozen": 'method = "frozen"\nregularisation = 0.01\n',
}
# What differs between the families are the operations: of their forward passes below, of their steps in EfficientNet,
# which takes minutes; the tiny network shows the rest of a run.
MODELS = [("efficientnet", "finetuned"), ("tiny", "finetuned"), ("tiny", "frozen")]
pytestmark = pytest.mark.full
every_family = pytest.mark.parametrize("family", backbones.names())


def smallest(family: str) -> str:
    """Return the variant of a family with the smallest native side."""
    variants = backbones.find(family).VARIANTS
    return min(variants, key=lambda name: variants[name].resolution)


def model_text(family: str, method: str) -> str:
    facts = f'backbone = "{family}"\nvariant = "{smallest(family)}"\nweights = "none"\nimage_size = 32\n'
    return f'{facts}views = ["identity", "mirror"]\n[training]\n{METHODS[method]}'


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory) -> list[dict[tuple[str, str], bytes]]:
    """Return the tables of every model of MODELS, of two runs in deterministic mode."""
    folder = tmp_path_factory.mktemp("repeated")
    names = [f"{family}_{method}" for family, method in MODELS]
    texts = [model_text(family, method) for family, method in MODELS]
    models = [write_model(folder, name, text) for name, text in zip(names, texts, strict=True)]
    contents = []
    for number in range(2):
        run = make_run(folder / str(number), patients=12, folds=2)
        train_alone(run, models)
        contents.append({(name, table): (run.level1 / name / table).read_bytes() for name in names for table in TABLES})
    return contents


@pytest.mark.parametrize(("family", "method"), MODELS)
def test_two_runs_in_deterministic_mode_write_the_same_tables_to_the_byte(two_runs, family, method):
    first, second = two_runs
    for table in TABLES:
        assert first[f"{family}_{method}", table] == second[f"{family}_{method}", table]


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
