"""One ONNX file from a picture to a probability: a frozen network with its head."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from level1_cnn.inference.onnx_check import read_onnx
from level1_cnn.inference.onnx_outputs import select_outputs
from runtime.files import replacing

FEATURES = 1  # index of the output; the first is the map
PREFIX = "head_"  # of the names of tensors that are added


def write_single_file(
    network: Path, weights: np.ndarray, intercept: np.float32, facts: Mapping[str, object], path: Path
) -> None:
    """Write the frozen ``network`` with the head ``weights`` (d,), ``intercept`` as one ONNX file to ``path``.

    Input: pixels 0 to 255, (n, side, side, 3) float32, red, green, blue. Output: probability (n, 1). ``facts`` stand
    in the file's metadata. Raises InputFault if ``network`` is not a network that a bundle may have.
    """
    model = onnx.load_model_from_string(select_outputs(read_onnx(network), [FEATURES]))
    graph, features = model.graph, model.graph.output[0].name
    head = {"weights": weights[:, np.newaxis].astype(np.float32), "intercept": np.array([intercept], np.float32)}
    graph.initializer.extend(numpy_helper.from_array(values, PREFIX + name) for name, values in head.items())
    graph.node.extend(
        [
            helper.make_node("Gemm", [features, PREFIX + "weights", PREFIX + "intercept"], [PREFIX + "logit"]),
            helper.make_node("Sigmoid", [PREFIX + "logit"], ["probability"]),
        ]
    )
    rows = graph.input[0].type.tensor_type.shape.dim[0]
    shape = [rows.dim_value or rows.dim_param or None, 1]
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("probability", TensorProto.FLOAT, shape))
    helper.set_model_props(model, {"melstack": json.dumps(dict(facts), sort_keys=True)})
    with replacing(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))
        read_onnx(temporary)
