"""Test of the student's ONNX file: an exported network and a head become one network of one output."""

import numpy as np
from scipy.special import expit

from level1_cnn.inference.onnx_export import export
from level1_cnn.inference.onnx_session import open_session
from level1_cnn.networks.network import build_backbone, with_last_map
from level1_cnn.training.linear_head import LinearHead
from level1_cnn.training_settings import FrozenFeatures
from melstack.distillation.onnx_file import write_student
from tests.level1_cnn.drawn_run import tiny_experiment


def test_the_file_computes_the_head_of_the_features(tmp_path):
    backbone = build_backbone(tiny_experiment(FrozenFeatures(method="frozen", layers="all"), image_size=32))
    random = np.random.default_rng(0)
    head = LinearHead(random.normal(size=backbone.output.shape[-1]).astype(np.float32), np.float32(-0.3), 1.0)
    source = export(with_last_map(backbone), tmp_path / "network.onnx")
    write_student(source, head, tmp_path / "new" / "student.onnx")
    pixels = random.uniform(0, 255, (5, 32, 32, 3)).astype(np.float32)
    (probability,) = open_session(tmp_path / "new" / "student.onnx")(pixels)
    features = np.asarray(backbone(pixels))
    np.testing.assert_allclose(probability[:, 0], expit(features @ head.weights + head.intercept), rtol=1e-4)
    assert np.ptp(probability) > 0.01
