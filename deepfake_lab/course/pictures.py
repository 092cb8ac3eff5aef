"""Figures that explain: what generators and compression leave in a photo.

Each function returns a figure; :func:`deepfake_lab.plots.show_figure` shows it.
"""

import io

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from scipy import ndimage

from deepfake_lab.detection.explain import log_spectrum

#: Grey levels of a residual that are drawn as black and white.
RANGE = 12


def compressed(photo: np.ndarray, quality: int, scale: float) -> tuple[np.ndarray, int]:
    """Return a photo that was made smaller, saved as JPEG, and brought back to its size.

    Args:
        photo: (H, W, 3) uint8.
        quality: of the JPEG, 1 to 95.
        scale: side of the saved picture as a share of the photo's.

    Returns:
        (H, W, 3) uint8, and how many bytes the saved file has.
    """
    picture = Image.fromarray(photo)
    size = [max(8, round(side * scale)) for side in picture.size]
    smaller = picture.resize(size, Image.Resampling.LANCZOS) if scale != 1 else picture
    file = io.BytesIO()
    smaller.save(file, "JPEG", quality=quality)
    back = Image.open(file).resize(picture.size, Image.Resampling.BICUBIC)
    return np.asarray(back), file.tell()


def residual(photo: np.ndarray) -> np.ndarray:
    """Return what is left of a photo when all that is smooth is taken away, (H, W) float64.

    The grey picture minus its median over 3 x 3 pixels: noise, edges, and what a generator or a
    JPEG has left.
    """
    grey = photo.mean(axis=-1)
    return grey - ndimage.median_filter(grey, 3)


def residual_spectrum(photos: np.ndarray) -> np.ndarray:
    """Return the average spectrum of the residuals of photos, (S, S), slow waves in the middle.

    Args:
        photos: (N, S, S, 3) uint8.
    """
    total = np.zeros(photos.shape[1:3])
    for photo in photos:
        rest = residual(photo)
        total += np.log(np.abs(np.fft.fft2(rest - rest.mean())) + 1e-3)
    return np.fft.fftshift(total) / len(photos)


def plot_journeys(photo: np.ndarray, ways: dict[str, tuple[int, float]]) -> Figure:
    """Show what JPEG and a smaller size do to a photo, to its residual and to its spectrum.

    Args:
        photo: (S, S, 3) uint8.
        ways: name -> JPEG quality and scale, as :func:`compressed` takes them.
    """
    figure, axes = _grid(len(ways), 3, 2.1)
    for row, (name, way) in zip(axes, ways.items()):
        picture, size = compressed(photo, *way)
        row[0].imshow(picture)
        row[1].imshow(residual(picture), "gray", vmin=-RANGE, vmax=RANGE)
        row[2].imshow(log_spectrum(picture[None]), "magma", vmin=0, vmax=12)
        row[0].set_title(f"{name}, {size / 1000:.1f} kB", fontsize=8)
        row[1].set_title("its residual", fontsize=8)
        row[2].set_title("its spectrum", fontsize=8)
    figure.suptitle("What a journey takes away, and what it adds", fontsize=10)
    return figure


