"""One level-one model as a TOML file: which backbone, at which resolution, trained how; without TensorFlow."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from level1_cnn.augment.settings import Augmentation
from level1_cnn.views import SYMMETRIES, check_views
from runtime.errors import InputFault, did_you_mean
from runtime.settings import Settings, read_settings

CONFIGS = Path(__file__).parent / "configs"
PRETRAINED = "pretrained:"  # weights = "pretrained:b4_512": those of that model's pretraining stage
SEARCHES = "search"  # the folder of configs that names ranges, not models
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Targets = Literal["binary", "diagnosis3", "diagnosis9"]
External = Literal["joint", "apart"]  # external cases: shown among every fold's, or in a pretraining stage at most
# Setting -> the setting on which its effect depends, and the values of that one that give it an effect.
NEEDED: dict[str, tuple[str, tuple[object, ...]]] = {
    "focal_gamma": ("loss", ("focal",)),
    "ema_epochs": ("keep", ("ema",)),
    "mean_epochs": ("keep", ("mean",)),
    "external_share": ("external", ("joint",)),
}


class Pretraining(Settings):
    """A stage on the external pictures alone, done once and shared by all folds: its backbone is where they start."""

    epochs: Count
    learning_rate: Positive
    targets: Targets = "diagnosis9"
    malignant_share: Share = 0.0  # of the pictures shown, by repetition; 0 shows them as they come


class PseudoLabels(Settings):
    """Test cases as training rows, with the probabilities that a finished model of this run gave them as soft targets.

    Fold k takes what that model's fold k said, which never saw fold k's patients either; no test case is validated.
    """

    model: str
    weight: Positive = 1.0


class Finetune(Settings):
    """Train all weights of the network."""

    method: Literal["finetune"]
    epochs: Count
    batch_size: Count | Literal["auto"] = "auto"  # pictures per optimiser step; auto: what the device holds
    accumulation: Count = 1  # the batch is taken in so many parts, whose gradients are averaged
    learning_rate: Positive  # the peak, after the warm-up
    warmup_epochs: float = Field(default=1.0, ge=0)
    targets: Targets = "binary"
    loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    focal_gamma: float = Field(default=2.0, ge=0)
    class_weights: Literal["none", "balanced"] = "none"
    label_smoothing: Share = 0.05
    weight_decay: float = Field(default=1e-4, ge=0)
    pooling: Literal["average", "gem"] = "average"
    head_dropout: Share = 0.3
    dropout_samples: Count = 1  # dropouts over one shared head whose logits are averaged
    metadata: bool = False  # a branch of its own for age, sex and site
    train_batch_norm: bool = True  # False keeps ImageNet's statistics: a few hundred steps cannot replace them
    malignant_share: Share = 0.0  # of the training pictures shown, by repetition; 0 shows them as they come
    external: External = "joint"
    external_share: Share = 0.0  # of the pictures shown, by repetition or less than all; 0 shows them as they come
    keep: Literal["ema", "last", "mean", "best"] = "ema"  # which weights predict; best is chosen on the validation fold
    ema_epochs: Positive = 0.5  # memory of the moving average
    mean_epochs: Count = 3  # of the last epochs
    monitor: bool = False  # the validation fold's AUC after every epoch in history.csv, for the eye alone
    pretrain: Pretraining | None = None
    pseudo: PseudoLabels | None = None
    augmentation: Augmentation = Augmentation()

    @model_validator(mode="after")
    def _has_effects(self) -> Self:
        for name, (other, values) in NEEDED.items():
            # As it is by default it may stand there: a written experiment names every setting.
            if getattr(self, name) != type(self).model_fields[name].default and getattr(self, other) not in values:
                raise ValueError(f"{name} has no effect while {other} = {getattr(self, other)!r}; leave it out")
        if self.dropout_samples > 1 and not self.head_dropout:
            raise ValueError("dropout_samples has no effect while head_dropout = 0; raise it, or leave both out")
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs = {self.warmup_epochs:g} is longer than epochs = {self.epochs}")
        return self


class FrozenFeatures(Settings):
    """Keep the network as it is and fit a regularised logistic head on its embeddings."""

    method: Literal["frozen"]
    regularisation: Positive  # C of scikit-learn's LogisticRegression, on standardised embeddings
    external: External = "joint"


class Experiment(Settings):
    """A level-one model."""

    backbone: str
    variant: str
    weights: str  # imagenet, none, a .weights.h5 file, or pretrained:<model> (its stage on external pictures)
    image_size: int = Field(ge=32)
    seed: int = 0
    views: tuple[str, ...] = SYMMETRIES  # test-time augmentation; the picture as it is must be among them
    training: Annotated[Finetune | FrozenFeatures, Field(discriminator="method")]

    @property
    def uses_external(self) -> bool:
        """Whether external cases are shown anywhere in the training."""
        return self.training.external == "joint" or self.needs_external

    @property
    def needs_external(self) -> bool:
        """Whether there is no training without external cases."""
        return self.has_pretrain or (isinstance(self.training, Finetune) and self.training.external_share > 0)

    @property
    def has_pretrain(self) -> bool:
        """Whether there is a stage on the external pictures alone."""
        return isinstance(self.training, Finetune) and self.training.pretrain is not None

    @property
    def pseudo_model(self) -> str | None:
        """The model whose test probabilities are pseudo-labels of this one."""
        pseudo = self.training.pseudo if isinstance(self.training, Finetune) else None
        return pseudo.model if pseudo else None

    @property
    def pretrained_model(self) -> str | None:
        """The model whose pretraining stage this one starts from."""
        prefix, _, model = self.weights.partition(PRETRAINED)
        return model if model and not prefix else None

    @property
    def sources(self) -> dict[str, str]:
        """The models that must be finished before this one begins, by the setting that names them."""
        named = {"training.pseudo.model": self.pseudo_model, "weights": self.pretrained_model}
        return {setting: model for setting, model in named.items() if model is not None}


def training_groups(experiments: Mapping[str, Experiment]) -> list[list[str]]:
    """Return the models in groups, each trained after the ones before: a model waits for those that it builds on.

    Raises InputFault when models wait for each other.
    """
    left, ordered = dict(experiments), []
    while left:
        wave = [name for name, experiment in left.items() if not left.keys() & experiment.sources.values()]
        if not wave:
            raise InputFault(f"models wait for each other: {', '.join(left)}")
        ordered.append(wave)
        left = {name: experiment for name, experiment in left.items() if name not in wave}
    return ordered


def find_experiments(profile: str, models: Sequence[str] = ()) -> dict[str, Experiment]:
    """Return model name -> experiment: all of a profile's files, or the named ``models``, or TOML paths.

    A named model is looked for in the profile, then in the others. Low resolutions come first: the cheap models, whose
    faults show early. Raises InputFault for an unknown profile or model, or when two files give one name.
    """
    own = {path.stem: path for path in _profile_files(profile)}
    every = {path.stem: path for path in sorted(CONFIGS.glob("*/*.toml")) if path.parent.name != SEARCHES} | own
    paths = [_file_of(model, every) for model in models] or list(own.values())
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        raise InputFault(f"two models of one name among {', '.join(names)}; the file name is the model's name")
    experiments = {path.stem: read_experiment(path) for path in paths}
    return dict(sorted(experiments.items(), key=lambda item: item[1].image_size))


def own_file(name: str, models: Sequence[str]) -> str | None:
    """Return the user's own TOML file of the model ``name`` among the ``models`` asked for; None for one of ours."""
    return next((str(Path(one).resolve()) for one in models if one.endswith(".toml") and Path(one).stem == name), None)


def read_experiment(path: Path) -> Experiment:
    """Return one TOML file as an experiment; raise InputFault for wrong keys, values, or views that do not exist."""
    experiment = read_settings(path, Experiment)
    check_views(experiment.views, path.name)
    return experiment


def _profile_files(profile: str) -> list[Path]:
    known = sorted(path.name for path in CONFIGS.iterdir() if path.is_dir() and path.name != SEARCHES)
    if profile not in known:
        raise InputFault(f"profile {profile!r} does not exist; {did_you_mean(profile, known)}")
    return sorted((CONFIGS / profile).glob("*.toml"))


def _file_of(model: str, files: Mapping[str, Path]) -> Path:
    if model.endswith(".toml"):
        return Path(model)
    if model not in files:
        raise InputFault(f"there is no model {model!r}; {did_you_mean(model, sorted(files))}")
    return files[model]
