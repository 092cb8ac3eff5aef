"""The square that a model looks at, cut straight to the model's size.

Pixel for pixel what :func:`deepfake_lab.photos.images.frame_face` and
:func:`deepfake_lab.photos.images.center_crop` give one after the other (a test holds them
together), in less time: what the center crop would throw away is not computed where that changes
no pixel.
"""

import numpy as np
from PIL import Image

from deepfake_lab.photos import images
from deepfake_lab.photos.faces import Face
from deepfake_lab.photos.images import FramedFace
from deepfake_lab.photos.margins import content_box
from deepfake_lab.photos.squares import FILTER, Square, cut, pixels_of, resize, square_around


def frame_center(image: np.ndarray, image_size: int, framing: str) -> FramedFace:
    """Cut the square around the largest face, or the largest centred one, as the model sees it.

    Args:
        image: (H, W, 3) uint8.
        image_size: side of the model's input in pixels.
        framing: one of :data:`deepfake_lab.photos.images.FRAMINGS`.

    Returns:
        Pixels (image_size, image_size, 3); the box is what of the photo was judged.
    """
    return frame_centers(image, image_size, framing, most=1)[0]


def frame_centers(image: np.ndarray, image_size: int, framing: str, most: int) -> list[FramedFace]:
    """Cut the square around each face, the largest face first, as the model sees it.

    Args:
        image: (H, W, 3) uint8.
        image_size: side of the model's input in pixels.
        framing: one of :data:`deepfake_lab.photos.images.FRAMINGS`.
        most: how many squares at most.

    Returns:
        One square a face; a single one where there is no face, and for the framing ``whole``.
    """
    left, top, right, bottom = content_box(image)
    image = image[top:bottom, left:right]
    faces = images.find_faces(image)
    height, width = image.shape[:2]
    squares: list[tuple[Face | None, Square]]
    if framing == "face" and faces:
        squares = [(face, square_around(face, width, height)) for face in faces[:most]]
    else:
        squares = [(faces[0] if faces else None, square_around(None, width, height))]
    share = image_size / images.frame_size(image_size)
    return [
        FramedFace(_center(image, square, image_size), square.inner(share), face, len(faces)).moved(
            left, top
        )
        for face, square in squares
    ]


def _center(image: np.ndarray, square: Square, image_size: int) -> np.ndarray:
    """Return the center crop of a square brought to the frame's size."""
    frame = images.frame_size(image_size)
    if square.turn % 90:
        return np.ascontiguousarray(images.center_crop(cut(image, square, frame), image_size))
    pixels = pixels_of(image, square)
    side = pixels.shape[0]
    if side == frame or frame & (frame - 1):  # exact only where the frame's side is a power of 2
        return np.ascontiguousarray(images.center_crop(resize(pixels, frame), image_size))
    start = (frame - image_size) // 2 * side / frame
    stop = start + image_size * side / frame
    size = (image_size, image_size)
    picture = Image.fromarray(pixels)  # the square alone: no pixel beyond its border counts
    return np.asarray(picture.resize(size, FILTER, (start, start, stop, stop)))
