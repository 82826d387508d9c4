"""Public data sets in miniature: files and columns as they are downloaded, with invented values and tiny pictures.

Every set has 12 lesions, of which every third is a melanoma.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from zlib import crc32

import pandas as pd
from PIL import Image

from tests.features.small_clinic import draw_picture

LESIONS = range(12)
SEXES, SITES = ("male", "female"), ("torso", "lower extremity", "head/neck")
OTHERS = ("NV", "BCC", "NV", "BKL")


def is_melanoma(number: int) -> bool:
    """Return whether a lesion is a melanoma."""
    return number % 3 == 0


def names(prefix: str = "ISIC_", count: int = 12, first: int = 0) -> list[str]:
    """Return names of pictures."""
    return [f"{prefix}{first + number:07d}" for number in range(count)]


def one_hot(classes: Iterable[str], rows: int = 12) -> dict[str, list[float]]:
    """Return a column of 0.0 and 1.0 per class; MEL marks the melanomas."""
    classes = list(classes)
    others = [name for name in classes if name != "MEL"]
    words = ["MEL" if is_melanoma(number) else others[number % len(others)] for number in range(rows)]
    return {name: [float(word == name) for word in words] for name in classes}


def people(rows: int = 12) -> dict[str, list[object]]:
    """Return sex, age and site of every row."""
    numbers = range(rows)
    return {
        "sex": [SEXES[number % 2] for number in numbers],
        "age": [40.0 + 5 * (number % 6) for number in numbers],
        "site": [SITES[number % 3] for number in numbers],
    }


def write(path: Path, columns: dict[str, object]) -> None:
    """Write a table as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(columns).to_csv(path, index=False)


def draw(folder: Path, files: Iterable[str]) -> None:
    """Draw a picture per file name."""
    for name in files:
        draw_picture(folder / name, seed=crc32(name.encode()))


def isic_2016(data: Path) -> None:
    """Two tables without a header; the test table has the numbers of the truth."""
    words = ["malignant" if is_melanoma(number) else "benign" for number in LESIONS]
    train = data / "ISBI2016_ISIC_Part3_Training_GroundTruth.csv"
    train.write_text("".join(f"{name},{word}\n" for name, word in zip(names(), words, strict=True)))
    test = data / "ISBI2016_ISIC_Part3_Test_GroundTruth.csv"
    test.write_text("".join(f"{name},0.0\n" for name in names(first=50, count=4)))
    draw(data / "ISBI2016_ISIC_Part3_Training_Data", (f"{name}.jpg" for name in names()))
    draw(data / "ISBI2016_ISIC_Part3_Test_Data", (f"{name}.jpg" for name in names(first=50, count=4)))


def isic_2017(data: Path) -> None:
    """Truth and metadata in two tables, the metadata in the folder of pictures, super-pixels beside them."""
    for role, first, count in (("Training", 0, 12), ("Test_v2", 50, 4)):
        ids, folder = names(first=first, count=count), data / f"ISIC-2017_{role}_Data"
        draw(folder, (f"{name}.jpg" for name in ids))
        draw(folder, (f"{name}_superpixels.png" for name in ids))
        facts = people(count)
        melanoma = [float(is_melanoma(number)) for number in range(count)]
        truth = {"image_id": ids, "melanoma": melanoma, "seborrheic_keratosis": [0.0] * count}
        write(data / f"ISIC-2017_{role}_Part3_GroundTruth.csv", truth)
        ages = ["unknown", *facts["age"][1:]]
        metadata = {"image_id": ids, "age_approximate": ages, "sex": facts["sex"]}
        write(folder / f"ISIC-2017_{role}_Data_metadata.csv", metadata)


def isic_2018(data: Path) -> None:
    """Truth in a folder of its own, lesions in another table."""
    classes = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
    stem = "ISIC2018_Task3_Training"
    write(data / f"{stem}_GroundTruth/{stem}_GroundTruth.csv", {"image": names(), **one_hot(classes)})
    lesions = [f"HAM_{number // 2:07d}" for number in LESIONS]
    write(data / f"{stem}_LesionGroupings.csv", {"image": names(), "lesion_id": lesions, "diagnosis_confirm_type": "x"})
    draw(data / f"{stem}_Input", (f"{name}.jpg" for name in names()))
    (data / f"{stem}_Input" / "ATTRIBUTION.txt").write_text("")


