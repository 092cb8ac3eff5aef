"""A comparison -> matplotlib Axes. Nothing here shows or saves."""

from numbers import Number
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from deepfake_lab.evaluation.comparison import ALPHA, Comparison, varied
from deepfake_lab.evaluation.metrics import TITLES


def plot_settings(found: Comparison, ax: Axes | None = None) -> Axes:
    """Show each setting's mean with its 95% interval, and each of its runs as a small dot."""
    rows = found.settings
    ax = ax or _axes(7, 0.9 + 0.45 * len(rows))
    for y, row in enumerate(rows.to_dict("records")):
        runs = found.runs[found.runs["setting"] == row["setting"]]
        ax.plot(runs["measured"], [y + 0.2] * len(runs), "o", ms=4, color="grey", alpha=0.7)
        ax.errorbar(
            row[found.metric], y, xerr=_bar(row, found.metric), fmt="o", ms=6, capsize=3,
            color=f"C{y % 10}",
        )  # fmt: skip
    ax.set(yticks=range(len(rows)), yticklabels=rows["setting"])
    ax.set_xlabel(f"{TITLES[found.metric]} on {found.photos:,} test photos; small dots: runs")
    ax.set_ylim(len(rows) - 0.5, -0.5)
    return ax


def plot_differences(found: Comparison, ax: Axes | None = None) -> Axes:
    """Show the difference of each pair with its 95% interval; orange: more than luck."""
    rows = found.differences
    ax = ax or _axes(7, 0.9 + 0.4 * max(1, len(rows)))
    for y, row in enumerate(rows.to_dict("records")):
        color = "#D55E00" if row["more_than_luck"] else "grey"
        bar = _bar(row, "difference")
        ax.errorbar(row["difference"], y, xerr=bar, fmt="o", ms=5, capsize=3, color=color)
    ax.axvline(0, ls=":", color="black")
    names = [f"{first}  minus  {second}" for first, second in zip(rows["first"], rows["second"])]
    ax.set(yticks=range(len(rows)), yticklabels=names)
    ax.set_xlabel(f"difference in {TITLES[found.metric]}; orange: p < {ALPHA:g} after correction")
    ax.set_ylim(max(1, len(rows)) - 0.5, -0.5)
    return ax


def plot_parameters(found: Comparison) -> Figure:
    """Show the metric against each parameter that differs, a panel each and a dot per run."""
    names = varied(found.runs) + ["seed"] * (found.runs["seed"].nunique() > 1) or ["seed"]
    figure, axes = plt.subplots(
        1, len(names), figsize=(3.2 * len(names), 3), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    order = list(found.settings["setting"])
    for ax, name in zip(axes.flat, names):
        values = sorted(found.runs[name].dropna().unique(), key=_rank)
        place = {value: x for x, value in enumerate(values)}
        for i, setting in enumerate(order):
            runs = found.runs[(found.runs["setting"] == setting) & found.runs[name].notna()]
            ax.plot(runs[name].map(place), runs["measured"], "o", color=f"C{i % 10}", ms=5)
        ax.set(xticks=range(len(values)), xticklabels=values, xlabel=name)
        ax.set_xlim(-0.5, len(values) - 0.5)
    axes[0, 0].set_ylabel(TITLES[found.metric])
    return figure


def plot_learning_curves(
    found: Comparison, column: str = "val_loss", ax: Axes | None = None
) -> Axes:
    """Show a column of every run's history over one another, a color per setting."""
    ax = ax or _axes(6, 3.6)
    for i, setting in enumerate(found.settings["setting"]):
        runs = found.runs[found.runs["setting"] == setting]
        for j, folder in enumerate(runs["folder"]):
            file = Path(folder) / "history.csv"
            history = pd.read_csv(file) if file.is_file() else pd.DataFrame()
            if column in history:
                ax.plot(
                    np.arange(1, len(history) + 1), history[column], "o-", ms=3, color=f"C{i % 10}",
                    lw=1.2,
                    label=None if j else setting,
                )  # fmt: skip
    ax.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True))
    ax.set(xlabel="epoch", ylabel=column)
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return ax


def _rank(value: object) -> tuple:
    number = isinstance(value, Number)
    return (not number, value if number else str(value))


def _bar(row: dict, column: str) -> np.ndarray:
    """Return how far an interval reaches to both sides, (2, 1)."""
    low, high = row["low"], row["high"]
    return np.maximum([[row[column] - low], [high - row[column]]], 0)


def _axes(width: float, height: float) -> Axes:
    return plt.subplots(figsize=(width, height), layout="constrained")[1]
