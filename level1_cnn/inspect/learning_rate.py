"""The learning-rate range test (Smith 2017, arXiv 1506.01186): train once with a rising rate, and look at the loss."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d

from level1_cnn.data.feed import Feed
from level1_cnn.data.run_pictures import shard_files
from level1_cnn.experiment import Finetune
from level1_cnn.hardware.devices import Plan, distribute
from level1_cnn.job import Job
from level1_cnn.networks.losses import make_loss
from level1_cnn.networks.network import build_network
from level1_cnn.training.finetune import FinetuneTrainer
from level1_cnn.training.pretraining import stage_files, starting_weights
from level1_cnn.training.step import Stepper
from level1_cnn.training.trainers import plan_of
from runtime.errors import InputFault
from runtime.files import replacing
from runtime.progress import progress_bar, say

STEPS, LOW, HIGH = 200, 1e-7, 1.0
MEMORY = 0.9  # of the running mean that tells a diverging loss from an unlucky batch: about the last 10 steps
DIVERGED = 4.0  # times the best running mean
SMOOTH_SHARE = 0.025  # of the steps: the width (sigma) of the two-sided mean in which suggestions are read
WARM_STEPS = 10  # the first losses are those of an untrained head and say nothing about a rate
SLOPE_SHARE = 0.1  # of the steps: the window in which a slope is measured


@dataclass(frozen=True)
class Range:
    """Which rates are tried, in how many steps, on the training rows of which fold."""

    fold: int
    steps: int
    low: float
    high: float


@dataclass(frozen=True)
class Suggestion:
    """Two readings of a range test: where to start looking for the peak of a schedule."""

    steepest: float  # where the loss falls fastest per factor of the rate
    tenth: float  # a tenth of the rate at which the loss is lowest
    lowest: float  # that rate


def find_rate(
    job: Job, *, fold: int = 0, steps: int = STEPS, low: float = LOW, high: float = HIGH
) -> Suggestion | None:
    """Train on the training rows of ``fold`` with a rate that grows from ``low`` to ``high``, one step per rate.

    No case of the fold is seen, nothing in the model's own folder is touched: lr_find.csv and lr_find.png are written
    to the run's level1_search/<model>. Ends early once the smoothed loss exceeds 4 times its best, or is not finite.
    Returns None, and says so, where the loss never falls. Raises InputFault for a frozen model, a fold that the run
    does not have, or a range without a width.
    """
    asked = Range(fold, steps, low, high)
    settings = _checked(job, asked)
    table = _train(job, settings, plan_of(job), asked)
    folder = search_folder(job)
    with replacing(folder / "lr_find.csv") as temporary:
        table.to_csv(temporary, index=False)
    found = suggest(table)
    draw(folder / "lr_find.png", table, found, f"{job.name}: training rows of fold {fold}")
    for line in describe(found, settings.learning_rate):
        say(f"{job.name}: {line}")
    say(f"{job.name}: {folder / 'lr_find.png'}")
    return found


def search_folder(job: Job) -> Path:
    """Return where searches for a model's settings keep what they find."""
    return job.run.folder / "level1_search" / job.name


class RunningMean:
    """The exponential mean of the losses so far, corrected for its start (Kingma and Ba 2014, section 3)."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def __call__(self, loss: float) -> float:
        """Return the mean with one more loss."""
        self._sum = MEMORY * self._sum + (1 - MEMORY) * loss
        self._count += 1
        return self._sum / (1 - MEMORY**self._count)


def until_diverged(losses: Iterable[tuple[float, float]]) -> pd.DataFrame:
    """Return learning_rate and loss of the (rate, loss) drawn, up to the last before the loss is out of hand.

    That is: not finite, or, once the head has learned something, with a running mean above 4 times the best so far.
    """
    running, best = RunningMean(), np.inf
    found: list[tuple[float, float]] = []
    for rate, loss in losses:
        mean = running(loss)
        if not np.isfinite(loss) or (len(found) >= WARM_STEPS and mean > DIVERGED * best):
            break
        best = min(best, mean)
        found.append((rate, loss))
    return smoothed(pd.DataFrame(found, columns=["learning_rate", "loss"]))


def smoothed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with a column smoothed: a Gaussian mean of the losses before and after, in steps.

    A running mean would lag behind by as many steps as it remembers: half a decade of the rate and more.
    """
    losses = table["loss"].to_numpy(dtype=float)
    return table.assign(smoothed=gaussian_filter1d(losses, max(1.0, SMOOTH_SHARE * len(losses)), mode="nearest"))


def suggest(table: pd.DataFrame) -> Suggestion | None:
    """Return what a table of learning_rate, loss and smoothed suggests; None where the loss never falls.

    The steepest descent is the lowest slope of a straight line through the smoothed loss over the logarithm of the
    rate, in a window of a tenth of the steps, before the lowest loss.
    """
    smooth = table["smoothed"].to_numpy()
    rates = table["learning_rate"].to_numpy()
    window = max(5, round(SLOPE_SHARE * len(table)))
    if len(table) < WARM_STEPS + window:
        return None
    lowest = WARM_STEPS + int(np.argmin(smooth[WARM_STEPS:]))
    starts = range(WARM_STEPS, lowest - window + 2)
    slopes = [np.polyfit(np.log10(rates[s : s + window]), smooth[s : s + window], 1)[0] for s in starts]
    if not slopes or min(slopes) >= 0:
        return None
    middle = WARM_STEPS + int(np.argmin(slopes)) + window // 2
    return Suggestion(float(rates[middle]), float(rates[lowest]) / 10, float(rates[lowest]))


