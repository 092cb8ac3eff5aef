"""Predictions frame -> metrics with intervals, calibration, robustness.

FAKE is the positive class throughout: scores are P(fake), labels are turned into 1 for fake here.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from deepfake_lab import images, paths
from deepfake_lab.detector import Detector
from deepfake_lab.errors import UserError
from deepfake_lab.progress import progress

#: How often the photos are drawn again for an interval.
RESAMPLES = 1000

#: Confidence level of the intervals.
LEVEL = 0.95

#: Degradations that :func:`robustness` applies: (kind, level); see images.degrade.
DEGRADATIONS = (
    ("none", 0), ("jpeg", 80), ("jpeg", 50), ("jpeg", 30),
    ("blur", 1), ("blur", 2), ("downscale", 2), ("downscale", 4),
)  # fmt: skip


#: What :func:`robustness` measures.
ROBUSTNESS_METRICS = ("roc_auc", "balanced_accuracy")


def balanced_accuracy(labels: np.ndarray, p_fake: np.ndarray, fake: np.ndarray) -> float:
    """Return the mean of the share of real and of fake photos that were judged rightly."""
    return float((fake[labels == 1].mean() + (~fake[labels == 0]).mean()) / 2)


def roc_auc(labels: np.ndarray, p_fake: np.ndarray, fake: np.ndarray) -> float:
    """Return the chance that a random fake scores above a random real photo; a tie is half."""
    # Written out, as below: an interval asks a thousand times, and scikit-learn's checks take 98%.
    fakes = labels == 1
    ranks = pd.Series(p_fake).rank().to_numpy()[fakes]  # (fakes,) from 1 to N, ties share theirs
    below = ranks.sum() - len(ranks) * (len(ranks) + 1) / 2
    return float(below / (len(ranks) * np.count_nonzero(~fakes)))


def average_precision(labels: np.ndarray, p_fake: np.ndarray, fake: np.ndarray) -> float:
    """Return the area under the precision-recall curve, as a sum of steps.

    Source: scikit-learn's ``average_precision_score``, which gives the same.
    """
    order = np.argsort(-p_fake)
    last = np.flatnonzero(np.diff(p_fake[order], append=np.nan))  # of photos with equal scores
    caught = np.cumsum(labels[order])[last]  # fakes at or above each score
    return float(np.sum(np.diff(caught, prepend=0) * caught / (last + 1)) / caught[-1])


def false_alarm_rate(labels: np.ndarray, p_fake: np.ndarray, fake: np.ndarray) -> float:
    """Return the share of real photos that were called fake."""
    return float(fake[labels == 0].mean())


def miss_rate(labels: np.ndarray, p_fake: np.ndarray, fake: np.ndarray) -> float:
    """Return the share of fake photos that were called real."""
    return float((~fake[labels == 1]).mean())


def brier_score(labels: np.ndarray, p_fake: np.ndarray, fake: np.ndarray) -> float:
    """Return the mean squared distance of P(fake) from the truth; 0.25 for always saying 0.5."""
    return float(np.mean((p_fake - labels) ** 2))


def expected_calibration_error(
    labels: np.ndarray, p_fake: np.ndarray, fake: np.ndarray, bins: int = 10
) -> float:
    """Return the mean distance between P(fake) and the share of fakes, over bins of equal count.

    Bins of equal count, since bins of equal width are mostly empty on a small test set.

    Source: M. Pakdaman Naeini et al., AAAI 2015; K. Nguyen and B. O'Connor, EMNLP 2015 for
        adaptive bins.
    """
    # Equal scores share a rank, and so a bin: the order of the photos must not matter.
    rank = pd.Series(p_fake).rank().to_numpy()  # (N,) from 1 to N
    bin_of = ((rank - 0.5) / len(rank) * bins).astype(int)
    return float(np.abs(np.bincount(bin_of, weights=p_fake - labels)).sum() / len(rank))


#: name -> function of (labels 0/1, p_fake, verdict is fake), each of shape (N,).
METRICS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {
    "balanced_accuracy": balanced_accuracy,
    "roc_auc": roc_auc,
    "average_precision": average_precision,
    "false_alarm_rate": false_alarm_rate,
    "miss_rate": miss_rate,
    "brier_score": brier_score,
    "calibration_error": expected_calibration_error,
}


def evaluate(
    predictions: pd.DataFrame, seed: int = 0, metrics: tuple[str, ...] = tuple(METRICS)
) -> dict:
    """Compute every metric with an interval.

    The interval comes from a bootstrap that draws whole groups (a person and the forgeries made
    of her), since photos of one group succeed or fail together.

    Args:
        predictions: the predictions frame; rows that have an ``error`` are counted, not scored.
        seed: of the bootstrap.
        metrics: which of :data:`METRICS`.

    Returns:
        ``{"photos": {"real": n, "fake": n, "failed": n}, "metrics": {name: {"value", "low",
        "high"}}}``, the interval at 95%.

    Raises:
        UserError: a missing column, or only one of the two labels.
    """
    rows = _scored(predictions)
    labels, p_fake, fake = _arrays(rows)
    values = {name: METRICS[name](labels, p_fake, fake) for name in metrics}
    draws = pd.DataFrame(
        {name: METRICS[name](labels[i], p_fake[i], fake[i]) for name in metrics}
        for i in _resamples(rows, labels, seed)
    )
    low, high = draws.quantile((1 - LEVEL) / 2), draws.quantile((1 + LEVEL) / 2)
    return {
        "photos": {
            "real": int((labels == 0).sum()),
            "fake": int((labels == 1).sum()),
            "failed": len(predictions) - len(rows),
        },
        "metrics": {
            # A resample is worse calibrated than the sample it is drawn from, so that the value
            # itself may lie below all of them.
            name: {
                "value": value,
                "low": min(value, float(low[name])),
                "high": max(value, float(high[name])),
            }
            for name, value in values.items()
        },
    }


def metrics_table(results: dict[str, dict]) -> pd.DataFrame:
    """Return :func:`evaluate` results of several detectors as a long frame, for a table or a plot.

    Returns:
        Columns ``detector, metric, value, low, high``.
    """
    return pd.DataFrame([
        {"detector": detector, "metric": metric, **interval}
        for detector, result in results.items()
        for metric, interval in result["metrics"].items()
    ])  # fmt: skip


def by_source(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return how often each source is judged rightly.

    Returns:
        A row per label and source: ``photos, correct`` (share of right verdicts), ``low, high``
        (Wilson's 95% interval of that share), ``mean_p_fake``.

    Source: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
        JASA 1927.
    """
    rows = _scored(predictions)
    rows = rows.assign(correct=rows["verdict"].str.lower() == rows["label"])
    table = rows.groupby(["label", "source"]).agg(
        photos=("correct", "size"), correct=("correct", "mean"), mean_p_fake=("p_fake", "mean")
    )
    low, high = wilson_interval(table["correct"] * table["photos"], table["photos"])
    table.insert(2, "low", low)
    table.insert(3, "high", high)
    return table.reset_index()


