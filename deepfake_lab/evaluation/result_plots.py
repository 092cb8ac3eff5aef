"""Tables of an assessment -> matplotlib Axes: numbers only, never a photo.

Nothing here shows or saves. Where a table has the column ``detector`` (see
:func:`deepfake_lab.evaluation.assessment.compare`), each detector gets its color.
"""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from deepfake_lab.colors import COLORS
from deepfake_lab.evaluation.degradations import AXES

#: One color per family in every figure; ``macro`` and ``all`` are black.
_FAMILY_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

#: One color per detector.
_DETECTOR_COLORS = ("#777777", "#D55E00", "#0072B2", "#009E73")


def plot_families(table: pd.DataFrame, metric: str = "roc_auc", ax: Axes | None = None) -> Axes:
    """Show a metric for each kind of fake, with 95% intervals; the dotted line is a coin.

    Args:
        table: as :func:`deepfake_lab.evaluation.breakdown.family_table` makes it.
        metric: one of :data:`deepfake_lab.evaluation.breakdown.FAMILY_METRICS`.
        ax: where to draw.
    """
    sets = table[table["data"] != "all"] if (table["data"] != "all").any() else table
    sets = sets[sets["family"] != "all"]
    rows = list(dict.fromkeys(zip(sets["data"], sets["family"])))
    ax = ax or _axes(6.5, 1 + 0.32 * len(rows))
    for i, (name, part) in enumerate(_by_detector(sets)):
        place = {key: y for y, key in enumerate(rows)}
        shift = 0.16 * (i - (sets.get("detector", pd.Series("one")).nunique() - 1) / 2)
        y = [place[key] + shift for key in zip(part["data"], part["family"])]
        ax.errorbar(
            part[metric], y, xerr=_bars(part, metric), fmt="o", ms=5, capsize=3, label=name,
            color=_DETECTOR_COLORS[i % len(_DETECTOR_COLORS)] if name else "black",
        )  # fmt: skip
    if metric in ("roc_auc", "balanced_accuracy"):
        ax.axvline(0.5, ls=":", color="grey")
    labels = [f"{data}: {'mean over kinds' if f == 'macro' else f}" for data, f in rows]
    ax.set(yticks=range(len(rows)), yticklabels=labels, xlim=(0, 1.02))
    ax.set_xlabel(f"{_title(metric)}, each kind of fake against the real photos")
    ax.set_ylim(len(rows) - 0.5, -0.5)
    if "detector" in sets:
        ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return ax


