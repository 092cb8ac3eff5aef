"""The square that a model looks at, cut straight to the model's size.

Pixel for pixel what :func:`deepfake_lab.photos.images.frame_face` and
:func:`deepfake_lab.photos.images.center_crop` give one after the other (a test holds them
together), in less time: what the center crop would throw away is not computed where that changes
no pixel.
"""

import numpy as np
from PIL import Image

from deepfake_lab.photos import images
from deepfake_lab.photos.images import FramedFace


def frame_center(image: np.ndarray, image_size: int, framing: str) -> FramedFace:
    """Cut the square around the face, or the largest centred one, as the model sees it.

    Args:
        image: (H, W, 3) uint8.
        image_size: side of the model's input in pixels.
        framing: one of :data:`deepfake_lab.photos.images.FRAMINGS`.

    Returns:
        Pixels (image_size, image_size, 3); the box is what of the photo was judged.
    """
    (left, top, right, bottom), face, faces_found = images.find_square(image, framing)
    pixels = _center(image[top:bottom, left:right], image_size)
    edge = round((right - left) * (1 - image_size / images.frame_size(image_size)) / 2)
    box = (left + edge, top + edge, right - edge, bottom - edge)
    return FramedFace(pixels, box, face, faces_found)


def _center(square: np.ndarray, image_size: int) -> np.ndarray:
    """Return the center crop of a square (side, side, 3) brought to the frame's size."""
    side, frame = square.shape[0], images.frame_size(image_size)
    if side == frame or frame & (frame - 1):  # exact only where the frame's side is a power of 2
        return np.ascontiguousarray(images.center_crop(images.resize(square, frame), image_size))
    start = (frame - image_size) // 2 * side / frame
    stop = start + image_size * side / frame
    size = (image_size, image_size)
    image = Image.fromarray(square)  # the square alone: no pixel beyond its border counts
    return np.asarray(image.resize(size, images.FILTER, (start, start, stop, stop)))
