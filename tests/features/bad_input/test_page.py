"""Tests that docs/bad_input.md and the tests have the same kinds, and that commands refuse bad input with code 2."""

import ast
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.folder.table_file import read_user_table
from runtime.errors import InputFault
from tests.command_line import run_melstack
from tests.features.bad_input.table import check, expected_outcomes
from tests.sources import ROOT

TESTS = sorted((ROOT / "tests" / "features" / "bad_input").glob("test_*.py"))


def kinds_in_tests() -> set[str]:
    """Return every kind that a test checks: the keys of the tables of kinds, and the names passed to ``check``."""
    kinds = set()
    for path in TESTS:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.AnnAssign | ast.Assign) and isinstance(node.value, ast.Dict):
                target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
                is_table = isinstance(target, ast.Name) and target.id.isupper() and target.id != "DIFFERING_COLUMNS"
                kinds |= {key.value for key in node.value.keys if is_table and isinstance(key, ast.Constant)}
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "check":
                kinds |= {node.args[0].value} if isinstance(node.args[0], ast.Constant) else set()
    return {str(name) for name in kinds}


def test_the_page_and_the_tests_have_the_same_kinds() -> None:
    assert kinds_in_tests() == set(expected_outcomes())
    assert len(expected_outcomes()) >= 90


def test_the_page_has_a_message_for_every_refusal_and_every_note() -> None:
    assert [name for name, row in expected_outcomes().items() if row.outcome != "read" and len(row.message) < 10] == []


COMMANDS = {
    "csv_ragged_rows": lambda data: (data / "train.csv").write_text("image_name,patient_id\na,b,c\n"),
    "picture_empty": lambda data: (data / "jpeg/train/a1.jpg").write_bytes(b""),
    "mapping_unknown_key": lambda data: (data / "cases.toml").write_text("trian = 'x.csv'"),
    "records_empty": lambda data: [shutil.rmtree(data / "jpeg"), (data / "test.tfrec").touch()],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_refuses_with_exit_code_2_and_a_message_and_leaves_no_run(
    name: str, data: Path, tmp_path: Path
) -> None:
    COMMANDS[name](data)
    if name == "records_empty":
        (data / "train.csv").unlink()
    answer = run_melstack("cases", "--run", tmp_path / "run", "--data", data, "--folds", 2)
    assert (answer.code, answer.err[:7]) == (2, "error: "), answer.err
    assert [path.name for path in (tmp_path / "run").rglob("*") if path.is_file()] in ([], ["lock"])


def test_one_fold_is_refused_by_the_command(data: Path, tmp_path: Path) -> None:
    answer = run_melstack("cases", "--run", tmp_path / "run", "--data", data, "--folds", 1)
    message = " ".join(answer.err.replace("│", " ").split())
    check("option_folds", ("refused" if answer.code == 2 else "read", message, None))


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8).map("v".__add__)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32")


@settings(max_examples=60)
@given(
    rows=st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=5),
    mark=st.sampled_from(",;\t|"),
    ends=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(ENCODINGS),
)
def test_a_table_has_the_same_rows_in_every_format(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], mark: str, ends: str, encoding: str
) -> None:
    import csv
    import io

    text = io.StringIO()
    csv.writer(text, delimiter=mark, lineterminator=ends, quoting=csv.QUOTE_ALL).writerows([("image_name", "b"), *rows])
    path = tmp_path_factory.mktemp("tables") / "train.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    assert list(read_user_table(path, "image_name", "b").itertuples(index=False, name=None)) == rows


@settings(max_examples=150)
@given(content=st.binary(max_size=120) | st.binary(max_size=60).map(b"image_name,b\na,1\n".__add__))
def test_any_bytes_are_read_as_a_table_or_refused_with_a_message(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "train.csv"
    path.write_bytes(content)
    try:
        columns, message = read_user_table(path, "image_name").columns, "train.csv"
    except InputFault as fault:
        columns, message = None, str(fault)
    assert "train.csv" in message
    assert columns is None or columns.is_unique
