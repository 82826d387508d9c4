"""The learning-rate range test (Smith 2017, arXiv 1506.01186): train once with a rising rate and record the loss."""

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
from level1_cnn.hardware.devices import Plan, distribute
from level1_cnn.job import Job
from level1_cnn.networks.losses import make_loss
from level1_cnn.networks.network import build_network
from level1_cnn.training.finetune import FinetuneTrainer
from level1_cnn.training.pretraining import stage_files, starting_weights
from level1_cnn.training.step import Stepper
from level1_cnn.training.trainers import plan_of
from level1_cnn.training_settings import Finetune
from runtime.errors import InputFault
from runtime.files import replacing
from runtime.invocation import command
from runtime.progress import progress_bar, say

STEPS, LOW, HIGH = 200, 1e-7, 1.0
MEMORY = 0.9  # decay of the running mean (about the last 10 steps), so that one unlucky batch does not end the test
DIVERGENCE = 4.0  # ratio of the running mean to its best value at which the test ends
SMOOTH_SHARE = 0.025  # width (sigma) of the Gaussian mean over the losses, as a share of the steps
WARM_STEPS = 10  # the first losses, those of an untrained head, are not used
SLOPE_SHARE = 0.1  # window in which a slope is measured, as a share of the steps


@dataclass(frozen=True)
class RateSweep:
    """The rates of a range test, from ``low`` to ``high`` in ``steps``, on the training rows of ``fold``."""

    fold: int
    steps: int
    low: float
    high: float


@dataclass(frozen=True)
class Suggestion:
    """Two suggestions of a range test for the peak learning rate of a schedule: ``steepest`` and ``tenth``."""

    steepest: float  # rate at which the loss falls fastest over the logarithm of the rate
    tenth: float  # a tenth of ``lowest``
    lowest: float  # rate at which the loss is lowest


def find_rate(
    job: Job, *, fold: int = 0, steps: int = STEPS, low: float = LOW, high: float = HIGH
) -> Suggestion | None:
    """Train on the training rows of ``fold`` with a rate that grows from ``low`` to ``high``, one step per rate.

    Cases of the fold are not used, and the model's own folder is not changed: lr_find.csv and lr_find.png are written
    to the run's level1_search/<model>. Ends early when the running mean of the loss exceeds 4 times its best value or
    the loss is not finite. Prints the suggestions and returns them; None if the loss never falls. Raises InputFault
    for a frozen model, a fold that the run does not have, or an empty range.
    """
    sweep = RateSweep(fold, steps, low, high)
    settings = _check(job, sweep)
    table = _train(job, settings, plan_of(job), sweep)
    folder = search_folder(job)
    with replacing(folder / "lr_find.csv") as temporary:
        table.to_csv(temporary, index=False)
    suggestion = suggest(table)
    draw(folder / "lr_find.png", table, suggestion, f"{job.name}: training rows of fold {fold}")
    for line in describe(suggestion, settings.learning_rate):
        say(f"{job.name}: {line}")
    say(f"{job.name}: plot in {folder / 'lr_find.png'}")
    return suggestion


def search_folder(job: Job) -> Path:
    """Return the folder for the results of range tests and searches of a model."""
    return job.run.folder / "level1_search" / job.name


class RunningMean:
    """The exponential mean of the losses so far, with bias correction (Kingma and Ba 2014, section 3)."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def __call__(self, loss: float) -> float:
        """Add a loss and return the mean."""
        self._sum = MEMORY * self._sum + (1 - MEMORY) * loss
        self._count += 1
        return self._sum / (1 - MEMORY**self._count)


def stop_at_divergence(losses: Iterable[tuple[float, float]]) -> pd.DataFrame:
    """Return learning_rate, loss and smoothed loss of the (rate, loss) pairs before the loss diverges.

    A loss diverges when it is not finite or, after ``WARM_STEPS``, when its running mean is above 4 times the best.
    """
    running_mean, best = RunningMean(), np.inf
    rows: list[tuple[float, float]] = []
    for rate, loss in losses:
        mean = running_mean(loss)
        if not np.isfinite(loss) or (len(rows) >= WARM_STEPS and mean > DIVERGENCE * best):
            break
        best = min(best, mean)
        rows.append((rate, loss))
    return smooth_losses(pd.DataFrame(rows, columns=["learning_rate", "loss"]))


def smooth_losses(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with another column ``smoothed``: a Gaussian mean over the losses before and after each step.

    A running mean over earlier steps only would lag by half a decade of the rate and more.
    """
    losses = table["loss"].to_numpy(dtype=float)
    return table.assign(smoothed=gaussian_filter1d(losses, max(1.0, SMOOTH_SHARE * len(losses)), mode="nearest"))


