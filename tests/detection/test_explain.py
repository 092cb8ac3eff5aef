"""Heat maps point at what decides, and spectra peak where the pattern is."""

from types import SimpleNamespace

import numpy as np
import pytest

from deepfake_lab.detection.explain import (
    heat_map,
    log_spectrum,
    occlusion_map,
    radial_profile,
    resize_map,
)


class _SpotDetector:
    """Its logit is the brightness of one square; it has no activation map."""

    def __init__(self, top: int, left: int, sign: float = 1.0):
        self._spot = (slice(None), slice(top, top + 12), slice(left, left + 12))
        self._sign = sign

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        return self._sign * pixels[self._spot].mean(axis=(1, 2, 3), dtype=np.float64)


def test_a_network_with_an_activation_map_gives_that():
    exact = np.arange(4, dtype=np.float32).reshape(2, 2)
    answer = SimpleNamespace(activation_map=exact)
    np.testing.assert_array_equal(heat_map(None, answer), exact)


@pytest.mark.parametrize(("top", "left"), [(8, 8), (8, 76), (42, 60), (76, 8)])
def test_covering_the_photo_finds_the_one_place_that_decides(top, left):
    framed = SimpleNamespace(pixels=np.full((96, 96, 3), 255, np.uint8))
    answer = SimpleNamespace(activation_map=None, framed=framed)
    evidence = heat_map(_SpotDetector(top, left), answer)
    row, column = np.unravel_index(evidence.argmax(), evidence.shape)
    # Nine patches of 16 px, 10 px apart: the center of the best covers the spot's center.
    assert row * 10 + 8 == pytest.approx(top + 6, abs=6)
    assert column * 10 + 8 == pytest.approx(left + 6, abs=6)


def test_covering_what_decides_nothing_changes_nothing():
    evidence = occlusion_map(_SpotDetector(0, 0), np.full((96, 96, 3), 255, np.uint8))
    assert evidence[0, 0] > 0 and (evidence[4:, 4:] == 0).all()


def test_what_argues_for_real_is_negative():
    evidence = occlusion_map(_SpotDetector(40, 40, sign=-1), np.full((96, 96, 3), 255, np.uint8))
    assert evidence.min() < 0 and evidence.max() == 0


def test_a_resized_map_keeps_its_peak_and_its_range():
    small = np.zeros((9, 9), np.float32)
    small[2, 6] = 1
    large = resize_map(small, 90)
    row, column = np.unravel_index(large.argmax(), large.shape)
    assert large.shape == (90, 90) and large.dtype == np.float32
    assert (row // 10, column // 10) == (2, 6)
    assert large.max() == pytest.approx(1, abs=0.1)


def _waves(cycles_x: int, cycles_y: int, side: int = 64) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    wave = 128 + 100 * np.sin(2 * np.pi * (cycles_x * x + cycles_y * y) / side)
    return np.repeat(wave[None, ..., None], 3, axis=-1).astype(np.uint8)


@pytest.mark.parametrize(("cycles_x", "cycles_y"), [(5, 0), (0, 20), (12, 9)])
def test_the_spectrum_of_a_wave_peaks_at_its_frequency(cycles_x, cycles_y):
    spectrum = log_spectrum(_waves(cycles_x, cycles_y))
    y, x = np.unravel_index(spectrum.argmax(), spectrum.shape)
    assert (abs(x - 32), abs(y - 32)) == (cycles_x, cycles_y)


def test_the_spectrum_of_a_checkerboard_peaks_at_the_finest_detail():
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    spectrum = log_spectrum(np.repeat(board[None, ..., None], 3, axis=-1))
    assert np.unravel_index(spectrum.argmax(), spectrum.shape) == (0, 0)


def test_the_spectrum_of_several_pictures_is_their_mean():
    frames = np.concatenate([_waves(5, 0), _waves(0, 9)])
    expected = (log_spectrum(frames[:1]) + log_spectrum(frames[1:])) / 2
    np.testing.assert_allclose(log_spectrum(frames), expected)


def test_a_flat_picture_has_a_spectrum_without_infinities():
    assert np.isfinite(log_spectrum(np.full((1, 32, 32, 3), 90, np.uint8))).all()


def test_the_radial_profile_peaks_at_the_one_frequency_of_a_texture():
    y, x = np.indices((64, 64)) - 32
    ring = np.abs(np.hypot(x, y) - 15.5) < 0.5
    noise = np.fft.fftshift(np.fft.fft2(np.random.default_rng(0).normal(size=(64, 64))))
    texture = np.fft.ifft2(np.fft.ifftshift(noise * ring)).real
    frame = (128 + 40 * texture / texture.std()).clip(0, 255).astype(np.uint8)
    profile = radial_profile(log_spectrum(np.repeat(frame[None, ..., None], 3, axis=-1)))
    assert profile.shape == (32,) and profile.argmax() == 15


@pytest.mark.parametrize("side", [64, 65])
def test_the_radial_profile_of_rings_returns_the_rings(side):
    y, x = np.indices((side, side)) - side // 2
    rings = np.hypot(x, y).astype(int)
    np.testing.assert_allclose(radial_profile(rings), np.arange(side // 2))
