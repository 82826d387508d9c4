"""Settings of one level-one model, read from a TOML file: backbone, resolution, training. Needs no TensorFlow."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from level1_cnn.training_settings import Finetune, FrozenFeatures, Positive
from level1_cnn.views import SYMMETRIES, check_views
from runtime.errors import InputFault, did_you_mean
from runtime.settings import Settings, read_settings

CONFIGS = Path(__file__).parent / "configs"
STAGE_PREFIX = "pretrained:"  # weights = "pretrained:b4_512" starts from the pretraining stage of the model b4_512
ONNX_BACKBONE = "onnx"
SEARCHES = "search"  # folder below configs; its files hold search ranges, not models
# Share of a side that is left: of a picture whose round field of view touches its edges, and around a small lesion.
USUAL_SHARE = {"field_of_view": 0.75, "lesion": 0.5}


class OnnxFile(Settings):
    """How a network of others, exported as ONNX, is fed and read; its file is ``weights`` of the model.

    The network takes pictures (n, 3, side, side) or (n, side, side, 3), scaled to (pixel / 255 - mean) / std. Its
    output is (n, d), a map (n, d, rows, columns) or (n, rows, columns, d), or tokens (n, tokens, d).
    """

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # of ImageNet's pictures: red, green, blue
    std: tuple[Positive, Positive, Positive] = (0.229, 0.224, 0.225)  # the same; the pixel scale is 0 to 1
    output: str | None = None  # name of the output; needed if there are several
    tokens: Literal["mean", "first"] = "mean"  # the features of a network whose output is tokens
    licence: str = Field(min_length=1)  # of the weights; a bundle names it


class Experiment(Settings):
    """Settings of one level-one model: the network, its input, and how it is trained."""

    backbone: str  # a family, or onnx
    variant: str  # of the family; of an ONNX file, its name in words
    weights: str  # imagenet, none, a .weights.h5 or .onnx file, or pretrained:<model> (the pretraining of that model)
    image_size: int = Field(ge=32)  # px, the side of the square picture
    seed: int = 0  # of first weights, order, augmentation and dropout
    views: tuple[str, ...] = SYMMETRIES  # test-time augmentation; the unchanged picture must be among them
    onnx: OnnxFile | None = None  # for the backbone onnx, and needed there
    training: Annotated[Finetune | FrozenFeatures, Field(discriminator="method")]  # how it is trained, in [training]

    @model_validator(mode="after")
    def _has_onnx_file(self) -> Self:
        if (self.backbone == ONNX_BACKBONE) != (self.onnx is not None):
            raise ValueError(f'[onnx] belongs to backbone = "{ONNX_BACKBONE}", and is needed there: it has the licence')
        if self.onnx is None:
            return self
        training = self.training
        if not isinstance(training, FrozenFeatures) or training.layers != "last" or training.inputs:
            raise ValueError('an ONNX file has fixed weights and one output: use method = "frozen", layers = "last"')
        if training.pooling != "average":
            raise ValueError(f"pooling = {training.pooling!r} has no effect on an ONNX file; leave it out")
        if not self.weights.endswith(".onnx"):
            raise ValueError(f"weights = {self.weights!r} must be the path of an .onnx file")
        return self

    @model_validator(mode="after")
    def _has_pixels(self) -> Self:
        for view in self.training.inputs if isinstance(self.training, FrozenFeatures) else ():
            share = view.crop if isinstance(view.crop, float) else USUAL_SHARE[view.crop]
            pixels = round(share * self.image_size)
            if view.side > pixels:
                raise ValueError(
                    f"an input has side = {view.side}, but crop = {view.crop} of a picture of image_size = "
                    f"{self.image_size} has {pixels} px; lower the side, or raise image_size"
                )
        if isinstance(self.training, Finetune) and max(self.training.progressive_sides, default=0) >= self.image_size:
            raise ValueError(
                f"progressive_sides = {list(self.training.progressive_sides)} must be below image_size = "
                f"{self.image_size}, which is the last side by itself"
            )
        return self

    @property
    def onnx_file(self) -> Path | None:
        """The ONNX file of the network; None for a network that is built here."""
        return None if self.onnx is None else Path(self.weights)

    @property
    def needs_onnx(self) -> bool:
        """Whether the network that predicts exists as an ONNX file alone: one of others, or of 8-bit integers."""
        return self.onnx is not None or self.is_int8

    @property
    def is_int8(self) -> bool:
        """Whether the network computes with 8-bit integers."""
        return isinstance(self.training, FrozenFeatures) and self.training.precision == "int8"

    @property
    def uses_external(self) -> bool:
        """Whether any step of the training uses external cases."""
        return self.training.external == "joint" or self.needs_external

    @property
    def needs_external(self) -> bool:
        """Whether the model cannot be trained without external cases."""
        return self.has_pretrain or (isinstance(self.training, Finetune) and self.training.external_share > 0)

    @property
    def has_pretrain(self) -> bool:
        """Whether the model has a stage on the external pictures alone."""
        return isinstance(self.training, Finetune) and self.training.pretrain is not None

    @property
    def pseudo_model(self) -> str | None:
        """The model whose test probabilities are the pseudo-labels of this model; None without pseudo-labels."""
        pseudo = self.training.pseudo if isinstance(self.training, Finetune) else None
        return pseudo.model if pseudo else None

    @property
    def pretrained_model(self) -> str | None:
        """The model from whose pretraining stage this model starts; None if it starts from other weights."""
        prefix, _, model = self.weights.partition(STAGE_PREFIX)
        return model if model and not prefix else None

    @property
    def sources(self) -> dict[str, str]:
        """Setting -> the model that it names and that must be finished before this model can be trained."""
        models = {"training.pseudo.model": self.pseudo_model, "weights": self.pretrained_model}
        return {setting: model for setting, model in models.items() if model is not None}


def training_groups(experiments: Mapping[str, Experiment]) -> list[list[str]]:
    """Return the model names in groups to be trained one after the other: a model's sources are in an earlier group.

    Raises InputFault when models are sources of each other.
    """
    waiting, groups = dict(experiments), []
    while waiting:
        group = [name for name, experiment in waiting.items() if not waiting.keys() & experiment.sources.values()]
        if not group:
            raise InputFault(
                f"models wait for each other: {', '.join(waiting)}; "
                "change weights or training.pseudo.model of one of them"
            )
        groups.append(group)
        waiting = {name: experiment for name, experiment in waiting.items() if name not in group}
    return groups


def find_experiments(profile: str, models: Sequence[str] = ()) -> dict[str, Experiment]:
    """Return model name -> experiment: all files of a profile, or only ``models`` (names or paths of TOML files).

    Low resolutions come first: these models are cheap, so that errors show early. Raises InputFault as ``find_files``.
    """
    experiments = {name: read_experiment(path) for name, path in find_files(profile, models).items()}
    return dict(sorted(experiments.items(), key=lambda item: item[1].image_size))


def find_files(profile: str, models: Sequence[str] = ()) -> dict[str, Path]:
    """Return model name -> TOML file: all files of a profile, or only ``models`` (names or paths of TOML files).

    A name is searched in the profile first, then in the other profiles. Raises InputFault for an unknown profile or
    model, or when two files have the same name.
    """
    profile_files = {path.stem: path for path in _profile_files(profile)}
    files = {path.stem: path for path in sorted(CONFIGS.glob("*/*.toml")) if path.parent.name != SEARCHES}
    paths = [_file_of(model, files | profile_files) for model in models] or list(profile_files.values())
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        raise InputFault(f"two models have the same name among {', '.join(names)}; rename one of the TOML files")
    return dict(zip(names, paths, strict=True))


def user_file(name: str, models: Sequence[str]) -> str | None:
    """Return the path in ``models`` of the TOML file that defines the model ``name``; None for a profile's model."""
    paths = [Path(model) for model in models if model.endswith(".toml")]
    return next((str(path.resolve()) for path in paths if path.stem == name), None)


def read_experiment(path: Path) -> Experiment:
    """Read a model's TOML file; raise InputFault for unknown keys, invalid values or unknown views."""
    experiment = read_settings(path, Experiment)
    check_views(experiment.views, path.name)
    return experiment


def _profile_files(profile: str) -> list[Path]:
    profiles = sorted(path.name for path in CONFIGS.iterdir() if path.is_dir() and path.name != SEARCHES)
    if profile not in profiles:
        raise InputFault(f"profile {profile!r} does not exist; {did_you_mean(profile, profiles)}")
    return sorted((CONFIGS / profile).glob("*.toml"))


def _file_of(model: str, files: Mapping[str, Path]) -> Path:
    if model.endswith(".toml"):
        return Path(model)
    if model not in files:
        raise InputFault(f"model {model!r} does not exist; {did_you_mean(model, sorted(files))}")
    return files[model]
