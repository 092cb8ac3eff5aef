"""Pictures for the page, as data URIs: nothing is written to disk, nothing stays on the server."""

import base64
import io

import numpy as np
from PIL import Image

from deepfake_lab.detection.display import draw_heat
from deepfake_lab.detection.explain import log_spectrum

#: Side of the squares whose spectra are averaged, and how many there are per row and column.
TILE = 128
TILES = 3


def photo_uri(pixels: np.ndarray) -> str:
    """Return a photo, (h, w, 3) uint8 at the size to be shown, as a JPEG."""
    return _uri(Image.fromarray(pixels), "JPEG", quality=80)


def heat_uri(pixels: np.ndarray, evidence: np.ndarray) -> str:
    """Return the judged square in grey with its heat map over it; see :func:`draw_heat`."""
    return _uri(draw_heat(pixels, evidence), "JPEG", quality=85)


def spectrum_uri(pixels: np.ndarray) -> str:
    """Return the spectrum of a photo, averaged over squares of it, as a grey picture.

    The squares are cut at the photo's own scale: scaling would wash out the finest detail, which
    is what the spectrum is looked at for.

    Args:
        pixels: (H, W, 3) uint8, the part of the photo that was judged.
    """
    spectrum = log_spectrum(_tiles(pixels))
    low, high = np.percentile(spectrum, (1, 99.8))
    grey = np.clip((spectrum - low) / max(high - low, 1e-6), 0, 1) * 255
    return _uri(Image.fromarray(grey.astype(np.uint8)), "PNG", compress_level=0)


def _tiles(pixels: np.ndarray) -> np.ndarray:
    """Return squares spread over a photo, (N, S, S, 3) uint8."""
    height, width = pixels.shape[:2]
    side = min(TILE, height, width)
    tops = np.linspace(0, height - side, TILES).round().astype(int)
    lefts = np.linspace(0, width - side, TILES).round().astype(int)
    return np.stack([pixels[t : t + side, s : s + side] for t in tops for s in lefts])


def _uri(image: Image.Image, form: str, **options: int) -> str:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    text = base64.b64encode(stream.getvalue()).decode("ascii")
    return f"data:{Image.MIME[form]};base64,{text}"
