"""Networks that run without TensorFlow: exported, and run by ONNX Runtime."""