def isic_2019(data: Path) -> None:
    """Truth one-hot and metadata in two tables; some ids end in _downsampled; lesions are partly missing."""
    ids = [f"{name}_downsampled" if number % 4 == 0 else name for number, name in enumerate(names())]
    classes = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
    write(data / "ISIC_2019_Training_GroundTruth.csv", {"image": ids, **one_hot(classes)})
    facts, lesions = people(), [None if number == 5 else f"MSK4_{number:07d}" for number in LESIONS]
    metadata = {"image": ids, "age_approx": facts["age"], "anatom_site_general": facts["site"], "lesion_id": lesions}
    write(data / "ISIC_2019_Training_Metadata.csv", metadata | {"sex": facts["sex"]})
    tests, facts = names(first=50, count=4), people(4)
    metadata = {"image": tests, "age_approx": facts["age"], "anatom_site_general": facts["site"], "sex": facts["sex"]}
    write(data / "ISIC_2019_Test_Metadata.csv", metadata)
    draw(data / "ISIC_2019_Training_Input" / "ISIC_2019_Training_Input", (f"{name}.jpg" for name in ids))
    draw(data / "ISIC_2019_Test_Input", (f"{name}.jpg" for name in tests))


def isic_2020(data: Path) -> None:
    """The archive's tables of 2020: the test table has other names of the same columns."""
    facts = people()
    train = {
        "image_name": names(),
        "patient_id": [f"IP_{number // 2:07d}" for number in LESIONS],
        "lesion_id": names("IL_"),
    }
    train |= {"sex": facts["sex"], "age_approx": facts["age"], "anatom_site_general_challenge": facts["site"]}
    train["diagnosis"] = ["melanoma" if is_melanoma(number) else "nevus" for number in LESIONS]
    train["benign_malignant"] = ["malignant" if is_melanoma(number) else "benign" for number in LESIONS]
    write(data / "ISIC_2020_Training_GroundTruth_v2.csv", train | {"target": [int(is_melanoma(n)) for n in LESIONS]})
    facts, tests = people(4), names(first=50, count=4)
    test = {"image": tests, "patient": [f"IP_{number:07d}" for number in range(90, 94)], "age_approx": facts["age"]}
    test |= {"sex": facts["sex"], "anatom_site_general": facts["site"]}
    write(data / "ISIC_2020_Test_Metadata.csv", test)
    draw(data / "train", (f"{name}.jpg" for name in names()))
    draw(data / "ISIC_2020_Test_Input", (f"{name}.jpg" for name in tests))


def isic_archive(data: Path) -> None:
    """A download of the archive's command line: pictures beside metadata.csv; diagnoses in five levels."""
    facts = people()
    words = ["Malignant" if is_melanoma(number) else "Benign" for number in LESIONS]
    words[4], words[5] = "Indeterminate", None  # type: ignore[call-overload]
    metadata = {"isic_id": names(), "attribution": "Somewhere", "copyright_license": "CC-0", "age_approx": facts["age"]}
    metadata |= {"anatom_site_general": facts["site"], "diagnosis_1": words, "diagnosis_3": None, "sex": facts["sex"]}
    metadata["patient_id"] = [f"IP_{number // 2:07d}" for number in LESIONS]
    write(data / "metadata.csv", metadata)
    draw(data, (f"{name}.jpg" for name in names()))


def isic_archive_old(data: Path) -> None:
    """A download of the archive before it had diagnoses in levels."""
    isic_archive(data)
    table = pd.read_csv(data / "metadata.csv").drop(columns=["diagnosis_1", "diagnosis_3"])
    words = ["malignant" if is_melanoma(number) else "benign" for number in LESIONS]
    words[4:6] = ["indeterminate", "indeterminate/malignant"]
    table.assign(diagnosis="nevus", benign_malignant=words).to_csv(data / "metadata.csv", index=False)


