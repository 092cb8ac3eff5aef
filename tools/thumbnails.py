"""Make the small pictures of the notebooks that README and the site show.

    python tools/thumbnails.py      docs/thumbnails/<notebook>.png, from the stored outputs

Each is a figure that the notebook itself has drawn, so it changes with the notebook. Only notebooks
run on the sample set may be stored in the project, whose photos may be shown (`data/README.md`).
"""

import base64
import io
import re
from pathlib import Path

import nbformat
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "thumbnails"
SIZE = (320, 200)
MOST = 25_000  # bytes

#: What the wanted figure is drawn by: the last picture of the first cell that has these words.
#: Where none has, the figure whose shape comes nearest to a thumbnail's.
WANTED = {
    "01_explore_data": "plot_photos(",
    "02_train_cnn": "centered(0, 1)",
    "03_train_efficientnet": "compute_features",
    "04_evaluate": "plot_calibration",
    "05_predict": "plot_prediction(",
    "06_compare_runs": "plot_settings",
}


#: A figure as :func:`deepfake_lab.plots.show_figure` shows it.
_FIGURE = re.compile(r'<img src="data:image/\w+;base64,([^"]+)"')


def main() -> None:
    """Write all thumbnails."""
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, words in WANTED.items():
        file = TARGET / f"{name}.png"
        data = encoded(thumbnail(figure_of(ROOT / "notebooks" / f"{name}.ipynb", words)))
        file.write_bytes(data)
        print(f"{file.relative_to(ROOT)}: {len(data):,} bytes")


def figure_of(notebook: Path, words: str) -> Image.Image:
    """Return a figure that a notebook holds.

    Raises:
        ValueError: it holds none.
    """
    found = []
    for cell in nbformat.read(notebook, as_version=4).cells:
        pictures = [
            found
            for output in cell.get("outputs", [])
            for found in _FIGURE.findall(output.get("data", {}).get("text/html", ""))
        ]
        if pictures and words in cell.source:
            return _opened(pictures[-1])
        found += map(_opened, pictures)
    if not found:
        raise ValueError(f"{notebook.name} holds no figure: store its outputs (`make notebooks`).")
    return min(found, key=lambda one: abs(one.width / one.height - SIZE[0] / SIZE[1]))


def _opened(encoded: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB")


def thumbnail(figure: Image.Image) -> Image.Image:
    """Return the figure on white, scaled into `SIZE`; of a long one the upper left part."""
    wide, high = SIZE
    scale = max(min(wide / figure.width, high / figure.height), 0.6 * wide / figure.width)
    small = figure.resize(
        (round(figure.width * scale), round(figure.height * scale)), Image.Resampling.LANCZOS
    )
    canvas = Image.new("RGB", SIZE, "white")
    left, top = max((wide - small.width) // 2, 0), max((high - small.height) // 2, 0)
    canvas.paste(small, (left, top))
    return canvas


def encoded(picture: Image.Image) -> bytes:
    """Return a PNG below `MOST` bytes, with as many colours as fit."""
    for colors in (256, 128, 64, 32, 16, 8):
        buffer = io.BytesIO()
        few = picture.quantize(colors, dither=Image.Dither.NONE)
        few.save(buffer, "PNG", optimize=True)
        if buffer.tell() <= MOST:
            break
    return buffer.getvalue()


if __name__ == "__main__":
    main()
