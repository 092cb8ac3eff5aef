"""Figures and numbers of notebooks 03 to 05 that would be too long for a cell.

Keras is imported where it is used: notebook 04 does without.
"""

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import FancyBboxPatch

from deepfake_lab import paths, plots
from deepfake_lab.colors import COLORS
from deepfake_lab.course.controls_trust import liveliest
from deepfake_lab.data.tables import read_written
from deepfake_lab.detection.detector import Detector
from deepfake_lab.detection.display import draw_heat
from deepfake_lab.detection.explain import heat_map, resize_map
from deepfake_lab.detection.judgement import Judgement
from deepfake_lab.detection.prior import at_prior
from deepfake_lab.evaluation import breakdown
from deepfake_lab.litert import quiet_stderr

if TYPE_CHECKING:
    import keras

    from deepfake_lab.training.batches import Split

#: Colours of the sources of real photos and of fakes: blue stays with what is real.
SHADES = {
    "real": (COLORS["real"], "#56B4E9"),
    "fake": (COLORS["fake"], "#E69F00", "#CC79A7", "#000000"),
}


def import_tensorflow() -> None:
    """Import TensorFlow without its remarks on processors and graphics cards."""
    with quiet_stderr():
        import tensorflow as tf

        tf.config.list_physical_devices()
        tf.get_logger().setLevel(
            "ERROR"
        )  # no word on each network that is asked for the first time


# 03: a network that can already see ---------------------------------------------------------------


def plot_transfer(features: int, blocks: int) -> Figure:
    """Draw the two phases of a fine-tuning: what stands still, and what learns.

    Args:
        features: numbers that the backbone says about a photo.
        blocks: how many of the backbone's last blocks learn in the second phase.
    """
    figure, axes = plt.subplots(2, 1, figsize=(8.4, 3.8), layout="constrained")
    learns, still = COLORS["fake"], "#9AA5B1"
    phases = (
        ("First phase: the backbone is frozen", still, "stands still"),
        ("Second phase: fine-tuning", learns, f"its last {blocks} blocks learn, slowly"),
    )
    for ax, (title, color, words) in zip(axes, phases):
        ax.set_title(title, fontsize=10, loc="left")
        ax.set(xlim=(0, 10), ylim=(0, 2))
        ax.axis("off")
        _box(ax, 0.1, 1.2, "photo", "white")
        _box(ax, 2.0, 3.4, f"backbone, from ImageNet\n{words}", color)
        _box(ax, 6.1, 1.5, f"{features:,}\nfeatures", "white")
        _box(ax, 8.3, 1.5, "new layer\nlearns", learns)
        for start, end in ((1.3, 2.0), (5.4, 6.1), (7.6, 8.3)):
            ax.annotate("", (end, 1), (start, 1), arrowprops={"arrowstyle": "->"})
    return figure


def _box(ax: Axes, left: float, width: float, words: str, color: str) -> None:
    style = "round,pad=0.02,rounding_size=0.15"
    ax.add_patch(FancyBboxPatch((left, 0.3), width, 1.4, style, fc=color, ec="black", alpha=0.85))
    ax.text(left + width / 2, 1, words, ha="center", va="center", fontsize=9)


def scored(model: "keras.Model", split: "Split", name: str) -> pd.DataFrame:
    """Return what a model in training says about a split, as a predictions frame.

    Its scores are not calibrated: they say which photo looks more like a fake, and no more.
    """
    logits = np.concatenate([
        model.predict_on_batch(split.centered(start, start + 32).astype(np.float32))[:, 0]
        for start in range(0, len(split.manifest), 32)
    ])  # fmt: skip
    p_fake = 1 / (1 + np.exp(-logits.astype(float)))
    return split.manifest.assign(
        p_fake=p_fake, verdict=np.where(p_fake >= 0.5, "FAKE", "REAL"), model=name,
        confidence=np.maximum(p_fake, 1 - p_fake), uncertain=False,
    )  # fmt: skip


def stored_answers(name: str, out_dir: str | Path = "") -> pd.DataFrame:
    """Return what a run folder keeps of its test: the predictions frame, without paths."""
    rows = read_written(paths.model_folder(name, out_dir) / "predictions.csv")
    return rows[rows["split"] == "test"].reset_index(drop=True)


