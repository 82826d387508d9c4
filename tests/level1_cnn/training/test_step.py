"""Tests for step.py, optimizer.py and gradients.py: schedule, optimiser, step with one graph, averages, exact reset."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from level1_cnn.hardware.devices import Plan
from level1_cnn.networks.crops import resample, resizing_matrix
from level1_cnn.networks.network import build_network
from level1_cnn.networks.pair_loss import class_sums, pair_loss
from level1_cnn.training.optimizer import learning_rates, make_optimizer
from level1_cnn.training.step import Stepper
from level1_cnn.training_settings import Finetune
from tests.level1_cnn.drawn_run import tiny_experiment

PLAN = Plan("CPU", False, "float32", False, 8)


def finetune(**changes) -> Finetune:
    defaults = {"epochs": 5, "learning_rate": 1e-2, "head_dropout": 0.0, "keep": "last"}
    return Finetune(method="finetune", **{**defaults, **changes})


def network(settings: Finetune, metadata_width: int = 0, side: int = 32) -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_network(tiny_experiment(settings, image_size=side), settings, metadata_width)


def make_stepper(settings: Finetune, plan: Plan = PLAN, steps: int = 20) -> Stepper:
    return Stepper(network(settings), settings, steps, plan, cross_entropy)


def cross_entropy(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits), axis=1)


def batch(metadata_width: int = 0):
    """Return bright malignant and dark benign pictures with different weights."""
    rng = np.random.default_rng(0)
    targets = (np.arange(8) % 2)[:, None]
    pictures = rng.uniform(0, 60, (8, 32, 32, 3)) + 150 * targets[:, None, None]
    arrays = pictures, rng.normal(size=(8, metadata_width)), targets, rng.uniform(0.5, 2, 8)
    pictures, metadata, targets, weights = (tf.constant(array, tf.float32) for array in arrays)
    return (pictures, metadata), targets, weights


def losses(stepper: Stepper, count: int) -> list[float]:
    return [float(stepper(batch())) for _ in range(count)]


def equal(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def averaging() -> Stepper:
    """Return one stepper for several tests: with trained batch normalisation, dropout and a moving average."""
    return make_stepper(finetune(keep="ema", head_dropout=0.5))


@pytest.fixture
def plain(plain_graph: Stepper) -> Stepper:
    """Return a stepper at its start whose network has constant batch normalisation and no dropout."""
    plain_graph.reset()
    return plain_graph


@pytest.fixture(scope="module")
def plain_graph() -> Stepper:
    return make_stepper(finetune(train_batch_norm=False))


def test_the_learning_rate_warms_up_from_above_zero_peaks_and_falls_to_zero() -> None:
    rates = [float(learning_rates(finetune(), 100)(step)) for step in range(101)]
    assert rates[0] == pytest.approx(1e-3)
    assert max(rates) == pytest.approx(1e-2, rel=1e-3)
    assert np.argmax(rates) == 20
    assert np.all(np.diff(rates[:20]) > 0)
    assert np.all(np.diff(rates[21:]) < 0)
    assert rates[100] == pytest.approx(0, abs=1e-8)


def test_no_warm_up_starts_at_the_peak() -> None:
    assert float(learning_rates(finetune(warmup_epochs=0), 10)(0)) == pytest.approx(1e-2)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_a_step_learns_in_every_precision(precision: str) -> None:
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(precision)
    try:
        stepper = make_stepper(finetune(), Plan("CPU", False, precision, False, 8), steps=60)
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    values = losses(stepper, 60)
    assert np.isfinite(values).all()
    assert values[-1] < 0.25 * values[0]
    assert stepper.traces == 1


def test_a_step_is_adam_on_clipped_gradients_with_weight_decay_of_kernels_only() -> None:
    """Compare with one update by hand (Loshchilov and Hutter 2019), for a gradient that is longer than the norm."""
    kernel, bias = keras.Variable(np.full((2, 2), 2.0)), keras.Variable(np.full(2, 2.0))
    rates = keras.optimizers.schedules.PolynomialDecay(0.1, 10, 0.1)
    optimizer = make_optimizer(finetune(weight_decay=0.5), rates, PLAN, [kernel, bias], {})
    gradients = [np.full((2, 2), 3.0, np.float32), np.full(2, 0.0, np.float32)]
    optimizer.apply([tf.constant(gradient) for gradient in gradients], [kernel, bias])
    # Adam's first step is the rate times the sign of the gradient; the bias has gradient 0 and no weight decay.
    np.testing.assert_allclose(kernel.numpy(), 2 * (1 - 0.1 * 0.5) - 0.1, rtol=1e-5)
    np.testing.assert_array_equal(bias.numpy(), 2.0)
    # The mean of squares is that of the gradient clipped to length 1, whose 4 equal components are 0.5.
    velocity = next(v for v in optimizer.variables if "velocity" in v.path and v.shape == (2, 2))
    np.testing.assert_allclose(velocity.numpy(), 0.001 * 0.5**2, rtol=1e-4)


def test_earlier_stages_learn_at_a_lower_rate() -> None:
    stepper = make_stepper(finetune(stage_decay=0.25, warmup_epochs=0, weight_decay=0))
    before = stepper.weights()
    stepper(batch())
    change = {path: np.abs(value - before[path]).max() for path, value in stepper.weights().items()}
    # Adam's first step is the rate times the sign of the gradient; one stage follows that of block 1.
    for path, factor in {"block1_conv/kernel": 0.25, "block2_conv/kernel": 1, "logits/kernel": 1}.items():
        assert change[path] == pytest.approx(1e-2 * factor, rel=1e-3)


def test_the_loss_is_the_weighted_mean_and_a_case_of_weight_zero_does_not_count(plain: Stepper) -> None:
    (pictures, metadata), targets, weights = batch()
    logits = plain._model(pictures, training=False)[1]
    case_losses = cross_entropy(logits, targets).numpy()
    assert float(plain(batch())) == pytest.approx(np.average(case_losses, weights=weights), rel=1e-5)
    plain.reset()
    half_weights = tf.concat([weights[:4], tf.zeros(4)], 0)
    half_loss = float(plain(((pictures, metadata), targets, half_weights)))
    assert half_loss == pytest.approx(np.average(case_losses[:4], weights=weights[:4]), rel=1e-5)
    plain.reset()
    assert float(plain(((pictures, metadata), targets, tf.zeros(8)))) == 0
    assert all(np.isfinite(value).all() for value in plain.weights().values())


@pytest.fixture(scope="module")
def parts() -> Stepper:
    return make_stepper(finetune(train_batch_norm=False, accumulation=4))


def test_four_parts_of_a_batch_give_the_result_of_the_whole_batch(plain: Stepper, parts: Stepper) -> None:
    np.testing.assert_allclose(losses(parts, 10), losses(plain, 10), atol=1e-5)
    for name, value in plain.state().items():
        np.testing.assert_allclose(parts.state()[name], value, atol=1e-5)


def test_the_size_of_the_graph_does_not_depend_on_the_number_of_parts(parts: Stepper) -> None:
    def operations(stepper: Stepper) -> int:
        graph = stepper._step.get_concrete_function(batch(), 32, None).graph
        inner = graph._functions.values() if hasattr(graph, "_functions") else ()
        return len(graph.get_operations()) + sum(len(function.graph.get_operations()) for function in inner)

    assert operations(parts) == operations(make_stepper(finetune(train_batch_norm=False, accumulation=2)))


@pytest.fixture(scope="module", params=[1, 4], ids=["one part", "four parts"])
def ranking(request: pytest.FixtureRequest) -> Stepper:
    """Return a stepper whose last epoch of two has the loss of pairs."""
    return make_stepper(finetune(train_batch_norm=False, epochs=2, auc_margin_epochs=1, accumulation=request.param))


def test_the_last_epochs_have_the_loss_of_pairs_in_the_same_graph(ranking: Stepper, plain: Stepper) -> None:
    ranking.reset()
    (pictures, _), targets, weights = batch()
    ranking.begin_epoch(0)
    assert float(ranking(batch())) == pytest.approx(float(plain(batch())), rel=1e-5)
    losses(ranking, 2)
    ranking.begin_epoch(1)
    for _ in range(2):
        logits, memory = ranking._model(pictures, training=False)[1], ranking.state()["memory/0000"]
        expected = np.average(pair_loss(logits, targets, memory), weights=weights)
        assert float(ranking(batch())) == pytest.approx(expected, rel=1e-5)
        decay = np.exp(-2 / 20)  # of the memory, per step: an epoch is ten of the twenty steps
        sums = class_sums(logits, targets, weights)
        np.testing.assert_allclose(ranking.state()["memory/0000"], decay * memory + sums, rtol=1e-5)
    assert ranking.traces == 1


def test_a_training_with_the_loss_of_pairs_continues_from_its_state(ranking: Stepper) -> None:
    ranking.reset()
    ranking.begin_epoch(0)
    losses(ranking, 3)
    state = ranking.state()
    ranking.begin_epoch(1)
    rest, end = losses(ranking, 3), ranking.state()
    ranking.reset()
    ranking.set_state(state)
    assert losses(ranking, 3) == rest
    assert equal(ranking.state(), end)


def test_the_first_parts_of_the_epochs_train_the_network_on_smaller_pictures(plain: Stepper) -> None:
    settings = finetune(train_batch_norm=False, progressive_sides=(32,))  # 32 px in three of five epochs
    smaller = {32: network(finetune(train_batch_norm=False))}
    stepper = Stepper(network(settings, side=48), settings, 20, PLAN, cross_entropy, smaller=smaller)
    (small, metadata), targets, weights = batch()
    large = resample(small, resizing_matrix(32, 48, 1.0))
    same = resample(large, resizing_matrix(48, 32, 1.0))
    for epoch in range(3):
        stepper.begin_epoch(epoch)
        loss = float(stepper(((large, metadata), targets, weights)))
        assert loss == pytest.approx(float(plain(((same, metadata), targets, weights))), rel=1e-5)
    assert stepper.traces == 1
    for name, value in plain.state().items():
        np.testing.assert_allclose(stepper.state()[name], value, atol=1e-5)
    for epoch in (3, 4):
        stepper.begin_epoch(epoch)
        expected = np.average(cross_entropy(stepper._model(large)[1], targets), weights=weights)
        assert float(stepper(((large, metadata), targets, weights))) == pytest.approx(expected, rel=1e-5)
    assert stepper.traces == 2


def test_each_part_has_its_own_dropout_and_changes_the_batch_statistics() -> None:
    stepper = make_stepper(finetune(accumulation=4, head_dropout=0.5))
    before = stepper.state()
    stepper(batch())
    changes = {name for name, value in stepper.state().items() if not np.array_equal(value, before[name])}
    seeds = [name for name in before if before[name].dtype == np.int64 and before[name].shape == (2,)]
    assert seeds
    assert all(stepper.state()[name][1] == before[name][1] + 4 for name in seeds)
    assert len(changes) > len(seeds)


def test_a_reset_repeats_a_training_to_the_bit_without_a_new_graph(averaging: Stepper) -> None:
    averaging.reset()
    start = averaging.state()
    first = losses(averaging, 6)
    end = averaging.state()
    averaging.reset()
    assert equal(averaging.state(), start)
    assert losses(averaging, 6) == first
    assert equal(averaging.state(), end)
    assert averaging.traces == 1


def test_another_seed_gives_another_training_and_the_same_seed_the_same_one(averaging: Stepper) -> None:
    def run(seed: int) -> list[float]:
        averaging.reset(seed)
        return losses(averaging, 3)

    first = run(1)
    assert run(2) != first
    assert run(1) == first


def test_a_training_continues_from_its_state_as_if_it_had_not_stopped(averaging: Stepper) -> None:
    averaging.reset()
    losses(averaging, 3)
    state = averaging.state()
    rest = losses(averaging, 3)
    end = averaging.state()
    averaging.reset(7)
    averaging.set_state(state)
    assert losses(averaging, 3) == rest
    assert equal(averaging.state(), end)


def test_the_state_of_another_network_is_refused(averaging: Stepper) -> None:
    state = averaging.state()
    missing = {name: value for name, value in state.items() if name != "model/0000"}
    with pytest.raises(ValueError, match=r"1 shapes differ, the first is model/0000: None instead of \(3, 3, 3, 8\)"):
        averaging.set_state(missing)


def test_the_moving_average_follows_its_formula_and_does_not_change_the_network(averaging: Stepper) -> None:
    averaging.reset()
    kernel = averaging._model.trainable_variables[0]
    expected = kernel.numpy().astype(np.float64)
    limit = np.exp(-5 / (0.5 * 20))  # half an epoch of four steps
    for updates in range(4):
        averaging(batch())
        decay = min(limit, (1 + updates) / (10 + updates))
        expected = decay * expected + (1 - decay) * kernel.numpy()
    current = averaging.weights()
    with averaging.use("ema"):
        np.testing.assert_allclose(kernel.numpy(), expected, atol=1e-6)
        assert not equal(averaging.weights(), current)
    assert equal(averaging.weights(), current)
    with averaging.use("current"):
        assert equal(averaging.weights(), current)


def test_the_mean_is_over_the_last_epochs_and_belongs_to_the_state() -> None:
    stepper = make_stepper(finetune(keep="mean", mean_epochs=2, epochs=3))
    kernel = stepper._model.trainable_variables[0]
    ends = []
    for epoch in range(3):
        stepper(batch())
        stepper.end_epoch(epoch)
        ends.append(kernel.numpy())
    state = stepper.state()
    stepper.reset()
    with pytest.raises(ValueError, match="epochs in the mean so far: 0"), stepper.use("mean"):
        pass
    stepper.set_state(state)
    with stepper.use("mean"):
        np.testing.assert_allclose(kernel.numpy(), (ends[1] + ends[2]) / 2, atol=1e-7)
    np.testing.assert_array_equal(kernel.numpy(), ends[2])


def test_an_average_that_keep_does_not_name_is_refused(averaging: Stepper) -> None:
    with (
        pytest.raises(ValueError, match="the average 'mean' of the weights does not exist: keep = 'ema'"),
        averaging.use("mean"),
    ):
        pass


def test_folds_start_from_pretrained_weights_and_keep_their_own_head() -> None:
    stepper = make_stepper(finetune(keep="ema"))
    own = stepper.weights()
    stage_weights = {path: value + 1 for path, value in own.items() if "conv" in path}
    assert 0 < len(stage_weights) < len(own)
    stepper.set_weights_start(stage_weights)
    losses(stepper, 2)
    stepper.reset()
    assert equal(stepper.weights(), {**own, **stage_weights})
    with stepper.use("ema"):
        assert equal(stepper.weights(), {**own, **stage_weights})
    with pytest.raises(ValueError, match=r"the first is head/kernel: \(3,\) instead of None"):
        stepper.set_weights_start({"head/kernel": np.zeros(3)})


@pytest.fixture(scope="module")
def rising() -> Stepper:
    """Return a stepper with rising rates for a network with a metadata branch."""
    settings, rates = finetune(metadata=True), keras.optimizers.schedules.ExponentialDecay(1e-5, 1, 2.0)
    return Stepper(network(settings, 3), settings, 20, PLAN, cross_entropy, rates=rates)


def test_an_own_schedule_replaces_the_learning_rates_of_the_settings(rising: Stepper) -> None:
    rates = []
    for _ in range(3):
        rates.append(rising.learning_rate)
        rising(batch(3))
    assert rates == pytest.approx([1e-5, 2e-5, 4e-5])


def test_a_step_trains_the_metadata_branch_of_a_network(rising: Stepper) -> None:
    before = rising.weights()
    rising(batch(3))
    changes = {path for path, value in rising.weights().items() if not np.array_equal(value, before[path])}
    assert any(before[path].shape[:1] == (3,) and before[path].ndim == 2 for path in changes)


def test_constant_batch_normalisation_does_not_change(plain: Stepper) -> None:
    before = plain.weights()
    values = losses(plain, 10)
    after, paths = plain.weights(), [path for path in before if "bn" in path]
    assert len(paths) >= 4
    assert all(np.array_equal(after[path], before[path]) for path in paths)
    assert values[-1] < values[0]


@pytest.mark.full
def test_a_step_compiled_by_xla_gives_the_result_of_a_plain_one() -> None:
    settings = finetune(accumulation=2)
    without_xla, with_xla = (make_stepper(settings, Plan("GPU", xla, "float32", False, 8)) for xla in (False, True))
    np.testing.assert_allclose(losses(with_xla, 3), losses(without_xla, 3), atol=1e-4)
