"""How sharp a photo is, and what a score means for a photo as sharp as that.

Sharp real photos score higher than soft ones, and their scores spread wider: one threshold on the
raw score would let nearly every fake among the soft photos pass. Only NumPy: every answer needs it.
"""

import numpy as np

_BRIGHTNESS = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def measure_sharpness(pixels: np.ndarray) -> float:
    """Return how much fine detail a picture shows.

    Args:
        pixels: (H, W, 3) uint8 RGB, 3 pixels or more each way.

    Returns:
        The logarithm of the mean absolute Laplacian of the brightness (in levels of 255), plus 0.1.
    """
    grey = pixels.astype(np.float32) @ _BRIGHTNESS  # (H, W)
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float(np.log(np.abs(4 * grey[1:-1, 1:-1] - around).mean() + 0.1))


def scaled(scores: np.ndarray, sharpness: float | np.ndarray, scale: dict) -> np.ndarray:
    """Return how far scores lie above those of real photos of the same sharpness.

    Args:
        scores: of a picture, or of many: raw logits.
        sharpness: of the picture, or of each, as :func:`measure_sharpness` says.
        scale: as :func:`deepfake_lab.training.calibration.fit_sharpness` finds it: ``center``,
            ``spread``, ``slope``, ``zero``, and ``sharpness``, the range outside of which its
            nearest end counts.

    Returns:
        (score - center) / (spread + slope * sharpness) - zero, same shape as `scores`.
    """
    inside = np.clip(sharpness, *scale["sharpness"])
    spread = scale["spread"] + scale["slope"] * inside
    return (scores - scale["center"]) / spread - scale["zero"]
