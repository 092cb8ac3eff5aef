"""The square of a photo that is judged: where it lies, and how it is cut out upright.

Around an upright face its sides are parallel to the photo's, and a photo that lies on its side is
turned without a change to any pixel. Where the head is tilted, the square is tilted with it, and
turning and scaling are one resampling: each takes away some of what gives a fake away.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from deepfake_lab.photos.faces import Face, box_corners, turned_points

#: Smallest side, in pixels, of a picture that can be judged at all.
MIN_SIDE = 16

#: The frame around a face is a square of this many times the face box's longer side. On portraits
#: aligned as FFHQ is, that is about the whole picture.
FACE_MARGIN = 1.8

#: How far the frame's center lies above the face box's, in box heights: the box ends at the
#: eyebrows, a portrait does not.
FACE_LIFT = 0.2

#: A tilted square is made smaller by no more than this to stay within the photo: a face that fills
#: more of it than the model has seen is judged worse than one with mirrored corners.
SHRUNK = 0.85

#: How a square is brought to the model's size. Bicubic: two thirds of Lanczos' time; what a model
#: was trained with is what it has to be asked with.
FILTER = Image.Resampling.BICUBIC


@dataclass(frozen=True)
class Square:
    """A square of a photo, in its pixels.

    Attributes:
        left, top, side: the square before it is turned about its center.
        turn: by how many degrees, clockwise.
    """

    left: float
    top: float
    side: float
    turn: float = 0.0

    @property
    def center(self) -> tuple[float, float]:
        """Return x and y of its center."""
        return self.left + self.side / 2, self.top + self.side / 2

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom, before it is turned, in whole pixels."""
        left, top = round(self.left), round(self.top)
        return left, top, left + round(self.side), top + round(self.side)

    @property
    def corners(self) -> np.ndarray:
        """Return the corners of the turned square, (4, 2), from the upper left one on around."""
        return box_corners(self.left, self.top, self.side, self.side, self.turn)

    def inner(self, share: float) -> "Square":
        """Return the square in its middle whose side is a share of its own."""
        edge = self.side * (1 - share) / 2
        edge = round(edge) if self.turn % 90 == 0 else edge
        return Square(self.left + edge, self.top + edge, self.side - 2 * edge, self.turn)

    def place(self, points: np.ndarray, size: int) -> np.ndarray:
        """Return where points (..., 2) of the photo lie in the square when it is `size` wide."""
        upright = turned_points(points, self.center, -self.turn) if self.turn else points
        return (upright - np.array([self.left, self.top])) * (size / self.side)


def square_around(face: Face | None, width: int, height: int) -> Square:
    """Return the square around a face; the largest centred one where there is no face.

    It never leaves the photo: padding would be a border that a model can learn. Where the photo is
    itself a tight crop, the square is as large as the photo allows. Only a tilted square in a tight
    crop shrinks by no more than :data:`SHRUNK`; what it then lacks is mirrored.

    Args:
        face: the face, or None.
        width: of the photo, in pixels.
        height: of the photo, in pixels.
    """
    side = min(width, height)
    if face is None:
        return _inside(width / 2, height / 2, side, width, height)
    side = max(MIN_SIDE, min(side, round(FACE_MARGIN * max(face.width, face.height))))
    x, y = face.center[0], face.center[1] - FACE_LIFT * face.height
    turn = face.turn
    if turn:
        x, y = turned_points(np.array([x, y]), face.center, turn).tolist()
    if turn % 90 == 0:
        return _inside(x, y, side, width, height, turn)
    angle = np.radians(turn)
    wide = float(abs(np.cos(angle)) + abs(np.sin(angle)))  # how wide it lies, in sides
    room = min(width, height) / wide
    fitting = max(min(side, room), SHRUNK * side)
    x, y = _moved(x, fitting * wide / 2, width), _moved(y, fitting * wide / 2, height)
    return Square(x - fitting / 2, y - fitting / 2, fitting, turn)


def _moved(middle: float, reach: float, length: int) -> float:
    """Return the place nearest to `middle` from which `reach` stays within `length`."""
    return min(max(middle, reach), length - reach) if 2 * reach <= length else length / 2


def _inside(x: float, y: float, side: int, width: int, height: int, turn: float = 0.0) -> Square:
    left = min(max(round(x - side / 2), 0), width - side)
    top = min(max(round(y - side / 2), 0), height - side)
    return Square(left, top, side, turn)


def cut(image: np.ndarray, square: Square, size: int) -> np.ndarray:
    """Return a square of a photo upright, (size, size, 3) uint8, antialiased (bicubic).

    Args:
        image: (H, W, 3) uint8.
        square: where.
        size: side of what comes back, in pixels.
    """
    if square.turn % 90:
        return _cut_tilted(image, square, size)
    return resize(pixels_of(image, square), size)


def pixels_of(image: np.ndarray, square: Square) -> np.ndarray:
    """Return the pixels of a square that is not tilted, upright and at their own scale."""
    left, top, right, bottom = square.box
    return np.rot90(image[top:bottom, left:right], round(square.turn / 90))


def resize(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resize a square to (size, size, 3) uint8, antialiased (bicubic); itself where it fits."""
    if pixels.shape[:2] == (size, size):
        return np.ascontiguousarray(pixels)
    return np.asarray(Image.fromarray(pixels).resize((size, size), FILTER))


def _cut_tilted(image: np.ndarray, square: Square, size: int) -> np.ndarray:
    """Turn and scale at once.

    Pillow's turning takes the nearest 4 x 4 pixels and no more, which would leave out most of a
    large face. So it is done on a finer grid, of at least the photo's own pixels, and the finer
    grid is averaged as the scaling of an upright square averages.
    """
    times = max(1, int(np.ceil(square.side / size)))
    fine = size * times
    step = square.side / fine  # of the fine grid, in pixels of the photo
    angle = np.radians(square.turn)
    cos, sin = step * float(np.cos(angle)), step * float(np.sin(angle))
    part, (x, y) = _mirrored(image, square)
    half = fine / 2
    place = (cos, -sin, x - half * (cos - sin), sin, cos, y - half * (sin + cos))
    turned = Image.fromarray(part).transform(
        (fine, fine), Image.Transform.AFFINE, place, Image.Resampling.BICUBIC
    )
    return np.asarray(turned.resize((size, size), FILTER) if times > 1 else turned)


def _mirrored(image: np.ndarray, square: Square) -> tuple[np.ndarray, tuple[float, float]]:
    """Return all of a photo that a tilted square touches, mirrored where the photo ends.

    Returns:
        The pixels (h, w, 3), and where in them the square's center lies.
    """
    height, width = image.shape[:2]
    x, y = square.center
    reach = square.side * 0.5**0.5 + 3  # three pixels for the filter
    left, right = int(np.floor(x - reach)), int(np.ceil(x + reach))
    top, bottom = int(np.floor(y - reach)), int(np.ceil(y + reach))
    part = image[max(0, top) : bottom, max(0, left) : right]
    outside = ((max(0, -top), max(0, bottom - height)), (max(0, -left), max(0, right - width)))
    if any(map(any, outside)):
        part = np.pad(part, (*outside, (0, 0)), mode="symmetric")
    return part, (x - left, y - top)