def ham10000(data: Path) -> None:
    """Pictures in two folders; several pictures of a lesion; the table as the Dataverse has it, without a suffix."""
    facts, ids = people(), names()
    words = ["mel" if is_melanoma(number) else OTHERS[number % 4].lower() for number in LESIONS]
    rows = {"lesion_id": [f"HAM_{number:07d}" for number in LESIONS], "image_id": ids, "dx": words, "dx_type": "histo"}
    rows |= {"age": facts["age"], "sex": facts["sex"], "localization": facts["site"], "dataset": "vidir_molemax"}
    write(data / "HAM10000_metadata", rows)
    draw(data / "HAM10000_images_part_1", (f"{name}.jpg" for name in ids[:6]))
    draw(data / "HAM10000_images_part_2", (f"{name}.jpg" for name in ids[6:]))


def bcn20000(data: Path) -> None:
    """Ids that are file names; pictures in a folder that was packed into itself."""
    facts, ids = people(), [f"BCN_{number:010d}.jpg" for number in LESIONS]
    words = ["MEL" if is_melanoma(number) else OTHERS[number % 4] for number in LESIONS]
    lesions = [f"BCN_{number // 2:07d}" if number > 6 else f"BCN_{number + 50:07d}" for number in LESIONS]
    rows = {"bcn_filename": ids, "age_approx": facts["age"], "anatom_site_general": facts["site"], "diagnosis": words}
    dates = ["2011-05-01"] * 12
    write(data / "bcn_20k_train.csv", rows | {"lesion_id": lesions, "capture_date": dates, "sex": facts["sex"]})
    tests, facts = [f"BCN_{number:010d}.jpg" for number in range(50, 54)], people(4)
    rows = {
        "bcn_filename": tests,
        "age_approx": facts["age"],
        "anatom_site_general": facts["site"],
        "sex": facts["sex"],
    }
    write(data / "bcn_20k_test.csv", rows)
    draw(data / "BCN_20k_train" / "bcn_20k_train", ids)
    draw(data / "BCN_20k_test" / "bcn_20k_test", tests)


def pad_ufes_20(data: Path) -> None:
    """Ids that end in .png; pictures in three parts, each packed into itself."""
    ids, facts = [f"PAT_{1000 + number // 2}_{number}_{number + 300}.png" for number in LESIONS], people()
    rows = {
        "patient_id": [f"PAT_{1000 + number // 2}" for number in LESIONS],
        "lesion_id": list(LESIONS),
        "smoke": None,
    }
    rows |= {"age": [int(age) for age in facts["age"]], "gender": [sex.upper() for sex in facts["sex"]]}  # type: ignore[attr-defined]
    rows |= {"fitspatrick": [1.0, None, 2.0] * 4, "region": "BACK", "diameter_1": 3.0, "diameter_2": 4.0}
    rows["diagnostic"] = ["MEL" if is_melanoma(number) else "NEV" for number in LESIONS]
    write(data / "metadata.csv", rows | {"img_id": ids, "biopsed": True})
    for part in range(3):
        folder = f"imgs_part_{part + 1}"
        draw(data / folder / folder, ids[4 * part : 4 * part + 4])


