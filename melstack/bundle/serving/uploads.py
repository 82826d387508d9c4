"""Uploaded pictures as cases and files under made names, each checked by its content before any of it is decoded."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from features.pictures.jpeg_png import JPEG_START, MOST_MEGAPIXELS, PNG_START
from features.pictures.read import DICOM_MAGIC, read_header, read_picture
from melstack.bundle.serving.forms import Form, shown_name
from melstack.bundle.serving.refusals import RefusedError
from runtime.errors import InputFault
from runtime.tables import INDEX

Fault = tuple[int, str]  # HTTP status and sentence


@dataclass(frozen=True)
class Lesions:
    """The pictures of one patient as cases, in the order of the form: ``shown`` are the names that they came with."""

    cases: pd.DataFrame
    pictures: dict[str, Path]
    shown: dict[str, str]


def lay_out(form: Form, folder: Path, pixels: int) -> Lesions:
    """Write the pictures of ``form`` into ``folder`` under made names and return them as cases of one patient.

    Raises RefusedError that names every file that is no picture (415), has more than ``pixels`` (413; seen in its
    header, nothing is decoded), or is empty or cut off (422).
    """
    pictures, shown = {}, {}
    for number, upload in enumerate(form.pictures):
        name = f"lesion_{number + 1:03d}"
        pictures[name], shown[name] = folder / f"{name}.picture", shown_name(upload.filename, number)
        with pictures[name].open("wb") as target:
            shutil.copyfileobj(upload.file, target)
    lesions = Lesions(_cases(form, list(pictures)), pictures, shown)
    refuse(lesions, {name: fault for name, path in pictures.items() if (fault := _fault(path, pixels))})
    return lesions


def undecodable(lesions: Lesions) -> dict[str, Fault]:
    """Return the fault of every picture of ``lesions`` that cannot be decoded: all of them are tried."""
    found = {}
    for name, path in lesions.pictures.items():
        try:
            read_picture(path, shortest=1)
        except Exception as error:  # whatever a decoder raises, a stranger's file brought it about
            found[name] = (422, _sentence(error, path))
    return found


def refuse(lesions: Lesions, faults: Mapping[str, Fault]) -> None:
    """Raise one RefusedError that names all pictures with a fault; do nothing when there is none."""
    if not faults:
        return
    names = list(lesions.pictures)
    sentence = "; ".join(f"{lesions.shown[name]}: {text}" for name, (_, text) in faults.items())
    status = max(status for status, _ in faults.values())
    where = ", ".join(lesions.shown[name] for name in faults)
    raise RefusedError(status, sentence, where, [names.index(name) for name in faults])


def _cases(form: Form, names: list[str]) -> pd.DataFrame:
    patient = form.patient
    known = {
        "patient_id": "patient",
        "sex": patient.sex,
        "age_approx": np.nan if patient.age is None else patient.age,
        "anatom_site_general_challenge": list(patient.sites),
    }
    return pd.DataFrame(known, index=pd.Index(names, name=INDEX, dtype=object))


def _fault(path: Path, pixels: int) -> Fault | None:
    try:
        if fault := _fault_of_kind(path):
            return fault
        header = read_header(path)
    except Exception as error:  # as in undecodable
        sentence = _sentence(error, path)
        return 413 if f"{MOST_MEGAPIXELS} megapixels" in sentence else 422, sentence
    if header.width * header.height > pixels:
        return 413, f"{header.width} x {header.height} pixels; at most {pixels / 1e6:g} million are decoded"
    return None


def _fault_of_kind(path: Path) -> Fault | None:
    where, magic = DICOM_MAGIC
    with path.open("rb") as stream:
        start = stream.read(where.stop)
    if not start:
        return 422, "the file is empty"
    if start.startswith((JPEG_START, PNG_START)):
        return None
    if start[where] != magic:
        return 415, f"neither JPEG nor PNG nor DICOM (it begins with {start[:8]!r})"
    return _fault_of_transfer(path)


def _fault_of_transfer(path: Path) -> Fault | None:
    """Return the fault of a deflated DICOM: to read even its size is to inflate all of it, a thousandfold at worst."""
    from pydicom.filereader import read_file_meta_info  # slow to import, and most pictures are no DICOM
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    if read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        return 415, "a deflated DICOM; store it as it is, or as JPEG"
    return None


def _sentence(error: Exception, path: Path) -> str:
    if isinstance(error, InputFault):
        return str(error).replace(f"{path}: ", "")
    return f"not a picture that can be read ({type(error).__name__}: {str(error)[:200]})"
