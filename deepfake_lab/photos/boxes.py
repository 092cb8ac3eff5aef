"""Boxes of faces: which of them show the same face."""

import numpy as np

#: Boxes that overlap more than this (intersection over union) show the same face.
SAME_FACE_IOU = 0.3

#: So does a box of which more than this lies in a better one.
INSIDE = 0.7


def distinct(centers: np.ndarray, sizes: np.ndarray, scores: np.ndarray) -> list[int]:
    """Return the indices of the boxes to keep, best first: the best of each group that overlaps.

    Args:
        centers: (N, 2) x and y.
        sizes: (N, 2) width and height.
        scores: (N,) the higher, the better.
    """
    low, high = centers - sizes / 2, centers + sizes / 2  # (N, 2) each
    areas = np.prod(sizes, axis=1)
    left = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        sides = np.minimum(high[best], high[left]) - np.maximum(low[best], low[left])
        overlap = np.prod(np.clip(sides, 0, None), axis=1)
        same = overlap >= SAME_FACE_IOU * (areas[best] + areas[left] - overlap)
        left = left[~same & (overlap <= INSIDE * areas[left])]
    return kept
