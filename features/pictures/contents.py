"""The content of a picture as a digest, and the file that holds it: a picture may be inside a TFRecord or HDF5 file."""

from pathlib import Path

from features.pictures.hdf5 import parse_entry_path, read_entry
from features.pictures.tfrecord import parse_example, parse_record_path, picture_feature, read_record
from runtime.errors import InputFault
from runtime.provenance import digest_of_bytes, digest_of_file


def source_file(picture: Path) -> Path:
    """Return the file that holds ``picture``: the file itself, or the TFRecord or HDF5 file of the path."""
    container = parse_record_path(picture) or parse_entry_path(picture)
    return container[0] if container else picture


def content_digest(picture: Path) -> str:
    """Return a digest of all bytes of ``picture``; within a container, of the picture's own bytes.

    Raises InputFault if the picture is missing.
    """
    record, entry = parse_record_path(picture), parse_entry_path(picture)
    if entry:
        return digest_of_bytes(read_entry(*entry))
    if record:
        features = parse_example(read_record(*record))
        image = features.get(picture_feature(features) or "image")
        return digest_of_bytes(image if isinstance(image, bytes) else repr(image).encode())
    try:
        return digest_of_file(picture)
    except OSError as error:
        raise InputFault(f"{picture}: cannot be read ({error})") from error