def derm7pt(data: Path) -> None:
    """Ids that are paths, two pictures of a case (the column names the dermoscopic one), six words for melanoma."""
    derm = [f"{('NEL', 'FAL')[number % 2]}/{('Nel', 'Fal')[number % 2]}{number:03d}.JPG" for number in LESIONS]
    clinic = [name.replace(".JPG", "c.jpg") for name in derm]
    spellings = ("melanoma", "melanoma (in situ)", "melanoma (less than 0.76 mm)", "melanoma metastasis")
    words = [spellings[number // 3] if is_melanoma(number) else "clark nevus" for number in LESIONS]
    rows = {"case_num": list(range(1, 13)), "diagnosis": words, "seven_point_score": 3, "elevation": "flat"}
    rows |= {"location": "back", "sex": people()["sex"], "management": "excision", "clinic": clinic, "derm": derm}
    write(data / "meta" / "meta.csv", rows)
    for files in (derm, clinic):
        for number, name in enumerate(files):
            path = data / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            draw_picture(path.with_suffix(".jpg"), seed=number).rename(path)


def milk10k(data: Path) -> None:
    """Truth per lesion, metadata per picture, a folder per lesion with a close-up and a dermoscopic picture."""
    lesions = names("IL_")
    classes = ("AKIEC", "BCC", "BEN_OTH", "BKL", "DF", "INF", "MAL_OTH", "MEL", "NV", "SCCKA", "VASC")
    write(data / "MILK10k_Training_GroundTruth.csv", {"lesion_id": lesions, **one_hot(classes)})
    facts, ids = people(24), names(count=24)
    facts["age"] = [40.0 + 5 * (number // 2 % 5) for number in range(24)]
    rows = {
        "lesion_id": [name for name in lesions for _ in range(2)],
        "image_type": ["clinical: close-up", "dermoscopic"] * 12,
    }
    rows |= {"isic_id": ids, "attribution": "MILK study team", "age_approx": facts["age"], "sex": facts["sex"]}
    rows |= {"skin_tone_class": [float(number % 5) for number in range(24)], "site": facts["site"]}
    write(data / "MILK10k_Training_Metadata.csv", rows)
    for number, name in enumerate(ids):
        draw_picture(data / "MILK10k_Training_Input" / lesions[number // 2] / f"{name}.jpg", seed=number)


def ddi(data: Path) -> None:
    """An unnamed column of row numbers, True and False, ids that end in .png, pictures beside the table."""
    ids = [f"{number:06d}.png" for number in range(1, 13)]
    rows = {"DDI_ID": list(range(1, 13)), "DDI_file": ids, "skin_tone": [12, 34, 56] * 4}
    rows |= {"malignant": [is_melanoma(number) for number in LESIONS], "disease": "melanoma-in-situ"}
    pd.DataFrame(rows).to_csv(data / "ddi_metadata.csv")
    draw(data, ids)


def ph2(data: Path) -> None:
    """A spreadsheet with a legend above the table, crosses for the diagnosis, BMP pictures, masks in folders."""
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for _ in range(11):
        sheet.append(["Legend", "0 - Fully Symmetric"])
    sheet.append([])
    sheet.append(["Image Name", "Histological Diagnosis", "Common Nevus", "Atypical Nevus", "Melanoma", "Asymmetry"])
    for number in LESIONS:
        nevus, melanoma = (None, "X") if is_melanoma(number) else ("X", None)
        sheet.append([f"IMD{number:03d}", None, nevus, None, melanoma, number % 3])
    book.save(data / "PH2_dataset.xlsx")
    for number in LESIONS:
        for kind in ("Dermoscopic_Image", "lesion"):
            stem = f"IMD{number:03d}"
            folder = data / "PH2 Dataset images" / stem / f"{stem}_{kind}"
            folder.mkdir(parents=True)
            picture = Image.open(draw_picture(folder / f"{stem}.png", seed=number))
            picture.save(folder / (f"{stem}.bmp" if kind == "Dermoscopic_Image" else f"{stem}_lesion.bmp"))
            (folder / f"{stem}.png").unlink()


def isic_2024(data: Path) -> None:
    """The tables of the contest of 2024, with pictures in HDF5."""
    import h5py
    import numpy as np

    for role, first, count in (("train", 0, 12), ("test", 50, 4)):
        ids, facts = names(first=first, count=count), people(count)
        rows = {"isic_id": ids, "patient_id": [f"IP_{first + number // 2:07d}" for number in range(count)]}
        rows |= {"age_approx": facts["age"], "sex": facts["sex"], "anatom_site_general": facts["site"]}
        rows["clin_size_long_diam_mm"] = [3.0 + number / 4 for number in range(count)]
        rows |= {"target": [int(is_melanoma(number)) for number in range(count)]} if role == "train" else {}
        write(data / f"{role}-metadata.csv", rows)
        with h5py.File(data / f"{role}-image.hdf5", "w") as file:
            for number, name in enumerate(ids):
                content = draw_picture(data / "x.jpg", seed=number).read_bytes()
                file[name] = np.void(content)
    (data / "x.jpg").unlink()


SETS: dict[str, Callable[[Path], None]] = {
    "isic_2016": isic_2016,
    "isic_2017": isic_2017,
    "isic_2018": isic_2018,
    "isic_2019": isic_2019,
    "isic_2020": isic_2020,
    "isic_2024": isic_2024,
    "isic_archive": isic_archive,
    "isic_archive_old": isic_archive_old,
    "ham10000": ham10000,
    "bcn20000": bcn20000,
    "pad_ufes_20": pad_ufes_20,
    "derm7pt": derm7pt,
    "milk10k": milk10k,
    "ddi": ddi,
    "ph2": ph2,
}
