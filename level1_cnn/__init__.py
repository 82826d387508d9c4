"""Level one: from pictures to out-of-fold probabilities, the only place that uses TensorFlow and ONNX Runtime.

Importing the package imports neither; only the modules that need them do. ONNX Runtime sends usage data to Microsoft
from version 1.32 on unless a variable of the environment forbids it before its import, which the package does.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
