"""Tests for torch_pickle.py."""

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from level1_cnn.torch_pickle import MAGIC_NUMBER, read_checkpoint
from runtime.errors import InputFault

HEADER = (MAGIC_NUMBER, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {"long": 4}})


def opcodes(value) -> bytes:
    """Pickle a literal without the opening and closing opcodes, so that it can be part of another pickle."""
    return pickle.dumps(value, 2)[2:-1]


def tensor(storage: str, key: str, elements: int, offset: int, shape: tuple, strides: tuple) -> bytes:
    description = opcodes("storage") + f"ctorch\n{storage}\n".encode() + opcodes(key) + opcodes("cpu")
    description = b"(" + description + opcodes(elements) + b"Nt" + b"Q"
    hooks = opcodes(False) + b"ccollections\nOrderedDict\n)R"
    arguments = description + opcodes(offset) + opcodes(shape) + opcodes(strides) + hooks
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"


def state(**tensors: bytes) -> bytes:
    items = b"".join(opcodes(name) + value for name, value in tensors.items())
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u."


def checkpoint(body: bytes, storages: dict[str, np.ndarray], header: tuple = HEADER) -> bytes:
    opening = b"".join(pickle.dumps(part, 2) for part in header)
    data = b"".join(struct.pack("<q", array.size) + array.tobytes() for array in storages.values())
    return opening + body + pickle.dumps(list(storages), 2) + data


WEIGHT = np.array([1, 2, 3, 4, 5, 6], "<f4")
BODY = state(
    weight=tensor("FloatStorage", "10", 6, 0, (3, 2), (1, 3)),
    tail=tensor("FloatStorage", "10", 6, 4, (2,), (1,)),
    steps=tensor("LongStorage", "20", 1, 0, (), ()),
)
LITERAL = checkpoint(BODY, {"20": np.array([7], "<i8"), "10": WEIGHT})


def write_file(folder: Path, content: bytes) -> Path:
    path = folder / "network.pth"
    path.write_bytes(content)
    return path


def test_a_hand_written_checkpoint_is_read_with_its_strides_offsets_and_types(tmp_path):
    tensors = read_checkpoint(write_file(tmp_path, LITERAL))
    assert list(tensors) == ["weight", "tail", "steps"]
    np.testing.assert_array_equal(tensors["weight"], [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(tensors["tail"], [5, 6])
    assert tensors["weight"].dtype == np.float32
    assert tensors["steps"].dtype == np.int64
    assert tensors["steps"] == 7


def test_tensors_have_their_own_memory_even_if_they_share_a_storage(tmp_path):
    tensors = read_checkpoint(write_file(tmp_path, LITERAL))
    tensors["tail"][:] = 0
    np.testing.assert_array_equal(tensors["weight"], [[1, 4], [2, 5], [3, 6]])


@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=4), data=st.data())
def test_a_tensor_with_permuted_axes_equals_the_transpose_by_numpy(tmp_path_factory, shape, data):
    axes = data.draw(st.permutations(range(len(shape))))
    original = np.arange(np.prod(shape), dtype="<f4").reshape(shape)
    transpose = original.transpose(axes)
    strides = tuple(stride // 4 for stride in transpose.strides)
    body = state(x=tensor("FloatStorage", "0", original.size, 0, transpose.shape, strides))
    path = write_file(tmp_path_factory.mktemp("permuted"), checkpoint(body, {"0": original.ravel()}))
    np.testing.assert_array_equal(read_checkpoint(path)["x"], transpose)


def test_every_truncation_is_refused_with_the_name_of_the_file(tmp_path):
    for length in range(len(LITERAL)):
        with pytest.raises(InputFault, match=r"network\.pth"):
            read_checkpoint(write_file(tmp_path, LITERAL[:length]))


def test_a_pickle_that_calls_the_shell_is_refused_and_nothing_runs(tmp_path):
    trace = tmp_path / "trace"
    call = b"cos\nsystem\n(" + opcodes(f"touch {trace}") + b"tR"
    for content in (
        checkpoint(b"\x80\x02" + call + b".", {}),
        checkpoint(state(weight=call), {}),
        b"\x80\x02" + call + b"." + LITERAL,
    ):
        with pytest.raises(InputFault, match=r"refused.* os\.system"):
            read_checkpoint(write_file(tmp_path, content))
    assert not trace.exists()


@pytest.mark.parametrize("name", ["builtins eval", "torch DoubleStorage", "torch._utils _rebuild_parameter"])
def test_any_function_but_the_four_accepted_ones_is_refused_and_named(tmp_path, name):
    body = b"\x80\x02c" + name.replace(" ", "\n").encode() + b"\n."
    with pytest.raises(InputFault, match=name.replace(" ", ".")):
        read_checkpoint(write_file(tmp_path, checkpoint(body, {})))


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (7,), (1,)), (4, (3,), (1,)), (0, (2, 3), (4, 1)), (0, (10**12,), (0,)), (-1, (2,), (1,)), (5, (2,), (-1,))],
)
def test_a_tensor_that_reaches_beyond_its_storage_is_refused(tmp_path, offset, shape, strides):
    body = state(x=tensor("FloatStorage", "0", 6, offset, shape, strides))
    with pytest.raises(InputFault, match="tensor x reaches beyond its storage of 6 elements"):
        read_checkpoint(write_file(tmp_path, checkpoint(body, {"0": WEIGHT})))


def test_a_storage_with_more_elements_than_the_file_holds_is_refused_before_reading(tmp_path):
    body = state(x=tensor("FloatStorage", "0", 10**12, 0, (1,), (1,)))
    content = checkpoint(body, {"0": WEIGHT}).replace(struct.pack("<q", 6), struct.pack("<q", 10**12))
    with pytest.raises(InputFault, match="truncated: storage 0"):
        read_checkpoint(write_file(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PK\x03\x04 and more", "zip format"),
        (pickle.dumps(5, 2), "magic number"),
        (checkpoint(BODY, {}, (MAGIC_NUMBER, 1000, {"little_endian": True})), "protocol 1000"),
        (checkpoint(BODY, {}, (MAGIC_NUMBER, 1001, {"little_endian": False})), "big-endian"),
        (checkpoint(b"\x80\x02" + opcodes([1]) + b".", {}), "holds a list"),
        (checkpoint(state(epoch=opcodes(3)), {}), "not tensors: epoch"),
        (checkpoint(BODY, {"10": WEIGHT}), "lists 1 storages"),
        (checkpoint(BODY, {"20": np.array([7], "<i8"), "10": WEIGHT[:5]}), "has 5 elements instead of 6"),
    ],
)
def test_a_file_of_another_kind_is_refused_with_the_reason(tmp_path, content, reason):
    with pytest.raises(InputFault, match=reason):
        read_checkpoint(write_file(tmp_path, content))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputFault, match=r"absent\.pth: no such file"):
        read_checkpoint(tmp_path / "absent.pth")
