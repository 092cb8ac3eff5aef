"""Figures that explain how a convolutional network sees, with small numbers and one photo."""

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.lib.stride_tricks import sliding_window_view

if TYPE_CHECKING:
    import keras

#: The colours of a window and of the place that it gives.
WINDOW, PLACE = "#D55E00", "#0072B2"


def filtered(picture: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return a filter's answer at every place, the border padded with its own pixels.

    Args:
        picture: (H, W) or (H, W, 3); colours are averaged first.
        kernel: (3, 3).

    Returns:
        (H, W) float32.
    """
    grey = picture.mean(axis=-1) if picture.ndim == 3 else picture
    padded = np.pad(grey.astype(np.float32), 1, mode="edge")
    height, width = grey.shape
    answer = np.zeros((height, width), np.float32)
    for row in range(3):
        for column in range(3):
            if kernel[row, column]:
                part = padded[row : row + height, column : column + width]
                answer += np.float32(kernel[row, column]) * part
    return answer


def receptive_fields(model: "keras.Model") -> pd.DataFrame:
    """Return how much of the photo one place of each layer's output sees.

    Returns:
        ``layer, window, stride, sees`` (side of a square in pixels), ``step`` (pixels between
        two neighbours), a row for each layer that looks at a window.
    """
    rows, sees, step = [], 1, 1
    for layer in model.layers:
        window = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
        if window is None:
            continue
        sees += (window[0] - 1) * step
        step *= layer.strides[0]
        rows.append((layer.name, window[0], layer.strides[0], sees, step))
    return pd.DataFrame(rows, columns=["layer", "window", "stride", "sees", "step"])


def plot_convolution(picture: np.ndarray, kernel: np.ndarray, row: int, column: int) -> Figure:
    """Show with numbers how one place of a convolution's answer comes about.

    Args:
        picture: (H, W) small whole numbers.
        kernel: (3, 3).
        row: of the place in the answer, which is drawn without padding.
        column: of that place.
    """
    windows = sliding_window_view(picture, (3, 3))
    answer = (windows * kernel).sum(axis=(2, 3))
    figure, axes = _axes([picture.shape[1], 3, answer.shape[1]])
    _numbers(axes[0], picture, "the picture, a window of 3 x 3", (row, column, 3), WINDOW)
    _numbers(axes[1], kernel, "the filter")
    _numbers(axes[2], answer, "the answer", (row, column, 1), PLACE)
    products = (windows[row, column] * kernel).ravel()
    terms = " + ".join(f"{x}" if x >= 0 else f"({x})" for x in products)
    figure.suptitle(f"number times number, all added: {terms} = {answer[row, column]}", fontsize=9)
    return figure


def plot_stride_and_padding(picture: np.ndarray, kernel: np.ndarray) -> Figure:
    """Show the same filter with steps of one, with steps of two, and with a padded border."""
    answer = (sliding_window_view(picture, (3, 3)) * kernel).sum(axis=(2, 3))
    padded = np.pad(picture, 1)
    whole = (sliding_window_view(padded, (3, 3)) * kernel).sum(axis=(2, 3))
    tables = {
        f"stride 1: {_size(picture)} -> {_size(answer)}": answer,
        f"stride 2: {_size(picture)} -> {_size(answer[::2, ::2])}": answer[::2, ::2],
        "the picture, padded with zeros": padded,
        f"padded, stride 1: {_size(picture)} -> {_size(whole)}": whole,
    }
    figure, axes = plt.subplots(
        2, 2, figsize=(6.2, 5.6), width_ratios=[8, 6], height_ratios=[4, 8], layout="constrained"
    )
    for ax, (title, table) in zip(axes.flat, tables.items()):
        _numbers(ax, table, title)
    _mark(axes[1, 0], 1, 1, picture.shape[0], WINDOW)
    figure.suptitle("Stride: how far the window moves. Padding: what it sees at the border.",
                    fontsize=9)  # fmt: skip
    return figure


def plot_pooling(table: np.ndarray) -> Figure:
    """Show max pooling: of each square of 2 x 2 numbers the largest stays."""
    rows, columns = (side // 2 for side in table.shape)
    blocks = table[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2)
    pooled = blocks.max(axis=(1, 3))
    figure, axes = _axes([table.shape[1], columns])
    _numbers(axes[0], table, f"answers of a filter, {_size(table)}")
    _numbers(axes[1], pooled, f"the largest of each square, {_size(pooled)}", scale=table)
    for i in range(rows * columns):
        row, column = divmod(i, columns)
        _mark(axes[0], 2 * row, 2 * column, 2, f"C{i % 10}")
        _mark(axes[1], row, column, 1, f"C{i % 10}")
    figure.suptitle("Max pooling: half as high, half as wide, the strongest answers stay",
                    fontsize=9)  # fmt: skip
    return figure


def plot_receptive_fields(photo: np.ndarray, fields: pd.DataFrame) -> Figure:
    """Show on a photo which square one place of each convolution sees.

    Args:
        photo: (S, S, 3) uint8, of the size that the network takes.
        fields: what :func:`receptive_fields` returns.
    """
    rows = fields[fields["layer"].str.startswith("conv")].to_dict("records")
    figure, axes = plt.subplots(
        1, len(rows), figsize=(2 * len(rows), 2.5), squeeze=False, layout="constrained"
    )
    middle = photo.shape[0] / 2 - 0.5
    for ax, row in zip(axes.flat, rows):
        ax.imshow(photo)
        side = row["sees"]
        ax.add_patch(
            Rectangle(
                (middle - side / 2, middle - side / 2), side, side, fc="none", ec=WINDOW, lw=2
            )
        )
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"{row['layer']}: {side} x {side} pixels", fontsize=9)
    figure.suptitle("What one number of a layer's output sees: its receptive field", fontsize=10)
    return figure


def plot_filter(photo: np.ndarray, kernel: np.ndarray, title: str = "") -> Figure:
    """Show a photo, a filter as numbers, and the filter's answer with its scale."""
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.1), layout="constrained")
    axes[0].imshow(photo)
    axes[0].set_title("the photo", fontsize=9)
    _numbers(axes[1], kernel, "the filter")
    answer = filtered(photo, kernel)
    limit = max(float(np.abs(answer).max()), 1.0)
    shown = axes[2].imshow(answer, "gray", vmin=-limit, vmax=limit)
    axes[2].set_title("its answer", fontsize=9)
    figure.colorbar(shown, ax=axes[2], shrink=0.8, label="answer")
    for ax in (axes[0], axes[2]):
        ax.set(xticks=[], yticks=[])
    figure.suptitle(title, fontsize=10)
    return figure