def auc_by_kind(
    answers: dict[str, pd.DataFrame], seed: int = 0
) -> tuple[pd.DataFrame, dict[str, tuple[float, float]]]:
    """Return AUCs, a row per kind of fake and a column per detector; and intervals on all fakes.

    Where the photos lack a label there is nothing to measure: no rows, and intervals of NaN.

    Args:
        answers: detector -> its predictions frame.
        seed: of the bootstrap.

    Returns:
        The table, and detector -> (low, high).
    """
    columns, intervals = {}, {}
    for name, rows in answers.items():
        table = breakdown.family_table(rows.drop(columns="data", errors="ignore"), seed)
        if table.empty:
            columns[name], intervals[name] = pd.Series(dtype=float), (np.nan, np.nan)
            continue
        table = table.set_index("family")
        low, high = table.loc["all", ["roc_auc_low", "roc_auc_high"]].to_numpy(float)
        columns[name], intervals[name] = table["roc_auc"], (float(low), float(high))
    by_kind = pd.DataFrame(columns)
    by_kind.index.name = "kind of fake"
    ends = [name for name in ("macro", "all") if name in by_kind.index]
    return pd.concat([by_kind.drop(ends), by_kind.loc[ends]]), intervals


def plot_kinds(by_kind: pd.DataFrame, intervals: dict[str, tuple[float, float]]) -> Figure:
    """Show each detector's AUC by kind of fake; on all fakes with its 95% interval."""
    figure, ax = plt.subplots(figsize=(7, 1.2 + 0.4 * len(by_kind)), layout="constrained")
    rows = {kind: y for y, kind in enumerate(by_kind.index)}
    for i, name in enumerate(map(str, by_kind)):
        shift = 0.15 * (i - (len(by_kind.columns) - 1) / 2)
        ax.plot(by_kind[name], [y + shift for y in rows.values()], "o", label=name, color=f"C{i}")
        if "all" in rows:
            ax.plot(intervals[name], [rows["all"] + shift] * 2, color=f"C{i}", lw=2)
    ax.axvline(0.5, ls=":", color="grey", label="a coin")
    ax.set(
        yticks=list(rows.values()), yticklabels=list(rows), xlim=(0, 1.02),
        xlabel="AUC against the real photos; line: 95% interval",
        ylabel="kind of fake", title="Which kind of fake does which detector find?",
    )  # fmt: skip
    ax.invert_yaxis()
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def kinds_in_words(
    by_kind: pd.DataFrame, intervals: dict[str, tuple[float, float]]
) -> Iterator[str]:
    """Yield what a table of AUCs shows, in sentences."""
    if "all" not in by_kind.index:
        yield "The test photos lack a label: nothing was measured on them."
        return
    whole = {str(name): float(value) for name, value in zip(by_kind, by_kind.loc["all"])}
    order = sorted(whole, key=lambda name: -whole[name])
    for name in order:
        low, high = intervals[name]
        yield f"On all fakes '{name}' has an AUC of {whole[name]:.3f} ({low:.3f} to {high:.3f})."
    if len(order) > 1:
        best, second = order[:2]
        apart = intervals[best][0] > intervals[second][1]
        overlap = "do not overlap" if apart else "overlap, so this may be luck"
        yield f"The highest is that of '{best}'; its interval and that of '{second}' {overlap}."
    kinds = by_kind.drop(["all", "macro"], errors="ignore")
    for name in order if len(kinds) > 1 else ():
        value, weakest = min(zip(kinds[name], kinds.index))
        words = "below a coin's 0.5" if value < 0.5 else "a coin has 0.5"
        yield f"'{name}' finds {weakest} worst: {value:.3f}, {words}."


def feature_maps(model: "keras.Model", photo: np.ndarray) -> dict[str, np.ndarray]:
    """Return what comes out of each block of the backbone.

    Args:
        model: one with a backbone.
        photo: (1, S, S, 3) uint8.

    Returns:
        block -> (h, w, C) float32, from the photo to the logit.
    """
    import keras

    from deepfake_lab.training import models

    backbone = model.get_layer("backbone")
    last = {
        block: [layer for layer in backbone.layers if layer.name.startswith(f"{block}_")][-1]
        for block in models.backbone_blocks(model)
    }
    outputs = keras.Model(backbone.input, [layer.output for layer in last.values()])
    found = outputs.predict_on_batch(photo.astype(np.float32))
    return {block: np.asarray(maps)[0] for block, maps in zip(last, found)}


