"""Forge training photos on the fly: blend a real face with itself or with another real face.

The forgery and the photo it was made from share camera, framing, size and compression, so only the
traces of blending are left to tell them apart. Those traces are common to face swaps and to edits
of any tool, which is why a detector that learns them holds up on tools it has never seen.

Source: K. Shiohara and T. Yamasaki, "Detecting Deepfakes with Self-Blended Images", CVPR 2022,
arXiv:2204.08376. The idea is theirs; masks, parts and numbers here are this project's own.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

#: How often a forgery takes the same photo (a self-blend), not another person's, as its donor.
SELF = 0.6

#: How often the whole face is replaced, and not one to three of its parts.
WHOLE_FACE = 0.6


def forge(
    frame: np.ndarray,
    keypoints: np.ndarray,
    donor: np.ndarray,
    donor_keypoints: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return a photo in which the face, or a part of it, comes from a changed or another photo.

    Args:
        frame: (S, S, 3) uint8, a real photo.
        keypoints: (6, 2) its eyes, nose, mouth and ears in pixels; see
            :class:`deepfake_lab.photos.faces.Face`.
        donor: (S, S, 3) uint8, another real photo, or the same one for a self-blend.
        donor_keypoints: (6, 2) of the donor.
        rng: where every random choice comes from.

    Returns:
        (S, S, 3) uint8.
    """
    size = _face_size(keypoints)
    mask = _mask(frame.shape[0], keypoints, size, rng)
    alignment = _alignment(keypoints, donor_keypoints, size, rng)
    source = _retouched(_laid_over(frame, donor, alignment), rng)
    weight = np.asarray(mask, np.float32)[..., None] / 255  # (S, S, 1) in [0, 1]
    target = frame.astype(np.float32)
    source = _matched(source, target, weight, rng)
    return (target + (source - target) * weight).round().clip(0, 255).astype(np.uint8)


def can_forge(keypoints: np.ndarray, side: int) -> np.ndarray:
    """Return whether photos can be forged, (N,) bool: a face was found, not too small or cut off.

    Args:
        keypoints: (N, 6, 2) in pixels, NaN where no face was found.
        side: of the frames in pixels.
    """
    inner = keypoints[:, :4]  # ears may lie outside
    inside = ((inner > 0) & (inner < side)).all(axis=(1, 2))  # NaN is not inside
    eyes = np.linalg.norm(keypoints[:, 0] - keypoints[:, 1], axis=1)
    return inside & (eyes > 0.08 * side)


def _face_size(keypoints: np.ndarray) -> float:
    """Return the distance from the middle of the eyes to the mouth, or between the eyes."""
    eyes = keypoints[:2].mean(axis=0)
    between = np.linalg.norm(keypoints[0] - keypoints[1])
    return float(max(np.linalg.norm(keypoints[3] - eyes), between))


def _mask(side: int, keypoints: np.ndarray, size: float, rng: np.random.Generator) -> Image.Image:
    """Draw where the donor shows, (side, side) in [0, 255], with soft borders."""
    mask = Image.new("L", (side, side))
    draw = ImageDraw.Draw(mask)
    right_eye, left_eye, nose, mouth = keypoints[:4]
    eyes = (right_eye + left_eye) / 2
    if rng.random() < WHOLE_FACE:
        center = eyes * 0.45 + mouth * 0.55 + rng.normal(0, 0.05, 2) * size
        shapes = [(center, rng.uniform(0.75, 1.05), rng.uniform(0.9, 1.35))]
    else:
        parts = (
            (right_eye, 0.38, 0.24), (left_eye, 0.38, 0.24), (nose, 0.36, 0.42), (mouth, 0.5, 0.3),
        )  # fmt: skip
        chosen = rng.permutation(len(parts))[: rng.integers(1, 4)]
        shapes = [(parts[i][0], *(np.array(parts[i][1:]) * rng.uniform(0.8, 1.4))) for i in chosen]
    down = (mouth - eyes) / np.linalg.norm(mouth - eyes)
    across = np.array([down[1], -down[0]])
    for center, width, height in shapes:
        angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        # An ellipse with a wobbling border: a few slow waves around it.
        waves = sum(
            rng.normal(0, 0.06) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4)
        )
        reach = (1 + waves) * size
        points = (
            center
            + np.outer(np.cos(angle) * reach * width, across)
            + np.outer(np.sin(angle) * reach * height, down)
        )
        draw.polygon([tuple(point) for point in points], fill=255)
    soft = mask.filter(ImageFilter.GaussianBlur(rng.uniform(0.02, 0.12) * size))
    strength = rng.choice((0.75, 1.0, 1.0, 1.0))
    return soft.point(lambda value: round(value * strength))


def _alignment(
    keypoints: np.ndarray, donor: np.ndarray, size: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the (2, 3) map from the target's pixels to the donor's, a little off."""
    ours, theirs = keypoints[:4], donor[:4]
    # Least-squares similarity, with points as complex numbers: theirs = a * ours + b.
    z, w = ours @ (1, 1j), theirs @ (1, 1j)
    z0, w0 = z - z.mean(), w - w.mean()
    a = (np.conj(z0) @ w0) / (np.conj(z0) @ z0)
    a *= rng.uniform(0.95, 1.05) * np.exp(1j * rng.normal(0, 0.03))
    offset = rng.normal(0, 0.025, 2) * size @ (1, 1j)
    b = w.mean() + offset * abs(a) - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def _laid_over(frame: np.ndarray, donor: np.ndarray, matrix: np.ndarray) -> Image.Image:
    """Return the donor moved onto the target; where it has no pixels, the target's."""
    height, width, _ = donor.shape
    size = (width, height)
    affine, data = Image.Transform.AFFINE, matrix.ravel().tolist()
    white = Image.new("L", size, 255)
    there = white.transform(size, affine, data, Image.Resampling.NEAREST)
    moved = Image.fromarray(donor).transform(size, affine, data, Image.Resampling.BICUBIC)
    return Image.composite(moved, Image.fromarray(frame), there)


def _retouched(source: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """Re-sample, blur or sharpen the donor and shift its colours, (S, S, 3) float32."""
    kind = rng.integers(4)
    if kind == 0:
        side = round(source.width * rng.uniform(0.35, 0.8))
        small = source.resize((side, side), Image.Resampling.BILINEAR)
        source = small.resize(source.size, Image.Resampling.BICUBIC)
    elif kind == 1:
        source = source.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.5)))
    elif kind == 2:
        source = source.filter(ImageFilter.UnsharpMask(1, int(rng.uniform(50, 200))))
    pixels = np.asarray(source, np.float32)
    gain, shift = rng.uniform(0.92, 1.08, 3), rng.uniform(-10, 10, 3)
    return (pixels - 128) * gain.astype(np.float32) + 128 + shift.astype(np.float32)


def _matched(
    source: np.ndarray, target: np.ndarray, weight: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Bring the donor's colours near the target's, as far as a careful forger would."""
    total = max(float(weight.sum()), 1.0)
    means = [(pixels * weight).sum(axis=(0, 1)) / total for pixels in (source, target)]  # (3,) each
    return source + (means[1] - means[0]) * np.float32(rng.uniform(0.6, 1.0))
