"""Where things are in the user's data folder: the contest's layout, or what its cases.toml says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from features.faults import InputFault
from features.settings import Settings, read_settings

if TYPE_CHECKING:
    import pandas as pd

MAPPING = "cases.toml"
EVERY = "*"  # as metadata: every column that the test cases have too (metadata_columns.py)
ID_COLUMNS = ("image_name", "isic_id")  # what files that others write may call a case; the archive's name is isic_id


@dataclass(frozen=True)
class Request:
    """What a case table is asked to be made of: a data folder, and how its patients are folded."""

    data: Path
    mapping: Path | None = None  # instead of the folder's own cases.toml
    extra: tuple[Path, ...] = ()  # folders of external cases: trained on, never validated
    folds: int = 5
    official: bool = False  # fold by the official patient groups
    seed: int = 0


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


def id_column(columns: Iterable[object]) -> str:
    """Return which of ``columns`` names the case: image_name, or the archive's isic_id; image_name when none does."""
    present = set(columns)
    return next((name for name in ID_COLUMNS if name in present), ID_COLUMNS[0])


def read_csv(path: Path, id_column: str) -> pd.DataFrame:
    """Return a CSV, its id column as strings; raise InputFault when it is missing or cannot be read."""
    import pandas as pd  # slow to import, and not needed to see that a run is fresh

    try:
        return pd.read_csv(
            path, dtype=dict.fromkeys((id_column, *ID_COLUMNS), str), encoding="utf-8-sig", low_memory=False
        )
    except FileNotFoundError:
        raise InputFault(f"{path}: no such file") from None
    except (ValueError, OSError) as error:  # pandas' parser, decoding and empty-file errors are ValueErrors
        raise InputFault(f"{path}: not a readable CSV ({error})") from error
