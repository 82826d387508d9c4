"""The product of a run: one folder that predicts new pictures on a CPU, without TensorFlow and without unpickling."""