def plot_feature_maps(maps: dict[str, np.ndarray], count: int = 8, rows: int = 4) -> Figure:
    """Show the liveliest maps of a few blocks, from the first to the last."""
    names = list(maps)
    chosen = [names[i] for i in np.linspace(0, len(names) - 1, min(rows, len(names))).astype(int)]
    figure, axes = plt.subplots(
        len(chosen), count, figsize=(1.1 * count, 1.2 * len(chosen)), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for line, name in zip(axes, chosen):
        high, wide, _ = maps[name].shape
        line[0].set_title(f"{name}: {wide} x {high}", fontsize=8, loc="left")
        for ax in line:
            ax.axis("off")
        for ax, tile in zip(line, liveliest(maps[name], count)):
            ax.imshow(tile, cmap="gray")
    figure.suptitle("What comes out of the blocks, from the first to the last", fontsize=10)
    return figure


def plot_embedding(
    features: dict[str, np.ndarray], split: "Split", seed: int = 0, thumbnails: int = 14
) -> Figure:
    """Draw photos so that those with similar features lie close together, a panel per network.

    Args:
        features: title -> (N, C).
        split: the N photos.
        seed: of the map.
        thumbnails: so many of the photos are shown.

    Source: L. van der Maaten and G. Hinton, "Visualizing Data using t-SNE", JMLR 9, 2008.
    """
    from sklearn.manifold import TSNE

    figure, axes = plt.subplots(
        1, len(features), figsize=(5 * len(features), 5), squeeze=False, layout="constrained"
    )
    shown = split.manifest[["label", "source"]].reset_index(drop=True)
    small = split.centered()[:, ::6, ::6]  # thumbnails
    for ax, (title, numbers) in zip(axes.flat, features.items()):
        near = min(20.0, max(2.0, (len(numbers) - 1) / 4))
        places = TSNE(perplexity=near, init="pca", random_state=seed).fit_transform(numbers)
        colors = {label: cycle(shades) for label, shades in SHADES.items()}
        for (label, source), part in shown.groupby(["label", "source"]):
            marker = "o" if label == "real" else "^"
            spots, color = places[part.index], next(colors[str(label)])
            ax.scatter(*spots.T, s=24, marker=marker, color=color, label=f"{label}: {source}")
        for i in _apart(places, thumbnails):
            picture = OffsetImage(small[i], zoom=0.75)
            edge = {"edgecolor": COLORS[shown["label"][i]], "lw": 1.5}
            spot = AnnotationBbox(picture, places[i], (16, 16), boxcoords="offset points", pad=0.1,
                                  bboxprops=edge)  # fmt: skip
            ax.add_artist(spot)
        ax.set(title=title, xticks=[], yticks=[])
        ax.set(xlabel="t-SNE: near means similar", ylabel="directions have no meaning")
        ax.margins(0.14)  # room for the thumbnails at the border
    handles, names = axes.flat[0].get_legend_handles_labels()
    figure.suptitle("The test photos by their features", fontsize=12)
    figure.legend(handles, names, fontsize=9, frameon=False, ncols=4, loc="outside lower center")
    return figure


def _apart(places: np.ndarray, count: int) -> list[int]:
    """Return the numbers of places that lie far from one another."""
    chosen = [0]
    while len(chosen) < min(count, len(places)):
        gaps = np.linalg.norm(places[:, None] - places[chosen][None], axis=-1).min(axis=1)
        chosen.append(int(gaps.argmax()))
    return chosen


# 04: how far the scores can be trusted ------------------------------------------------------------


def uncalibrated(detector: Detector, predictions: pd.DataFrame) -> pd.DataFrame:
    """Return predictions as the bare network would have made them, before its calibration."""
    scale = detector.config["calibration"]
    said, prior = predictions[["p_fake", "prior"]].to_numpy(float).T
    even = np.clip(at_prior(said, prior, 0.5), 1e-12, 1 - 1e-12)
    logits = (np.log(even / (1 - even)) - scale["bias"]) * scale["temperature"]
    return predictions.assign(p_fake=1 / (1 + np.exp(-logits)), prior=0.5)


def plot_before_after(before: pd.DataFrame, after: pd.DataFrame, name: str) -> Figure:
    """Show how far P(fake) can be believed, without and with calibration."""
    figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
    for ax, rows, words in zip(axes, (before, after), ("before", "after")):
        plots.plot_calibration({name: rows}, ax=ax).set_title(f"{words} calibration")
    return figure


# 05: what a heat map is worth ---------------------------------------------------------------------


def plot_ways(
    detector: Detector, ways: dict[tuple[int, int], np.ndarray]
) -> tuple[Figure, list[float]]:
    """Show what a detector says of one photo after each way that it may have gone.

    Args:
        detector: who is asked.
        ways: (JPEG quality, smaller by) -> (H, W, 3) uint8.

    Returns:
        The figure, and P(fake) in the order given.
    """
    answers = {way: detector.predict(damaged) for way, damaged in ways.items()}
    figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
    for i, factor in enumerate(dict.fromkeys(factor for _, factor in ways)):
        mine = [(quality, answers[quality, other].p_fake) for quality, other in ways
                if other == factor]  # fmt: skip
        name = "full size" if factor == 1 else f"size 1/{factor}"
        ax.plot(*zip(*mine), "o-", ms=4, color=plt.get_cmap("viridis")(0.25 * i), label=name)
    ax.axhline(0.5, ls=":", color="grey", label="above: FAKE")
    ax.invert_xaxis()
    ax.set(xlabel="JPEG quality", ylabel="P(fake)", ylim=(-0.03, 1.03))
    ax.set_title("One photo, recompressed and made smaller")
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure, [answer.p_fake for answer in answers.values()]


def load_keras(detector: Detector) -> "keras.Model | None":
    """Return the network behind a detector, to be taken apart; None where only its answers are."""
    file = Path(detector.folder) / "model.keras"
    if not file.is_file():
        return None
    import_tensorflow()
    import keras

    return keras.models.load_model(file, compile=False)


def shuffle_weights(model: "keras.Model", seed: int = 0) -> None:
    """Put the numbers of each weight into another order: as large as before, and knowing nothing.

    Source: the test of J. Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018,
        arXiv:1810.03292.
    """
    rng = np.random.default_rng(seed)
    model.set_weights([rng.permutation(w.ravel()).reshape(w.shape) for w in model.get_weights()])


def grad_cam(model: "keras.Model", pixels: np.ndarray) -> np.ndarray:
    """Return the places of the last feature maps whose growth would raise the logit.

    Args:
        model: from :func:`load_keras`.
        pixels: (S, S, 3) uint8, the square that was judged.

    Returns:
        (h, w) float32, nowhere below zero.

    Source: R. Selvaraju et al., "Grad-CAM", ICCV 2017, arXiv:1610.02391.
    """
    import tensorflow as tf

    layers = {layer.name: layer for layer in model.layers}
    photo = tf.constant(pixels[None].astype(np.float32))
    with tf.GradientTape() as tape:
        if "backbone" in layers:
            maps = layers["backbone"](photo, training=False)  # (1, h, w, C)
            tape.watch(maps)
            logit = layers["logit"](layers["pool"](maps))
        else:
            maps = logit = photo
            for layer in model.layers[1:]:
                logit = layer(logit, training=False) if "norm" in layer.name else (
                    logit if "dropout" in layer.name else layer(logit)
                )  # fmt: skip
                if layer.name.startswith("relu"):
                    maps = logit
                    tape.watch(maps)
    weights = tf.reduce_mean(tape.gradient(logit, maps), axis=(1, 2), keepdims=True)
    return np.maximum(tf.reduce_sum(weights * maps, axis=-1)[0].numpy(), 0)


def exact_map(model: "keras.Model", pixels: np.ndarray) -> np.ndarray | None:
    """Return the share of each place in the logit, (h, w); None where the network has none."""
    from deepfake_lab.training import models

    if not models.has_backbone(model):
        return None
    outputs = models.with_activation_map(model)(pixels[None].astype(np.float32))
    return np.asarray(outputs["activation_map"])[0]


def compare_maps(detector: Detector, answer: Judgement, seed: int = 0) -> dict[str, np.ndarray]:
    """Return heat maps of one answer: as learned, and with the weights shuffled.

    Returns:
        title -> (h, w); the first is the detector's own. Empty where there is no network to ask.
    """
    model = load_keras(detector)
    if model is None:
        return {}
    pixels = answer.framed.pixels
    own = "map by covering" if answer.activation_map is None else "exact map"
    maps = {own: heat_map(detector, answer), "Grad-CAM": grad_cam(model, pixels)}
    shuffle_weights(model, seed)
    shuffled = exact_map(model, pixels)
    if shuffled is not None:
        maps["exact map, weights shuffled"] = shuffled
    maps["Grad-CAM, weights shuffled"] = grad_cam(model, pixels)
    return maps


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Return the correlation of two maps, brought to one size: 1 for the same; NaN if one is flat.

    Both are compared where they argue for FAKE, since Grad-CAM shows nothing else.
    """
    side = max(first.shape[0], second.shape[0])
    flat = [np.maximum(resize_map(one, side), 0).ravel() for one in (first, second)]
    if min(one.std() for one in flat) < 1e-9:
        return float("nan")
    return float(np.corrcoef(*flat)[0, 1])


def plot_maps(answer: Judgement, maps: dict[str, np.ndarray]) -> Figure:
    """Show maps over the square that was judged, each scaled to its own strongest place."""
    figure, axes = plt.subplots(
        1, len(maps), figsize=(2.6 * len(maps), 3), squeeze=False, layout="constrained"
    )
    for ax, (title, evidence) in zip(axes.flat, maps.items()):
        strongest = float(np.abs(evidence).max()) or 1.0
        ax.imshow(draw_heat(answer.framed.pixels, evidence * (5 / strongest)))
        ax.set_title(title, fontsize=9)
        ax.axis("off")
    return figure
