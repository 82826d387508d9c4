"""The names of the files and columns in a user's data folder: the contest's, or those set in its cases.toml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from features.words.spelling import plain_word
from runtime.errors import InputFault
from runtime.settings import Settings

MAPPING = "cases.toml"
EVERY = "*"  # as metadata: every column that train and test cases share (features/cases/metadata/columns.py)
LABEL_COLUMNS = (
    "diagnosis",
    "benign_malignant",
)  # known only after the biopsy: stored, but never passed to a feature block
LESION = "lesion_id"  # groups cases that have no patient id
FOLD_BY = "fold_by"  # the column of training cases with what folds are made by
# The settings that the marks of all runs record, also of those made by the first versions.
FIRST_SETTINGS = frozenset(
    ("train", "test", "sample", "train_pictures", "test_pictures", "train_sizes", "test_sizes", "positive", "columns")
)
FIRST_COLUMNS = frozenset(("image_name", "patient_id", "target", "metadata", "fold_group"))


@dataclass(frozen=True)
class Request:
    """The request for a case table: its data folders, and how patients are assigned to folds."""

    data: Path
    mapping: Path | None = None  # replaces the folder's own cases.toml
    extra: tuple[Path, ...] = ()  # folders of external cases: used for training, never for validation
    folds: int = 5
    official: bool = False  # make folds from the official patient groups
    seed: int = 0
    by: str = ""  # the column whose values make the folds
    by_time: str = ""  # the column of dates or years whose blocks make the folds

    def __post_init__(self) -> None:
        """Raise InputFault for several ways to make folds at once."""
        ways = {"official_folds": self.official, "folds_by": self.by, "folds_by_time": self.by_time}
        if len(several := [name for name, value in ways.items() if value]) > 1:
            raise InputFault(f"folds are made in one way; found {' and '.join(several)}; keep one of them")

    @property
    def fold_column(self) -> str:
        """The column that the folds are made by; "" if they are made by patients or official groups."""
        return self.by or self.by_time

    @property
    def fold_ways(self) -> dict[str, str]:
        """The settings of the column that makes the folds, as the marks of a run record them; {} without one."""
        return {name: value for name, value in (("by", self.by), ("by_time", self.by_time)) if value}

    def as_json(self) -> dict[str, Any]:
        """Return the request as JSON values."""
        paths = {"data": str(self.data), "mapping": None if self.mapping is None else str(self.mapping)}
        folds = {"folds": self.folds, "official": self.official, "seed": self.seed}
        return {**paths, "extra": [str(folder) for folder in self.extra], **folds, **self.fold_ways}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Request:
        """Return the request from the values of ``as_json``."""
        mapping = None if values["mapping"] is None else Path(values["mapping"])
        extra = tuple(Path(folder) for folder in values["extra"])
        numbers = (values["folds"], values["official"], values["seed"])
        return cls(Path(values["data"]), mapping, extra, *numbers, values.get("by", ""), values.get("by_time", ""))


class Columns(Settings):
    """The names of the CSV columns. The defaults are those of SIIM-ISIC 2020."""

    image_name: str = "image_name"  # the name of the picture, with or without its ending
    patient_id: str = "patient_id"  # pictures of a patient are in one fold
    target: str = "target"  # 1 or 0, or the words in positive and negative
    # what is known before the biopsy
    metadata: tuple[str, ...] = ("sex", "age_approx", "anatom_site_general_challenge")
    fold_group: str = "tfrecord"  # used for official folds only
    lesion_id: str = LESION  # pictures of a lesion are in one fold
    image: str = "image"  # the feature of TFRecord files that holds the picture
    _fold_by: str = PrivateAttr("")  # the request names it, not a mapping

    @property
    def fold_by(self) -> str:
        """The column that folds are made by; "" without one."""
        return self._fold_by

    def with_fold_by(self, column: str) -> Self:
        """Return the names with the column that folds are made by."""
        columns = self.model_copy()
        columns._fold_by = column
        return columns

    @model_validator(mode="after")
    def _metadata_are_known_before_the_biopsy(self) -> Self:
        other_roles = {self.image_name: "the name of the case", self.target: "the target"}
        other_roles |= dict.fromkeys(("diagnosis", "benign_malignant"), "known only after the biopsy")
        for name in self.metadata:
            if name in other_roles:
                raise ValueError(f"metadata must not contain {name!r}, which is {other_roles[name]}")
        if len(set(self.metadata)) < len(self.metadata):
            raise ValueError(f"metadata contains a column twice: {', '.join(self.metadata)}")
        if self.target in (self.image_name, self.patient_id):
            raise ValueError(f"target and an id must be different columns; both are {self.target!r}")
        return self


class Layout(Settings):
    """The names of the files in the data folder. An empty name means that the file does not exist."""

    train: str = "train.csv"  # the training table
    test: str = "test.csv"  # the test table
    sample: str = "sample_submission.csv"  # the names and the order of the submission
    train_pictures: str | tuple[str, ...] = Field(default="jpeg/train", description="one folder, or several")
    test_pictures: str | tuple[str, ...] = "jpeg/test"  # one folder, or several
    train_sizes: str = "train_sizes.csv"  # width and height of the originals, where the pictures were made smaller
    test_sizes: str = "test_sizes.csv"  # the same of the test pictures
    pairs: str = Field(default="duplicates.csv", description="the official pairs of pictures of the same lesion")
    train_header: tuple[str, ...] = Field(default=(), description="column names of a table that has no line with them")
    test_header: tuple[str, ...] = ()  # the same for the test table
    train_join: tuple[str, ...] = Field(default=(), description="tables with more columns of the cases in train")
    test_join: tuple[str, ...] = ()  # the same for the test table
    subfolders: bool = Field(default=False, description="search the picture folders' sub-folders too")
    positive: tuple[str, ...] = Field(default=(), description="values of target that mean malignant, when not 0/1")
    negative: tuple[str, ...] = Field(default=(), description="values of target that mean benign; the rest is refused")
    drop: tuple[str, ...] = Field(default=(), description="values of target whose rows are left out")
    drop_missing_target: bool = Field(default=False, description="leave out training rows without a target")
    columns: Columns = Columns()  # the names of the columns, in [columns]
    test_columns: dict[str, str] = Field(default={}, description="name of a column in train -> its name in test")

    @field_validator("train", "test", "sample", "train_sizes", "test_sizes", "pairs")
    @classmethod
    def _is_inside_the_data_folder(cls, name: str) -> str:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ValueError("must be a path inside the data folder, relative to it")
        return name

    @field_validator("positive", "negative", "drop", mode="before")
    @classmethod
    def _are_words(cls, values: object) -> object:
        """Read one value as a list of it, and numbers as words."""
        words = values if isinstance(values, list | tuple) else (values,)
        return tuple(str(word) if isinstance(word, int | float) else word for word in words)

    @field_validator("train_pictures", "test_pictures", "train_join", "test_join")
    @classmethod
    def _are_inside_the_data_folder(cls, names: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for name in (names,) if isinstance(names, str) else names:
            cls._is_inside_the_data_folder(name)
        return names

    def pictures_of(self, role: str) -> tuple[str, ...]:
        """Return the folders (or HDF5 files) with the pictures of ``role``, train or test; none if the name is ''."""
        names = self.train_pictures if role == "train" else self.test_pictures
        return tuple(name for name in ((names,) if isinstance(names, str) else names) if name)

    def tables(self) -> tuple[str, ...]:
        """Return the names of all tables that are read if they exist."""
        names = (self.train, self.test, self.sample, self.train_sizes, self.test_sizes, self.pairs)
        return tuple(name for name in (*names, *self.train_join, *self.test_join) if name)

    @property
    def has_class_folders(self) -> bool:
        """Whether the training cases have no table: the class of a picture is the name of its folder."""
        return not self.train and bool(self.positive)

    def as_ingredient(self) -> dict[str, Any]:
        """Return the settings as JSON values for the marks of a run; a later setting only if it is not the default.

        A run that was made before a setting existed must not become stale because of it.
        """
        values = self.model_dump(mode="json")
        defaults = Layout().model_dump(mode="json")
        values["columns"] = {
            key: value
            for key, value in values["columns"].items()
            if key in FIRST_COLUMNS or value != defaults["columns"][key]
        }
        return {key: value for key, value in values.items() if key in FIRST_SETTINGS or value != defaults[key]}

    @model_validator(mode="after")
    def _every_value_of_target_has_one_meaning(self) -> Self:
        lists = {"positive": self.positive, "negative": self.negative, "drop": self.drop}
        words = {name: {plain_word(value) for value in values} for name, values in lists.items()}
        for first, second in (("positive", "negative"), ("positive", "drop"), ("negative", "drop")):
            if common := sorted(words[first] & words[second]):
                raise ValueError(f"{', '.join(map(repr, common))} is in both {first} and {second}; keep it in one list")
        if self.negative and not self.positive:
            raise ValueError("negative without positive has no effect; list the values for malignant in positive too")
        return self

    @model_validator(mode="after")
    def _train_and_test_are_different_files(self) -> Self:
        if self.train and self.train == self.test:
            raise ValueError(f'train and test are the same file, {self.train!r}; without test cases, set test = ""')
        return self
