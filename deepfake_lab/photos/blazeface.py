"""Find faces and their keypoints with BlazeFace (short range), on LiteRT.

Made for faces that fill a good part of the picture; of these it knows how the eyes slope within
three degrees, up to a head that nearly lies on its side. A small face is shown to it closer; see
:mod:`deepfake_lab.photos.faces`. The model lies in ``weights/`` (Apache-2.0, of Google's
MediaPipe).

Source: Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs",
2019, arXiv:1907.05047; anchor layout and box decoding as in MediaPipe's face detection graphs.
"""

import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from deepfake_lab.litert import make_interpreter

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter
from deepfake_lab.photos.boxes import distinct

#: What scores less is no face.
MIN_SCORE = 0.5

#: Side of the model's input in pixels.
SIZE = 128

#: How far apart its cells lie, in pixels of the input, and how many anchors each has.
STRIDES = ((8, 2), (16, 6))


class Seen(NamedTuple):
    """A face; all lengths in pixels of the picture.

    Attributes:
        center: (2,) x and y of the box's center.
        size: (2,) width and height of the box, from about the eyebrows to the chin.
        keypoints: (6, 2) x and y of right eye, left eye, nose tip, mouth, right and left ear
            (right and left of the person).
        score: the model's confidence in [0, 1].
    """

    center: np.ndarray
    size: np.ndarray
    keypoints: np.ndarray
    score: float


def find(picture: Image.Image) -> list[Seen]:
    """Return the faces in an RGB picture, best first."""
    return _finder().find(picture)


class _Finder:
    """LiteRT interpreters are not thread-safe: each thread has its own."""

    def __init__(self, path: Path):
        self._model = path.read_bytes()
        self._local = threading.local()
        self._anchors = _anchors()

    def find(self, picture: Image.Image) -> list[Seen]:
        width, height = picture.size
        side = max(height, width)
        scale = SIZE / side
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
        left, top = (SIZE - inner[0]) // 2, (SIZE - inner[1]) // 2
        small = picture.resize(inner, Image.Resampling.BILINEAR, reducing_gap=2.0)
        square = np.zeros((1, SIZE, SIZE, 3), np.float32)
        square[0, top : top + inner[1], left : left + inner[0]] = np.asarray(small)
        boxes, scores = self._run(square / 127.5 - 1.0)  # (N, 16), (N,)
        keep = scores >= MIN_SCORE
        boxes, scores, anchors = boxes[keep], scores[keep], self._anchors[keep]
        if not len(scores):
            return []
        points = boxes.reshape(-1, 8, 2) / SIZE  # center, size, six keypoints
        sizes = points[:, 1].copy()
        points += anchors[:, None, :]
        points[:, 1] = sizes
        origin = np.array([left, top]) / SIZE
        points = (points - np.where(np.arange(8)[:, None] == 1, 0, origin)) * side
        return [
            Seen(points[i, 0], points[i, 1], points[i, 2:], float(scores[i]))
            for i in distinct(points[:, 0], points[:, 1], scores)
        ]

    def _run(self, square: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        interpreter = self._interpreter()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], square)
        interpreter.invoke()
        outputs = [interpreter.get_tensor(o["index"])[0] for o in interpreter.get_output_details()]
        boxes, logits = sorted(outputs, key=lambda output: -output.shape[-1])
        return boxes, 1 / (1 + np.exp(-np.clip(logits[:, 0], -80, 80)))

    def _interpreter(self) -> "Interpreter":
        if not hasattr(self._local, "interpreter"):
            self._local.interpreter = make_interpreter(self._model, threads=1)
        return self._local.interpreter


@cache
def _finder() -> _Finder:
    return _Finder(Path(__file__).parent / "weights" / "face_detection_short_range.tflite")


def _anchors() -> np.ndarray:
    """Return the anchor centers, (N, 2) x and y in [0, 1], in the order of the model's output."""
    layers = []
    for stride, per_cell in STRIDES:
        cells = SIZE // stride
        y, x = np.mgrid[:cells, :cells]
        centers = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) / cells
        layers.append(np.repeat(centers, per_cell, axis=0))
    return np.concatenate(layers).astype(np.float32)
