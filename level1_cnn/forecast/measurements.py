"""What is to be measured of a model for the forecast, and what comes back: seconds and bytes."""

from dataclasses import dataclass, field
from pathlib import Path

from level1_cnn.job import Job

HEAD_CASES = 400  # that a frozen model's head is fitted to for measuring


@dataclass(frozen=True)
class Hardware:
    """What networks run on: ``memory`` of one device in bytes (None: the host's), and each model's training batch."""

    kind: str
    memory: int | None
    replicas: int
    half: bool
    batches: dict[str, int]


@dataclass(frozen=True)
class Request:
    """What is to be measured: ``job`` over a sample run, and how much work the real run will have of it."""

    job: Job
    folder: Path  # for what is written meanwhile
    epoch_steps: int
    train: bool  # False: the memory would not hold it, or a step would take too long; a forward pass stands for it


@dataclass
class Measured:
    """Seconds and bytes of one model on this machine; lists hold one number for each time that was measured."""

    parameters: int = 0
    features: int = 0
    start: float = 0.0  # building the network and its graph
    steps: list[float] = field(default_factory=list)
    forward: list[float] = field(default_factory=list)  # of one picture alone, where no step was taken
    saving: float = 0.0  # the state between two epochs
    state_bytes: int = 0
    export: float = 0.0  # writing the network as ONNX
    exports: bool = False  # whether a fold predicts through that file; the bundle has it anyway
    exported_bytes: int = 0
    views: list[float] = field(default_factory=list)  # of one picture in all views, reading it included
    head: float = 0.0  # fitting a frozen model's head to HEAD_CASES cases
    peak: int = 0
    gpu_peak: int | None = None
