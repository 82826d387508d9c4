"""One level-one model as a TOML file: which backbone, at which resolution, trained how; without TensorFlow."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from features.faults import InputFault, did_you_mean
from features.settings import Settings, read_settings

CONFIGS = Path(__file__).parent / "configs"
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Augmentation(Settings):
    """How far a training picture may be changed; 0 switches a change off."""

    dihedral: bool = True  # the 8 symmetries of the square, drawn per picture
    rotation: float = Field(default=30.0, ge=0, le=180, description="degrees either way")
    zoom: Share = 0.15
    shift: Share = 0.08  # of the side
    brightness: Share = 0.15  # of the full range
    contrast: Share = 0.2
    saturation: Share = 0.2
    dropout: Share = 0.0  # side of one square set to the mean colour, as a share of the picture's side


class Finetune(Settings):
    """Train all weights of the network."""

    method: Literal["finetune"]
    epochs: Count
    batch_size: Count
    learning_rate: Positive  # the peak, after the warm-up
    warmup_epochs: float = Field(default=1.0, ge=0)
    label_smoothing: Share = 0.05
    weight_decay: float = Field(default=1e-4, ge=0)
    head_dropout: Share = 0.3
    train_batch_norm: bool = True  # False keeps ImageNet's statistics: a few hundred steps cannot replace them
    malignant_share: Share = 0.0  # of the training pictures shown, by repetition; 0 shows them as they come
    augmentation: Augmentation = Augmentation()


class Frozen(Settings):
    """Keep the network as it is and fit a regularised logistic head on its embeddings."""

    method: Literal["frozen"]
    regularisation: Positive  # C of scikit-learn's LogisticRegression, on standardised embeddings


class Experiment(Settings):
    """A level-one model."""

    backbone: str
    variant: str
    weights: str
    image_size: int = Field(ge=32)
    seed: int = 0
    training: Annotated[Finetune | Frozen, Field(discriminator="method")]


def find_experiments(profile: str, models: Sequence[str] = ()) -> dict[str, Experiment]:
    """Return model name -> experiment: all of a profile's files, or the named ``models`` of it, or TOML paths.

    Low resolutions come first: the cheap models, whose faults show early.
    Raises InputFault for an unknown profile or model, or when two files give one name.
    """
    files = {path.stem: path for path in _profile_files(profile)}
    paths = [_file_of(model, files, profile) for model in models] or list(files.values())
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        raise InputFault(f"two models of one name among {', '.join(names)}; the file name is the model's name")
    experiments = {path.stem: read_settings(path, Experiment) for path in paths}
    return dict(sorted(experiments.items(), key=lambda item: item[1].image_size))


def _profile_files(profile: str) -> list[Path]:
    known = sorted(path.name for path in CONFIGS.iterdir() if path.is_dir())
    if profile not in known:
        raise InputFault(f"profile {profile!r} does not exist; {did_you_mean(profile, known)}")
    return sorted((CONFIGS / profile).glob("*.toml"))


def _file_of(model: str, files: dict[str, Path], profile: str) -> Path:
    if model.endswith(".toml"):
        return Path(model)
    if model not in files:
        raise InputFault(f"profile {profile!r} has no model {model!r}; {did_you_mean(model, sorted(files))}")
    return files[model]