def wilson_interval(successes, trials):
    """Return low and high of Wilson's 95% interval of a share; arrays in, arrays out."""
    z = 1.959964
    share = successes / trials
    center = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2)) / (1 + z**2 / trials)
    return np.clip(center - half, 0, 1), np.clip(center + half, 0, 1)


def worst_mistakes(predictions: pd.DataFrame, count: int = 4) -> pd.DataFrame:
    """Return the wrong verdicts with the highest confidence, the surest first."""
    rows = _scored(predictions)
    wrong = rows[rows["verdict"].str.lower() != rows["label"]]
    return wrong.sort_values("confidence", ascending=False).head(count)


def robustness(
    detector: Detector,
    manifest: pd.DataFrame,
    degradations: tuple[tuple[str, float], ...] = DEGRADATIONS,
    seed: int = 0,
) -> pd.DataFrame:
    """Degrade every photo as the world does, ask again, and evaluate.

    The whole photo is degraded before the face is looked for, as it happens on the way through a
    messenger.

    Returns:
        A row per degradation: ``detector, kind, level``, and for ``roc_auc`` and
        ``balanced_accuracy`` the value with ``_low`` and ``_high``.
    """
    results = []
    for kind, level in progress(degradations, detector.name):
        change = partial(images.degrade, kind=kind, level=level)
        answers = detector.predict_many(manifest, change)
        found = evaluate(answers, seed, ROBUSTNESS_METRICS)["metrics"]
        row = {"detector": detector.name, "kind": kind, "level": level}
        for metric in ROBUSTNESS_METRICS:
            row[metric] = found[metric]["value"]
            row[f"{metric}_low"] = found[metric]["low"]
            row[f"{metric}_high"] = found[metric]["high"]
        results.append(row)
    return pd.DataFrame(results)


def compare_runs(names: list[str], out_dir: str | Path = "") -> pd.DataFrame:
    """Return the test metrics of several run folders side by side.

    Returns:
        A row per detector, indexed by its name, and a column per metric, each as
        ``0.93 [0.88, 0.97]``: the value and its 95% interval.

    Raises:
        UserError: a run folder that is not there.
    """
    rows = {}
    for name in names:
        folder = paths.model_folder(name, out_dir)
        test = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["test"]
        rows[name] = {
            metric: f"{m['value']:.3f} [{m['low']:.3f}, {m['high']:.3f}]"
            for metric, m in test["metrics"].items()
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _scored(predictions: pd.DataFrame) -> pd.DataFrame:
    missing = {"label", "group", "source", "p_fake", "verdict"} - set(predictions.columns)
    if missing:
        raise UserError(f"The predictions lack the column {', '.join(sorted(missing))}.")
    rows = predictions[predictions["p_fake"].notna()]
    if rows["label"].nunique() < 2:
        raise UserError(
            "Metrics need real and fake photos; these predictions have "
            f"{' and '.join(rows['label'].unique()) or 'none'}."
        )
    return rows


def _arrays(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels = (rows["label"] == "fake").to_numpy(int)
    return labels, rows["p_fake"].to_numpy(float), (rows["verdict"] == "FAKE").to_numpy(bool)


def _resamples(rows: pd.DataFrame, labels: np.ndarray, seed: int):
    """Yield the row numbers of each bootstrap sample that has both labels."""
    members = list(rows.groupby("group", sort=True).indices.values())
    rng = np.random.default_rng(seed)
    for _ in range(RESAMPLES):
        drawn = rng.integers(len(members), size=len(members))
        index = np.concatenate([members[i] for i in drawn])
        if 0 < labels[index].sum() < len(index):
            yield index