def plot_contact_sheet(rows: dict[str, np.ndarray]) -> Figure:
    """Show pictures in rows, the first of each row framed: the original.

    Args:
        rows: name -> (N, S, S, 3) uint8, as many in each.
    """
    columns = len(next(iter(rows.values())))
    figure, axes = plt.subplots(
        len(rows), columns, figsize=(1.15 * columns, 1.3 * len(rows) + 0.3),
        squeeze=False, layout="constrained",
    )  # fmt: skip
    for line, (name, pictures) in zip(axes, rows.items()):
        for i, (ax, picture) in enumerate(zip(line, pictures)):
            ax.imshow(picture)
            ax.set(xticks=[], yticks=[])
            ax.set_title(f"{name}: original" if i == 0 else f"variant {i}", fontsize=7)
    figure.suptitle("Augmentation: never twice the same picture", fontsize=10)
    return figure


def _size(table: np.ndarray) -> str:
    return f"{table.shape[0]} x {table.shape[1]}"


def _axes(widths: list[int]) -> tuple[Figure, np.ndarray]:
    widths = [max(width, 4) for width in widths]  # room for a title
    figure, axes = plt.subplots(
        1, len(widths), figsize=(0.36 * sum(widths) + 0.9 * len(widths), 0.36 * max(widths) + 0.9),
        width_ratios=widths, layout="constrained",
    )  # fmt: skip
    return figure, axes


def _numbers(
    ax: Axes, table: np.ndarray, title: str, mark: tuple[int, int, int] | None = None,
    color: str = WINDOW, scale: np.ndarray | None = None,
) -> None:  # fmt: skip
    """Draw a table as a grid of numbers, the larger the lighter, in the greys of `scale`."""
    greys = table if scale is None else scale
    low, high = float(greys.min()), float(greys.max())
    ax.imshow(table, "gray", vmin=low - (high - low) * 1.2 - 1, vmax=high)
    ax.set(xticks=[], yticks=[])
    ax.set_xticks(np.arange(table.shape[1] + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(table.shape[0] + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="grey", lw=0.5)
    ax.tick_params(which="minor", length=0)
    ax.set_title(title, fontsize=8)
    for (row, column), value in np.ndenumerate(table):
        ax.text(column, row, f"{value:g}", ha="center", va="center", fontsize=8)
    if mark:
        _mark(ax, *mark, color)


def _mark(ax: Axes, row: int, column: int, side: int, color: str) -> None:
    corner, inner = (column - 0.46, row - 0.46), side - 0.08  # beside the next frame, not on it
    ax.add_patch(Rectangle(corner, inner, inner, fc="none", ec=color, lw=2.5))
