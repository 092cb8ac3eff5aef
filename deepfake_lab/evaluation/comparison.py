"""Many runs side by side: what differs between them, and which differences are more than luck.

Two kinds of luck move a metric. Other test photos would have given another number: a bootstrap
draws the same photos again for all runs at once, so that what is easy or hard about a photo cancels
out of their difference. Another seed would have given another detector: the spread between runs
that differ in nothing but their seed tells by how much.
"""

import json
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from deepfake_lab.data.tables import read_written
from deepfake_lab.errors import UserError
from deepfake_lab.evaluation.bootstrap import LEVEL, resamples, stated_for
from deepfake_lab.evaluation.metrics import METRICS, Scores, measure
from deepfake_lab.evaluation.predictions import answered
from deepfake_lab.evaluation.runs import FACTS, parameters_of

#: Below this p-value, corrected for the number of comparisons, a difference is more than luck.
ALPHA = 0.05

#: Metrics that count errors.
LOWER_IS_BETTER = (
    "false_alarm_rate", "miss_rate", "brier_score", "calibration_error", "equal_error_rate",
)  # fmt: skip

#: Parameters that name things and change no result.
_NAMES = ("model_name", "cnn_name", "out_dir")


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        metric: what is compared.
        photos: how many test photos all runs have answered.
        runs: a row per detector, as :func:`deepfake_lab.evaluation.runs.runs_table` makes them, and
            ``setting``, ``measured`` (the metric on these photos).
        settings: a row per setting, the best first: ``setting, runs, seeds``, ``<metric>`` (the
            mean over its runs), ``low, high`` (its 95% interval), ``spread`` (standard deviation
            between its runs; NaN for a single one).
        differences: a row per pair of settings: ``first, second, difference, low, high`` (95%
            interval, of this pair alone), ``p, p_corrected, more_than_luck``.
        notes: what else differs between the runs, in sentences.
    """

    metric: str
    photos: int
    runs: pd.DataFrame
    settings: pd.DataFrame
    differences: pd.DataFrame
    notes: tuple[str, ...]


def compare_settings(runs: pd.DataFrame, metric: str = "roc_auc", seed: int = 0) -> Comparison:
    """Compare the whole ones of some runs, those that differ only in their seed taken together.

    The standard error of a difference joins the variance over photos (bootstrap) and over seeds;
    its t-distribution has the degrees of freedom of Satterthwaite. p-values are corrected after
    Holm, so that among all comparisons together a difference that is none is called one in at most
    one case of twenty.

    Args:
        runs: from :func:`deepfake_lab.evaluation.runs.runs_table`.
        metric: one of :data:`deepfake_lab.evaluation.metrics.METRICS`.
        seed: of the bootstrap.

    Raises:
        UserError: an unknown metric, no whole run, or runs without test photos in common.

    Source: F. E. Satterthwaite, "An Approximate Distribution of Estimates of Variance Components",
        Biometrics Bulletin 1946; S. Holm, "A Simple Sequentially Rejective Multiple Test
        Procedure", Scandinavian Journal of Statistics 1979.
    """
    if metric not in METRICS:
        raise UserError(f"No metric '{metric}'. Metrics: {', '.join(METRICS)}.")
    whole = runs[runs["status"] == "whole"].reset_index(drop=True)
    if whole.empty:
        raise UserError("None of these runs is whole: there is nothing to compare.")
    whole = whole.assign(setting=settings_of(whole))
    rows = [_test_rows(folder) for folder in whole["folder"]]
    common = _common(rows, list(whole["name"]))
    measured = _Measured.of(rows, common, metric, seed)
    whole = whole.assign(measured=measured.values)
    members = {
        setting: np.flatnonzero(whole["setting"] == setting)
        for setting in dict.fromkeys(whole["setting"])
    }
    better = -1 if metric in LOWER_IS_BETTER else 1
    order = sorted(members, key=lambda name: -better * measured.values[members[name]].mean())
    pairs = [
        {"first": first, "second": second}
        | _estimate(measured, members[first], members[second]).row("difference")
        for first, second in combinations(order, 2)
    ]
    columns = ["first", "second", "difference", "low", "high", "p"]
    differences = pd.DataFrame(pairs, columns=columns)
    differences["p_corrected"] = holm(differences["p"].to_numpy(float))
    differences["more_than_luck"] = differences["p_corrected"] < ALPHA
    settings = [
        {"setting": name, "runs": len(members[name]),
         "seeds": ", ".join(map(str, sorted(whole["seed"][members[name]])))}
        | _estimate(measured, members[name]).row(metric)
        | {"spread": np.std(measured.values[members[name]], ddof=1)
           if len(members[name]) > 1 else np.nan}
        for name in order
    ]  # fmt: skip
    return Comparison(
        metric, len(common), whole, pd.DataFrame(settings).drop(columns="p"), differences,
        tuple(_notes(whole, rows, common)),
    )  # fmt: skip


def varied(runs: pd.DataFrame) -> list[str]:
    """Return the parameters, the seed apart, in which the runs differ."""
    return [
        name
        for name in parameters_of(runs)
        if name not in ("seed", *_NAMES) and runs[name].astype(str).nunique() > 1
    ]


def settings_of(runs: pd.DataFrame) -> pd.Series:
    """Return a name for what each run was made with, the same for runs that differ only in seed.

    Where no two runs share a setting, the names are those of the runs.
    """
    keys = runs[["data", "fingerprint", *varied(runs)]].astype(str).agg("|".join, axis=1)
    if not len(runs) or not keys.duplicated().any():
        return runs["name"]
    named = varied(runs)
    words = [
        ", ".join(f"{name}={row[name]}" for name in named) or "all runs"
        for row in runs.to_dict("records")
    ]
    titles = pd.Series(words, index=runs.index)
    if titles.groupby(keys).first().duplicated().any():  # the data differ, their folder's name too
        titles += ", " + runs["data"] + " " + runs["fingerprint"].str[:8]
    return titles


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values corrected for their number, (P,) in and out.

    Source: S. Holm, Scandinavian Journal of Statistics 1979.
    """
    order = np.argsort(p)
    corrected = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    back = np.empty(len(p))
    back[order] = np.minimum(corrected, 1)
    return back


