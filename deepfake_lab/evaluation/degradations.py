"""What the way through the internet does to a photo, and what a detector then still knows."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from deepfake_lab.detection.detector import Detector
from deepfake_lab.evaluation.bootstrap import LEVEL, mean_of, measure_parts, share_of
from deepfake_lab.photos import images
from deepfake_lab.progress import progress

if TYPE_CHECKING:  # an extra
    from distributed import Client

#: The few steps that notebook 04 shows: (kind, level), see
#: :func:`deepfake_lab.photos.images.degrade`.
DEGRADATIONS = (
    ("none", 0), ("jpeg", 80), ("jpeg", 50), ("jpeg", 30),
    ("blur", 1), ("blur", 2), ("downscale", 2), ("downscale", 4),
)  # fmt: skip

#: The curves that an assessment draws.
CURVES = (
    ("none", 0),
    *(("jpeg", quality) for quality in (95, 85, 75, 60, 50, 40, 30)),
    *(("downscale", factor) for factor in (1.5, 2, 3, 4)),
    *(("blur", radius) for radius in (0.5, 1, 2, 3)),
    *(("noise", deviation) for deviation in (2, 5, 10, 20)),
    *(("screenshot", factor) for factor in (1, 1.5, 2)),
    ("messenger", 40), ("margin", 1.3),
)  # fmt: skip

#: What the level of each kind is, for an axis.
AXES = {
    "jpeg": "JPEG quality",
    "downscale": "scaled down by, then up again",
    "blur": "radius of the blur (pixels)",
    "noise": "deviation of the noise (of 255)",
    "screenshot": "screenshot, shown smaller by",
}

_NAMES = {
    "none": "as it is",
    "jpeg": "JPEG {:g}",
    "downscale": "size 1/{:g}",
    "blur": "blur {:g} px",
    "noise": "noise {:g}",
    "screenshot": "screenshot 1/{:g}",
    "messenger": "half size, then JPEG {:g}",
    "margin": "on a blurred copy {:g} times as wide",
}

#: What is measured of each family under each degradation.
_METRICS = ("roc_auc", "balanced_accuracy", "calibration_error")


def degradation_name(kind: str, level: float) -> str:
    """Return what a degradation is called in a table or a figure."""
    return _NAMES[kind].format(level)


def degraded_answers(
    detector: Detector,
    manifest: pd.DataFrame,
    degradations: Sequence[tuple[str, float]],
    cluster: "Client | None" = None,
) -> Iterator[tuple[str, float, pd.DataFrame]]:
    """Damage every photo as the world does and ask again.

    The whole photo is damaged before the face is looked for, as it happens on the way through a
    messenger.

    Yields:
        ``kind, level``, and the predictions frame.
    """
    for kind, level in progress(degradations, detector.name):
        change = partial(images.degrade, kind=kind, level=level)
        yield kind, level, detector.predict_many(manifest, change, cluster)


def degradation_table(
    clean: pd.DataFrame,
    degraded: Sequence[tuple[str, float, pd.DataFrame]],
    parts: dict[str, dict[str, np.ndarray]],
    seed: int = 0,
) -> pd.DataFrame:
    """Measure each degradation, family by family, and how far it falls below the clean photos.

    Args:
        clean: N answered rows about the photos as they are.
        degraded: the same N photos, damaged; rows in the same order.
        parts: data set -> family -> (N,) bool: its fakes and the real photos they stand against;
            the family ``all`` is every photo of the data set.
        seed: of the bootstrap.

    Returns:
        A row per degradation, data set and family (``macro``: the mean over families):
        ``kind, level, name, data, family, photos``; ``roc_auc, balanced_accuracy,
        calibration_error`` and ``fall`` (AUC lost against the clean photos), each with ``_low``
        and ``_high``; and for ``all``: ``false_alarm_rate``, ``coverage`` (share of answers outside
        the uncertain band) and ``error_outside`` (share of those that is wrong). Both labels weigh
        the same.
    """
    whole = measure_families(clean, parts, _METRICS, seed)
    rows = []
    for kind, level, answers in degraded:
        kept = answers["p_fake"].notna().to_numpy()
        part_of = {
            data: {family: part & kept for family, part in families.items()}
            for data, families in parts.items()
        }
        after = measure_families(answers, part_of, _METRICS, seed)
        for (data, family), found in after.items():
            row = {"kind": kind, "level": level, "name": degradation_name(kind, level)}
            row |= {"data": data, "family": family, "photos": 0}
            low, high = found.interval()
            for i, metric in enumerate(_METRICS):
                row |= with_interval(metric, found.values[i], low[i], high[i])
            before = whole[data, family]
            lost = before.draws[:, 0] - found.draws[:, 0]
            lost = lost[~np.isnan(lost)]
            tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
            ends = np.quantile(lost, tails) if len(lost) else (np.nan, np.nan)
            row |= with_interval("fall", before.values[0] - found.values[0], *ends)
            if family != "macro":
                row["photos"] = int(part_of[data][family].sum())
            if family == "all":
                row |= _outside(answers[part_of[data][family]])
            rows.append(row)
    return pd.DataFrame(rows)


def measure_families(
    rows: pd.DataFrame,
    parts: dict[str, dict[str, np.ndarray]],
    metrics: tuple[str, ...],
    seed: int = 0,
) -> dict:
    """Measure families of fakes against real photos, and their mean where there are several.

    Returns:
        (data set, family) -> :class:`deepfake_lab.evaluation.bootstrap.Measured`; both labels
        weigh the same.
    """
    flat = {(data, name): part for data, named in parts.items() for name, part in named.items()}
    measured = measure_parts(rows, flat, metrics, seed=seed, balanced=True)
    for data, families in parts.items():
        single = [measured[data, family] for family in families if family != "all"]
        if len(single) > 1:
            measured[data, "macro"] = mean_of(single)
    return measured


def with_interval(name: str, value: float, low: float, high: float) -> dict[str, float]:
    """Return three cells of a table: the value, ``_low`` and ``_high``."""
    return {name: float(value), f"{name}_low": float(low), f"{name}_high": float(high)}


def _outside(answers: pd.DataFrame) -> dict[str, float]:
    wrong = answers["verdict"].str.lower() != answers["label"]
    real = answers["label"] == "real"
    sure = ~answers["uncertain"].astype(bool)
    return {
        "false_alarm_rate": share_of(wrong[real], answers["group"][real])["value"],
        "coverage": float(sure.mean()),
        "error_outside": share_of(wrong[sure], answers["group"][sure])["value"],
    }
