"""Networks exported as ONNX files and run by ONNX Runtime, without TensorFlow."""
