"""The hardware for networks: devices, batch size, TPU, and the import of TensorFlow."""
