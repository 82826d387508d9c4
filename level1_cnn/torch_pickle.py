"""Read the tensors of a legacy PyTorch checkpoint without PyTorch, and without running code that the file names.

The legacy format is five pickles (magic number, protocol, system, tensors, storage keys) followed by the storages
in the order of the keys: eight bytes of element count, then the elements (PyTorch, ``torch/serialization.py``,
``_legacy_save``). A pickle can name any function to call, so this reader accepts four names and refuses all others.
"""

import pickle
import struct
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from runtime.errors import InputFault

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
ZIP_SIGNATURE = b"PK\x03\x04"
ELEMENT_TYPES: Mapping[str, str] = {"FloatStorage": "<f4", "LongStorage": "<i8"}

Array = np.ndarray[Any, np.dtype[Any]]


class _Storage(NamedTuple):
    """A contiguous array of numbers in the file, shared by all tensors that are views of it."""

    key: str
    element_type: str
    elements: int


class _Tensor(NamedTuple):
    """A view of one storage; offset, shape and strides count elements, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Reader(pickle.Unpickler):
    """An unpickler that builds only plain tuples and dictionaries, and runs no function that the file names."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401  as in pickle
        """Return our replacement for one of the four accepted names; refuse all other names."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            # A new function for each call, so that a file that sets attributes on it cannot change later calls.
            return lambda storage, offset, shape, strides, *_: _Tensor(storage, offset, shape, strides)
        if module == "torch" and name in ELEMENT_TYPES:
            return ELEMENT_TYPES[name]
        raise InputFault(f"refused: the file names {module}.{name}, but a checkpoint of plain tensors does not need it")

    def persistent_load(self, pid: Any) -> _Storage:  # noqa: ANN401  as in pickle
        """Return a storage's description as our tuple; views of storages (the last item) are not supported."""
        kind, element_type, key, _, count, view = pid
        if kind != "storage" or view is not None or element_type not in ELEMENT_TYPES.values():
            raise InputFault(f"refused: the storage {pid!r:.120} is not a plain array of float32 or int64")
        return _Storage(str(key), element_type, int(count))


def read_checkpoint(path: Path) -> dict[str, Array]:
    """Return the tensors of a legacy checkpoint by name, in file order: float32 or int64 arrays with their own memory.

    Raises InputFault that names the file when it is damaged or truncated, has the newer zip format, holds an element
    type other than float32 and int64, or names functions other than those for tensors. No function that the file names
    is ever called.
    """
    try:
        with path.open("rb") as file:
            _check_header(file)
            tensors = _Reader(file).load()
            storages = _read_storages(file, _storages_of(tensors), path.stat().st_size)
            return {name: _view(name, tensor, storages) for name, tensor in tensors.items()}
    except InputFault as fault:
        raise InputFault(f"{path}: {fault}") from fault
    except FileNotFoundError as error:
        raise InputFault(f"{path}: no such file") from error
    except Exception as error:
        # A damaged pickle can raise almost any exception.
        cause = f"{type(error).__name__}: {error}"
        raise InputFault(f"{path}: not a readable legacy PyTorch checkpoint ({cause})") from error


def _check_header(file: BinaryIO) -> None:
    if file.read(len(ZIP_SIGNATURE)) == ZIP_SIGNATURE:
        raise InputFault("the file has PyTorch's newer zip format, but only the legacy format is supported")
    file.seek(0)
    if _Reader(file).load() != MAGIC_NUMBER:
        raise InputFault("not a legacy PyTorch checkpoint, because the magic number is missing")
    if (version := _Reader(file).load()) != PROTOCOL_VERSION:
        raise InputFault(f"the file has protocol {version!r}, but only protocol {PROTOCOL_VERSION} is supported")
    if not _Reader(file).load()["little_endian"]:
        raise InputFault("the file was written on a big-endian machine, but only little-endian numbers are supported")


def _storages_of(tensors: object) -> dict[str, _Storage]:
    """Return the storages of the named tensors, by key; refuse anything else than a dictionary of tensors."""
    if not isinstance(tensors, dict):
        raise InputFault(f"the file holds a {type(tensors).__name__} instead of a dictionary of tensors")
    others = [str(name) for name, tensor in tensors.items() if not isinstance(tensor, _Tensor)]
    if others:
        raise InputFault(f"the dictionary must hold only tensors, but these are not tensors: {', '.join(others[:5])}")
    return {tensor.storage.key: tensor.storage for tensor in tensors.values()}


def _read_storages(file: BinaryIO, storages: Mapping[str, _Storage], file_size: int) -> dict[str, Array]:
    keys = _Reader(file).load()
    if sorted(keys) != sorted(storages):
        raise InputFault(f"the file lists {len(keys)} storages, which differ from the {len(storages)} of its tensors")
    return {key: _read_storage(file, storages[key], file_size) for key in keys}


def _read_storage(file: BinaryIO, storage: _Storage, file_size: int) -> Array:
    (count,) = struct.unpack("<q", file.read(8))
    element_type = np.dtype(storage.element_type)
    if count != storage.elements:
        raise InputFault(f"storage {storage.key} has {count} elements instead of {storage.elements}")
    # This check comes before reading, so that a wrong count cannot request more memory than the file's size.
    if not 0 <= count * element_type.itemsize <= file_size - file.tell():
        raise InputFault(f"the file is truncated: storage {storage.key} should hold {count} elements")
    return np.frombuffer(file.read(count * element_type.itemsize), element_type)


def _view(name: str, tensor: _Tensor, storages: Mapping[str, Array]) -> Array:
    storage = storages[tensor.storage.key]
    elements = int(np.prod(tensor.shape, dtype=object))
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    numbers = (tensor.offset, *tensor.shape, *tensor.strides)
    if min(numbers) < 0 or elements > storage.size or (elements and last >= storage.size):
        raise InputFault(f"tensor {name} reaches beyond its storage of {storage.size} elements")
    strides = tuple(stride * storage.itemsize for stride in tensor.strides)
    return np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides).copy(order="C")
