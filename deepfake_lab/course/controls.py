"""Controls to move in notebooks 01 and 02: what JPEG does to a photo, and a filter of one's own.

They draw with Pillow, not with matplotlib, to follow a slider within a tenth of a second. Readers
without a kernel see the figures that stand beside them in the notebooks.
"""

import io
from collections.abc import Callable

import ipywidgets as widgets
import matplotlib
import numpy as np
from IPython.display import display
from PIL import Image

from deepfake_lab.course.network_pictures import filtered
from deepfake_lab.course.pictures import RANGE, compressed, residual
from deepfake_lab.detection.explain import log_spectrum

#: Side of each picture on the screen in pixels.
SIDE = 224

#: Filters to begin with.
FILTERS: dict[str, list[list[float]]] = {
    "left edge": [[1, 0, -1], [1, 0, -1], [1, 0, -1]],
    "nothing changes": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    "blur": [[0.1, 0.1, 0.1], [0.1, 0.2, 0.1], [0.1, 0.1, 0.1]],
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "spots": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
}


def compression_lab(photo: np.ndarray) -> widgets.Widget:
    """Return sliders for JPEG quality and size, and what they do to a photo.

    Args:
        photo: (S, S, 3) uint8.
    """
    quality = widgets.IntSlider(90, 5, 95, 5, description="quality")
    scale = widgets.FloatSlider(value=1.0, min=0.2, max=1.0, step=0.1, description="size")
    screen, words = _screen("photo, residual and spectrum after compression"), widgets.HTML()
    whole = max(np.abs(residual(photo)).mean(), 1e-6)

    def draw(_: object = None) -> None:
        picture, size = compressed(photo, quality.value, scale.value)
        rest, spectrum = residual(picture), log_spectrum(picture[None])
        parts = [
            picture,
            _grey(rest, -RANGE, RANGE),
            matplotlib.colormaps["magma"](spectrum / 12, bytes=True)[..., :3],
        ]
        screen.value = _png(parts)
        left = np.abs(rest).mean() / whole
        words.value = (
            f"The photo, its residual, its spectrum. The file has <b>{size / 1000:.1f} kB</b>; "
            f"of the fine detail <b>{left:.0%}</b> is left."
        )

    return _laid_out([widgets.HBox([quality, scale])], screen, words, draw, [quality, scale])


def filter_designer(photo: np.ndarray) -> widgets.Widget:
    """Return nine sliders, the numbers of a filter, and the filter's answer to a photo.

    Args:
        photo: (S, S, 3) uint8.
    """
    slim = widgets.Layout(width="150px")
    numbers = [
        widgets.FloatSlider(
            value=value, min=-8, max=8, step=0.1, layout=slim, readout_format=".1f"
        )
        for row in FILTERS["left edge"]
        for value in row
    ]  # fmt: skip
    chosen = widgets.Dropdown(options=list(FILTERS), description="begin with")
    screen, words = _screen("the photo and the filter's answer"), widgets.HTML()

    def draw(_: object = None) -> None:
        kernel = np.array([number.value for number in numbers]).reshape(3, 3)
        answer = filtered(photo, kernel)
        total = round(float(kernel.sum()), 1)
        if total > 0:  # such a filter gives a picture
            shown, scale = _grey(answer, 0, 255 * total), f"black is 0, white {255 * total:.0f}"
        else:
            limit = max(float(np.abs(answer).max()), 1.0)
            shown, scale = _grey(answer, -limit, limit), f"grey is 0, white {limit:.0f}"
        screen.value = _png([photo, shown])
        words.value = (
            f"The photo, and the filter's answer ({scale}). The nine numbers sum up to "
            f"<b>{total:g}</b>: that is its answer to a plain surface, per grey level."
        )

    def begin(_: object) -> None:
        values = [value for row in FILTERS[chosen.value] for value in row]
        for number in numbers:
            number.unobserve(draw, names="value")  # draw once, not nine times
        for number, value in zip(numbers, values):
            number.value = value
            number.observe(draw, names="value")
        draw()

    chosen.observe(begin, names="value")
    rows = [widgets.HBox(numbers[start : start + 3]) for start in (0, 3, 6)]
    return _laid_out([chosen, *rows], screen, words, draw, numbers)


def show(control: widgets.Widget) -> None:
    """Show a control; who reads the notebook without a kernel sees one line in its place."""
    shown = dict(control._repr_mimebundle_())
    shown["text/plain"] = "Run this cell to move the sliders."
    display(shown, raw=True)


def _laid_out(
    top: list[widgets.Widget], screen: widgets.Image, words: widgets.HTML,
    draw: Callable[..., None], moved: list[widgets.Widget],
) -> widgets.VBox:  # fmt: skip
    for slider in moved:
        slider.observe(draw, names="value")
    draw()
    return widgets.VBox([*top, screen, words])


def _screen(alt: str) -> widgets.Image:
    screen = widgets.Image(format="png")
    screen.layout.max_width = "100%"
    screen.tooltip = alt
    return screen


def _grey(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return (H, W) numbers as (H, W, 3) uint8, `low` black and `high` white."""
    scaled = np.clip((values - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    return np.repeat(scaled[..., None], 3, axis=2)


def _png(parts: list[np.ndarray]) -> bytes:
    """Return pictures side by side as a PNG."""
    sized = [
        np.asarray(Image.fromarray(part).resize((SIDE, SIDE), Image.Resampling.NEAREST))
        for part in parts
    ]
    file = io.BytesIO()
    Image.fromarray(np.hstack(sized)).save(file, "PNG", compress_level=1)
    return file.getvalue()
