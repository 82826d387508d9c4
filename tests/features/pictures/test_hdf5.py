"""Tests of pictures in HDF5 files: the kinds of entries that are read, and the messages for all others."""

import io

import h5py
import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed
from PIL import Image

from features.cases.attach_pictures import attach_pictures
from features.folder.data_folder import DataFolder
from features.folder.picture_search.location import find_location
from features.folder.public_sets.recognise import public_sets
from features.leaks.pairs import find_pairs
from features.pictures.hdf5 import entry_names, parse_entry_path, read_entries, read_entry
from features.pictures.read import picture_kind, read_header, read_picture
from runtime.errors import Faults, InputFault

ISIC_2024 = next(each.layout for each in public_sets() if each.name == "ISIC 2024")


def jpeg(side=32, colour=(200, 120, 90)):
    stream = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(stream, "JPEG")
    return stream.getvalue()


def png(side=32):
    stream = io.BytesIO()
    Image.new("RGB", (side, side), (10, 200, 90)).save(stream, "PNG")
    return stream.getvalue()


def write(path, entries):
    with h5py.File(path, "w") as file:
        for name, value in entries.items():
            file.create_dataset(name, data=value)
    return path


@pytest.fixture
def folder(tmp_path):
    """Write a train-image.hdf5 with one entry of every kind."""
    write(
        tmp_path / "train-image.hdf5",
        {
            "opaque": np.void(jpeg()),
            "row": np.frombuffer(png(40), np.uint8),
            "string": np.bytes_(jpeg(48)),
            "cut_off": np.void(jpeg()[:-20]),
            "no_picture": np.void(b"GIF89a and so on"),
            "empty": np.frombuffer(b"", np.uint8),
            "numbers": np.zeros((3, 4)),
            "compound": np.zeros((), dtype=[("a", "i4"), ("b", "f8")]),
        },
    )
    with h5py.File(tmp_path / "train-image.hdf5", "a") as file:
        file.create_group("group")
        file["elsewhere"] = h5py.ExternalLink("/etc/secret.hdf5", "/x")
        file["alias"] = h5py.SoftLink("/opaque")
        file.create_dataset("outside", (10,), "uint8", external=[(str(tmp_path / "raw.bin"), 0, 10)])
        file.create_dataset("any_length", (), dtype=h5py.vlen_dtype(np.uint8))
        file["any_length"][()] = np.frombuffer(jpeg(56), np.uint8)
    return tmp_path


def test_a_path_is_split_into_file_and_entry(tmp_path):
    assert parse_entry_path(tmp_path / "a.hdf5@ISIC_1") == (tmp_path / "a.hdf5", "ISIC_1")
    assert parse_entry_path(tmp_path / "a.h5@b@c") == (tmp_path / "a.h5", "b@c")
    assert parse_entry_path(tmp_path / "a.hdf5@group/b") is None
    assert parse_entry_path(tmp_path / "a.hdf5") is None
    assert picture_kind("a.hdf5@ISIC_1") == "HDF5"


@pytest.mark.parametrize(("name", "side"), [("opaque", 32), ("row", 40), ("string", 48), ("any_length", 56)])
def test_an_entry_of_every_data_type_is_read_like_a_file(folder, name, side):
    path = folder / f"train-image.hdf5@{name}"
    header = read_header(path)
    assert (header.width, header.height) == (side, side)
    assert read_picture(path).shape == (side, side, 3)
    assert header.file_bytes == len(read_entry(folder / "train-image.hdf5", name))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "the entry does not exist"),
        ("group", "found a group"),
        ("elsewhere", "found a link"),
        ("alias", "found a link"),
        ("outside", "data outside the file"),
        ("numbers", "float64 of shape (3, 4)"),
        ("compound", "must hold the bytes of a picture"),
        ("empty", "the file is empty"),
        ("cut_off", "cut off"),
        ("no_picture", "not a JPEG, PNG or DICOM"),
    ],
)
def test_an_entry_that_is_not_a_picture_is_refused_with_its_kind(folder, name, message):
    with pytest.raises(InputFault) as fault:
        read_header(folder / f"train-image.hdf5@{name}")
    assert message in str(fault.value)
    assert name in str(fault.value)


