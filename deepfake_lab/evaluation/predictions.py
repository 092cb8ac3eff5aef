"""Predictions frame -> metrics with intervals.

FAKE is the positive class throughout: scores are P(fake). What goes further, over several data
sets, families and damages, is :mod:`deepfake_lab.evaluation.assessment`.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from deepfake_lab import paths
from deepfake_lab.data.tables import LABELS
from deepfake_lab.detection.detector import Detector
from deepfake_lab.errors import UserError
from deepfake_lab.evaluation import views
from deepfake_lab.evaluation.bootstrap import measure_parts, share_of
from deepfake_lab.evaluation.degradations import DEGRADATIONS, degraded_answers

#: What :func:`evaluate` measures, each of :data:`deepfake_lab.evaluation.metrics.METRICS`.
REPORTED = (
    "balanced_accuracy", "roc_auc", "average_precision", "false_alarm_rate", "miss_rate",
    "brier_score", "calibration_error",
)  # fmt: skip

#: What :func:`robustness` measures.
ROBUSTNESS_METRICS = ("roc_auc", "balanced_accuracy")


def evaluate(predictions: pd.DataFrame, seed: int = 0, metrics: tuple[str, ...] = REPORTED) -> dict:
    """Compute every metric with an interval.

    The interval comes from a bootstrap that draws whole groups (a person and the forgeries made
    of her), since photos of one group succeed or fail together.

    Args:
        predictions: the predictions frame; rows that have an ``error`` are counted, not scored.
        seed: of the bootstrap.
        metrics: which of :data:`deepfake_lab.evaluation.metrics.METRICS`.

    Returns:
        ``photos``: how many are ``real``, ``fake`` and ``failed``; ``metrics``: of each name the
        ``value`` with ``low`` and ``high``, the ends of its 95% interval.

    Raises:
        UserError: a missing column, or only one of the two labels.
    """
    rows = answered(predictions)
    check_both_labels(rows)
    everything = {"all": np.ones(len(rows), bool)}
    measured = measure_parts(rows, everything, metrics, seed=seed)["all"]
    low, high = measured.interval()
    return {
        "photos": {
            "real": int((rows["label"] == "real").sum()),
            "fake": int((rows["label"] == "fake").sum()),
            "failed": len(predictions) - len(rows),
        },
        "metrics": {
            name: {"value": float(value), "low": float(below), "high": float(above)}
            for name, value, below, above in zip(metrics, measured.values, low, high)
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
        (95% interval of that share, see :func:`deepfake_lab.evaluation.bootstrap.share_of`),
        ``mean_p_fake``.
    """
    rows = answered(predictions)
    rows = rows.assign(correct=rows["verdict"].str.lower() == rows["label"])
    table = []
    for (label, source), part in rows.groupby(["label", "source"]):
        share = share_of(part["correct"], part["group"])
        table.append({
            "label": label, "source": source, "photos": len(part), "correct": share["value"],
            "low": share["low"], "high": share["high"], "mean_p_fake": part["p_fake"].mean(),
        })  # fmt: skip
    return pd.DataFrame(table)


def worst_mistakes(predictions: pd.DataFrame, count: int = 4) -> pd.DataFrame:
    """Return the wrong verdicts with the highest confidence, the surest first."""
    rows = answered(predictions)
    wrong = rows[rows["verdict"].str.lower() != rows["label"]]
    return wrong.sort_values("confidence", ascending=False).head(count)


def robustness(
    detector: Detector,
    manifest: pd.DataFrame,
    degradations: Sequence[tuple[str, float]] = DEGRADATIONS,
    seed: int = 0,
) -> pd.DataFrame:
    """Degrade every photo as the world does, ask again, and evaluate.

    Returns:
        A row per degradation: ``detector, kind, level``, and for ``roc_auc`` and
        ``balanced_accuracy`` the value with ``_low`` and ``_high``.
    """
    results = []
    for kind, level, answers in degraded_answers(detector, manifest, degradations):
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
        ``0.930 [0.880, 0.970]``: the value and its 95% interval, where there is one.

    Raises:
        UserError: a run folder that is not there.
    """
    rows = {}
    for name in names:
        folder = paths.model_folder(name, out_dir)
        test = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["test"]
        rows[name] = {
            metric: views.score(m["value"], m["low"], m["high"])
            for metric, m in test["metrics"].items()
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def answered(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have an answer.

    Raises:
        UserError: a column is missing, or a label, verdict or group of an answer cannot be one.
    """
    missing = {"label", "group", "source", "p_fake", "verdict"} - set(predictions.columns)
    if missing:
        raise UserError(f"The predictions lack the column {', '.join(sorted(missing))}.")
    rows = predictions[predictions["p_fake"].notna()]
    for column, known in (("label", LABELS), ("verdict", ("REAL", "FAKE"))):
        odd = rows[column][~rows[column].isin(known)]
        if len(odd):
            raise UserError(
                f"The predictions have the {column} {odd.iloc[0]!r}; known: {', '.join(known)}."
            )
    if rows["group"].isna().any():
        raise UserError(
            "Predictions without a group: say which photos belong together, or give each its own."
        )
    return rows


def check_both_labels(rows: pd.DataFrame) -> None:
    """Raise a :class:`UserError` unless there are real and fake photos among the rows."""
    if rows["label"].nunique() < 2:
        raise UserError(
            "Metrics need real and fake photos; these predictions have "
            f"{' and '.join(rows['label'].unique()) or 'none'}."
        )
