"""Tests for features/perceptual_hash.py: a hash gives the hashes of its views and outlasts re-encoding."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from features.perceptual_hash import fingerprint, perceptual_hash, transposed, views_of


def bits_apart(one: bytes | np.ndarray, other: bytes | np.ndarray) -> int:
    first, second = (np.frombuffer(bytes(code), np.uint8) for code in (one, other))
    return int(np.bitwise_count(first ^ second).sum())


def textured(seed: int) -> np.ndarray:
    """Return a picture of random patches without symmetry, uint8 (240, 320, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC))


def symmetric_views(picture: np.ndarray) -> list[np.ndarray]:
    turned = picture.transpose(1, 0, 2)
    return [view for one in (picture, turned) for view in (one, one[:, ::-1], one[::-1], one[::-1, ::-1])]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(20, 150), st.integers(20, 150))
def test_the_views_of_a_hash_are_the_hashes_of_the_views(seed: int, height: int, width: int):
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    for expected, view in zip(views_of(perceptual_hash(picture)), symmetric_views(picture), strict=True):
        # A coefficient of nearly zero may fall on the other side by rounding.
        assert bits_apart(expected, perceptual_hash(np.ascontiguousarray(view))) <= 1


@given(st.binary(min_size=32, max_size=32))
def test_the_eight_views_of_any_hash_form_a_group(code: bytes):
    signs = bytes([code[0] & 0x7F]) + code[1:]  # the constant frequency has no sign
    views = {bytes(view) for view in views_of(signs)}
    assert signs in views
    assert all({bytes(again) for again in views_of(view)} == views for view in views)


@given(st.binary(min_size=32, max_size=32))
def test_transposing_twice_changes_nothing(code: bytes):
    codes = np.frombuffer(code, np.uint8)[None]
    assert (transposed(transposed(codes)) == codes).all()


@pytest.mark.parametrize(("width", "quality", "gain", "offset"), [(144, 75, 1, 0), (900, 40, 1, 0), (300, 75, 0.7, 30)])
def test_size_compression_and_light_change_few_bits(width: int, quality: int, gain: float, offset: float):
    picture = textured(3)
    light = (picture * gain + offset).clip(0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(light).resize((width, width * 3 // 4)).save(stream, "JPEG", quality=quality)
    again = np.asarray(Image.open(stream))
    assert bits_apart(perceptual_hash(picture), perceptual_hash(again)) <= 36
    assert bits_apart(perceptual_hash(picture), perceptual_hash(textured(4))) > 50


def test_a_fingerprint_is_the_hash_in_hexadecimal_and_a_grey_thumbnail():
    picture = np.full((40, 60, 3), (255, 0, 0), np.uint8)
    one = fingerprint(picture)
    assert bytes.fromhex(one.hash) == perceptual_hash(picture)
    assert one.thumbnail == bytes([76]) * 1024  # 0.299 * 255
