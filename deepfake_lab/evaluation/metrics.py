"""Metrics of many resamples at once: photos counted by score, and every number made of that.

FAKE is the positive class: a score is P(fake). An interval asks for the same metric a thousand
times, so each function here takes R weightings of the photos and returns R values.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

Numbers = TypeVar("Numbers", float, np.ndarray)

#: Bins of equal weight in :func:`calibration_error`.
BINS = 10

#: The shares of false alarms at which the ROC curve is read; a threshold cannot be held to one of
#: them by fewer real photos than its inverse.
LOW_FPR = {"tpr_at_1_fpr": 0.01, "tpr_at_0_5_fpr": 0.005}


@dataclass(frozen=True)
class Tally:
    """Photos counted by score, once for each of R weightings.

    Attributes:
        p_fake: (U,) the distinct scores, the highest first.
        real: (R, U) weight of the real photos with that score.
        fake: (R, U) weight of the fake ones.
        real_called: (R,) weight of the real photos that were called fake.
        fake_called: (R,) weight of the fake photos that were called fake.
    """

    p_fake: np.ndarray
    real: np.ndarray
    fake: np.ndarray
    real_called: np.ndarray
    fake_called: np.ndarray

    @cached_property
    def real_above(self) -> np.ndarray:
        """Return the weight of the real photos at or above each score, (R, U)."""
        return np.cumsum(self.real, axis=1)

    @cached_property
    def fake_above(self) -> np.ndarray:
        """Return the weight of the fake photos at or above each score, (R, U)."""
        return np.cumsum(self.fake, axis=1)

    @cached_property
    def reals(self) -> np.ndarray:
        """Return the weight of all real photos, (R,)."""
        return self.real.sum(axis=1)

    @cached_property
    def fakes(self) -> np.ndarray:
        """Return the weight of all fake photos, (R,)."""
        return self.fake.sum(axis=1)


@dataclass(frozen=True)
class Scores:
    """N answers, sorted once, so that any weighting of them is counted quickly.

    Attributes:
        order: (N,) the photos, the highest score first.
        starts: (U,) where in that order each distinct score begins.
        p_fake: (U,) the distinct scores.
        is_fake: (N,) the truth, in that order.
        called_fake: (N,) the verdict, in that order.
    """

    order: np.ndarray
    starts: np.ndarray
    p_fake: np.ndarray
    is_fake: np.ndarray
    called_fake: np.ndarray

    @classmethod
    def of(cls, is_fake: np.ndarray, p_fake: np.ndarray, called_fake: np.ndarray) -> "Scores":
        """Sort answers: truth (bool), score in [0, 1] and verdict (bool), each (N,)."""
        order = np.argsort(-p_fake, kind="stable")
        sorted_scores = p_fake[order]
        starts = np.flatnonzero(np.diff(sorted_scores, prepend=np.inf))
        return cls(order, starts, sorted_scores[starts], is_fake[order], called_fake[order])

    def count(self, weights: np.ndarray | None = None, balanced: bool = False) -> Tally:
        """Count the photos by score.

        Args:
            weights: (R, N) how often each photo occurs in each resample; None for once each.
            balanced: whether both labels weigh the same, whatever their numbers.
        """
        if weights is None:
            weights = np.ones((1, len(self.order)))
        weights = weights[:, self.order]  # (R, N)
        sides = []
        for side in (~self.is_fake, self.is_fake):
            mine = weights * side
            called = mine @ self.called_fake.astype(float)  # (R,)
            mine = np.add.reduceat(mine, self.starts, axis=1)  # (R, U): equal scores together
            if balanced:
                with np.errstate(invalid="ignore"):
                    total = mine.sum(axis=1)
                    mine, called = mine / total[:, None], called / total
            sides.append((mine, called))
        (real, real_called), (fake, fake_called) = sides
        return Tally(self.p_fake, real, fake, real_called, fake_called)


def false_alarm_rate(tally: Tally) -> np.ndarray:
    """Return the share of real photos that were called fake."""
    return tally.real_called / tally.reals


def miss_rate(tally: Tally) -> np.ndarray:
    """Return the share of fake photos that were called real."""
    return 1 - tally.fake_called / tally.fakes


def balanced_accuracy(tally: Tally) -> np.ndarray:
    """Return the mean of the share of real and of fake photos that were judged rightly."""
    return 1 - (false_alarm_rate(tally) + miss_rate(tally)) / 2


def roc_auc(tally: Tally) -> np.ndarray:
    """Return the chance that a random fake scores above a random real photo; a tie is half."""
    reals = tally.reals
    below = reals[:, None] - tally.real_above + tally.real / 2
    return (tally.fake * below).sum(axis=1) / (tally.fakes * reals)


def average_precision(tally: Tally) -> np.ndarray:
    """Return the area under the precision-recall curve, as a sum of steps.

    Source: scikit-learn's ``average_precision_score``, which gives the same.
    """
    caught = tally.fake_above
    above = caught + tally.real_above
    precision = np.divide(caught, above, out=np.zeros_like(caught), where=above > 0)
    return (tally.fake * precision).sum(axis=1) / tally.fakes


def equal_error_rate(tally: Tally) -> np.ndarray:
    """Return the error at the threshold where false alarms and misses are equally frequent.

    Between two thresholds the ROC curve is taken as a straight line.
    """
    alarms = _from_nothing(tally.real_above, tally.reals)  # (R, U + 1), rising from 0 to 1
    misses = 1 - _from_nothing(tally.fake_above, tally.fakes)  # falling from 1 to 0
    after = np.argmax(alarms >= misses, axis=1)[:, None]
    low, high = (np.take_along_axis(alarms, i, axis=1)[:, 0] for i in (after - 1, after))
    gap_low, gap_high = (
        np.take_along_axis(misses - alarms, i, axis=1)[:, 0] for i in (after - 1, after)
    )
    return low + gap_low / (gap_low - gap_high) * (high - low)


def tpr_at_1_fpr(tally: Tally) -> np.ndarray:
    """Return the largest share of fakes found by a threshold with at most 1% false alarms."""
    return _found(tally, LOW_FPR["tpr_at_1_fpr"])


def tpr_at_0_5_fpr(tally: Tally) -> np.ndarray:
    """Return the largest share of fakes found by a threshold with at most 0.5% false alarms."""
    return _found(tally, LOW_FPR["tpr_at_0_5_fpr"])


def brier_score(tally: Tally) -> np.ndarray:
    """Return the mean squared distance of P(fake) from the truth; 0.25 for always saying 0.5."""
    squares = tally.real @ tally.p_fake**2 + tally.fake @ (1 - tally.p_fake) ** 2
    return squares / (tally.reals + tally.fakes)


def calibration_error(tally: Tally) -> np.ndarray:
    """Return the mean distance between P(fake) and the share of fakes (ECE).

    Over bins of equal weight, since bins of equal width are mostly empty on a small test set.
    Photos with equal scores share a bin: their order must not matter.

    Source: M. Pakdaman Naeini et al., AAAI 2015; K. Nguyen and B. O'Connor, EMNLP 2015 for
        adaptive bins.
    """
    weight = tally.real + tally.fake  # (R, U)
    total = weight.sum(axis=1)
    above = tally.real_above + tally.fake_above
    rank = (total[:, None] - above + weight / 2) / total[:, None]
    bins = np.nan_to_num(rank * BINS).astype(int).clip(0, BINS - 1)
    gap = weight * tally.p_fake - tally.fake
    cell = np.arange(len(weight))[:, None] * BINS + bins
    sums = np.bincount(cell.ravel(), weights=gap.ravel(), minlength=len(weight) * BINS)
    return np.abs(sums.reshape(-1, BINS)).sum(axis=1) / total


#: name -> function of a tally, (R,) out. Both labels must be there.
METRICS: dict[str, Callable[[Tally], np.ndarray]] = {
    "balanced_accuracy": balanced_accuracy,
    "roc_auc": roc_auc,
    "average_precision": average_precision,
    "false_alarm_rate": false_alarm_rate,
    "miss_rate": miss_rate,
    "brier_score": brier_score,
    "calibration_error": calibration_error,
    "equal_error_rate": equal_error_rate,
    "tpr_at_1_fpr": tpr_at_1_fpr,
    "tpr_at_0_5_fpr": tpr_at_0_5_fpr,
}

#: What each is called where people read it.
TITLES = {
    "balanced_accuracy": "Balanced accuracy",
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "false_alarm_rate": "Real photos called fake",
    "miss_rate": "Fake photos called real",
    "brier_score": "Brier score",
    "calibration_error": "Calibration error (ECE)",
    "equal_error_rate": "Equal error rate",
    "tpr_at_1_fpr": "Fakes found at 1% false alarms",
    "tpr_at_0_5_fpr": "Fakes found at 0.5% false alarms",
}


def measure(tally: Tally, names: tuple[str, ...]) -> np.ndarray:
    """Return the named metrics of a tally, (R, len(names)); all NaN where a label is missing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.column_stack([METRICS[name](tally) for name in names])
    both = (tally.reals > 0) & (tally.fakes > 0)  # NaN, too, is not above zero
    return np.where(both[:, None], values, np.nan)


def _found(tally: Tally, false_alarms: float) -> np.ndarray:
    # The tolerance: one photo of a hundred must count as 1%, however the division rounds.
    allowed = tally.real_above <= (false_alarms + 1e-9) * tally.reals[:, None]
    return np.where(allowed, tally.fake_above, 0).max(axis=1) / tally.fakes


def _from_nothing(above: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return the share at or above each score, (R, U + 1), beginning with none of them: 0."""
    shares = np.zeros((above.shape[0], above.shape[1] + 1))
    np.divide(above, total[:, None], out=shares[:, 1:])
    return shares


def wilson_interval(successes: Numbers, trials: Numbers) -> tuple[Numbers, Numbers]:
    """Return low and high of Wilson's 95% interval of a share; numbers or arrays.

    Source: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
        JASA 1927.
    """
    z = 1.959964
    share = successes / trials
    center = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2)) / (1 + z**2 / trials)
    return np.clip(center - half, 0, 1), np.clip(center + half, 0, 1)
