"""What training does to a picture: enough to defeat shortcuts, never more than asked for."""

import numpy as np
import pytest
from PIL import Image

from deepfake_lab import paths
from deepfake_lab.photos import squares
from deepfake_lab.photos.faces import find_faces
from deepfake_lab.photos.squares import Square
from deepfake_lab.training.augment import (
    MOUNTED_SIDE,
    STRENGTHS,
    _askew,
    _hide,
    _mount,
    _send,
    augment,
)

SIDE, SIZE = 136, 128
PORTRAIT = sorted((paths.project() / "data" / "sample" / "real").glob("*.jpg"))[0]


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    return np.asarray(Image.open(PORTRAIT).resize((SIDE, SIDE)))


def _variants(frame: np.ndarray, strength: str, count: int = 60) -> np.ndarray:
    generators = np.random.default_rng(0).spawn(count)
    return np.stack([augment(frame, SIZE, strength, rng) for rng in generators])


def _sharpness(pictures: np.ndarray) -> np.ndarray:
    """Return the mean step between neighbours, (N,)."""
    return np.abs(np.diff(pictures.astype(float), axis=2)).mean(axis=(1, 2, 3))


@pytest.mark.parametrize("strength", STRENGTHS)
def test_a_variant_has_the_size_of_the_input_whatever_is_done_to_it(frame, strength):
    variants = _variants(frame, strength)
    assert variants.shape == (60, SIZE, SIZE, 3) and variants.dtype == np.uint8


@pytest.mark.parametrize("strength", ["light", "strong"])
def test_no_two_variants_are_the_same(frame, strength):
    assert len({variant.tobytes() for variant in _variants(frame, strength)}) == 60


@pytest.mark.parametrize("strength", STRENGTHS)
def test_the_same_generator_gives_the_same_variant(frame, strength):
    np.testing.assert_array_equal(_variants(frame, strength), _variants(frame, strength))


@pytest.mark.parametrize("strength", ["light", "strong"])
def test_the_picture_that_was_given_stays_as_it_was(frame, strength):
    before = frame.copy()
    _variants(frame, strength, 10)
    np.testing.assert_array_equal(frame, before)


@pytest.mark.parametrize("strength", ["light", "strong"])
def test_a_larger_frame_gives_windows_at_random_places_that_show_things_in_their_size(strength):
    ramp = np.mgrid[:SIDE, :SIDE].sum(0) / 2 + 60  # brightness tells the place, its slope the scale
    frame = np.repeat(ramp[..., None], 3, axis=2).round().astype(np.uint8)
    rngs = np.random.default_rng(0).spawn(100)
    windows = np.stack([augment(frame, 32, strength, rng)[..., 1] for rng in rngs]).astype(float)
    slopes = np.abs(np.diff(windows, axis=2)).mean(axis=2).mean(axis=1)
    assert 0.4 < np.median(slopes) < 0.7  # 0.5 as it is, 2.1 for the whole frame made this small
    assert np.ptp(windows.mean(axis=(1, 2))) > SIDE / 2


def test_strong_reaches_from_sharper_than_the_photo_to_a_quarter_of_its_detail(frame):
    light, strong = (_sharpness(_variants(frame, kind, 200)) for kind in ("light", "strong"))
    original = _sharpness(frame[None])[0]
    assert strong.min() < 0.5 * original < light.min()
    assert strong.max() > light.max() > original


def test_mixed_is_light_for_some_and_strong_for_the_others(frame):
    light, mixed, strong = (
        np.median(_sharpness(_variants(frame, kind, 300))) for kind in ("light", "mixed", "strong")
    )
    assert strong < mixed < light


def test_half_of_the_variants_are_mirrored(frame):
    half_black = np.zeros_like(frame)
    half_black[:, SIDE // 2 :] = 255
    left_is_bright = _variants(half_black, "strong", 200)[:, :, :20].mean(axis=(1, 2, 3)) > 128
    assert 0.4 < left_is_bright.mean() < 0.6


def test_a_face_is_still_found_in_nearly_every_variant(frame):
    found = [bool(find_faces(variant)) for variant in _variants(frame, "strong", 100)]
    assert np.mean(found) >= 0.95


@pytest.mark.parametrize("degrees", [-45, -20, 7, 45])
def test_a_picture_tilted_and_set_straight_shows_the_same(frame, degrees):
    square = Square(20, 8, 90, turn=3)
    plain = squares.cut(frame, square, 90).astype(float)
    whole, tilted = _askew(Image.fromarray(frame), square, degrees)
    again = squares.cut(np.asarray(whole), tilted, 90).astype(float)
    assert tilted.turn == 3 + degrees
    assert np.abs(again - plain).mean() < 3  # a shift by one pixel makes more than four times of it


def test_what_is_hidden_is_one_rectangle_of_one_colour(frame):
    for rng in np.random.default_rng(0).spawn(20):
        hidden = _hide(Image.fromarray(frame), rng)
        rows, columns = np.nonzero((hidden != frame).any(axis=2))
        box = hidden[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert (box == box[0, 0]).all()
        assert 0.05 * SIDE < min(box.shape[:2]) and max(box.shape[:2]) <= 0.51 * SIDE


def test_a_messenger_takes_detail_and_leaves_the_picture(frame):
    picture = Image.fromarray(frame)
    for rng in np.random.default_rng(0).spawn(20):
        sent = np.asarray(_send(picture, rng))
        assert sent.shape == frame.shape
        assert _sharpness(sent[None]) < _sharpness(frame[None])
        assert np.corrcoef(sent.ravel(), frame.ravel())[0, 1] > 0.95


def test_a_picture_in_a_larger_one_is_whole_and_smaller():
    face = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    picture = Image.fromarray(face).resize((256, 256), Image.Resampling.BICUBIC)
    grounds = set()
    for seed in range(30):
        mounted = _mount(picture, np.random.default_rng(seed))
        assert mounted.shape == (256, 256, 3) and mounted.dtype == np.uint8
        rng = np.random.default_rng(seed)
        inner = round(256 * rng.uniform(*MOUNTED_SIDE))
        left, top = rng.integers(256 - inner + 1, size=2)
        small = np.asarray(picture.resize((inner, inner), Image.Resampling.BICUBIC), float)
        there = mounted[top : top + inner, left : left + inner]
        assert np.abs(there - small).mean() < 12  # whatever the filter of the resizing
        outside = np.ones((256, 256), bool)
        outside[top : top + inner, left : left + inner] = False
        grounds.add(len(np.unique(mounted[outside], axis=0)) == 1)
    assert grounds == {True, False}  # plain ones and others
