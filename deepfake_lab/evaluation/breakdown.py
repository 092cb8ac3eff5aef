"""Predictions frame -> tables: by family, by source, coverage against error, reliability.

Every table has a row's numbers and their 95% intervals (``_low``, ``_high``), and the column
``data``: which data set; ``all`` is several of them together. A frame without that column is one
data set, ``all``.
"""

from typing import Any

import numpy as np
import pandas as pd

from deepfake_lab.data.sources import with_origin
from deepfake_lab.evaluation.bootstrap import (
    measure_parts,
    share_of,
    stated_for,
)
from deepfake_lab.evaluation.degradations import measure_families, with_interval
from deepfake_lab.evaluation.metrics import LOW_FPR
from deepfake_lab.evaluation.predictions import answered

#: What is measured where there are real and fake photos. Both labels weigh the same, so that a
#: family of fifty fakes and one of a thousand can be compared.
FAMILY_METRICS = (
    "roc_auc", "balanced_accuracy", "average_precision", "equal_error_rate", "tpr_at_1_fpr",
    "tpr_at_0_5_fpr", "brier_score", "calibration_error",
)  # fmt: skip

#: Pairs of sources with fewer photos on one side than this are not held against each other.
ENOUGH_FOR_A_PAIR = 20

#: Shares of the photos at which the coverage curve is read.
COVERAGES = np.arange(0.05, 1.001, 0.05).round(2)


