"""What a verdict rests on: heat maps, and what a photo's spectrum looks like.

A heat map shows where the network looked, not why, and not that it was right to look there.
"""

import numpy as np
from PIL import Image

from deepfake_lab.detection.judgement import JudgedFace, Judgement, Scorer

#: A heat map whose strongest place argues with less than this (in units of the logit) stays pale:
#: stretching it would turn noise into evidence.
PALE = 1.0

#: Side of the grey patch that :func:`occlusion_map` lays over the photo, as a share of the photo.
PATCH = 1 / 6


def heat_map(detector: Scorer, prediction: Judgement | JudgedFace) -> np.ndarray:
    """Return which places of a photo argued for FAKE (positive) and for REAL (negative).

    A network that averages its feature maps gives the exact class activation map; for any other
    the photo is covered piece by piece (:func:`occlusion_map`).

    Args:
        detector: who gave the answer.
        prediction: the answer about a photo or about one of its faces.

    Returns:
        (h, w) float32, in units of the logit.

    Source: B. Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016.
    """
    if prediction.activation_map is not None:
        return prediction.activation_map
    return occlusion_map(detector, prediction.framed.pixels)


def occlusion_map(detector: Scorer, pixels: np.ndarray, steps: int = 9) -> np.ndarray:
    """Return how much the logit falls when each part of the photo is covered by a grey patch.

    Args:
        detector: who is asked.
        pixels: (S, S, 3) uint8.
        steps: patches per row and column; they overlap.

    Returns:
        (steps, steps) float32: logit of the whole photo minus logit of the covered one.

    Source: M. Zeiler and R. Fergus, "Visualizing and Understanding Convolutional Networks",
        ECCV 2014, arXiv:1311.2901.
    """
    side = pixels.shape[0]
    patch = max(1, round(side * PATCH))
    starts = np.linspace(0, side - patch, steps).round().astype(int)
    covered = np.repeat(pixels[None], steps * steps, axis=0)  # (steps^2, S, S, 3) uint8
    for i, (top, left) in enumerate((t, s) for t in starts for s in starts):
        covered[i, top : top + patch, left : left + patch] = 128
    whole = detector.logits(pixels[None])
    return (whole - detector.logits(covered)).reshape(steps, steps)


def resize_map(evidence: np.ndarray, side: int) -> np.ndarray:
    """Return a heat map brought to (side, side) float32, smoothly."""
    image = Image.fromarray(evidence.astype(np.float32))
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))


def log_spectrum(frames: np.ndarray) -> np.ndarray:
    """Return the average log-magnitude spectrum of square pictures.

    The middle stands for slow changes of brightness, the border for the finest detail. Upsampling
    inside a generator leaves peaks and grids there that no camera makes.

    Args:
        frames: (N, S, S, 3) uint8.

    Returns:
        (S, S) float64, natural logarithm, zero frequency in the middle.

    Source: R. Durall et al., "Watch your Up-Convolution", CVPR 2020, arXiv:2003.01826.
    """
    side = frames.shape[1]
    window = np.outer(*[np.hanning(side)] * 2)  # else the borders draw a bright cross
    third = np.full(3, 1 / 3)
    total = np.zeros((side, side // 2 + 1))  # half of it: the other half is the same, turned
    for frame in frames:
        grey = frame @ third  # (S, S) float64
        spectrum = np.fft.rfft2((grey - grey.mean()) * window)  # (S, S // 2 + 1)
        total += np.log(np.abs(spectrum) + 1e-3)
    turned = np.roll(total[::-1], 1, axis=0)[:, (side - 1) // 2 : 0 : -1]
    return np.fft.fftshift(np.hstack([total, turned])) / len(frames)


def radial_profile(spectrum: np.ndarray) -> np.ndarray:
    """Return the mean of a square spectrum (S, S) over rings, (S // 2,), from slow to fine."""
    side = spectrum.shape[0]
    y, x = np.indices(spectrum.shape) - side // 2
    ring = np.hypot(x, y).astype(int).ravel()
    sums = np.bincount(ring, weights=spectrum.ravel())
    return (sums / np.bincount(ring))[: side // 2]
