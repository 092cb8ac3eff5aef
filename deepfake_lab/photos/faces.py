"""Find the faces in a photo with BlazeFace, on LiteRT.

The two models lie in ``weights/`` beside this file (Apache-2.0, of Google's MediaPipe).

Source: Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs",
2019, arXiv:1907.05047; anchor layout and box decoding as in MediaPipe's face detection graphs.
"""

import threading
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from deepfake_lab.litert import make_interpreter

#: Boxes that overlap more than this (intersection over union) show the same face.
SAME_FACE_IOU = 0.3


@dataclass(frozen=True)
class Face:
    """A face in a photo; all lengths in pixels of the photo.

    Attributes:
        left, top, width, height: the box, from about the eyebrows to the chin.
        keypoints: (6, 2) x and y of right eye, left eye, nose tip, mouth, right and left ear
            (right and left of the person).
        score: the finder's confidence in [0, 1].
    """

    left: float
    top: float
    width: float
    height: float
    keypoints: np.ndarray = field(repr=False, compare=False)
    score: float

    @property
    def center(self) -> tuple[float, float]:
        """Return x and y of the box's center."""
        return self.left + self.width / 2, self.top + self.height / 2


def find_faces(image: np.ndarray) -> list[Face]:
    """Return the faces in a photo, best first.

    The short-range model (faces that fill a good part of the picture) looks first; where it sees
    nothing, the full-range model (small faces in a large photo) looks again.

    Args:
        image: (H, W, 3) uint8 RGB.
    """
    for model in ("face_detection_short_range.tflite", "face_detection_full_range.tflite"):
        faces = _finder(model).find(image)
        if faces:
            return faces
    return []


class _Finder:
    """One BlazeFace model. LiteRT interpreters are not thread-safe: each thread has its own."""

    def __init__(self, path: Path, strides: tuple[tuple[int, int], ...], min_score: float):
        self._model = path.read_bytes()
        self._local = threading.local()
        self._min_score = min_score
        self._size = int(self._interpreter().get_input_details()[0]["shape"][1])
        self._anchors = _anchors(self._size, strides)

    def find(self, image: np.ndarray) -> list[Face]:
        height, width = image.shape[:2]
        side = max(height, width)
        scale = self._size / side
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
        left, top = (self._size - inner[0]) // 2, (self._size - inner[1]) // 2
        small = Image.fromarray(image).resize(inner, Image.Resampling.BILINEAR, reducing_gap=2.0)
        square = np.zeros((1, self._size, self._size, 3), np.float32)
        square[0, top : top + inner[1], left : left + inner[0]] = np.asarray(small)
        boxes, scores = self._run(square / 127.5 - 1.0)  # (N, 16), (N,)
        keep = scores >= self._min_score
        boxes, scores, anchors = boxes[keep], scores[keep], self._anchors[keep]
        if not len(scores):
            return []
        points = boxes.reshape(-1, 8, 2) / self._size  # center, size, six keypoints
        sizes = points[:, 1].copy()
        points += anchors[:, None, :]
        points[:, 1] = sizes
        origin = np.array([left, top]) / self._size
        points = (points - np.where(np.arange(8)[:, None] == 1, 0, origin)) * side
        return [
            Face(
                left=float(points[i, 0, 0] - points[i, 1, 0] / 2),
                top=float(points[i, 0, 1] - points[i, 1, 1] / 2),
                width=float(points[i, 1, 0]),
                height=float(points[i, 1, 1]),
                keypoints=points[i, 2:],
                score=float(scores[i]),
            )
            for i in _distinct(points[:, 0], points[:, 1], scores)
        ]

    def _run(self, square: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        interpreter = self._interpreter()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], square)
        interpreter.invoke()
        outputs = [interpreter.get_tensor(o["index"])[0] for o in interpreter.get_output_details()]
        boxes, logits = sorted(outputs, key=lambda output: -output.shape[-1])
        return boxes, 1 / (1 + np.exp(-np.clip(logits[:, 0], -80, 80)))

    def _interpreter(self):
        if not hasattr(self._local, "interpreter"):
            self._local.interpreter = make_interpreter(self._model, threads=1)
        return self._local.interpreter


@cache
def _finder(file_name: str) -> _Finder:
    path = Path(__file__).parent / "weights" / file_name
    if "short" in file_name:
        # 16 x 16 cells with 2 anchors and 8 x 8 cells with 6, on a 128 px input.
        return _Finder(path, strides=((8, 2), (16, 6)), min_score=0.5)
    # 48 x 48 cells with one anchor, on a 192 px input.
    return _Finder(path, strides=((4, 1),), min_score=0.6)


def _anchors(size: int, strides: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Return the anchor centers, (N, 2) x and y in [0, 1], in the order of the model's output."""
    layers = []
    for stride, per_cell in strides:
        cells = size // stride
        y, x = np.mgrid[:cells, :cells]
        centers = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) / cells
        layers.append(np.repeat(centers, per_cell, axis=0))
    return np.concatenate(layers).astype(np.float32)


def _distinct(centers: np.ndarray, sizes: np.ndarray, scores: np.ndarray) -> list[int]:
    """Return the indices of the boxes to keep: the best of each group that overlaps."""
    low, high = centers - sizes / 2, centers + sizes / 2  # (N, 2) each
    areas = np.prod(sizes, axis=1)
    left = np.argsort(-scores)
    kept: list[int] = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        sides = np.minimum(high[best], high[left]) - np.maximum(low[best], low[left])
        overlap = np.prod(np.clip(sides, 0, None), axis=1)
        left = left[overlap / (areas[best] + areas[left] - overlap) < SAME_FACE_IOU]
    return kept
