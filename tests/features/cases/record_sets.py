"""Write TFRecord files in the form of Kaggle's sets; TRAIN has the targets of the small clinic's cases."""

from collections.abc import Mapping
from pathlib import Path
from zlib import crc32

from features.pictures.read import encode_jpeg
from tests.features.pictures.lesion_pictures import lesion
from tests.features.pictures.tfrecord_files import write_records

KAGGLE = {"patient_id": 7, "sex": 1, "age_approx": 45, "anatom_site_general_challenge": 3, "diagnosis": 5}


def jpeg(seed: int = 0) -> bytes:
    return encode_jpeg(lesion(16, 16, seed))


def record(name: str, **features: bytes | int) -> dict[str, bytes | int]:
    return {"image": jpeg(crc32(name.encode())), "image_name": name.encode(), **features}


def write_set(folder: Path, train: Mapping[str, int], test: tuple[str, ...] = (), **features: bytes | int) -> None:
    """Write Kaggle's files: two training records per file, all test records in one file."""
    records = [record(name, target=target, **features) for name, target in train.items()]
    for number in range(-(-len(records) // 2)):
        few = records[2 * number : 2 * number + 2]
        write_records(folder / f"train{number:02d}-{len(few)}.tfrec", few)
    if test:
        write_records(folder / f"test00-{len(test)}.tfrec", [record(name) for name in test])


TRAIN = {"a1": 0, "b1": 1, "a2": 1, "b2": 0}
