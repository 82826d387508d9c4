"""A student as one ONNX file: the exported network with its head, from pixels to a probability."""

from pathlib import Path

import numpy as np

from level1_cnn.inference.onnx_check import read_onnx
from level1_cnn.inference.onnx_export import write_network
from level1_cnn.inference.onnx_outputs import select_outputs
from level1_cnn.portable.network import FEATURES
from level1_cnn.training.linear_head import LinearHead


def write_student(source: Path, head: LinearHead, path: Path) -> None:
    """Write the network of ``source`` (outputs: last map, features (n, d)) with ``head`` to ``path``.

    The new file has one output, the probability (n, 1). Raises InputFault for a damaged ``source``.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    network = onnx.load_model_from_string(select_outputs(read_onnx(source), [FEATURES]))
    graph = network.graph
    (features,) = (output.name for output in graph.output)
    names = ["student_weights", "student_intercept", "student_margin", "student_log_odds", "student_probability"]
    weights, intercept, margin, log_odds, probability = names
    graph.initializer.extend(
        [
            numpy_helper.from_array(head.weights[:, np.newaxis].astype(np.float32), weights),
            numpy_helper.from_array(np.asarray([head.intercept], np.float32), intercept),
        ]
    )
    graph.node.extend(
        [
            helper.make_node("MatMul", [features, weights], [margin]),
            helper.make_node("Add", [margin, intercept], [log_odds]),
            helper.make_node("Sigmoid", [log_odds], [probability]),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(probability, TensorProto.FLOAT, ["batch", 1]))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_network(network, path)
