"""What 10^8 pictures on a thousand GPUs would take, on paper: formulas of measured and of assumed numbers."""

import math
from dataclasses import dataclass

from runtime.errors import InputFault, did_you_mean

SECONDS_PER_HOUR = 3600.0
VIEWS = 8  # of a picture when it is predicted
BACKWARD = 3  # a training step costs three forward passes: one forward, two for the gradients
FLOAT = 4  # bytes
# Multiply-adds of a forward pass (1e9) at the family's own side, and parameters, of the networks of the plan.
NETWORKS = {"b0": (0.386, 224, 5_330_564), "b4": (4.394, 380, 19_466_816), "b6": (19.07, 528, 43_265_136)}


@dataclass(frozen=True)
class Fleet:
    """The numbers that the plan is computed from; a price, a peak and a failure rate are parameters, not measurements.

    ``bytes_per_picture``, ``preparation_seconds`` and ``decode_seconds`` (of a core, per picture) are what
    ``python -m melstack measure`` says of a data folder. ``peak`` is a GPU's multiply-adds and additions per second,
    ``utilisation`` the share of it that training reaches. ``failure_hours`` are GPU hours per failure.
    """

    pictures: float = 1e8
    gpus: int = 1000
    network: str = "b6"
    side: int = 512
    models: int = 9
    folds: int = 5
    epochs: float = 5.0
    batch: int = 32  # pictures per GPU and step
    bytes_per_picture: float = 78.4e3
    preparation_seconds: float = 0.85  # sources of 6000 x 4000, four sides at once
    decode_seconds: float = 0.002
    columns: int = 60
    peak: float = 312e12
    utilisation: float = 0.05
    failure_hours: float = 50_000.0
    checkpoint_seconds: float = 30.0
    restart_seconds: float = 300.0
    shard_bytes: float = 1e9
    cores_per_gpu: int = 16
    price: float = 2.0  # of a GPU hour

    @property
    def operations(self) -> float:
        """Operations of a forward pass of one picture: two per multiply-add, scaled with the number of pixels."""
        billions, side, _ = NETWORKS[self.network]
        return 2e9 * billions * (self.side / side) ** 2

    @property
    def training_rate(self) -> float:
        """Pictures per second that one GPU trains on."""
        return self.peak * self.utilisation / (BACKWARD * self.operations)

    @property
    def tasks(self) -> int:
        """Trainings that need nothing of each other: every fold of every model."""
        return self.models * self.folds

    @property
    def gpus_per_task(self) -> int:
        """GPUs that share one training when all tasks run at once."""
        return max(1, self.gpus // self.tasks)

    @property
    def training_hours(self) -> float:
        """GPU hours of all trainings: each sees the pictures outside its fold, ``epochs`` times."""
        seen = self.models * (self.folds - 1) * self.pictures * self.epochs
        return seen / self.training_rate / SECONDS_PER_HOUR

    @property
    def prediction_hours(self) -> float:
        """GPU hours of the out-of-fold predictions: every picture once per model, in all views, forward only."""
        passes = self.models * self.pictures * VIEWS
        return passes * self.operations / (self.peak * self.utilisation) / SECONDS_PER_HOUR

    @property
    def days(self) -> float:
        """Days on all GPUs, without failures."""
        return (self.training_hours + self.prediction_hours) / self.gpus / 24

    @property
    def epoch_hours(self) -> float:
        """Hours of one epoch of one task."""
        pictures = self.pictures * (self.folds - 1) / self.folds
        return pictures / (self.training_rate * self.gpus_per_task) / SECONDS_PER_HOUR

    @property
    def hours_between_failures(self) -> float:
        """Hours between two failures of any GPU of the fleet."""
        return self.failure_hours / self.gpus

    @property
    def checkpoint_hours(self) -> float:
        """Hours between two checkpoints of a task that lose least: sqrt(2 C M), Young 1974."""
        between = self.failure_hours / self.gpus_per_task
        return math.sqrt(2 * self.checkpoint_seconds / SECONDS_PER_HOUR * between)

    def lost_share(self, interval_hours: float, checkpoint_seconds: float) -> float:
        """Share of a task's time that goes into checkpoints, work done again and restarts, to first order."""
        between = self.failure_hours / self.gpus_per_task
        again = interval_hours / 2 + self.restart_seconds / SECONDS_PER_HOUR
        return checkpoint_seconds / SECONDS_PER_HOUR / interval_hours + again / between

    @property
    def epoch_hours_with_failures(self) -> float:
        """Hours of an epoch of one task that begins anew whenever a GPU of the task fails: M (exp(T / M) - 1)."""
        between = self.failure_hours / self.gpus_per_task
        return between * math.expm1(self.epoch_hours / between)

    @property
    def stored_bytes(self) -> float:
        """Bytes of all square JPEGs of one side."""
        return self.pictures * self.bytes_per_picture

    @property
    def shards(self) -> int:
        """Shard files of one side."""
        return math.ceil(self.stored_bytes / self.shard_bytes)

    @property
    def read_bytes(self) -> float:
        """Bytes per second that the fleet reads while it trains."""
        return self.gpus * self.training_rate * self.bytes_per_picture

    @property
    def decode_cores(self) -> float:
        """Cores per GPU that decode what it trains on."""
        return self.training_rate * self.decode_seconds

    @property
    def preparation_hours(self) -> float:
        """Hours of the one decode of all sources on all of the fleet's cores."""
        return self.pictures * self.preparation_seconds / (self.gpus * self.cores_per_gpu) / SECONDS_PER_HOUR

    @property
    def gradient_bytes(self) -> float:
        """Bytes per second that one GPU sends in a ring all-reduce: 2 (g - 1) / g gradients of float32 per step."""
        gpus, (_, _, parameters) = self.gpus_per_task, NETWORKS[self.network]
        steps_per_second = self.training_rate / self.batch
        return 2 * (gpus - 1) / gpus * parameters * FLOAT * steps_per_second

    @property
    def design_bytes(self) -> float:
        """Bytes of level two's table as it is now: eight per cell."""
        return 8 * self.pictures * self.columns

    @property
    def binned_bytes(self) -> float:
        """Bytes of the same table in a booster's bins, one per cell, with gradient and hessian in float32."""
        return self.pictures * (self.columns + 2 * FLOAT)

    @property
    def cost(self) -> float:
        """Price of the GPU hours, without failures, storage and level two."""
        return (self.training_hours + self.prediction_hours) * self.price


def plan_lines(fleet: Fleet) -> list[str]:
    """Return the plan, a line per figure: ``what: formula = value``; raise InputFault for what makes no plan."""
    if fleet.network not in NETWORKS:
        raise InputFault(f"network {fleet.network!r}; {did_you_mean(fleet.network, list(NETWORKS))}")
    if min(fleet.pictures, fleet.gpus, fleet.side) < 1 or not 0 < fleet.utilisation <= 1:
        raise InputFault("pictures, gpus and side are 1 or more, and utilisation is a share of a GPU's peak")
    figures = _storage(fleet) | _speed(fleet) | _time(fleet) | _failures(fleet) | _level_two(fleet)
    return [f"{what}: {value}" for what, value in figures.items()]


def _storage(fleet: Fleet) -> dict[str, str]:
    cores = fleet.gpus * fleet.cores_per_gpu
    return {
        f"square JPEGs at {fleet.side} px": f"pictures x bytes = {fleet.stored_bytes / 1e12:.2f} TB",
        "shards": f"bytes / {fleet.shard_bytes / 1e9:g} GB = {fleet.shards:,} files",
        "preparation": f"pictures x core seconds / {cores:,} cores = {fleet.preparation_hours:.2f} h",
    }


def _speed(fleet: Fleet) -> dict[str, str]:
    gradients = f"{fleet.gradient_bytes / 1e9:.2f} GB/s sent by each GPU"
    return {
        "forward pass": f"2 x multiply-adds x (side / own side)^2 = {fleet.operations / 1e9:.1f} GFLOP",
        "a GPU trains on": f"peak x utilisation / (3 x forward) = {fleet.training_rate:.0f} pictures/s",
        "decoding": f"pictures/s x core seconds = {fleet.decode_cores:.2f} cores per GPU",
        "reading": f"GPUs x pictures/s x bytes = {fleet.read_bytes / 1e9:.1f} GB/s",
        "gradients": f"2 (g - 1) / g x 4 bytes x parameters x pictures/s / batch = {gradients}",
    }


def _time(fleet: Fleet) -> dict[str, str]:
    predicted = f"{fleet.prediction_hours:,.0f} GPU hours"
    return {
        "tasks": f"models x folds = {fleet.tasks}, of GPUs / tasks = {fleet.gpus_per_task} GPUs each",
        "an epoch of a task": f"pictures x (k - 1) / k / (pictures/s x g) = {fleet.epoch_hours:.1f} h",
        "training": f"models x (k - 1) x pictures x epochs / (pictures/s) = {fleet.training_hours:,.0f} GPU hours",
        "out-of-fold predictions": f"models x pictures x 8 x forward / (peak x utilisation) = {predicted}",
        "both": f"GPU hours / GPUs = {fleet.days:.1f} days",
        "cost": f"GPU hours x {fleet.price:g} = {fleet.cost:,.0f}",
    }


def _failures(fleet: Fleet) -> dict[str, str]:
    best, epoch = fleet.checkpoint_hours, fleet.epoch_hours
    lost = [f"{fleet.lost_share(hours, fleet.checkpoint_seconds):.1%}" for hours in (best, epoch)]
    return {
        "a failure somewhere": f"GPU hours per failure / GPUs = every {fleet.hours_between_failures:.0f} h",
        "best interval of checkpoints": f"sqrt(2 x seconds x GPU hours per failure / g) = {best:.1f} h",
        "an epoch, begun anew after each failure": f"M (e^(T / M) - 1) = {fleet.epoch_hours_with_failures:.1f} h",
        "of a task's time is lost": f"{lost[0]} so, {lost[1]} with a checkpoint per epoch ({epoch:.1f} h)",
    }


def _level_two(fleet: Fleet) -> dict[str, str]:
    return {
        "level two's table": f"8 x rows x columns = {fleet.design_bytes / 1e9:.0f} GB",
        "the same in bins": f"rows x (columns + 8) = {fleet.binned_bytes / 1e9:.1f} GB",
    }
