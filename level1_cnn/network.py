"""A backbone with a head of one logit on its pooled features."""

import keras

from features.faults import InputFault, did_you_mean
from level1_cnn import backbones
from level1_cnn.experiment import Experiment


def build_backbone(experiment: Experiment) -> keras.Model:
    """Return pixels (n, side, side, 3) 0..255 -> pooled features (n, d), with the experiment's weights."""
    module = backbones.find(experiment.backbone)
    model: keras.Model = module.build(experiment.variant, image_size=experiment.image_size, weights=experiment.weights)
    return model


def build_network(experiment: Experiment, head_dropout: float, train_batch_norm: bool = True) -> keras.Model:
    """Return pixels (n, side, side, 3) 0..255 -> [pooled features (n, d), logit (n, 1) float32].

    The head stands on the backbone's own output tensor, not on a nested model, so that the layers stay reachable.
    Without ``train_batch_norm`` the batch normalisation layers keep weights and statistics, in training as well.
    """
    base = build_backbone(experiment)
    for layer in base.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = train_batch_norm
    seeds = keras.random.SeedGenerator(experiment.seed)
    dropped = keras.layers.Dropout(head_dropout, seed=experiment.seed)(base.output)
    start = keras.initializers.GlorotUniform(seed=seeds)
    logit = keras.layers.Dense(1, dtype="float32", kernel_initializer=start, name="logit")(dropped)
    return keras.Model(base.input, [base.output, logit], name="network")


def check_experiment(name: str, experiment: Experiment) -> None:
    """Raise InputFault when the experiment names a backbone or variant that does not exist."""
    module = backbones.find(experiment.backbone)
    if experiment.variant not in module.VARIANTS:
        known = sorted(module.VARIANTS)
        raise InputFault(f"{name}: variant = {experiment.variant!r}; {did_you_mean(experiment.variant, known)}")
