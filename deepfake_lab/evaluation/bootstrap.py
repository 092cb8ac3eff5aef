"""Intervals: draw whole groups of photos again, a thousand times, and see how a number moves.

Photos of one group (a person and the forgeries made of her, a video clip and its fake) succeed or
fail together, so that a group is drawn or left as a whole.

Source: B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993; for groups, A. C.
    Davison and D. V. Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd

from deepfake_lab.detection.prior import at_prior
from deepfake_lab.evaluation.metrics import Scores, measure, wilson_interval

Numbers = TypeVar("Numbers", float, np.ndarray)

#: How often the photos are drawn again for an interval.
RESAMPLES = 1000

#: Confidence level of the intervals.
LEVEL = 0.95

#: Numbers that a block of resamples may hold: so much memory at a time, however many the photos.
_BLOCK = 200_000


@dataclass(frozen=True)
class Measured:
    """Metrics of one part of the photos.

    Attributes:
        values: (M,) of the photos as they are.
        draws: (R, M) of each resample, NaN where it lacks a label.
    """

    values: np.ndarray
    draws: np.ndarray

    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Return low and high of the 95% intervals, (M,) each; NaN where nothing was measured."""
        if not len(self.draws) or np.isnan(self.draws).all():
            return np.full_like(self.values, np.nan), np.full_like(self.values, np.nan)
        tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
        low, high = np.array([
            np.quantile(column[~np.isnan(column)], tails) if (~np.isnan(column)).any()
            else (np.nan, np.nan)
            for column in self.draws.T
        ]).T  # fmt: skip
        # A resample is worse calibrated than the sample it is drawn from, so that the value
        # itself may lie below all of them.
        return np.fmin(self.values, low), np.fmax(self.values, high)


def resamples(groups: np.ndarray, seed: int = 0, count: int = RESAMPLES) -> Iterator[np.ndarray]:
    """Yield how often each photo occurs in each resample, in blocks of shape (r, N).

    Args:
        groups: (N,) the group of each photo.
        seed: of the draws; the same groups and seed give the same resamples.
        count: how many resamples in all.
    """
    member_of, names = pd.factorize(groups, sort=True)
    rng = np.random.default_rng(seed)
    rows = max(1, _BLOCK // max(1, len(groups)))
    for start in range(0, count, rows):
        block = min(rows, count - start)
        drawn = rng.integers(len(names), size=(block, len(names)))
        cell = np.arange(block)[:, None] * len(names) + drawn
        times = np.bincount(cell.ravel(), minlength=block * len(names))
        yield times.reshape(block, -1)[:, member_of].astype(float)


def measure_parts(
    rows: pd.DataFrame,
    parts: Mapping,
    names: tuple[str, ...],
    *,
    seed: int = 0,
    balanced: bool = False,
) -> dict:
    """Measure several parts of the same photos, all on the same resamples.

    That the resamples are the same lets metrics of two parts be averaged or subtracted draw by
    draw, which gives a mean or a difference an interval of its own.

    Args:
        rows: N answered photos with ``label, p_fake, verdict, group``.
        parts: key -> (N,) bool, the photos of that part.
        names: which of :data:`deepfake_lab.evaluation.metrics.METRICS`.
        seed: of the draws.
        balanced: whether both labels weigh the same in every metric.

    Returns:
        key -> :class:`Measured`, its columns as `names`.
    """
    is_fake = (rows["label"] == "fake").to_numpy(bool)
    called = (rows["verdict"] == "FAKE").to_numpy(bool)
    chosen = {key: np.flatnonzero(part) for key, part in parts.items()}
    scores = {
        key: Scores.of(is_fake[i], stated_for(rows.iloc[i], balanced), called[i])
        for key, i in chosen.items()
    }
    draws: dict = {key: [] for key in parts}
    for weights in resamples(rows["group"].to_numpy(), seed):
        for key, i in chosen.items():
            draws[key].append(measure(scores[key].count(weights[:, i], balanced), names))
    measured = {
        key: Measured(
            measure(scores[key].count(balanced=balanced), names)[0], np.concatenate(draws[key])
        )
        for key in parts
    }
    for key, i in chosen.items():
        # A label of a single group is the same however often it is drawn: that shows nothing.
        if rows.iloc[i].groupby("label")["group"].nunique().min() < 2:
            measured[key].draws[:] = np.nan
    return measured


def stated_for(rows: pd.DataFrame, balanced: bool = False) -> np.ndarray:
    """Return P(fake) where the share of fakes is that of these very photos, (N,).

    Only so can it be held against the share that is fake, in a Brier score or a calibration error;
    the order of the photos, and so any AUC, is the same at every prior.

    Args:
        rows: answered photos; without a column ``prior``, P(fake) was stated for one half.
        balanced: take both labels as equally frequent.
    """
    p_fake = rows["p_fake"].to_numpy(float)
    share = 0.5 if balanced else float((rows["label"] == "fake").mean())
    prior = rows["prior"].to_numpy(float) if "prior" in rows else 0.5
    return at_prior(p_fake, prior, share) if 0 < share < 1 else p_fake


def mean_of(measured: list[Measured]) -> Measured:
    """Return the mean over parts, draw by draw; a draw that lacks one of them is left out."""
    return Measured(
        np.mean([part.values for part in measured], axis=0),
        np.mean([part.draws for part in measured], axis=0),
    )


def share_of(wrong: pd.Series, groups: pd.Series) -> dict[str, float]:
    """Return a share with its interval: ``value, low, high``, NaN where there are no photos.

    The interval is Wilson's, with as many trials as there are groups: the bootstrap would give a
    share of zero an interval of zero, and photos of one group are not independent.
    """
    if not len(wrong):
        return {"value": np.nan, "low": np.nan, "high": np.nan}
    value, trials = float(wrong.mean()), int(groups.nunique())
    low, high = wilson_interval(value * trials, trials)
    return {"value": value, "low": min(value, float(low)), "high": max(value, float(high))}