def spectrum_difference(photos: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Return where photos have more (positive) or less of a wave than others, (S, S) float64.

    Of the residuals' average spectra, smoothed a little: chance differs from point to point, traces
    do so over a few points. The median is 0: that photos have more of all waves is not a trace.

    Args:
        photos: (N, S, S, 3) uint8.
        normal: (M, S, S, 3) uint8, what they are compared with.
    """
    difference = residual_spectrum(photos) - residual_spectrum(normal)
    return ndimage.gaussian_filter(difference - np.median(difference), 3)


def spectrum_differences(photos: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return how the spectrum of each kind of photos differs from that of the first kind.

    Args:
        photos: name -> (N, S, S, 3) uint8.

    Returns:
        The same names -> (S, S). Of the first, one half compared with the other: what chance does.
    """
    first, normal = next(iter(photos.items()))
    return {
        name: spectrum_difference(rows[::2], rows[1::2])
        if name == first
        else spectrum_difference(rows, normal)
        for name, rows in photos.items()
    }


def plot_traces(
    photos: dict[str, np.ndarray], differences: dict[str, np.ndarray], limit: float = 0.3
) -> Figure:
    """Show a photo of each source, its residual, and how the source's spectrum differs.

    Args:
        photos: name of the source -> (N, S, S, 3) uint8.
        differences: the same names -> (S, S), see :func:`spectrum_difference`.
        limit: difference that gets the full colour.
    """
    figure, axes = _grid(3, len(photos), 2.1)
    for column, (name, rows) in zip(axes.T, photos.items()):
        column[0].imshow(rows[0])
        column[0].set_title(f"{name}: one photo", fontsize=8)
        column[1].imshow(residual(rows[0]), "gray", vmin=-RANGE, vmax=RANGE)
        column[1].set_title("its residual", fontsize=8)
        shown = column[2].imshow(differences[name], "coolwarm", vmin=-limit, vmax=limit)
        column[2].set_title("average difference", fontsize=8)
    figure.colorbar(shown, ax=axes[2, -1], label="difference in log magnitude")
    figure.suptitle("What is left when all that is smooth is taken away", fontsize=10)
    return figure


def enlarged(photo: np.ndarray, way: str, factor: int = 4) -> np.ndarray:
    """Return a photo that was made smaller and enlarged again, as a generator enlarges.

    Args:
        photo: (S, S, 3) uint8; S a multiple of the factor.
        way: ``nearest`` repeats each pixel, ``zeros`` puts zeros between the pixels and lets a
            small filter of 5 x 5 fill them, ``smooth`` is what a photo program does.
        factor: how many times smaller.

    Returns:
        (S, S, 3) uint8.

    Raises:
        ValueError: another way.
    """
    side = photo.shape[0]
    small = Image.fromarray(photo).resize([side // factor] * 2, Image.Resampling.LANCZOS)
    if way == "nearest":
        return np.asarray(small.resize((side, side), Image.Resampling.NEAREST))
    if way == "smooth":
        return np.asarray(small.resize((side, side), Image.Resampling.LANCZOS))
    if way != "zeros":
        raise ValueError(f"way is '{way}'; there are nearest, zeros and smooth.")
    large = np.zeros(photo.shape)
    large[::factor, ::factor] = np.asarray(small)
    weights = np.array([0.4, 0.8, 1.0, 0.8, 0.4])  # a filter as training may leave it: not even
    filled = ndimage.convolve1d(ndimage.convolve1d(large, weights, axis=0), weights, axis=1)
    return np.clip(filled * photo.mean() / filled.mean(), 0, 255).astype(np.uint8)


def plot_upsampling(photo: np.ndarray, factor: int = 4) -> Figure:
    """Show a toy generator's last step, enlarging, and the traces that it leaves in the spectrum.

    Args:
        photo: (S, S, 3) uint8.
        factor: how many times it is enlarged.
    """
    side = photo.shape[0] // factor * factor
    photo = photo[:side, :side]
    ways = {
        "smooth": "smooth enlarging",
        "nearest": "pixels repeated",
        "zeros": "zeros, then filter",
    }
    figure, axes = _grid(2, 1 + len(ways), 2.1)
    pictures = {"the photo": photo} | {t: enlarged(photo, w, factor) for w, t in ways.items()}
    for column, (title, picture) in zip(axes.T, pictures.items()):
        column[0].imshow(picture)
        column[0].set_title(title, fontsize=8)
        column[1].imshow(log_spectrum(picture[None]), "magma", vmin=0, vmax=12)
        column[1].set_title("its spectrum", fontsize=8)
    figure.suptitle(f"A toy generator: a small picture enlarged {factor} times", fontsize=10)
    return figure


def _grid(rows: int, columns: int, inches: float) -> tuple[Figure, np.ndarray]:
    """Return a figure of squares without ticks, and its Axes (rows, columns)."""
    figure, axes = plt.subplots(
        rows, columns, figsize=(inches * columns, (inches + 0.2) * rows + 0.3),
        squeeze=False, layout="constrained",
    )  # fmt: skip
    for ax in axes.flat:
        _bare(ax)
    return figure, axes


def _bare(ax: Axes) -> None:
    ax.set(xticks=[], yticks=[])
    for side in ax.spines.values():
        side.set_visible(False)
