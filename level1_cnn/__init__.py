"""Level one: from pictures to out-of-fold probabilities, the only place that uses TensorFlow.

Importing the package does not import TensorFlow; only the modules that need TensorFlow import it.
"""
