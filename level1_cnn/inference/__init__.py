"""Predictions of trained networks: forward passes, views, ONNX Runtime."""
