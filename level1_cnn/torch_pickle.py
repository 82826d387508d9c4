"""Read the tensors of a legacy PyTorch checkpoint without PyTorch and without running anything the file says.

The legacy format is five pickles (magic number, protocol, system, tensors, storage keys) followed by the storages
in the order of the keys: eight bytes of element count, then the elements (PyTorch, ``torch/serialization.py``,
``_legacy_save``). A pickle can name any function to call, so this reader knows four names and refuses all others.
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
    """One run of numbers in the file, shared by the tensors that look at it."""

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
    """An unpickler that builds inert tuples, whatever the file asks for."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401  as in pickle
        """Return our stand-in of one of the four known names; refuse every other."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            # A new function each time: a file that writes attributes on it changes nothing of ours.
            return lambda storage, offset, shape, strides, *_: _Tensor(storage, offset, shape, strides)
        if module == "torch" and name in ELEMENT_TYPES:
            return ELEMENT_TYPES[name]
        raise InputFault(f"refused: the file asks for {module}.{name}, which a plain checkpoint does not need")

    def persistent_load(self, pid: Any) -> _Storage:  # noqa: ANN401  as in pickle
        """Turn a storage's description into our tuple; views of storages (the last item) are not supported."""
        kind, element_type, key, _, count, view = pid
        if kind != "storage" or view is not None or element_type not in ELEMENT_TYPES.values():
            raise InputFault(f"refused: a storage of an unknown kind, {pid!r:.120}")
        return _Storage(str(key), element_type, int(count))


def read_checkpoint(path: Path) -> dict[str, Array]:
    """Return the tensors of a legacy checkpoint by name: float32 or int64 arrays of their own memory, in file order.

    A damaged or truncated file, the newer zip format, an element type other than float32 and int64, or a pickle that
    names anything but tensors is an InputFault that names the file; nothing from the file is ever executed.
    """
    try:
        with path.open("rb") as file:
            _check_header(file)
            tensors = _Reader(file).load()
            storages = _read_storages(file, _wanted(tensors), path.stat().st_size)
            return {name: _view(name, tensor, storages) for name, tensor in tensors.items()}
    except InputFault as fault:
        raise InputFault(f"{path}: {fault}") from fault
    except FileNotFoundError as error:
        raise InputFault(f"{path}: no such file") from error
    except Exception as error:
        # A damaged pickle fails in as many ways as there are opcodes.
        cause = f"{type(error).__name__}: {error}"
        raise InputFault(f"{path}: not a readable legacy PyTorch checkpoint ({cause})") from error


def _check_header(file: BinaryIO) -> None:
    if file.read(len(ZIP_SIGNATURE)) == ZIP_SIGNATURE:
        raise InputFault("the newer zip format of PyTorch; only the legacy format is read")
    file.seek(0)
    if _Reader(file).load() != MAGIC_NUMBER:
        raise InputFault("not a legacy PyTorch checkpoint: the magic number is missing")
    if (version := _Reader(file).load()) != PROTOCOL_VERSION:
        raise InputFault(f"protocol {version!r}; {PROTOCOL_VERSION} is the one known")
    if not _Reader(file).load()["little_endian"]:
        raise InputFault("written on a big-endian machine")


def _wanted(tensors: object) -> dict[str, _Storage]:
    """Return the storages that the named tensors look at, by key; refuse anything that is not a named tensor."""
    if not isinstance(tensors, dict):
        raise InputFault(f"holds a {type(tensors).__name__}; a dictionary of tensors was expected")
    strange = [str(name) for name, tensor in tensors.items() if not isinstance(tensor, _Tensor)]
    if strange:
        raise InputFault(f"not tensors: {', '.join(strange[:5])}")
    return {tensor.storage.key: tensor.storage for tensor in tensors.values()}


def _read_storages(file: BinaryIO, wanted: Mapping[str, _Storage], file_size: int) -> dict[str, Array]:
    keys = _Reader(file).load()
    if sorted(keys) != sorted(wanted):
        raise InputFault(f"lists {len(keys)} storages, which are not the {len(wanted)} that its tensors use")
    return {key: _read_storage(file, wanted[key], file_size) for key in keys}


def _read_storage(file: BinaryIO, storage: _Storage, file_size: int) -> Array:
    (count,) = struct.unpack("<q", file.read(8))
    element_type = np.dtype(storage.element_type)
    if count != storage.elements:
        raise InputFault(f"storage {storage.key} has {count} elements, {storage.elements} were announced")
    # Compared before reading, so that a lying count cannot ask for more memory than the file is long.
    if not 0 <= count * element_type.itemsize <= file_size - file.tell():
        raise InputFault(f"truncated: storage {storage.key} should hold {count} elements")
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
