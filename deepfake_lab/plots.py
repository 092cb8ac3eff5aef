"""Frames -> matplotlib Axes. Nothing here shows or saves, except :func:`show_figure` when asked."""

import base64
import html
import io
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image
from sklearn import metrics as sk

from deepfake_lab import paths
from deepfake_lab.auditing.shortcuts import THRESHOLD as SHORTCUT
from deepfake_lab.colors import COLORS
from deepfake_lab.detection.explain import radial_profile, resize_map
from deepfake_lab.detection.prediction import Prediction
from deepfake_lab.evaluation.bootstrap import stated_for, wilson_interval
from deepfake_lab.evaluation.degradations import degradation_name
from deepfake_lab.photos import images


def save_figure(figure: Figure, name: str, out_dir: str | Path = "") -> Path:
    """Write a figure to ``<out_dir>/figures/<name>.png`` and return the path."""
    path = paths.home(out_dir) / "figures" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    return path


def show_figure(figure: Figure, name: str, out_dir: str | Path, alt: str) -> None:
    """Save a figure as :func:`save_figure` does, show it in the notebook, and close it.

    JupyterLab leaves out the alternative text of a PNG, so the figure is shown as HTML; and as WebP
    where that is smaller: a notebook full of photos would be too large to be looked at on the web.

    Args:
        figure: what to show.
        name: of the file, without ``.png``.
        out_dir: where ``figures/`` lies; empty for the project folder.
        alt: what the figure shows, for those who cannot see it.
    """
    from IPython.display import display  # only notebooks have it

    file = save_figure(figure, name, out_dir)
    plt.close(figure)
    kind, picture = "png", file.read_bytes()
    webp = io.BytesIO()
    Image.open(file).convert("RGB").save(webp, "WEBP", quality=85)
    if webp.tell() < len(picture):
        kind, picture = "webp", webp.getvalue()
    encoded = base64.b64encode(picture).decode()
    image = f'<img src="data:image/{kind};base64,{encoded}" alt="{html.escape(alt)}">'
    display({"text/html": image, "text/plain": alt}, raw=True)


def plot_photos(rows: pd.DataFrame, columns: int = 8, size: int = 96) -> Figure:
    """Show photos in a grid, each under its label and, where it has one, its verdict.

    Args:
        rows: manifest or predictions frame; all its photos are shown.
        columns: photos per row.
        size: pixels per photo.
    """
    lines = -(-len(rows) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(1.3 * columns, 1.6 * lines), squeeze=False, layout="constrained"
    )
    for ax in axes.flat:
        ax.axis("off")
    for ax, row in zip(axes.flat, rows.to_dict("records")):
        ax.imshow(images.load_face(row["path"], size, "face").pixels)
        named = row["source"] != row["label"]
        title = f"{row['label']}: {row['source']}" if named else row["label"]
        if isinstance(row.get("verdict"), str):
            title = f"{row['label']}, called {row['verdict']}\n{row['confidence']:.0%}"
        ax.set_title(title, fontsize=8, color=COLORS[row["label"]])
    return figure


def plot_arrays(
    pictures: np.ndarray,
    titles: list[str] | None = None,
    cmap: str | None = None,
    columns: int = 8,
    inches: float = 1.5,
) -> Figure:
    """Show pictures that are already arrays, (N, H, W) or (N, H, W, 3), in a grid.

    Args:
        pictures: uint8 or floats as matplotlib's ``imshow`` takes them.
        titles: one per picture.
        cmap: for pictures without color.
        columns: pictures per row.
        inches: width of one picture.
    """
    lines = -(-len(pictures) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(inches * columns, (inches + 0.2) * lines),
        squeeze=False, layout="constrained",
    )  # fmt: skip
    for ax in axes.flat:
        ax.axis("off")
    for i, (ax, picture) in enumerate(zip(axes.flat, pictures)):
        ax.imshow(picture, cmap=cmap)
        ax.set_title(titles[i] if titles else "", fontsize=8)
    return figure


