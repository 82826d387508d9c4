"""Uploaded pictures as decoded cases under new names; every fault names the picture as the user does."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from features.pictures.scan import ScanResult
from melstack.bundle.serving.decoding.cheap_checks import Fault
from melstack.bundle.serving.decoding.decoders import DecodedPicture, Decoders, Order
from melstack.bundle.serving.forms import Form, Patient, display_name
from melstack.bundle.serving.refusals import RefusedError
from runtime.tables import INDEX


@dataclass(frozen=True)
class Lesions:
    """The decoded pictures of one patient as cases, in the order of the form; ``upload_names`` are the users' names."""

    cases: pd.DataFrame
    by_name: Mapping[str, DecodedPicture]
    upload_names: Mapping[str, str]
    patient: Patient

    @property
    def scan_results(self) -> list[ScanResult]:
        """What the networks read of the pictures, in the order of the cases."""
        return [picture.scan for picture in self.by_name.values()]


async def decode_form(form: Form, decoders: Decoders, order: Order) -> Lesions:
    """Return the pictures of ``form`` as cases of one patient.

    Raises RefusedError that names every file that is not a picture (415), is too large or too costly (413), or is
    empty, cut off or damaged (422).
    """
    reads = [upload.file.read for upload in form.pictures]
    pictures = await asyncio.gather(*map(asyncio.wrap_future, decoders.decode_all(reads, order)))
    names = [f"lesion_{number + 1:03d}" for number in range(len(pictures))]
    upload_names = [display_name(upload.filename, number) for number, upload in enumerate(form.pictures)]
    refuse_faults(pictures, upload_names)
    by_name = {
        name: replace(picture, scan=replace(picture.scan, name=name))
        for name, picture in zip(names, pictures, strict=True)
        if isinstance(picture, DecodedPicture)
    }
    patient = form.patient
    pairs = zip(patient.sites, by_name.values(), strict=True)
    cases = case_table(by_name, [case_row("patient", patient.sex, patient.age, site, each) for site, each in pairs])
    return Lesions(cases, by_name, dict(zip(names, upload_names, strict=True)), patient)


def refuse_faults(pictures: Sequence[DecodedPicture | Fault], names: Sequence[str]) -> None:
    """Raise one RefusedError that names all ``pictures`` with a fault; do nothing when there is none."""
    faults = {number: picture for number, picture in enumerate(pictures) if isinstance(picture, tuple)}
    if not faults:
        return
    sentence = "; ".join(f"{names[number]}: {text}" for number, (_, text) in faults.items())
    status = max(status for status, _ in faults.values())
    raise RefusedError(status, sentence, ", ".join(names[number] for number in faults), list(faults))


def case_row(
    patient_id: str, sex: str | None, age: float | None, site: str | None, picture: DecodedPicture
) -> dict[str, object]:
    """Return the columns of one case; ``age`` in years, None: not known."""
    return {
        "patient_id": patient_id,
        "sex": sex,
        "age_approx": np.nan if age is None else age,
        "anatom_site_general_challenge": site,
        **picture.size,
    }


def case_table(names: Iterable[str], rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Return the cases ``names`` with their ``rows``, in the same order."""
    return pd.DataFrame(rows, index=pd.Index(list(names), name=INDEX, dtype=object))
