"""Where networks run: devices, batch size, TPU, and the import of TensorFlow."""
