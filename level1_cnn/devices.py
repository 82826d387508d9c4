"""What the machine offers and what follows from it: precision, XLA, and how inference runs."""

from dataclasses import dataclass

import keras
import tensorflow as tf


@dataclass(frozen=True)
class Plan:
    """How networks run on this machine."""

    kind: str  # 'CPU' or 'GPU'
    xla: bool  # compile training steps: on accelerators only, on a CPU it makes depthwise convolutions ~7 times slower
    precision: str  # Keras' dtype policy
    onnx: bool  # frozen networks predict through ONNX Runtime: 2 to 4 times faster than TensorFlow on a CPU
    batch_size: int  # of inference

    def describe(self) -> str:
        """Return one line for the user."""
        engine = "ONNX Runtime for frozen networks" if self.onnx else "TensorFlow"
        return f"{self.kind}, {self.precision}, XLA {'on' if self.xla else 'off'}, inference by {engine}"


def plan_devices() -> Plan:
    """Return the plan for this machine and set Keras' precision to it (an entry point calls this once)."""
    gpus = tf.config.list_physical_devices("GPU")
    plan = Plan("GPU", True, "mixed_float16", False, 64) if gpus else Plan("CPU", False, "float32", True, 32)
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    keras.mixed_precision.set_global_policy(plan.precision)
    return plan
