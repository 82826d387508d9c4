"""Where things are in the user's data folder: the contest's layout, or what its cases.toml says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, field_validator, model_validator

from runtime.errors import InputFault
from runtime.settings import Settings, read_settings

if TYPE_CHECKING:
    pass

MAPPING = "cases.toml"
EVERY = "*"  # as metadata: every column that the test cases have too (metadata_columns.py)
LABEL_COLUMNS = ("diagnosis", "benign_malignant")  # known only after the biopsy: kept, never shown to a block
LESION = "lesion_id"  # groups external cases that have no patient


@dataclass(frozen=True)
class Request:
    """What a case table is asked to be made of: a data folder, and how its patients are folded."""

    data: Path
    mapping: Path | None = None  # instead of the folder's own cases.toml
    extra: tuple[Path, ...] = ()  # folders of external cases: trained on, never validated
    folds: int = 5
    official: bool = False  # fold by the official patient groups
    seed: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        paths = {"data": str(self.data), "mapping": None if self.mapping is None else str(self.mapping)}
        folds = {"folds": self.folds, "official": self.official, "seed": self.seed}
        return {**paths, "extra": [str(folder) for folder in self.extra], **folds}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Request:
        """Return what ``as_json`` gave."""
        mapping = None if values["mapping"] is None else Path(values["mapping"])
        extra = tuple(Path(folder) for folder in values["extra"])
        return cls(Path(values["data"]), mapping, extra, values["folds"], values["official"], values["seed"])


class Columns(Settings):
    """Which CSV column is what. The defaults are SIIM-ISIC 2020's."""

    image_name: str = "image_name"
    patient_id: str = "patient_id"
    target: str = "target"
    metadata: tuple[str, ...] = ("sex", "age_approx", "anatom_site_general_challenge")
    fold_group: str = "tfrecord"  # used only when official folds are asked for

    @model_validator(mode="after")
    def _metadata_are_known_before_the_biopsy(self) -> Self:
        taken = {self.image_name: "the case's name", self.target: "the target"}
        taken |= dict.fromkeys(("diagnosis", "benign_malignant"), "known only after the biopsy")
        for name in self.metadata:
            if name in taken:
                raise ValueError(f"metadata names {name!r}, which is {taken[name]}")
        if len(set(self.metadata)) < len(self.metadata):
            raise ValueError(f"metadata names a column twice: {', '.join(self.metadata)}")
        if self.target in (self.image_name, self.patient_id):
            raise ValueError(f"target and an id are one column, {self.target!r}")
        return self


class Layout(Settings):
    """Which files of the data folder are read. An empty name says: there is none."""

    train: str = "train.csv"
    test: str = "test.csv"
    sample: str = "sample_submission.csv"
    train_pictures: str = "jpeg/train"
    test_pictures: str = "jpeg/test"
    train_sizes: str = "train_sizes.csv"
    test_sizes: str = "test_sizes.csv"
    positive: tuple[str, ...] = Field(default=(), description="values of target that mean malignant, when not 0/1")
    columns: Columns = Columns()

    @field_validator("train", "test", "sample", "train_pictures", "test_pictures", "train_sizes", "test_sizes")
    @classmethod
    def _lies_in_the_data_folder(cls, name: str) -> str:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ValueError("must lie within the data folder, and be named from there on")
        return name

    @model_validator(mode="after")
    def _train_and_test_are_two(self) -> Self:
        if self.train == self.test:
            raise ValueError(f'train and test are one file, {self.train!r}; without test cases, say test = ""')
        return self


ISIC_2024 = Layout(
    train="train-metadata.csv",
    test="test-metadata.csv",
    train_pictures="train-image.hdf5",
    test_pictures="test-image.hdf5",
    columns=Columns(image_name="isic_id", metadata=(EVERY,)),
)


def read_layout(data: Path, mapping: Path | None = None) -> Layout:
    """Return the layout of ``data``: from ``mapping``, else from its cases.toml, else that of the contest it is of.

    ISIC 2024 is known by its tables' names, where there is neither train.csv nor test.csv; all else is SIIM-ISIC 2020.
    Raises InputFault when the folder or a named mapping does not exist, or a key of it is unknown.
    """
    if not data.is_dir():
        raise InputFault(f"{data}: no such data folder")
    chosen = mapping or data / MAPPING
    if mapping is None and not chosen.is_file():
        return next((layout for layout in (Layout(), ISIC_2024) if _has_tables(data, layout)), Layout())
    return read_settings(chosen, Layout)


def _has_tables(data: Path, layout: Layout) -> bool:
    return (data / layout.train).is_file() or (data / layout.test).is_file()
