"""Level one: from pictures to out-of-fold probabilities, the only place that uses TensorFlow.

Importing this package imports no TensorFlow; only the modules that need it do.
"""
