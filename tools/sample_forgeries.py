"""Forge a photo: a self-blend or a face swap, for `build_sample.py`.

Source: Shiohara & Yamasaki, "Detecting Deepfakes with Self-Blended Images", CVPR 2022. The idea is
theirs, the code and its numbers are not.
"""

from __future__ import annotations

import cv2
import numpy as np
from sample_faces import Photo


def face_mask(
    shape: tuple[int, ...], mesh: np.ndarray, top: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Return a soft (H, W, 1) mask in [0, 1]: the hull of the mesh, bent and feathered.

    `top` is the range from which the part of the forehead that stays outside is drawn (as a part of
    the face's height; 0: the whole face).
    """
    size = float(np.ptp(mesh[:, 1]))  # px, brow to chin: the unit of every distance below
    keep = mesh[mesh[:, 1] > mesh[:, 1].min() + rng.uniform(*top) * size]
    hull = cv2.convexHull(keep)
    mask = cv2.fillConvexPoly(np.zeros(shape[:2], np.float32), hull.astype(np.int32), 1.0)
    bend = rng.normal(size=(2, *shape[:2])).astype(np.float32)
    bend = np.stack([cv2.GaussianBlur(b, (0, 0), 0.12 * size) for b in bend])
    bend *= rng.uniform(0.01, 0.05) * size / bend.std()
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    mask = cv2.remap(mask, x + bend[0], y + bend[1], cv2.INTER_LINEAR)
    mask = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.015, 0.05) * size)
    # Half of a blur spreads outwards: drop it, so that the blend ends on the face, not behind it.
    return np.clip(mask * 2 - 1, 0, 1)[..., None]


def blend(target: np.ndarray, source: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return `target` with `source` laid over it where `mask` says so, (H, W, 3) uint8."""
    return np.rint(target * (1 - mask) + source * mask).clip(0, 255).astype(np.uint8)


def self_blend(photo: Photo, rng: np.random.Generator) -> np.ndarray:
    """Return a photo forged from itself: its face recoloured, re-sampled and slightly moved."""
    rgb, size = photo.rgb, float(np.ptp(photo.mesh[:, 1]))
    hsv = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    hsv[..., 1] *= rng.uniform(0.7, 1.3)
    source = cv2.cvtColor(hsv.clip(0, [360, 1, 1]).astype(np.float32), cv2.COLOR_HSV2RGB) * 255
    source = (source - 128) * rng.uniform(0.85, 1.15) + 128 + rng.uniform(-12, 12, 3)
    source = source.clip(0, 255).astype(np.float32)
    if rng.random() < 0.5:
        source += rng.uniform(0.6, 1.4) * (source - cv2.GaussianBlur(source, (0, 0), 1.2))
    else:
        h, w = source.shape[:2]
        f = rng.uniform(0.4, 0.65)
        small = cv2.resize(source, (round(w * f), round(h * f)), interpolation=cv2.INTER_AREA)
        source = cv2.resize(small, (w, h), interpolation=cv2.INTER_CUBIC)
    centre = photo.mesh.mean(axis=0)
    m = cv2.getRotationMatrix2D(centre.tolist(), rng.uniform(-4, 4), rng.uniform(0.95, 1.06))
    m[:, 2] += rng.uniform(-0.04, 0.04, 2) * size
    source = cv2.warpAffine(
        source, m, rgb.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    return blend(rgb, source, face_mask(rgb.shape, photo.mesh, (0.0, 0.15), rng))


def align(donor: Photo, target: Photo) -> tuple[np.ndarray, float]:
    """Return the (2, 3) similarity that lays the donor's face on the target's, and its misfit.

    The misfit is the mean distance of the landmarks in target face heights (0: they coincide).
    """
    m, _ = cv2.estimateAffinePartial2D(donor.mesh, target.mesh, method=cv2.LMEDS)
    left = cv2.transform(donor.mesh[None], m)[0] - target.mesh
    return m, float(np.linalg.norm(left, axis=1).mean() / np.ptp(target.mesh[:, 1]))


def swap_face(target: Photo, donor: Photo, rng: np.random.Generator) -> np.ndarray:
    """Return `target` wearing the donor's face, its colours brought to the target's."""
    rgb, (m, _) = target.rgb, align(donor, target)
    size = rgb.shape[1::-1]
    moved = cv2.warpAffine(
        donor.rgb, m, size, flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT
    )
    brow = (0.1, 0.22)  # below most fringes, above the eyebrows
    mask = face_mask(rgb.shape, target.mesh, brow, rng)
    laid = cv2.transform(donor.mesh[None], m)[0]
    inner = (laid - laid.mean(0)) * 0.92 + laid.mean(
        0
    )  # the donor's hair and background stay behind
    mask = np.minimum(mask, face_mask(rgb.shape, inner, brow, rng))
    inside = mask[..., 0] > 0.5
    lab = cv2.cvtColor(moved.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    want = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[inside]
    have = lab[inside]
    lab = (lab - have.mean(0)) * (want.std(0) / have.std(0)).clip(0.6, 1.5) + want.mean(0)
    source = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB).clip(0, 1) * 255
    return blend(rgb, source, mask)