def prepared(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the answered rows, with ``data`` and ``family``, numbered from 0."""
    rows = answered(predictions)
    if "data" not in rows:
        rows = with_origin(rows, "").assign(data="all")
    return rows.reset_index(drop=True)


def data_parts(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return data set -> (N,) bool; where there are several, ``all`` comes last."""
    parts = {str(name): (rows["data"] == name).to_numpy() for name in rows["data"].unique()}
    return parts if len(parts) == 1 else parts | {"all": np.ones(len(rows), bool)}


def family_parts(rows: pd.DataFrame) -> dict[str, dict[str, np.ndarray]]:
    """Return data set -> family -> (N,) bool: its fakes and all real photos of that data set.

    The family ``all`` is every photo of the data set. A data set that lacks a label is left out.
    """
    real = (rows["label"] == "real").to_numpy()
    family = rows["family"].to_numpy()
    parts: dict[str, dict[str, np.ndarray]] = {}
    for data, here in data_parts(rows).items():
        if (here & real).any() and (here & ~real).any():
            names = sorted(set(family[here & ~real]))
            parts[data] = {name: here & (real | (family == name)) for name in names}
            parts[data]["all"] = here
    return parts


def family_table(predictions: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Measure each family of fakes against all real photos of its data set.

    Returns:
        A row per data set and family, then ``macro`` (the mean over families, where there are
        several) and ``all`` (all fakes at once): ``data, family, real, fake`` (photos) and
        :data:`FAMILY_METRICS`. Empty where no data set has both labels. ``tpr_at_1_fpr`` is
        missing where fewer than 100 real photos stand against it, ``tpr_at_0_5_fpr`` where fewer
        than 200 do.
    """
    rows = prepared(predictions)
    return _measured(rows, family_parts(rows), "family", seed)


def source_table(predictions: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Measure each source, its photos against all photos of the other label in its data set.

    Returns:
        A row per data set, label and source: ``data, label, source, family, photos, groups``;
        ``wrong`` (share called fake of real photos, share missed of fakes), ``uncertain`` (share in
        the uncertain band), ``wrong_outside`` (share wrong of the others), ``no_face`` (share
        without a face), ``mean_p_fake``, and :data:`FAMILY_METRICS` where the other label is there.
    """
    rows = prepared(predictions)
    parts: dict[str, dict[tuple, np.ndarray]] = {}
    table = []
    for (data, label, source), part in rows.groupby(["data", "label", "source"], sort=False):
        here = (rows["data"] == data).to_numpy()
        other = here & (rows["label"] != label).to_numpy()
        if other.any():
            parts.setdefault(str(data), {})[label, source] = other | rows.index.isin(part.index)
        wrong = part["verdict"].str.lower() != part["label"]
        sure = ~part["uncertain"].astype(bool)
        shares = {
            "wrong": share_of(wrong, part["group"]),
            "uncertain": share_of(~sure, part["group"]),
            "wrong_outside": share_of(wrong[sure], part["group"][sure]),
            "no_face": share_of(~part["face_found"].astype(bool), part["group"]),
        }
        row = {"data": data, "label": label, "source": source, "family": part["family"].iloc[0]}
        row |= {"photos": len(part), "groups": part["group"].nunique()}
        for name, share in shares.items():
            row |= with_interval(name, *share.values())
        table.append(row | {"mean_p_fake": part["p_fake"].mean()})
    order = pd.DataFrame(table).sort_values(
        ["data", "label", "source"], ascending=[True, False, True]
    )
    if not parts:
        return order.reset_index(drop=True)
    measured = _measured(rows, parts, "key", seed)
    measured["label"], measured["source"] = zip(*measured["key"])
    measured = measured.drop(columns=["key", "real", "fake"])
    return order.merge(measured, on=["data", "label", "source"], how="left")


def same_source_table(predictions: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Measure sources that have real and fake photos of their own, against each other alone.

    Camera, size and compression are the same on both sides there, so that they cannot help.

    Returns:
        A row per data set and source, columns as :func:`family_table`; empty where there is none.
    """
    rows = prepared(predictions)
    parts: dict[str, dict[str, np.ndarray]] = {}
    for (data, source), part in rows.groupby(["data", "source"], sort=False):
        if part["label"].nunique() == 2:
            parts.setdefault(str(data), {})[str(source)] = rows.index.isin(part.index)
    return _measured(rows, parts, "source", seed)


def cross_source_table(predictions: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Measure the fakes of each source against the real photos of each, whatever their data set.

    That is what a user has: real photos from her camera, and a fake from anywhere. Where two
    sources differ in cameras, sizes and people, an AUC near 1 may rest on that, and one far below
    that of :func:`family_table` shows where the detector takes a source for a label.

    Returns:
        A row per pair with :data:`ENOUGH_FOR_A_PAIR` photos of each: ``fake_source, real_source,
        family, fake, real`` (photos), ``roc_auc`` with ``_low`` and ``_high``.
    """
    rows = prepared(predictions)
    fakes, reals = (_by_source(rows, label) for label in ("fake", "real"))
    pairs = {(fake, real): fakes[fake] | reals[real] for fake in fakes for real in reals}
    if not pairs:
        return pd.DataFrame()
    family = rows[rows["label"] == "fake"].groupby("source")["family"].first()
    table = []
    for (fake, real), found in measure_parts(rows, pairs, ("roc_auc",), seed=seed).items():
        low, high = found.interval()
        row = {"fake_source": fake, "real_source": real, "family": family[fake]}
        row |= {"fake": int(fakes[fake].sum()), "real": int(reals[real].sum())}
        table.append(row | with_interval("roc_auc", found.values[0], low[0], high[0]))
    return (
        pd.DataFrame(table)
        .sort_values(["family", "fake_source", "real_source"])
        .reset_index(drop=True)
    )


def _by_source(rows: pd.DataFrame, label: str) -> dict[str, np.ndarray]:
    """Return source -> (N,) bool, its photos of a label, where there are enough for a pair."""
    of_label = rows["label"] == label
    counts = rows.loc[of_label, "source"].value_counts()
    names = sorted(str(name) for name in counts.index[counts >= ENOUGH_FOR_A_PAIR])
    return {name: (of_label & (rows["source"] == name)).to_numpy() for name in names}


def coverage_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Say how many photos are answered and how often that is wrong, if the rest is left open.

    Returns:
        A row per data set and share of the photos, the surest first (the curve), and one
        for the detector's uncertain band (``shipped`` is True; only this one has
        ``false_alarms`` and ``misses``, the errors of each label outside the band):
        ``data, shipped, coverage, error, photos``. Ties at the edge are answered together.

    Source: R. El-Yaniv and Y. Wiener, "On the Foundations of Noise-free Selective Classification",
        JMLR 2010.
    """
    rows = prepared(predictions)
    wrong = rows["verdict"].str.lower() != rows["label"]
    sure = ~rows["uncertain"].astype(bool)
    table = []
    for data, here in data_parts(rows).items():
        part = rows[here]
        for coverage in COVERAGES:
            least = part["confidence"].nlargest(max(1, round(coverage * len(part)))).iloc[-1]
            answers = here & (rows["confidence"] >= least).to_numpy()
            table.append({"data": data, "shipped": False} | _coverage(rows, wrong, here, answers))
        answers = here & sure.to_numpy()
        row = {"data": data, "shipped": True} | _coverage(rows, wrong, here, answers)
        for name, label in (("false_alarms", "real"), ("misses", "fake")):
            side = answers & (rows["label"] == label).to_numpy()
            row |= with_interval(name, *share_of(wrong[side], rows["group"][side]).values())
        table.append(row)
    return pd.DataFrame(table)


def reliability_table(predictions: pd.DataFrame, bins: int = 10) -> pd.DataFrame:
    """Compare what P(fake) says with the share that is fake, in bins of about equal count.

    P(fake) is that at the data set's own share of fakes.

    Returns:
        A row per data set and bin: ``data, said`` (mean P(fake)), ``share`` (of fakes, with
        ``_low`` and ``_high``), ``photos``.
    """
    rows = prepared(predictions)
    table = []
    for data, here in data_parts(rows).items():
        part = rows[here]
        part = part.assign(p_fake=stated_for(part))
        # By the middle rank: photos of one score are in one bin, however they are listed.
        place = (part["p_fake"].rank() - 0.5) / len(part)
        for _, cell in part.groupby((place * min(bins, len(part))).astype(int)):
            share = share_of(cell["label"] == "fake", cell["group"])
            row = {"data": data, "said": cell["p_fake"].mean()}
            row |= with_interval("share", *share.values())
            table.append(row | {"photos": len(cell)})
    return pd.DataFrame(table)


def _measured(rows: pd.DataFrame, parts: dict[str, dict], what: str, seed: int) -> pd.DataFrame:
    """Return measurements as a table, a row per data set and part, its name in column `what`."""
    fake = (rows["label"] == "fake").to_numpy()
    found = measure_families(rows, parts, FAMILY_METRICS, seed)
    table = []
    for data, named in parts.items():
        everything = np.logical_or.reduce(list(named.values()))
        for name in sorted(named, key=lambda name: name == "all"):
            if name == "all" and (data, "macro") in found and what == "family":
                table.append(_row(data, what, "macro", found, everything, fake))
            table.append(_row(data, what, name, found, named[name], fake))
    return pd.DataFrame(table)


def _row(
    data: str,
    what: str,
    name: str | tuple[str, str],
    found: dict,
    part: np.ndarray,
    fake: np.ndarray,
) -> dict[str, Any]:  # fmt: skip
    measured = found[data, name]
    low, high = measured.interval()
    real = int((part & ~fake).sum())
    row: dict[str, Any] = {"data": data, what: name, "real": real, "fake": int((part & fake).sum())}
    for i, metric in enumerate(FAMILY_METRICS):
        cells = (measured.values[i], low[i], high[i])
        too_few = metric in LOW_FPR and real < round(1 / LOW_FPR[metric])
        row |= with_interval(metric, *((np.nan,) * 3 if too_few else cells))
    return row


def _coverage(
    rows: pd.DataFrame, wrong: pd.Series, here: np.ndarray, answers: np.ndarray
) -> dict[str, float]:
    """Return coverage and error of the answers given, among the photos of one data set."""
    given = pd.Series(answers[here])
    found = with_interval("coverage", *share_of(given, rows["group"][here]).values())
    found |= with_interval("error", *share_of(wrong[answers], rows["group"][answers]).values())
    return found | {"photos": int(answers.sum())}
