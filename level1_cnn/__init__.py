"""Level one: from pictures to out-of-fold probabilities, the only place that uses TensorFlow.

Importing the package does not import TensorFlow; only the modules that need TensorFlow import it. ONNX Runtime 1.32
sends usage data to Microsoft unless a variable of the environment forbids it before its import, as is done here.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