def suggest(table: pd.DataFrame) -> Suggestion | None:
    """Return the suggestion from a table of learning_rate, loss and smoothed loss; None if the loss never falls.

    ``steepest`` is where a straight line through the smoothed loss over the logarithm of the rate, in a window of a
    tenth of the steps, has the lowest slope; only steps before the lowest loss are used.
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


def describe(suggestion: Suggestion | None, current: float) -> list[str]:
    """Return lines for the user: the suggestions with their reasons, and the model's current rate."""
    if suggestion is None:
        return ["the loss never falls steadily, so no rate is suggested; try more steps or another range"]
    steepest, tenth, lowest = suggestion.steepest, suggestion.tenth, suggestion.lowest
    return [
        f"learning_rate = {steepest:.2g}: the smoothed loss falls fastest there",
        f"learning_rate = {tenth:.2g}: a tenth of {lowest:.2g}, where the smoothed loss is lowest",
        f"the model has learning_rate = {current:.2g}; a range test is only a hint, {command('tune')} compares AUCs",
    ]


def draw(path: Path, table: pd.DataFrame, suggestion: Suggestion | None, title: str) -> None:
    """Draw loss and smoothed loss over the rate (logarithmic axis), with the suggestions, as a PNG."""
    from matplotlib.figure import Figure  # slow to import

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(table["learning_rate"], table["loss"], color="0.75", linewidth=1, label="loss of a batch")
    axes.plot(table["learning_rate"], table["smoothed"], color="tab:blue", label="smoothed")
    if suggestion is not None:
        steepest, tenth = suggestion.steepest, suggestion.tenth
        axes.axvline(steepest, color="tab:green", label=f"falls fastest: {steepest:.2g}")
        axes.axvline(tenth, color="tab:orange", linestyle="--", label=f"a tenth of the rate of the lowest: {tenth:.2g}")
    top = 1.5 * float(table["smoothed"].iloc[min(WARM_STEPS, len(table) - 1) :].quantile(0.9))
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss", title=title)
    axes.set_ylim(0, max(top, 1e-6))
    axes.legend(loc="upper left")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _check(job: Job, sweep: RateSweep) -> Finetune:
    settings = job.experiment.training
    if not isinstance(settings, Finetune):
        remedy = "lr-find needs a model with method = 'finetune'"
        raise InputFault(f"{job.name}: method = 'frozen' has no learning rate; {remedy}")
    folds = int(job.run.read_cases()["fold"].max()) + 1
    if not 0 <= sweep.fold < folds:
        raise InputFault(f"fold {sweep.fold} does not exist; the run has folds 0 to {folds - 1}")
    if not 0 < sweep.low < sweep.high or sweep.steps < 2 * WARM_STEPS:
        rule = f"0 < low < high and at least {2 * WARM_STEPS} steps are needed"
        raise InputFault(f"rates from {sweep.low:g} to {sweep.high:g} in {sweep.steps} steps: {rule}")
    return settings


def _train(job: Job, settings: Finetune, plan: Plan, sweep: RateSweep) -> pd.DataFrame:
    """Train with the rates of ``sweep``; return learning_rate, loss and smoothed loss of every step."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(job.experiment.seed)
    cases = job.run.read_cases()
    rows = FinetuneTrainer(job, settings, plan, cases[cases["picture"].notna()]).rows_of(sweep.fold)
    stepper = _stepper(job, settings, plan, sweep, rows.metadata.shape[1])
    feed = Feed(shard_files(job.run, job.experiment.image_size), rows, job.experiment.image_size)
    text = f"{job.name}: learning rates {sweep.low:g} to {sweep.high:g}"
    with progress_bar(text, sweep.steps, unit="step") as advance:

        def losses() -> Iterator[tuple[float, float]]:
            """Yield (rate, loss) of every step."""
            for batch in _batches(job, settings, plan, sweep, feed):
                yield stepper.learning_rate, float(stepper(batch))
                advance(1)

        return stop_at_divergence(losses())


def _stepper(job: Job, settings: Finetune, plan: Plan, sweep: RateSweep, metadata_width: int) -> Stepper:
    rates = keras.optimizers.schedules.ExponentialDecay(sweep.low, sweep.steps - 1, sweep.high / sweep.low)
    with plan.strategy.scope():
        model = build_network(job.network, settings, metadata_width)
    stepper = Stepper(model, settings, sweep.steps, plan, make_loss(settings), rates=rates)
    if settings.pretrain is None:
        return stepper
    if not all(path.is_file() for path in stage_files(job.pretrain_folder)):
        start = f"weights = {job.experiment.weights!r}"
        say(f"{job.name}: the pretraining stage is not trained yet, so the test starts from {start}")
        return stepper
    stepper.set_weights_start(starting_weights(job.pretrain_folder, stepper.weights()))
    return stepper


def _batches(job: Job, settings: Finetune, plan: Plan, sweep: RateSweep, feed: Feed) -> Any:  # noqa: ANN401  tf.data
    def make(shard: tuple[int, int]) -> Any:  # noqa: ANN401  a tf.data.Dataset
        """Return the batches of one worker."""
        return feed.batches(
            settings.augmentation,
            batch_size=plan.training_batch(job.experiment),
            malignant_share=settings.malignant_share,
            external_share=settings.external_share,
            seed=job.experiment.seed,
            first_step=0,
            steps=sweep.steps,
            shard=shard,
        )

    return distribute(plan, make)
