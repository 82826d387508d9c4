"""The request to measure a model for the forecast, and the measurements: seconds and bytes."""

from dataclasses import dataclass, field
from pathlib import Path

from level1_cnn.job import Job

HEAD_CASES = 400  # number of cases to which the head of a frozen model is fitted for a measurement


@dataclass(frozen=True)
class Hardware:
    """The devices for networks.

    ``memory`` is the bytes of one device (None: it uses the host's), ``batches`` maps a model to its pictures per step.
    """

    kind: str
    memory: int | None
    replicas: int
    half: bool  # whether training is in mixed precision (16 bits)
    batches: dict[str, int]


@dataclass(frozen=True)
class Request:
    """A request to measure ``job``, a model on a sample run."""

    job: Job
    folder: Path  # for temporary files
    epoch_steps: int  # optimiser steps per epoch in the real run
    # False: a training step would not fit the memory or would take too long, so only forward passes are measured.
    measure_training: bool


@dataclass
class Measurements:
    """Seconds and bytes of one model on this machine; a list has one number per repetition."""

    parameters: int = 0
    features: int = 0
    start: float = 0.0  # building the network and its graph
    steps: list[float] = field(default_factory=list)  # optimiser steps
    forward: list[float] = field(default_factory=list)  # forward passes of one picture, only without steps
    saving: float = 0.0  # writing the state between two epochs
    state_bytes: int = 0
    export: float = 0.0  # writing the network as ONNX
    uses_onnx: bool = False  # whether a fold predicts with the ONNX file; a bundle needs the file in any case
    onnx_bytes: int = 0
    views: list[float] = field(default_factory=list)  # one picture in all views, with the time to read it
    head: float = 0.0  # fitting the head of a frozen model to HEAD_CASES cases
    peak: int = 0  # bytes of host memory
    gpu_peak: int | None = None
