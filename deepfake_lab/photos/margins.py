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
    height, width = image.shape[:2]
    whole = (0, 0, width, height)
    colour = image[0, 0].astype(np.int16)
    low, high = ((colour + step).clip(0, 255).astype(np.uint8)
                 for step in (-SAME_COLOUR, SAME_COLOUR))  # fmt: skip

    def other(pixels: np.ndarray) -> np.ndarray:
        return ((pixels < low) | (pixels > high)).any(axis=-1)

    if other(image[[0, -1]]).any() and other(image[:, [0, -1]]).any():
        return whole  # no two opposite sides are of one colour
    # In strips, so that a large photo does not take several times its memory.
    inside = np.concatenate([other(image[top : top + 256]) for top in range(0, height, 256)])
    if not inside.any():
        return whole
    # Of a photo that is much smaller than the picture, a line all across it would show little.
    left, right = _ends(inside.any(axis=0))
    top, bottom = _ends(inside.any(axis=1))
    shares = inside[:, left:right].mean(axis=1), inside[top:bottom].mean(axis=0)
    (top, bottom), (left, right) = map(_content, shares)
    return (left, top, right, bottom) if _has_corners(inside[top:bottom, left:right]) else whole


def _ends(there: np.ndarray) -> tuple[int, int]:
    """Return the first place (N,) where something is true, and one after the last."""
    places = np.flatnonzero(there)
    return int(places[0]), int(places[-1]) + 1


def _content(shares: np.ndarray) -> tuple[int, int]:
    """Return the photo's first line and one after its last.

    Args:
        shares: (N,) of the pixels of each line that are not the margin's.
    """
    count = len(shares)
    start, end = _depth(shares), _depth(shares[::-1])
    if not start or not end or count - start - end < MIN_SIDE:
        return 0, count
    return start, count - end


def _depth(shares: np.ndarray) -> int:
    """Return how many lines of the margin come before the photo; 0 where none ends at a photo."""
    start = int(np.argmax(shares >= RECTANGLE))
    return start if np.count_nonzero(shares[:start]) <= SOFT else 0


def _has_corners(inside: np.ndarray) -> bool:
    """Return whether three corners of a photo, (H, W) bool, show something else than the margin."""
    high, wide = (max(1, round(side * CORNER)) for side in inside.shape)
    shares = [
        inside[rows, columns].mean()
        for rows in (slice(high), slice(-high, None))
        for columns in (slice(wide), slice(-wide, None))
    ]
    return sum(share >= RECTANGLE for share in shares) >= 3