def describe(found: Suggestion | None, current: float) -> list[str]:
    """Return lines for the user: the suggestions with their reasons, and the rate that the model has now."""
    if found is None:
        return ["the loss never falls steadily: no rate is suggested; more steps or another range may show one"]
    return [
        f"learning_rate = {found.steepest:.2g}: there the smoothed loss falls fastest",
        f"learning_rate = {found.tenth:.2g}: a tenth of {found.lowest:.2g}, where the smoothed loss is lowest",
        f"the model's own is {current:.2g}; a range test is a hint to start from, `make tune` measures",
    ]


def draw(path: Path, table: pd.DataFrame, found: Suggestion | None, title: str) -> None:
    """Draw loss and smoothed loss over the rate (logarithmic), with the suggestions, as a PNG."""
    from matplotlib.figure import Figure  # slow to import

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(table["learning_rate"], table["loss"], color="0.75", linewidth=1, label="loss of a batch")
    axes.plot(table["learning_rate"], table["smoothed"], color="tab:blue", label="smoothed")
    if found is not None:
        axes.axvline(found.steepest, color="tab:green", label=f"falls fastest: {found.steepest:.2g}")
        axes.axvline(found.tenth, color="tab:orange", linestyle="--", label=f"a tenth of the lowest: {found.tenth:.2g}")
    top = 1.5 * float(table["smoothed"].iloc[min(WARM_STEPS, len(table) - 1) :].quantile(0.9))
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss", title=title)
    axes.set_ylim(0, max(top, 1e-6))
    axes.legend(loc="upper left")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _checked(job: Job, asked: Range) -> Finetune:
    settings = job.experiment.training
    if not isinstance(settings, Finetune):
        raise InputFault(f"{job.name}: a frozen model has no learning rate; lr-find is for method = 'finetune'")
    folds = int(job.run.read_cases()["fold"].max()) + 1
    if not 0 <= asked.fold < folds:
        raise InputFault(f"fold {asked.fold}: the run has folds 0 to {folds - 1}")
    if not 0 < asked.low < asked.high or asked.steps < 2 * WARM_STEPS:
        wanted = f"0 < low < high, and at least {2 * WARM_STEPS} steps, are needed"
        raise InputFault(f"rates from {asked.low:g} to {asked.high:g} in {asked.steps} steps: {wanted}")
    return settings


def _train(job: Job, settings: Finetune, plan: Plan, asked: Range) -> pd.DataFrame:
    """Return learning_rate, loss and smoothed of every step."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(job.experiment.seed)
    cases = job.run.read_cases()
    rows = FinetuneTrainer(job, settings, plan, cases[cases["picture"].notna()]).rows_of(asked.fold)
    stepper = _stepper(job, settings, plan, asked, rows.metadata.shape[1])
    feed = Feed(shard_files(job.run, job.experiment.image_size), rows, job.experiment.image_size)
    text = f"{job.name}: learning rates {asked.low:g} to {asked.high:g}"
    with progress_bar(text, asked.steps, unit="steps") as advance:

        def losses() -> Iterator[tuple[float, float]]:
            for elements in _batches(job, settings, plan, asked, feed):
                yield stepper.learning_rate, float(stepper(elements))
                advance(1)

        return until_diverged(losses())


def _stepper(job: Job, settings: Finetune, plan: Plan, asked: Range, metadata_width: int) -> Stepper:
    rates = keras.optimizers.schedules.ExponentialDecay(asked.low, asked.steps - 1, asked.high / asked.low)
    with plan.strategy.scope():
        model = build_network(job.network, settings, metadata_width)
    stepper = Stepper(model, settings, asked.steps, plan, make_loss(settings), rates=rates)
    if settings.pretrain is None:
        return stepper
    if not all(path.is_file() for path in stage_files(job.pretrain_folder)):
        say(f"{job.name}: its pretraining stage is not done yet; the test starts from the backbone's own weights")
        return stepper
    stepper.set_weights_start(starting_weights(job.pretrain_folder, stepper.weights()))
    return stepper


def _batches(job: Job, settings: Finetune, plan: Plan, asked: Range, feed: Feed) -> Any:  # noqa: ANN401  tf.data
    def make(shard: tuple[int, int]) -> Any:  # noqa: ANN401  a tf.data.Dataset
        return feed.batches(
            settings.augmentation,
            batch_size=plan.training_batch(job.experiment),
            malignant_share=settings.malignant_share,
            external_share=settings.external_share,
            seed=job.experiment.seed,
            first_step=0,
            steps=asked.steps,
            shard=shard,
        )

    return distribute(plan, make)
