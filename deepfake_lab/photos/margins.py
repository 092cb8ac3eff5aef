"""A plain margin around a photo, as of a screenshot, a frame or a letterbox: no part of it.

A detector that looks at the margin as well sees the face smaller than any that it has learned from.
"""

import numpy as np

from deepfake_lab.photos.squares import MIN_SIDE

#: By how much a colour may differ, of 255, and be the margin's still: compression leaves traces.
SAME_COLOUR = 10

#: Of a line of the margin, at most this share of the pixels may be of another colour: noise, and
#: the number of a page.
STAINED = 0.05

#: A photo is a rectangle: along its border at least this share of the pixels is not the margin's,
#: and as many in three of its four corners, of this share of a side. (The corners may be round.) A
#: head cut out and laid on white is no rectangle, and keeps the white that it has.
RECTANGLE, CORNER = 0.5, 1 / 8

#: So many pixels of a border may be blurred by scaling and compression: a JPEG has blocks of that.
SOFT = 16

#: A margin may have another one around it: a frame, a line, the edge of a page.
NESTED = 4


def content_box(image: np.ndarray) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of what lies inside a plain margin, in pixels.

    A margin is of one colour and lies above and below, to the left and right, on three sides or all
    around; without one, the box is the whole picture.

    Args:
        image: (H, W, 3) uint8.
    """
    left, top, right, bottom = 0, 0, image.shape[1], image.shape[0]
    for _ in range(NESTED):
        inner = _inside_margin(image[top:bottom, left:right])
        if inner == (0, 0, right - left, bottom - top):
            break
        right, bottom = left + inner[2], top + inner[3]
        left, top = left + inner[0], top + inner[1]
    return left, top, right, bottom


def _inside_margin(image: np.ndarray) -> tuple[int, int, int, int]:
    """Return :func:`content_box` for the outermost margin."""
    height, width = image.shape[:2]
    whole = (0, 0, width, height)
    corners = image[[0, 0, -1, -1], [0, -1, 0, -1]].astype(np.int16)  # (4, 3)
    colour = np.median(corners, axis=0)
    if np.abs(corners - colour).max() > 2 * SAME_COLOUR:
        return whole  # of any margin the corners are part
    low, high = (
        (colour + step).clip(0, 255).astype(np.uint8) for step in (-SAME_COLOUR, SAME_COLOUR)
    )

    def other(pixels: np.ndarray) -> np.ndarray:
        return ((pixels < low) | (pixels > high)).any(axis=-1)

    lines = [other(image[[0, -1]]).mean(axis=1), other(image[:, [0, -1]]).mean(axis=0)]
    if min(pair.max() for pair in lines) > STAINED:
        return whole  # no two opposite sides are of one colour
    # In strips, so that a large photo does not take several times its memory.
    inside = np.concatenate([other(image[top : top + 256]) for top in range(0, height, 256)])
    # Of a photo that is much smaller than the picture, a line all across it would show little.
    top, bottom = _ends(inside.mean(axis=1))
    left, right = _ends(inside.mean(axis=0))
    rows, columns = inside[:, left:right].mean(axis=1), inside[top:bottom].mean(axis=0)
    above, below = _depth(rows), _depth(rows[::-1])
    before, behind = _depth(columns), _depth(columns[::-1])
    if not (above and below) and not (before and behind):
        return whole
    # Beside a margin above and below, one to the left alone is one, too; and the other way round.
    box = before, above, width - behind, height - below
    return box if _is_photo(inside[above : height - below, before : width - behind]) else whole


def _ends(shares: np.ndarray) -> tuple[int, int]:
    """Return the first line (N,) that is not the margin's throughout, and one after the last."""
    places = np.flatnonzero(shares > STAINED)
    return (int(places[0]), int(places[-1]) + 1) if places.size else (0, len(shares))


def _depth(shares: np.ndarray) -> int:
    """Return how many lines of margin come before the photo; 0 for none.

    Args:
        shares: (N,) of the pixels of each line that are not the margin's.
    """
    start = int(np.argmax(shares >= RECTANGLE))
    return start if np.count_nonzero(shares[:start] > STAINED) <= SOFT else 0


def _is_photo(inside: np.ndarray) -> bool:
    """Return whether (H, W) bool is large enough, and full in three corners."""
    if min(inside.shape) < MIN_SIDE:
        return False
    high, wide = (max(1, round(side * CORNER)) for side in inside.shape)
    shares = [
        inside[rows, columns].mean()
        for rows in (slice(high), slice(-high, None))
        for columns in (slice(wide), slice(-wide, None))
    ]
    return sum(share >= RECTANGLE for share in shares) >= 3
