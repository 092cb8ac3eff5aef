"""Find where faces are with YuNet, on LiteRT: small ones, many of them, in large photos.

It sees faces of about 16 to 300 pixels, and is as sure of them as they are upright; keypoints come
from :mod:`deepfake_lab.photos.blazeface`. The model lies in ``weights/`` (3-clause BSD, of
libfacedetection; ``tools/convert_yunet.py`` made it).

Source: W. Wu, H. Peng and S. Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine
Intelligence Research 20, 656-665, 2023.
"""

import threading
from collections import OrderedDict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from deepfake_lab.litert import cores, make_interpreter
from deepfake_lab.photos.boxes import distinct

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

#: What scores less is not even looked at closer. Low: the second model has a say as well.
MIN_SCORE = 0.1

#: Photos larger than this are halved first: a face of 40 pixels is large enough then.
WHOLE = 160

#: Longest side of the copy in which large faces are looked for, in pixels.
COARSE = 480

#: Longest side of what the model looks at in one go, and how much neighbours share, in pixels.
TILE, SHARED = 2048, 224

#: The network halves its input five times.
STEP = 32

#: To be made ready for a size takes as long as to look at a small picture: a thread keeps the
#: interpreters of the last sizes, of so many pixels together. One for more pixels than SMALL is
#: made ready again for each size, and uses all cores.
KEPT, SMALL, SMALL_STEP = 2_000_000, 1_000_000, 64


def find(picture: Image.Image) -> np.ndarray:
    """Return the faces in an RGB picture, best first.

    Returns:
        (N, 5) float64: x and y of the box's center, width, height (all in pixels of the picture),
        and the score in [0, 1]. The box reaches from the forehead to the chin.
    """
    first = shrink(picture.size)
    half = picture if first == 1 else picture.reduce(first)
    found = [_tiled(half) * (first, first, first, first, 1)]
    times = max(half.size) // COARSE
    if times > 1:  # faces that are too large for the model at that size
        more = times * first
        found.append(look(half.reduce(times)) * (more, more, more, more, 1))
    return _best(np.concatenate(found))


def shrink(size: tuple[int, int]) -> int:
    """Return how many times smaller a picture of this width and height is looked at."""
    return 1 if max(size) <= WHOLE else 2


def look(picture: Image.Image) -> np.ndarray:
    """Return the faces of 16 to 300 pixels in a picture as it is; see :func:`find`."""
    return _best(_eyes().look(picture))


def _tiled(picture: Image.Image) -> np.ndarray:
    width, height = picture.size
    found = [np.empty((0, 5))]
    for top in _starts(height):
        for left in _starts(width):
            box = (left, top, min(left + TILE, width), min(top + TILE, height))
            tile = picture if box == (0, 0, width, height) else picture.crop(box)
            found.append(_eyes().look(tile) + np.array([left, top, 0, 0, 0]))
    return np.concatenate(found)


def _starts(length: int) -> list[int]:
    return list(range(0, max(1, length - SHARED), TILE - SHARED))


class _Eyes:
    """LiteRT interpreters are not thread-safe: each thread has its own."""

    def __init__(self, model: bytes):
        self._model = model
        self._local = threading.local()  # with `kept`: height and width -> interpreter

    def look(self, picture: Image.Image) -> np.ndarray:
        """Return (N, 5) as :func:`find`, faces more than once."""
        width, height = picture.size
        # The first row and column are the border that the first convolution wants.
        unit = SMALL_STEP if width * height <= SMALL else STEP
        size = [-(-length // unit) * unit + 1 for length in (height, width)]
        canvas = np.zeros((1, *size, 3), np.float32)
        canvas[0, 1 : height + 1, 1 : width + 1] = np.asarray(picture)
        found = []
        for cells in self._run(canvas):  # (h, w, 6)
            step = (canvas.shape[1] - 1) // cells.shape[0]
            scores = np.sqrt(np.prod(1 / (1 + np.exp(-np.clip(cells[..., :2], -40, 40))), axis=-1))
            rows, columns = np.nonzero(scores >= MIN_SCORE)
            values = cells[rows, columns].astype(np.float64)
            centers = (np.stack([columns, rows], axis=-1) + values[:, 2:4]) * step
            sizes = np.exp(np.clip(values[:, 4:6], -5, 5)) * step
            found.append(np.column_stack([centers, sizes, scores[rows, columns]]))
        return np.concatenate(found)

    def _run(self, canvas: np.ndarray) -> list[np.ndarray]:
        interpreter = self._interpreter(*canvas.shape[1:3])
        entry = interpreter.get_input_details()[0]
        if tuple(entry["shape"]) != canvas.shape:
            interpreter.resize_tensor_input(entry["index"], canvas.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(entry["index"], canvas)
        interpreter.invoke()
        return [interpreter.get_tensor(o["index"])[0] for o in interpreter.get_output_details()]

    def _interpreter(self, height: int, width: int) -> "Interpreter":
        kept = vars(self._local).setdefault("kept", OrderedDict())
        small = height * width <= SMALL
        key = (height, width) if small else (0, 0)
        if key not in kept:
            kept[key] = make_interpreter(self._model, threads=1 if small else cores())
        kept.move_to_end(key)
        while sum(rows * columns for rows, columns in kept) > KEPT:
            kept.popitem(last=False)
        return kept[key]


@cache
def _eyes() -> _Eyes:
    return _Eyes((Path(__file__).parent / "weights" / "yunet.tflite").read_bytes())


def _best(found: np.ndarray) -> np.ndarray:
    return found[distinct(found[:, :2], found[:, 2:4], found[:, 4])]
