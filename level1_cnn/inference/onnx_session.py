"""Run a network in an ONNX file with ONNX Runtime: faster than TensorFlow on a CPU, and without TensorFlow."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime

from level1_cnn.inference.onnx_check import read_onnx
from level1_cnn.inference.onnx_outputs import picture_sizes, select_outputs
from runtime.errors import InputFault
from runtime.machine.cores import allowed_cores

Array = np.ndarray[Any, np.dtype[Any]]


class Session(Protocol):
    """A network loaded for inference."""

    def __call__(self, pixels: Array, metadata: Array | None = None) -> list[Array]:
        """Return one float32 array (batch, ...) per output of pixels (batch, side, side, 3) and metadata (batch, m)."""
        ...


PROVIDERS = ("CPUExecutionProvider",)
# The levels of ONNX Runtime are 0 (verbose) to 4 (fatal); 3 shows errors only.
_LOG_ERRORS = 3
# Pixels of one call: four pictures of 96 px, two of 128 px, one of 192 px. With more, the activations do not fit the
# processor's cache: Lite0 needed 1.2 to 1.5 times the processor time at 128 and 192 px in calls of 8 to 32 pictures.
_CALL_PIXELS = 4 * 96 * 96
# Pixels of the largest picture of which every core computes one of its own: Lite0 and B0 were then 1.3 to 1.5 times as
# fast up to 224 px as with all cores on the same pictures, at most 1.2 times at 384 px. Each picture that is computed
# at the same time needs memory of its own: 10 MB for B0 at 224 px, 50 MB at 384 px.
_LARGEST_ALONE = 256 * 256


def open_session(path: Path, *, threads: int | None = None, outputs: Sequence[int] | None = None) -> Session:
    """Load an ONNX file for the CPU and return a function from pictures to the network's outputs.

    The function takes pixels 0 to 255, (batch, side, side, 3) of any number type, and metadata (batch, m) if the
    network has that input. It returns one float32 array per output, in the order of the Keras model's outputs. A batch
    of any size is computed in small parts, several at the same time where pictures are small. ``threads`` None uses
    every core that is ours; all networks with the same number share their threads. ``outputs`` are the indices of the
    outputs to return, in rising order; the others are not computed. Raises InputFault for a missing or damaged file.
    """
    if not path.is_file():
        raise InputFault(f"{path}: no such file; an ONNX network was expected")
    content, count = read_onnx(path), threads or allowed_cores()
    try:
        content = content if outputs is None else select_outputs(content, outputs)
        parallel = count > 1 and _pixels(picture_sizes(content)) <= _LARGEST_ALONE
        options = session_options(1 if parallel else count)
        session = onnxruntime.InferenceSession(content, options, providers=PROVIDERS)
    except Exception as error:  # ONNX Runtime's exceptions have no common class
        raise InputFault(f"{path}: not an ONNX network that can be run ({error})") from error
    return _Network(path, session, count if parallel else 1)


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Return the options of a session in which ``threads`` threads compute each operator together."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _LOG_ERRORS
    # Threads that spin while they wait halve the throughput when another program uses the same cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.intra_op_num_threads = threads
    _share_memory()
    options.add_session_config_entry("session.use_env_allocators", "1")
    return options


def session_of(content: bytes, options: onnxruntime.SessionOptions, source: Path) -> onnxruntime.InferenceSession:
    """Return a session for the network in ``content``; raise InputFault if it cannot be read.

    The message names the ``source``. For networks in the making; ``open_session`` opens finished files.
    """
    try:
        return onnxruntime.InferenceSession(content, options, providers=PROVIDERS)
    except Exception as error:  # ONNX Runtime's exceptions have no common class
        reason = str(error).partition("\n")[0]
        raise InputFault(f"{source}: ONNX Runtime cannot read the network ({reason})") from error


@cache
def _share_memory() -> None:
    """Give all sessions of this process one arena: nine networks of 16 threads grew by 0.15 GB instead of 0.7 GB."""
    cpu = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(cpu, None)


class _Network:
    """A session whose batches are computed in parts, ``parallel`` of them at the same time."""

    def __init__(self, path: Path, session: onnxruntime.InferenceSession, parallel: int) -> None:
        self._path, self._session, self._parallel = path, session, parallel
        self._inputs = [value.name for value in session.get_inputs()]
        batch = session.get_inputs()[0].shape[0]  # a name where any number of pictures is possible
        self._most = batch if isinstance(batch, int) else None

    def __call__(self, pixels: Array, metadata: Array | None = None) -> list[Array]:
        inputs = [np.asarray(array) for array in (pixels, metadata) if array is not None]
        if len(inputs) != len(self._inputs):
            raise ValueError(f"{len(inputs)} arrays for a network with the inputs {', '.join(self._inputs)}")
        if not len(pixels):  # one call, so that the outputs of an empty batch have the right shapes, too
            blank = [np.zeros((1, *array.shape[1:]), np.float32) for array in inputs]
            return [output[:0] for output in self._call(blank)]
        step = self._step(pixels)
        parts = [[array[start : start + step] for array in inputs] for start in range(0, len(pixels), step)]
        at_once = self._parallel > 1 and len(parts) > 1
        calls = list((_threads(self._parallel).map if at_once else map)(self._call, parts))
        return [np.concatenate(outputs) for outputs in zip(*calls, strict=True)]

    def _step(self, pixels: Array) -> int:
        """Return the number of pictures of a call; a few pictures, as the views of one lesion, go to all threads."""
        most = max(1, _CALL_PIXELS // _pixels(pixels.shape[1:3]))
        return self._most or min(most, -(-len(pixels) // self._parallel))

    def _call(self, inputs: Sequence[Array]) -> list[Array]:
        arrays = [np.ascontiguousarray(array, np.float32) for array in inputs]
        try:
            outputs: list[Array] = self._session.run(None, dict(zip(self._inputs, arrays, strict=True)))
        except Exception as error:  # ONNX Runtime's exceptions have no common class
            raise InputFault(f"{self._path}: the network cannot be run on these pictures ({error})") from error
        return outputs


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="network")


if hasattr(os, "register_at_fork"):  # not on Windows
    # The threads of a pool do not exist in a forked process, which makes its own.
    os.register_at_fork(after_in_child=_threads.cache_clear)


def _pixels(sizes: Sequence[int]) -> int:
    return sizes[0] * sizes[1]