@dataclass(frozen=True)
class _Measured:
    """One metric of S runs on the same photos: (S,) as they are, (R, S) of the resamples."""

    values: np.ndarray
    draws: np.ndarray
    groups: int

    @classmethod
    def of(cls, rows: list[pd.DataFrame], common: pd.Index, metric: str, seed: int) -> "_Measured":
        rows = [run.loc[common] for run in rows]
        is_fake = (rows[0]["label"] == "fake").to_numpy(bool)
        scores = [
            Scores.of(is_fake, stated_for(run), (run["verdict"] == "FAKE").to_numpy())
            for run in rows
        ]
        groups = rows[0]["group"].to_numpy()
        draws = [
            np.column_stack([measure(run.count(weights), (metric,))[:, 0] for run in scores])
            for weights in resamples(groups, seed)
        ]
        values = np.array([measure(run.count(), (metric,))[0, 0] for run in scores])
        joined = np.concatenate(draws)
        return cls(values, joined[~np.isnan(joined).any(axis=1)], len(np.unique(groups)))


@dataclass(frozen=True)
class _Estimate:
    value: float
    low: float
    high: float
    p: float

    def row(self, name: str) -> dict[str, float]:
        return {name: self.value, "low": self.low, "high": self.high, "p": self.p}


def _estimate(
    measured: _Measured, first: np.ndarray, second: np.ndarray | None = None
) -> _Estimate:
    """Return a setting's mean, or the difference of two, with interval and p-value against 0."""
    sides = [(first, 1)] if second is None else [(first, 1), (second, -1)]
    value = sum(sign * measured.values[runs].mean() for runs, sign in sides)
    draws = sum(sign * measured.draws[:, runs].mean(axis=1) for runs, sign in sides)
    parts = [(float(np.var(draws, ddof=1)), max(1, measured.groups - 1))]
    parts += [
        (float(np.var(measured.values[runs], ddof=1)) / len(runs), len(runs) - 1)
        for runs, _ in sides
        if len(runs) > 1
    ]
    variance = sum(part for part, _ in parts)
    if measured.groups < 2:  # it can be drawn in one way alone
        return _Estimate(value, np.nan, np.nan, 1.0)
    if variance == 0:  # every resample says the same: that so many groups agree may still be luck
        luck = max(1 / len(measured.draws), 2.0 ** (1 - measured.groups))
        return _Estimate(value, value, value, 1.0 if value == 0 else luck)
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    error = np.sqrt(variance)
    half = stats.t.ppf((1 + LEVEL) / 2, freedom) * error
    p = 2 * stats.t.sf(abs(value) / error, freedom)
    return _Estimate(float(value), float(value - half), float(value + half), float(p))


def _test_rows(folder: str) -> pd.DataFrame:
    """Return a run's answered test photos, indexed by what each is."""
    file = f"{folder}/predictions.csv"
    try:
        rows = read_written(Path(file)).astype({"p_fake": float})
        rows = rows[rows["split"] == "test"]
        metrics = json.loads(Path(folder, "metrics.json").read_text(encoding="utf-8"))
        if len(rows) != sum(metrics["test"]["photos"].values()):
            raise ValueError("not the photos that were measured")
        rows = answered(rows)
        if "file" not in rows:
            raise UserError(
                f"{file} does not name its photos, as an export does not: compare the detector "
                "that was exported."
            )
        rows = rows.set_index(["file", "fingerprint"])
    except (LookupError, OSError, ValueError) as error:  # also what pandas and json raise
        raise UserError(f"{file} is damaged: remove this run, or train it again.") from error
    return rows[~rows.index.duplicated()]


def _common(rows: list[pd.DataFrame], names: list[str]) -> pd.Index:
    """Return the test photos that all runs have answered, with one label, in the first's order."""
    common = rows[0].index
    for name, run in zip(names, rows):
        common = common[common.isin(run.index)]
        labels = [one.loc[common, "label"].to_numpy() for one in (rows[0], run)]
        common = common[labels[0] == labels[1]]
        if rows[0].loc[common, "label"].nunique() < 2:
            raise UserError(
                f"{name} and the runs before it share no test photos of both labels: compare runs "
                "on the same data set, with the same splits."
            )
    return common


def _notes(runs: pd.DataFrame, rows: list[pd.DataFrame], common: pd.Index) -> list[str]:
    notes = []
    most = max(len(run) for run in rows)
    if len(common) < most:
        notes.append(
            f"Only {len(common):,} test photos are in all runs with the same label (of up to "
            f"{most:,}): the numbers here count these alone."
        )
        if runs["seed"].nunique() > 1:
            notes[-1] += " A seed also makes the splits of data that come without any."
    differ = [
        title for column, title in FACTS.items()
        if column in runs and runs[column].astype(str).nunique() > 1
    ]  # fmt: skip
    if differ:
        notes.append(f"The runs also differ in: {', '.join(differ)}.")
    if (runs["uncommitted"] == True).any():  # noqa: E712  (None: not known)
        notes.append("Some were made with code that is in no commit.")
    if not runs["setting"].duplicated().any():
        notes.append(
            "One run per setting: the luck of a training is not in these intervals. Train with "
            "several seeds to see it."
        )
    return notes
