"""Tests of pictures that attack a decoder: each is refused soon, in little memory, and the next one is decoded."""

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.server.attack_files import ATTACKS
from melstack.bundle.serving.decoding.decoders import DecodedPicture, Decoders, Order
from melstack.bundle.serving.limits import Limits
from tests.melstack.bundle.serving.doubles import jpeg

ORDER = Order([64])
LIMITS = Limits(memory_mb=500, decode_seconds=3)
LONGEST_SECONDS = 20  # also on a busy machine


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    processes = Decoders(1, LIMITS)
    processes.decode(jpeg(), ORDER)
    yield processes
    processes.close()


def peak_mb() -> float:
    """Return the largest resident memory that a child process of the tests has had."""
    texts = [Path(f"/proc/{child.pid}/status").read_text() for child in psutil.Process().children(recursive=True)]
    return max(int(line.split()[1]) / 1000 for text in texts for line in text.splitlines() if line.startswith("VmHWM"))


@pytest.mark.full
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_soon_and_the_next_picture_is_decoded(decoders: Decoders, name: str) -> None:
    start = time.monotonic()
    fault = decoders.decode(ATTACKS[name](), ORDER)
    assert isinstance(fault, tuple), name
    assert fault[0] in (413, 415, 422)
    assert len(fault[1]) > 20
    assert time.monotonic() - start < LONGEST_SECONDS
    assert peak_mb() < 800
    assert isinstance(decoders.decode(jpeg(), ORDER), DecodedPicture)


def test_a_process_that_is_killed_is_replaced(decoders: Decoders) -> None:
    for child in psutil.Process().children(recursive=True):
        if "resource_tracker" not in "".join(child.cmdline()):
            child.kill()
    time.sleep(0.1)
    assert isinstance(decoders.decode(jpeg(), ORDER), DecodedPicture)


def test_a_picture_as_it_was_taken_is_not_taken_for_an_attack(decoders: Decoders) -> None:
    answer = decoders.decode(jpeg(size=(3000, 2000)), ORDER)
    assert isinstance(answer, DecodedPicture)
    assert answer.size["width"] == 3000