def plot_sources(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Show the share of each source that is judged wrongly, with 95% intervals.

    Args:
        table: as :func:`deepfake_lab.evaluation.breakdown.source_table` makes it.
        ax: where to draw.
    """
    rows = table.sort_values(["label", "wrong"], ascending=[False, True], ignore_index=True)
    ax = ax or _axes(6.5, 1 + 0.32 * len(rows))
    for label, title in (("real", "real photos called fake"), ("fake", "fakes missed")):
        part = rows[rows["label"] == label]
        ax.barh(part.index, part["wrong"], color=COLORS[label], label=title, height=0.7)
        ax.errorbar(
            part["wrong"], part.index, xerr=_bars(part, "wrong"), fmt="none", ecolor="black",
            elinewidth=1, capsize=3,
        )  # fmt: skip
    several = rows["data"].nunique() > 1
    names = [
        f"{row['source']} ({row['photos']:,})"
        if row["source"] == row["data"] or not several
        else f"{row['data']}: {row['source']} ({row['photos']:,})"
        for row in rows.to_dict("records")
    ]
    ax.set(yticks=range(len(rows)), yticklabels=names, xlim=(0, 1), xlabel="judged wrongly")
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.invert_yaxis()
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return ax


def plot_coverage(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Show how the error grows with the share of photos that is answered.

    The curve answers the surest photos first; the dot is the detector's own uncertain band.

    Args:
        table: as :func:`deepfake_lab.evaluation.breakdown.coverage_table` makes it.
        ax: where to draw.
    """
    ax = ax or _axes(5.5, 3.6)
    several = table["data"].nunique() > 1
    for i, (data, rows) in enumerate(table.groupby("data", sort=False)):
        color = _FAMILY_COLORS[i % len(_FAMILY_COLORS)]
        shipped = rows["shipped"].astype(bool)
        curve, dot = rows[~shipped].sort_values("coverage"), rows[shipped]
        name = str(data) if several else None
        ax.plot(curve["coverage"], curve["error"], color=color, label=name)
        ax.fill_between(
            curve["coverage"],
            curve["error_low"],
            curve["error_high"],
            color=color,
            alpha=0.12,
            lw=0,
        )
        ax.errorbar(
            dot["coverage"], dot["error"], yerr=_bars(dot, "error"), fmt="o", ms=7, color=color,
            capsize=3, label=None if i else "outside the uncertain band",
        )  # fmt: skip
    ax.axhline(0.05, ls=":", color="grey", label="5%: the band's goal")
    ax.set(xlim=(0, 1.02), ylim=(0, None), xlabel="share of photos answered")
    ax.set_ylabel("share of these answers that is wrong")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.legend(frameon=False, fontsize=8, loc="upper left")
    return ax


def plot_degradations(
    table: pd.DataFrame, kind: str = "jpeg", metric: str = "roc_auc", ax: Axes | None = None
) -> Axes:
    """Show a metric along one kind of damage, a curve per kind of fake, with 95% intervals.

    Args:
        table: rows of one data set, as
            :func:`deepfake_lab.evaluation.degradations.degradation_table` makes them.
        kind: one of :data:`deepfake_lab.evaluation.degradations.AXES`.
        metric: ``roc_auc``, ``balanced_accuracy`` or ``calibration_error``.
        ax: where to draw.
    """
    ax = ax or _axes(5.5, 3.6)
    families = [name for name in dict.fromkeys(table["family"]) if name not in ("macro", "all")]
    whole = "macro" if "macro" in set(table["family"]) else "all"
    rows = table[table["kind"].isin(["none", kind])]
    levels = list(rows.loc[rows["kind"] == kind, "level"].unique())
    steps = ["as it is", *(f"{level:g}" for level in levels)]
    place = {("none", 0): 0} | {(kind, level): i for i, level in enumerate(levels, 1)}
    curves = [whole] if len(families) == 1 else [*families, whole]
    for i, family in enumerate(curves):
        part = rows[rows["family"] == family]
        x = [place[k, level] for k, level in zip(part["kind"], part["level"])]
        black = family in ("macro", "all")
        color = "black" if black else _FAMILY_COLORS[i % len(_FAMILY_COLORS)]
        name = "mean over kinds" if family == "macro" else families[0] if black else family
        ax.plot(x, part[metric], "o-", ms=4, color=color, lw=2 if black else 1.2, label=name)
        ax.fill_between(
            x, part[f"{metric}_low"], part[f"{metric}_high"], color=color, alpha=0.1, lw=0
        )
    if metric != "calibration_error":
        ax.axhline(0.5, ls=":", color="grey")
        lowest = table[f"{metric}_low"].min()  # of all kinds: panels side by side share their axis
        ax.set_ylim(min(0.45, lowest - 0.03), 1.01)
    ax.set(xticks=range(len(steps)), xticklabels=steps, xlabel=AXES[kind], ylabel=_title(metric))
    ax.legend(frameon=False, fontsize=8)
    return ax


def plot_reliability(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Show, for photos with about the same P(fake), the share that was fake.

    Args:
        table: as :func:`deepfake_lab.evaluation.breakdown.reliability_table` makes it.
        ax: where to draw.
    """
    ax = ax or _axes(4.2, 4.2)
    for i, (data, rows) in enumerate(table.groupby("data", sort=False)):
        color = _FAMILY_COLORS[i % len(_FAMILY_COLORS)]
        ax.errorbar(
            rows["said"], rows["share"], yerr=_bars(rows, "share"), fmt="o-", ms=4, capsize=2,
            color=color, label=str(data),
        )  # fmt: skip
    ax.plot([0, 1], [0, 1], ":", color="grey", label="perfect")
    ax.set(xlabel="P(fake) that was said", ylabel="share that was fake", aspect="equal")
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    ax.legend(frameon=False, fontsize=8, loc="upper left")
    return ax


def _by_detector(table: pd.DataFrame) -> Iterator[tuple[str | None, pd.DataFrame]]:
    """Yield name and rows of each detector; no name where there is only one."""
    if "detector" not in table:
        yield None, table
        return
    for name in table["detector"].unique():
        yield str(name), table[table["detector"] == name]


def _bars(rows: pd.DataFrame, column: str) -> np.ndarray:
    """Return how far each interval reaches to both sides, (2, N)."""
    low, high = rows[f"{column}_low"], rows[f"{column}_high"]
    return np.maximum([rows[column] - low, high - rows[column]], 0)


def _title(metric: str) -> str:
    return {"roc_auc": "AUC", "calibration_error": "ECE"}.get(metric, metric.replace("_", " "))


def _axes(width: float, height: float) -> Axes:
    return plt.subplots(figsize=(width, height), layout="constrained")[1]
