"""Tests of the section "Tables" of docs/bad_input.md."""

import gzip
import io
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from tests.features.bad_input.table import check_cases, write_bytes, write_text
from tests.features.small_clinic import HEADER, TEST, TRAIN, Change, draw_picture, edit_file

LINES = TRAIN.splitlines()
UMLAUT = TRAIN.replace("nevus", "Nävus")


def spreadsheet() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return buffer.getvalue()


def german() -> str:
    rows = [line.replace(",", ";") for line in LINES]
    return "\n".join(row.replace(";45;", ";45,0;").replace(";50;", ";50,0;") for row in rows)


def latin_lines() -> bytes:
    lines = UMLAUT.replace("melanoma", "Mélanome").encode().splitlines(keepends=True)
    return b"".join(line.decode().encode("cp1252") if b"vus" in line else line for line in lines)


def quoted_newline() -> str:
    return TRAIN.replace("a1,p1,male,45,torso", 'a1,p1,male,45,"torso\n"')


TABLES: dict[str, Change] = {
    "csv_utf8_bom": write_bytes(b"\xef\xbb\xbf" + TRAIN.encode()),
    "csv_utf16": write_bytes(TRAIN.encode("utf-16")),
    "csv_utf16_big_endian": write_bytes(b"\xfe\xff" + TRAIN.encode("utf-16-be")),
    "csv_utf16_without_mark": write_bytes(TRAIN.encode("utf-16-le")),
    "csv_utf16_cut": write_bytes(TRAIN.encode("utf-16")[:-1]),
    "csv_utf32": write_bytes(TRAIN.encode("utf-32")),
    "csv_cp1252": write_bytes(UMLAUT.encode("cp1252")),
    "csv_two_encodings": write_bytes(latin_lines()),
    "csv_no_encoding": write_bytes(TRAIN.replace("nevus", "n?vus").encode().replace(b"?", b"\x81")),
    "csv_nul_bytes": edit_file("nevus", "nev\0us"),
    "csv_semicolons": write_text(TRAIN.replace(",", ";")),
    "csv_tabs": write_text(TRAIN.replace(",", "\t")),
    "csv_vertical_bars": write_text(TRAIN.replace(",", "|")),
    "csv_decimal_commas": write_text(german()),
    "csv_decimal_commas_unquoted": edit_file(",45,", ",45,0,"),
    "csv_sep_line": write_text("sep=;\n" + TRAIN.replace(",", ";")),
    "csv_comments": write_text("# exported by the clinic\n# in 2020\n" + TRAIN),
    "csv_quoted_newlines": write_text(quoted_newline()),
    "csv_quote_unclosed": edit_file("b1,p2", 'b1,"p2'),
    "csv_quote_doubled": edit_file("torso,nevus", 'torso,"nevus"x"'),
    "csv_windows_line_ends": write_text(TRAIN.replace("\n", "\r\n")),
    "csv_old_mac_line_ends": write_text(TRAIN.replace("\n", "\r")),
    "csv_blank_lines": write_text("\n" + TRAIN.replace("a2,", "\na2,") + "\n\n"),
    "csv_no_last_line_end": write_text(TRAIN.rstrip()),
    "csv_rows_of_commas": write_text(TRAIN + "," * 7 + "\n" + "," * 7 + "\n"),
    "csv_trailing_commas": write_text("\n".join([LINES[0], *(f"{line}," for line in LINES[1:])])),
    "csv_unnamed_column": write_text(
        "\n".join(f"{number - 1 if number else ''},{line}" for number, line in enumerate(LINES))
    ),
    "csv_ragged_rows": write_text("\n".join([*LINES[:3], f"{LINES[3]},9", LINES[4].rsplit(",", 1)[0]])),
    "csv_cut_off": write_text(TRAIN[:-20]),
    "csv_duplicate_header": write_text(TRAIN.replace("diagnosis,", "sex,", 1)),
    "csv_header_blanks": write_text(TRAIN.replace("sex,age_approx", " sex , age_approx", 1)),
    "csv_header_case": write_text(TRAIN.replace("image_name,patient_id", "Image_Name,PATIENT_ID", 1)),
    "csv_header_misspelt": write_text(TRAIN.replace("patient_id", "patientid", 1)),
    "csv_column_missing": write_text("\n".join(",".join(line.split(",")[:-1]) for line in LINES)),
    "csv_without_header": write_text("\n".join(LINES[1:])),
    "csv_empty": write_bytes(b""),
    "csv_blank": write_bytes(b" \n\n"),
    "csv_header_only": write_text(f"{HEADER}\n"),
    "csv_missing": lambda data: (data / "train.csv").unlink(),
    "csv_spreadsheet": write_bytes(spreadsheet()),
    "csv_old_spreadsheet": write_bytes(b"\xd0\xcf\x11\xe0" + bytes(100)),
    "csv_gzip": write_bytes(gzip.compress(TRAIN.encode())),
    "csv_web_page": write_bytes(b"<!DOCTYPE html><title>Log in</title>"),
    "csv_picture": lambda data: draw_picture(data / "x.png").rename(data / "train.csv"),
    "csv_test_semicolons": write_text(TEST.replace(",", ";"), "test.csv"),
    "csv_sample_semicolons": write_text("image_name;target\nt2;0\nt1;0\n", "sample_submission.csv"),
    "csv_sample_unknown_case": write_text("image_name,target\nt2,0\nt1,0\nt9,0\n", "sample_submission.csv"),
    "csv_sizes_not_numbers": write_text("image_name,width,height\na1,big,20\n", "train_sizes.csv"),
}
DIFFERING_COLUMNS = {"csv_cp1252": {"diagnosis"}}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_the_outcome_of_the_page(name: str, data: Path, clean_cases: pd.DataFrame) -> None:
    TABLES[name](data)
    check_cases(name, data, clean_cases, frozenset(DIFFERING_COLUMNS.get(name, ())))
