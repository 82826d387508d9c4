"""Where things are in the user's data folder: the contest's layout, or what its cases.toml says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from features.faults import InputFault
from features.settings import Settings, read_settings

if TYPE_CHECKING:
    import pandas as pd

MAPPING = "cases.toml"


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


def read_layout(data: Path, mapping: Path | None = None) -> Layout:
    """Return the layout of ``data``: from ``mapping``, else from its cases.toml, else the contest's.

    Raises InputFault when the folder or a named mapping does not exist, or a key of it is unknown.
    """
    if not data.is_dir():
        raise InputFault(f"{data}: no such data folder")
    chosen = mapping or data / MAPPING
    if mapping is None and not chosen.is_file():
        return Layout()
    return read_settings(chosen, Layout)


def read_csv(path: Path, id_column: str) -> pd.DataFrame:
    """Return a CSV, its id column as strings; raise InputFault when it is missing or cannot be read."""
    import pandas as pd  # slow to import, and not needed to see that a run is fresh

    try:
        return pd.read_csv(path, dtype={id_column: str}, encoding="utf-8-sig", low_memory=False)
    except FileNotFoundError:
        raise InputFault(f"{path}: no such file") from None
    except (ValueError, OSError) as error:  # pandas' parser, decoding and empty-file errors are ValueErrors
        raise InputFault(f"{path}: not a readable CSV ({error})") from error