def test_entries_that_are_read_together_have_their_own_faults(folder):
    contents = dict(read_entries(folder / "train-image.hdf5", ["opaque", "group", "row"]))
    assert isinstance(contents["group"], InputFault)
    assert contents["opaque"] == jpeg()
    assert contents["row"] == png(40)


@pytest.mark.parametrize("content", [b"", b"no HDF5 at all", b"\x89HDF\r\n\x1a\n" + bytes(50)])
def test_a_file_that_is_not_hdf5_is_refused_by_name(tmp_path, content):
    (tmp_path / "train-image.hdf5").write_bytes(content)
    with pytest.raises(InputFault, match=r"train-image\.hdf5: not a readable HDF5 file"):
        entry_names(tmp_path / "train-image.hdf5")


def test_a_cut_file_is_refused(folder):
    path = folder / "train-image.hdf5"
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(InputFault, match="not a readable"):
        read_entry(path, "opaque")


def test_all_missing_and_all_unreadable_pictures_are_listed_together(folder):
    location = find_location(folder, ISIC_2024, "train")
    cases = ["opaque", "absent", "cut_off", "group", "row"]
    part, faults = pd.DataFrame(index=pd.Index(cases, name="image_name")), Faults()
    part = attach_pictures(part, folder, location, faults, [])
    assert part.loc["row", "picture"] == "train-image.hdf5@row"
    assert part.loc["row", "width"] == 40
    with pytest.raises(InputFault) as fault:
        faults.raise_if_any("input")
    assert "train-image.hdf5: no picture for 1 (absent)" in str(fault.value)
    assert "unreadable pictures: 2 (cut_off, group)" in str(fault.value)


def test_the_contests_unpacked_pictures_are_used_if_the_hdf5_is_missing(tmp_path):
    (tmp_path / "train-image/image").mkdir(parents=True)
    (tmp_path / "train-image/image/ISIC_1.jpg").write_bytes(jpeg())
    assert set(find_location(tmp_path, ISIC_2024, "train").pictures()) == {"ISIC_1"}
    assert find_location(tmp_path, ISIC_2024, "test") is None


def test_the_digest_of_a_location_changes_with_its_file(folder):
    before = find_location(folder, ISIC_2024, "train").digest()
    write(folder / "train-image.hdf5", {"opaque": np.void(jpeg(200))})
    assert find_location(folder, ISIC_2024, "train").digest() != before


def test_equal_entries_are_found_by_the_audit(tmp_path):
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)) for _ in range(2)]
    streams = [io.BytesIO() for _ in pictures]
    for picture, stream in zip(pictures, streams, strict=True):
        picture.save(stream, "PNG")
    one, other = (np.void(stream.getvalue()) for stream in streams)
    write(tmp_path / "train-image.hdf5", {"a": one, "b": other, "c": one})
    pictures_of = {name: f"train-image.hdf5@{name}" for name in "abc"}
    pairs = find_pairs(pd.DataFrame({"picture": pictures_of}), DataFolder.open(tmp_path), tmp_path / "cache", jobs=1)
    assert [tuple(pair) for pair in pairs[["first", "second", "kind"]].to_numpy()] == [("a", "c", "byte-identical")]


def test_a_changed_file_is_read_again_and_a_deleted_one_is_reported(tmp_path):
    path = write(tmp_path / "train-image.hdf5", {"a": np.void(jpeg())})
    assert read_entry(path, "a") == jpeg()
    write(tmp_path / "new.hdf5", {"a": np.void(png()), "b": np.void(jpeg())}).replace(path)
    assert entry_names(path) == ["a", "b"]
    assert read_entry(path, "a") == png()
    path.unlink()
    with pytest.raises(InputFault, match="the HDF5 file does not exist"):
        read_entry(path, "a")


def test_threads_and_processes_read_the_same_entries(tmp_path):
    pictures = {f"case_{number}": jpeg(16 + number) for number in range(40)}
    path = write(tmp_path / "train-image.hdf5", {name: np.void(content) for name, content in pictures.items()})
    for prefer in ("threads", "processes"):
        contents = Parallel(n_jobs=2, prefer=prefer)(delayed(read_entry)(path, name) for name in pictures)
        assert contents == list(pictures.values())