def plot_counts(manifest: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Show how many images each source gives to each split."""
    ax = ax or _axes(7, 3)
    counts = manifest.groupby(["split", "label", "source"]).size().unstack(["label", "source"])
    counts = counts.reindex([s for s in ("train", "valid", "test") if s in counts.index]).fillna(0)
    shades = {
        label: iter(sns.light_palette(color, 6, reverse=True)) for label, color in COLORS.items()
    }
    left = np.zeros(len(counts))
    pairs = set(zip(manifest["label"], manifest["source"]))
    for label, source in sorted(pairs, reverse=True):  # real before fake
        values = counts[label, source].to_numpy()
        name = label if source == label else f"{label}: {source}"
        shade = next(shades[label], COLORS[label])
        ax.barh(counts.index, values, left=left, label=name, color=shade)
        left += values
    ax.invert_yaxis()
    ax.set(xlabel="images", ylabel="")
    ax.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return ax


def plot_fact(manifest: pd.DataFrame, column: str, ax: Axes | None = None) -> Axes:
    """Show how a number about the files (``bytes``, ``width``) is distributed for each label."""
    ax = ax or _axes(5, 3)
    sns.histplot(
        manifest, x=column, hue="label", hue_order=list(COLORS), palette=COLORS, bins=25,
        element="step", stat="density", common_norm=False, ax=ax,
    )  # fmt: skip
    return ax


def plot_spectra(spectra: dict[str, np.ndarray], ax: Axes | None = None) -> Axes:
    """Show average log-spectra as curves from coarse to fine, one per name."""
    ax = ax or _axes(6, 3.2)
    for name, spectrum in spectra.items():
        profile = radial_profile(spectrum)
        color = COLORS.get(name)
        ax.plot(np.linspace(0, 0.5, len(profile)), profile, label=name, color=color)
    ax.set(xlabel="spatial frequency (cycles per pixel)", ylabel="mean log magnitude")
    ax.legend(frameon=False)
    return ax


def plot_history(history: pd.DataFrame, metric: str = "loss", ax: Axes | None = None) -> Axes:
    """Show a metric on training and on validation images, epoch by epoch."""
    ax = ax or _axes(5, 3)
    ax.plot(history["epoch"], history[metric], "o-", ms=3, label="training")
    ax.plot(history["epoch"], history[f"val_{metric}"], "o-", ms=3, label="validation")
    ax.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True))
    ax.set(xlabel="epoch", ylabel=metric)
    ax.legend(frameon=False)
    return ax


def plot_intervals(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Show metrics with their intervals, one color per detector.

    Args:
        table: columns ``detector, metric, value, low, high``, as
            :func:`deepfake_lab.evaluation.predictions.metrics_table` returns them.
        ax: where to draw.
    """
    metrics = list(dict.fromkeys(table["metric"]))
    names = list(dict.fromkeys(table["detector"]))
    ax = ax or _axes(7, 0.6 + 0.6 * len(metrics))
    for i, name in enumerate(names):
        rows = table[table["detector"] == name].set_index("metric").loc[metrics]
        y = np.arange(len(metrics)) + 0.18 * (i - (len(names) - 1) / 2)
        spread = [rows["value"] - rows["low"], rows["high"] - rows["value"]]
        ax.errorbar(
            rows["value"], y, xerr=np.maximum(spread, 0), fmt="o", ms=5, capsize=3, label=name
        )
    ax.set(yticks=range(len(metrics)), yticklabels=[m.replace("_", " ") for m in metrics])
    ax.set(xlim=(-0.02, 1.02), xlabel="value, with 95% interval")
    ax.set_ylim(len(metrics) - 0.5, -0.5)
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return ax


def plot_confusion(predictions: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Show how many real and fake photos were called what."""
    ax = ax or _axes(3.4, 3)
    verdicts = pd.Categorical(predictions["verdict"], ["REAL", "FAKE"])
    table = pd.crosstab(predictions["label"], verdicts, dropna=False)
    table = table.reindex(index=["real", "fake"])
    sns.heatmap(table, annot=True, fmt="d", cmap="Blues", cbar=False, ax=ax)
    ax.set(xlabel="verdict", ylabel="truth")
    return ax


def plot_roc(predictions: dict[str, pd.DataFrame], ax: Axes | None = None) -> Axes:
    """Show the ROC curve of each detector, with its area."""
    ax = ax or _axes(4, 4)
    for name, rows in predictions.items():
        fall_out, recall, _ = sk.roc_curve(rows["label"] == "fake", rows["p_fake"])
        ax.plot(fall_out, recall, label=f"{name}: {sk.auc(fall_out, recall):.3f}")
    ax.plot([0, 1], [0, 1], ":", color="grey", label="a coin: 0.500")
    ax.set(xlabel="real photos called fake", ylabel="fakes found", title="ROC", aspect="equal")
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    return ax


def plot_precision_by_prior(predictions: dict[str, pd.DataFrame], ax: Axes | None = None) -> Axes:
    """Show how often FAKE is right, by the share of fakes among the photos asked about.

    False alarms and hits are those of the verdicts; a detector without a false alarm is right
    always, as far as so few photos can tell.
    """
    ax = ax or _axes(5, 3.4)
    share = np.geomspace(0.001, 0.5, 100)
    for name, rows in predictions.items():
        called = rows["verdict"] == "FAKE"
        hits, alarms = (called[rows["label"] == label].mean() for label in ("fake", "real"))
        right = share * hits
        ax.plot(share, right / (right + (1 - share) * alarms), label=name)
    ax.set(
        xscale="log", xlabel="share of fakes among the photos", ylabel="FAKE is right",
        title="How often FAKE is right, by how rare fakes are", ylim=(0, 1.02),
    )  # fmt: skip
    ax.set_xticks([0.001, 0.01, 0.1, 0.5], ["1 in 1,000", "1 in 100", "1 in 10", "1 in 2"])
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    return ax


def plot_precision_recall(predictions: dict[str, pd.DataFrame], ax: Axes | None = None) -> Axes:
    """Show the precision-recall curve of each detector."""
    ax = ax or _axes(4, 4)
    for name, rows in predictions.items():
        precision, recall, _ = sk.precision_recall_curve(rows["label"] == "fake", rows["p_fake"])
        ax.plot(recall, precision, drawstyle="steps-post", label=name)
    ax.set(
        xlabel="recall: fakes found", ylabel="precision: right when it says FAKE",
        title="Precision and recall", xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal",
    )  # fmt: skip
    ax.legend(frameon=False, fontsize=8, loc="lower left")
    return ax


def plot_calibration(
    predictions: dict[str, pd.DataFrame], bins: int = 5, ax: Axes | None = None
) -> Axes:
    """Show the share of fakes among photos with about the same P(fake), with 95% intervals.

    P(fake) is that at the photos' own share of fakes.
    """
    ax = ax or _axes(4, 4)
    for name, rows in predictions.items():
        ordered = rows.assign(p_fake=stated_for(rows)).sort_values("p_fake")
        parts = [ordered.iloc[i] for i in np.array_split(np.arange(len(ordered)), bins)]
        said = np.array([part["p_fake"].mean() for part in parts])
        fakes = np.array([(part["label"] == "fake").sum() for part in parts])
        sizes = np.array([len(part) for part in parts])
        low, high = wilson_interval(fakes, sizes)
        share = fakes / sizes
        ax.errorbar(
            said, share, [np.maximum(share - low, 0), np.maximum(high - share, 0)],
            fmt="o-", ms=4, capsize=2, label=name,
        )  # fmt: skip
    ax.plot([0, 1], [0, 1], ":", color="grey", label="perfect")
    ax.set(
        xlabel="P(fake) that was said", ylabel="share that was fake", title="Calibration",
        xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal",
    )  # fmt: skip
    ax.legend(frameon=False, fontsize=8, loc="upper left")
    return ax


def plot_robustness(table: pd.DataFrame, metric: str = "roc_auc", ax: Axes | None = None) -> Axes:
    """Show a metric under each degradation, with 95% intervals, one color per detector."""
    ax = ax or _axes(8, 3.2)
    names = list(dict.fromkeys(table["detector"]))
    for i, name in enumerate(names):
        rows = table[table["detector"] == name]
        x = np.arange(len(rows)) + 0.16 * (i - (len(names) - 1) / 2)
        spread = [rows[metric] - rows[f"{metric}_low"], rows[f"{metric}_high"] - rows[metric]]
        ax.errorbar(x, rows[metric], np.maximum(spread, 0), fmt="o", ms=5, capsize=3, label=name)
    rows = table[table["detector"] == names[0]]
    labels = [degradation_name(kind, level) for kind, level in zip(rows["kind"], rows["level"])]
    ax.axhline(0.5, ls=":", color="grey", label="a coin" if metric == "roc_auc" else None)
    ax.set(xticks=range(len(labels)), xticklabels=labels, ylabel=metric.replace("_", " "))
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return ax


def plot_prediction(prediction: Prediction, evidence: np.ndarray | None = None) -> Figure:
    """Show the square that was judged, and beside it what argued for FAKE and for REAL.

    Args:
        prediction: the answer.
        evidence: (h, w) from :func:`deepfake_lab.detection.explain.heat_map`; None shows the photo
            alone.
    """
    panels = 1 if evidence is None else 2
    figure, axes = plt.subplots(
        1, panels, figsize=(3.2 * panels, 3.4), squeeze=False, layout="constrained"
    )
    pixels = prediction.framed.pixels
    axes[0, 0].imshow(pixels)
    axes[0, 0].set_title(prediction.name, fontsize=9)
    if evidence is not None:
        heat = resize_map(evidence, pixels.shape[0])
        limit = max(float(np.abs(heat).max()), 1e-6)
        axes[0, 1].imshow(pixels.mean(axis=-1), cmap="gray")
        colors = LinearSegmentedColormap.from_list("", [COLORS["real"], "white", COLORS["fake"]])
        shown = axes[0, 1].imshow(heat, cmap=colors, alpha=0.5, vmin=-limit, vmax=limit)
        axes[0, 1].set_title("orange argues FAKE, blue argues REAL", fontsize=9)
        figure.colorbar(shown, ax=axes[0, 1], shrink=0.8, label="logit")
    for ax in axes.flat:
        ax.axis("off")
    figure.suptitle(str(prediction), fontsize=11)
    return figure


def _axes(width: float, height: float) -> Axes:
    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def plot_shortcuts(shortcuts: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Show how far each signal gives the label away without a look at the face.

    Args:
        shortcuts: what an audit has measured, see :func:`deepfake_lab.auditing.shortcuts.measure`;
            the rows for all photos are shown.
        ax: where to draw.
    """
    rows = shortcuts[shortcuts["pair"] == "all"].sort_values("auc")
    ax = ax or _axes(6, 0.6 + 0.3 * len(rows))
    for y, row in enumerate(rows.to_dict("records")):
        color = COLORS["fake"] if row["shortcut"] else COLORS["real"]
        ax.plot([row["low"], row["high"]], [y, y], color=color, lw=2)
        ax.plot(row["auc"], y, "o", color=color, ms=5)
    ax.axvline(0.5, ls=":", color="grey")
    ax.axvline(SHORTCUT, ls="--", color="grey")
    ax.set(
        yticks=range(len(rows)), yticklabels=rows["signal"], xlim=(0.35, 1.02),
        xlabel="AUC without looking at a face (dotted: a coin; dashed: a shortcut)",
    )  # fmt: skip
    return ax
