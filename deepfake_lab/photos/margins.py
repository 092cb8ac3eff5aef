"""A plain margin around a photo, as of a screenshot, a frame or a letterbox: no part of it.

A detector that looks at the margin as well sees the face smaller than any that it has learned from.
"""

import numpy as np

from deepfake_lab.photos.squares import MIN_SIDE

#: By how much a colour may differ, of 255, and be the margin's still: compression leaves traces.
SAME_COLOUR = 10

#: A photo is a rectangle: along its border at least this share of the pixels is not the margin's,
#: and in three of its four corners, of this share of a side, as many. A head cut out and laid on
#: white is none, and keeps the white that it has.
RECTANGLE, CORNER = 0.5, 1 / 16

#: So many pixels of a border may be blurred by scaling and compression: a JPEG has blocks of that.
SOFT = 16


def content_box(image: np.ndarray) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of what lies inside a plain margin, in pixels.

    A margin is above and below, or to the left and right, or all around, and of one colour;
    without one, the box is the whole picture.

    Args:
        image: (H, W, 3) uint8.
    """
    colour = image[0, 0].astype(np.int16)
    if _other(image[:: len(image) - 1, :: image.shape[1] - 1].reshape(4, 3), colour).any():
        return 0, 0, image.shape[1], image.shape[0]  # of any margin, the corners are part
    columns = image.swapaxes(0, 1)
    # A line across the picture may show little of a photo that is much smaller.
    top, bottom = _content(image[:, slice(*_outer(columns, colour))], colour)
    left, right = _content(columns[:, slice(*_outer(image, colour))], colour)
    if not _has_corners(image[top:bottom, left:right], colour):
        return 0, 0, image.shape[1], image.shape[0]
    return left, top, right, bottom


def _has_corners(photo: np.ndarray, colour: np.ndarray) -> bool:
    """Return whether three corners of a photo (H, W, 3) show something else than the margin."""
    high, wide = (max(1, round(side * CORNER)) for side in photo.shape[:2])
    shares = [
        _other(photo[rows, columns].reshape(-1, 3), colour).mean()
        for rows in (slice(high), slice(-high, None))
        for columns in (slice(wide), slice(-wide, None))
    ]
    return sum(share >= RECTANGLE for share in shares) >= 3


def _outer(lines: np.ndarray, colour: np.ndarray) -> tuple[int, int]:
    """Return the first line (N, M, 3) that is not all the margin's, and one after the last."""
    start, end = (
        next((i for i, line in enumerate(way) if _other(line, colour).any()), 0)
        for way in (lines, lines[::-1])
    )
    return start, len(lines) - end


def _content(lines: np.ndarray, colour: np.ndarray) -> tuple[int, int]:
    """Return the first line (N, M, 3) of the photo, and one after its last."""
    count = len(lines)
    start, end = _depth(lines, colour), _depth(lines[::-1], colour)
    if not start or not end or count - start - end < MIN_SIDE:
        return 0, count
    return start, count - end


def _depth(lines: np.ndarray, colour: np.ndarray) -> int:
    """Return how many lines of the margin come before the photo; 0 where none ends at a photo."""
    soft = 0
    for number, line in enumerate(lines):
        share = _other(line, colour).mean()
        if share >= RECTANGLE:
            return number
        soft += share > 0
        if soft > SOFT:
            break
    return 0


def _other(line: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Return which pixels of a line (M, 3) are not of the margin's colour, (M,) bool."""
    return (np.abs(line - colour) > SAME_COLOUR).any(axis=1)
