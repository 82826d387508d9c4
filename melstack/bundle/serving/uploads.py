"""Uploaded pictures as cases and files under new names; the content of each is checked before it is decoded."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from features.pictures.jpeg_png import MOST_MEGAPIXELS
from features.pictures.read import read_header, read_picture
from features.pictures.suffixes import FIRST_BYTES, kind_of_bytes
from melstack.bundle.serving.forms import Form, display_name
from melstack.bundle.serving.refusals import RefusedError
from runtime.errors import InputFault
from runtime.tables import INDEX

Fault = tuple[int, str]  # HTTP status and sentence


@dataclass(frozen=True)
class Lesions:
    """The pictures of one patient as cases, in the order of the form; ``upload_names`` are the users' file names."""

    cases: pd.DataFrame
    pictures: dict[str, Path]
    upload_names: dict[str, str]


def save_pictures(form: Form, folder: Path, pixels: int) -> Lesions:
    """Write the pictures of ``form`` into ``folder`` under new names and return them as cases of one patient.

    Raises RefusedError that names every file that is not a picture (415), has more than ``pixels`` by its header, so
    before it is decoded (413), or is empty or cut off (422).
    """
    pictures, upload_names = {}, {}
    for number, upload in enumerate(form.pictures):
        name = f"lesion_{number + 1:03d}"
        pictures[name], upload_names[name] = folder / f"{name}.picture", display_name(upload.filename, number)
        with pictures[name].open("wb") as target:
            shutil.copyfileobj(upload.file, target)
    lesions = Lesions(_cases(form, list(pictures)), pictures, upload_names)
    refuse_pictures(lesions, {name: fault for name, path in pictures.items() if (fault := _fault(path, pixels))})
    return lesions


def find_undecodable(lesions: Lesions) -> dict[str, Fault]:
    """Decode all pictures of ``lesions`` and return the fault of each that cannot be decoded."""
    faults = {}
    for name, path in lesions.pictures.items():
        try:
            read_picture(path, shortest=1)
        except Exception as error:  # decoders raise many types of errors for a damaged file
            faults[name] = (422, _sentence(error, path))
    return faults


def refuse_pictures(lesions: Lesions, faults: Mapping[str, Fault]) -> None:
    """Raise one RefusedError that names all pictures with a fault; do nothing when there is none."""
    if not faults:
        return
    names = list(lesions.pictures)
    sentence = "; ".join(f"{lesions.upload_names[name]}: {text}" for name, (_, text) in faults.items())
    status = max(status for status, _ in faults.values())
    where = ", ".join(lesions.upload_names[name] for name in faults)
    raise RefusedError(status, sentence, where, [names.index(name) for name in faults])


def _cases(form: Form, names: list[str]) -> pd.DataFrame:
    patient = form.patient
    columns = {
        "patient_id": "patient",
        "sex": patient.sex,
        "age_approx": np.nan if patient.age is None else patient.age,
        "anatom_site_general_challenge": list(patient.sites),
    }
    return pd.DataFrame(columns, index=pd.Index(names, name=INDEX, dtype=object))


def _fault(path: Path, pixels: int) -> Fault | None:
    try:
        if fault := _type_fault(path):
            return fault
        header = read_header(path)
    except Exception as error:  # as in find_undecodable
        sentence = _sentence(error, path)
        return 413 if f"{MOST_MEGAPIXELS} megapixels" in sentence else 422, sentence
    if header.width * header.height > pixels:
        limit = f"at most {pixels / 1e6:g} million are allowed; send a smaller picture"
        return 413, f"{header.width} x {header.height} pixels; {limit}"
    return None


def _type_fault(path: Path) -> Fault | None:
    with path.open("rb") as stream:
        start = stream.read(FIRST_BYTES)
    if not start:
        return 422, "the file is empty; send a picture"
    kind = kind_of_bytes(start)
    if kind is None:
        return 415, f"neither JPEG nor PNG nor DICOM (it begins with {start[:8]!r}); convert it to JPEG or PNG"
    return _dicom_fault(path) if kind == "DICOM" else None


def _dicom_fault(path: Path) -> Fault | None:
    """Return the fault of a deflated DICOM: reading its size would inflate all of it, up to a thousandfold."""
    from pydicom.filereader import read_file_meta_info  # slow to import, and most pictures are not DICOM
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    if read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        return 415, "a deflated DICOM; send it without deflate compression, or as JPEG"
    return None


def _sentence(error: Exception, path: Path) -> str:
    if isinstance(error, InputFault):
        return str(error).replace(f"{path}: ", "")
    return f"the picture cannot be read ({type(error).__name__}: {str(error)[:200]}); save it again as JPEG or PNG"
