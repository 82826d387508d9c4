"""The optimiser of fine-tuning: AdamW with its learning rates over the steps, and their factors per stage."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from level1_cnn.hardware.devices import Plan
from level1_cnn.training_settings import Finetune

Rates = Any  # keras.optimizers.schedules.LearningRateSchedule

WARMUP_START = 0.1  # as a share of the peak learning rate; a warm-up from zero wastes its first steps
CLIP_NORM = 1.0  # highest norm of all gradients together


class ReducedAdamW(keras.optimizers.AdamW):  # type: ignore[misc]
    """AdamW for gradients that are already sums over all devices.

    Keras clips gradients and checks for overflow before it sums them over the devices, so that two devices would give
    another result than one. Here the step sums first, and this class prevents Keras from summing a second time.

    ``factors`` are those of the learning rate, one per weight, in the order in which the optimiser is built.
    """

    def __init__(self, rates: Rates, factors: Sequence[float], **options: Any) -> None:  # noqa: ANN401  Keras' own
        super().__init__(rates, **options)
        self._factors = tuple(factors)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:  # noqa: ANN401
        """Change one weight, with its own share of the learning rate."""
        super().update_step(gradient, variable, learning_rate * self._factors[self._get_variable_index(variable)])

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:  # noqa: ANN401
        return list(grads_and_vars)


def learning_rates(settings: Finetune, steps: int) -> Rates:
    """Return a schedule: linear warm-up from a tenth of the peak, then a cosine to zero at the end of ``steps``."""
    warmup = min(round(settings.warmup_epochs * steps / settings.epochs), steps - 1)
    peak = settings.learning_rate
    return keras.optimizers.schedules.CosineDecay(
        WARMUP_START * peak, steps - warmup, alpha=0.0, warmup_target=peak, warmup_steps=warmup
    )


def make_optimizer(
    settings: Finetune, rates: Rates, plan: Plan, variables: Sequence[Any], stages_after: Mapping[str, int]
) -> keras.optimizers.Optimizer:
    """Return AdamW for ``variables``, with loss scaling where gradients are float16.

    ``stages_after`` maps the path of a weight to the number of stages after its own, each of which multiplies its
    learning rate by ``settings.stage_decay`` (discriminative rates: Howard and Ruder 2018, arXiv 1801.06146). Weight
    decay applies to kernels, not to variables with fewer than two axes (biases, normalisation). Gradients are clipped
    by their global norm (Pascanu et al. 2013), after their sum over the devices.
    """
    factors = [settings.stage_decay ** stages_after.get(variable.path, 0) for variable in variables]
    inner = ReducedAdamW(rates, factors, weight_decay=settings.weight_decay, global_clipnorm=CLIP_NORM)
    inner.exclude_from_weight_decay(var_list=[variable for variable in variables if len(variable.shape) < 2])
    # float16 gradients underflow unless the loss is scaled up first.
    optimizer = keras.optimizers.LossScaleOptimizer(inner) if plan.precision == "mixed_float16" else inner
    optimizer.build(list(variables))
    return optimizer
