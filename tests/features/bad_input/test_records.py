"""Tests of the section "TFRecord files" of docs/bad_input.md."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from features.cases.case_table import read_cases
from features.folder.layout import Request
from features.pictures.read import encode_jpeg
from tests.features.bad_input.table import check, outcome_of
from tests.features.pictures.lesion_pictures import lesion
from tests.features.pictures.tfrecord_files import write_records

Record = dict[str, bytes | int]


def record(number: int, **others: bytes | int) -> Record:
    identity: Record = {"image": encode_jpeg(lesion(40, 40, number)), "image_name": f"r{number}".encode()}
    return identity | {"patient_id": number // 2, "target": number % 2, "age_approx": 50} | others


def without(number: int, key: str) -> Record:
    return {name: value for name, value in record(number).items() if name != key}


def change_bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(change(path.read_bytes()))


def holding(*last: Record) -> Callable[[Path], object]:
    """Return a function that writes a file of four records, the ``last`` of which are given."""
    return lambda path: write_records(path, [*(record(number) for number in range(4 - len(last))), *last])


RECORDS: dict[str, Callable[[Path], object]] = {
    "records_cut": change_bytes(lambda content: content[:-30]),
    "records_flipped_byte": change_bytes(lambda content: content[:50] + bytes([content[50] ^ 1]) + content[51:]),
    "records_flipped_length": change_bytes(lambda content: bytes([content[0] ^ 1]) + content[1:]),
    "records_gzip": change_bytes(gzip.compress),
    "records_empty": lambda path: (path.write_bytes(b""), path.rename(path.with_name("train.tfrec"))),
    "records_web_page": lambda path: path.write_text("<html>404 not found</html>"),
    "records_wrong_count": lambda path: path.rename(path.with_name("train00-2071.tfrec")),
    "records_without_image": holding(without(2, "image"), without(3, "image")),
    "records_without_name": holding(without(3, "image_name")),
    "records_name_is_number": holding(record(3, image_name=7)),
    "records_name_is_path": holding(record(3, image_name=b"../../x")),
    "records_name_not_utf8": holding(record(3, image_name=b"\xff\xfe")),
    "records_name_twice": holding(record(3, image_name=b"r0")),
    "records_target_three": holding(record(3, target=3)),
    "records_target_missing": holding(without(3, "target")),
    "records_image_is_text": holding(record(3, image=b"no picture")),
    "records_image_cut": holding(record(3, image=encode_jpeg(lesion(40, 40))[:-60])),
    "records_age_too_high": holding(record(3, age_approx=200)),
    "records_sex_letter": holding(record(3, sex=b"F")),
    "records_sex_codes": holding(record(3, sex=1)),
}


@pytest.mark.parametrize("name", RECORDS)
def test_records_have_the_outcome_of_the_page(name: str, tmp_path: Path) -> None:
    path = write_records(tmp_path / "tfrecords" / "train00-4.tfrec", [record(number) for number in range(4)])
    (tmp_path / "cases.toml").write_text('test = ""\nsample = ""\n')
    RECORDS[name](path)
    check(name, outcome_of(lambda notes: read_cases(Request(tmp_path, folds=2), notes)))
