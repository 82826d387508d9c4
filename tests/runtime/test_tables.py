"""Tests of tables.py and files.py: tables have one row per case, and files are written atomically."""

from pathlib import Path

import pandas as pd
import pytest

from runtime.errors import InputFault
from runtime.files import replacing, write_json
from runtime.tables import read_table, write_table


def table(names: list[object], **columns: list[float]) -> pd.DataFrame:
    return pd.DataFrame(columns, index=pd.Index(names, name="image_name", dtype=object))


def test_a_table_is_read_back_unchanged(tmp_path: Path) -> None:
    frame = table(["b", "a"], score=[0.25, float("nan")])
    write_table(tmp_path / "scores.parquet", frame)
    pd.testing.assert_frame_equal(read_table(tmp_path / "scores.parquet"), frame)


def test_one_column_can_be_read_alone(tmp_path: Path) -> None:
    write_table(tmp_path / "scores.parquet", table(["a"], x=[1.0], y=[2.0]))
    assert list(read_table(tmp_path / "scores.parquet", ["y"]).columns) == ["y"]


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.parquet", "two.parquet"):
        write_table(tmp_path / name, table(["a", "b"], x=[1.0, 2.0]))
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (table(["a", "a"], x=[1.0, 2.0]), "not unique: 1 (a)"),
        (table([1, 2], x=[1.0, 2.0]), "must hold strings"),
        (table(["a"], x=[1.0]).rename_axis("id"), "indexed by 'image_name'"),
    ],
)
def test_a_wrong_index_is_refused(tmp_path: Path, frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(InputFault) as error:
        write_table(tmp_path / "bad.parquet", frame)
    assert message in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_other_than_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("hello")
    with pytest.raises(InputFault, match="not a readable Parquet table"):
        read_table(tmp_path / "x.parquet")


def test_after_an_error_while_writing_only_the_old_file_exists(tmp_path: Path) -> None:
    write_json(tmp_path / "facts.json", {"n": 1})
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "facts.json") as temporary:
        temporary.write_text((tmp_path / "absent").read_text())
    assert [path.name for path in tmp_path.iterdir()] == ["facts.json"]
    assert '"n": 1' in (tmp_path / "facts.json").read_text()


def test_nan_is_not_written_as_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "facts.json", {"auc": float("nan")})
    assert list(tmp_path.iterdir()) == []
