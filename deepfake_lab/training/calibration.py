"""From raw scores to probabilities, and to "I do not know"."""

import numpy as np
from scipy.stats import beta
from sklearn.linear_model import LogisticRegression, QuantileRegressor

from deepfake_lab.detection.prior import at_prior
from deepfake_lab.errors import UserError

#: Outside the uncertain band, at most this share of the verdicts may be wrong, as far as the
#: validation photos can tell.
MAX_ERROR = 0.05

#: How sure the validation photos must make it that no source has more false alarms than allowed.
CONFIDENCE = 0.9


def fit_sharpness(
    logits: np.ndarray,
    sharpness: np.ndarray,
    labels: np.ndarray,
    sources: np.ndarray,
    max_false_alarms: float,
) -> dict:
    """Say how the scores of real photos depend on how sharp the photos are.

    Args:
        logits: (N,) raw scores of validation photos.
        sharpness: (N,) as :func:`deepfake_lab.photos.sharpness.measure_sharpness` measures it.
        labels: (N,) 1 for fake, 0 for real; only the real ones count, each source as much as the
            square root of its photos: neither the largest nor many small ones decide for all.
        sources: (N,) which source each photo is from.
        max_false_alarms: this share of the real photos of any sharpness lies above the center by
            more than the spread.

    Returns:
        ``center`` (their median), ``spread`` and ``slope`` (the spread is
        ``spread + slope * sharpness``, in logits), ``zero`` (0), and ``sharpness``, the range
        ([low, high]) in which that was seen. Beyond it the nearest end counts, so the spread is
        never negative. See :func:`deepfake_lab.photos.sharpness.scaled`.

    Source: R. Koenker and G. Bassett, "Regression Quantiles", Econometrica 46(1), 1978; to bring
        scores to those of real ones of the same condition is known from speaker verification
        (R. Auckenthaler et al., "Score Normalization for Text-Independent Speaker Verification
        Systems", Digital Signal Processing 10, 2000).
    """
    real = labels == 0
    logits, sharpness = np.asarray(logits[real], np.float64), np.asarray(sharpness[real])
    _, source, counts = np.unique(sources[real], return_inverse=True, return_counts=True)
    weights = 1 / np.sqrt(counts[source])
    weights *= len(weights) / weights.sum()
    low, high = np.quantile(sharpness, (0.01, 0.99))
    inside = sharpness.clip(low, high)[:, None]
    center = float(np.quantile(logits, 0.5, weights=weights, method="inverted_cdf"))
    line = QuantileRegressor(quantile=1 - max_false_alarms, alpha=0.0)
    line.fit(inside, logits - center, sample_weight=weights)
    slope, spread = float(line.coef_[0]), float(line.intercept_)
    if min(spread + slope * low, spread + slope * high) <= 0:
        spread, slope = float(np.std(logits)) or 1.0, 0.0
    return {"center": center, "spread": spread, "slope": slope, "zero": 0.0,
            "sharpness": [float(low), float(high)]}  # fmt: skip


def fit_calibration(
    logits: np.ndarray,
    labels: np.ndarray,
    sources: np.ndarray | None = None,
    max_false_alarms: float | None = None,
) -> dict:
    """Choose calibration, prior and uncertain band on validation photos.

    Platt scaling with both labels weighted alike: P(fake) = sigmoid(logit / temperature + bias),
    where one photo in two is fake. Of photos of which a smaller share is, the *prior*, the odds are
    smaller by the odds of that share. What is likelier is said: the prior is the largest, at most
    one half, at which the validation photos make it CONFIDENCE sure, for each source of real photos
    by itself, that they are not called fake too often: the fewer photos of a source, the wider its
    margin. Sources of too few photos to show much by themselves are judged together. A mild
    penalty, the same for logits of any scale, keeps the temperature finite where validation is
    classified without an error.

    Args:
        logits: (N,) raw scores of validation photos.
        labels: (N,) 1 for fake, 0 for real; both must occur.
        sources: (N,) which source each photo is from; needed with `max_false_alarms`.
        max_false_alarms: largest share of any source's real photos, seen or not, that may be called
            fake; None for a prior of one half.

    Returns:
        ``calibration`` (``temperature``, ``bias``, for a prior of one half), ``prior`` and
        ``uncertain_band`` ([low, high] of P(fake) at that prior), as ``detector.json`` has them;
        where there are photos enough to
        show that `max_false_alarms` is kept, also ``false_alarms`` (``at_most``, ``confidence``).

    Raises:
        UserError: only one of the labels, or logits that are no numbers.

    Source: J. Platt, "Probabilistic Outputs for Support Vector Machines", 1999; C. Guo et al.,
        "On Calibration of Modern Neural Networks", ICML 2017, arXiv:1706.04599; for the margin
        C. Clopper and E. Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the Case
        of the Binomial", Biometrika 26(4), 1934.
    """
    if not np.isfinite(logits).all():
        raise UserError("The model's scores are no numbers: train with a smaller learning rate.")
    if len(np.unique(labels)) < 2:
        raise UserError("Calibration needs real and fake photos in the validation split.")
    # In double precision: the scores of a model that learned nothing hardly differ.
    logits = np.asarray(logits, np.float64)
    center, spread = logits.mean(), logits.std() or 1.0
    platt = LogisticRegression(C=10.0, class_weight="balanced")
    platt.fit((logits - center)[:, None] / spread, labels)
    slope, bias = float(platt.coef_[0, 0]), float(platt.intercept_[0])
    if slope < 1e-3:
        # A model that learned nothing may come out with the wrong sign: all its answers are 0.5.
        slope, bias = 1e-3, 0.0
    slope = float(slope / spread)
    bias = float(bias - slope * center)
    p_fake = 1 / (1 + np.exp(-(logits * slope + bias)))
    promise, prior = {}, 0.5
    if max_false_alarms is not None and sources is not None:
        prior, shown = _prior(p_fake, labels, sources, max_false_alarms)
        if shown:
            promise = {"false_alarms": {"at_most": max_false_alarms, "confidence": CONFIDENCE}}
    return {
        "calibration": {"temperature": 1 / slope, "bias": bias},
        "prior": prior,
        "uncertain_band": _band(at_prior(p_fake, 0.5, prior), labels),
    } | promise


def _prior(
    p_fake: np.ndarray, labels: np.ndarray, sources: np.ndarray, max_false_alarms: float
) -> tuple[float, bool]:
    """Return the largest prior, 0.5 or less, at which no source has too many false alarms.

    And whether there are photos enough to show that: of 21 not even none called fake makes it 90%
    sure that at most a tenth of all would be, of 51 two undo it. An odd photo of the smallest of
    many sources would decide for everybody: all sources so small count as one, together with the
    next larger ones where they still are too few. Of too few photos in all none may be called fake.
    Photos count as independent: of a few people photographed often, they show less than that.
    """
    real = labels == 0
    _, group, counts = np.unique(sources[real], return_inverse=True, return_counts=True)
    group = _enough_together(counts, max_false_alarms)[group]
    highest, shown = [0.0], True
    for one in np.unique(group):
        scores = np.sort(p_fake[real][group == one])[::-1]  # the highest first
        wrong = np.arange(len(scores))
        # After Clopper and Pearson: the most that so many wrong ones leave likely of all.
        good = wrong[beta.ppf(CONFIDENCE, wrong + 1, len(scores) - wrong) <= max_false_alarms]
        highest.append(scores[good.max(initial=0)])
        shown &= len(good) > 0
    # At a prior of 1 - p, what scored p lies at one half; rounded down, it lies below.
    rest = max(1 - max(highest), 1e-6)
    shown &= 1 - max(highest) >= rest  # no prior is so small that what scored 1 comes below
    digits = 10 ** (2 - np.floor(np.log10(rest)))
    return min(0.5, float((np.ceil(rest * digits) - 1) / digits)), shown


def _enough_together(counts: np.ndarray, max_false_alarms: float) -> np.ndarray:
    """Return the group of each source, (S,) int: those of too few photos (S,) share one.

    Too few: with two of them called fake it is not sure that :func:`_prior`'s limit is kept. That
    asks for 52 photos where the limit is a tenth; of as many, a detector that calls half of the
    limit fake is more likely than not to be found good, of fewer to be found wanting.
    """

    def too_few(photos: np.ndarray) -> np.ndarray:
        return beta.ppf(CONFIDENCE, 3, np.maximum(photos, 3) - 2) > max_false_alarms

    order = np.argsort(counts, kind="stable")
    alone = int(too_few(counts).sum())  # the smallest ones are the first in that order
    if alone:
        together = np.cumsum(counts[order])
        alone = max(alone, int(np.argmin(too_few(together))) + 1)
        alone = len(counts) if too_few(together[-1:])[0] else alone
    group = np.arange(len(counts))
    group[order[:alone]] = len(counts)
    return group


def _band(p_fake: np.ndarray, labels: np.ndarray) -> list[float]:
    """Return the narrowest band around one half that leaves most photos outside it, few wrong.

    Few: at most MAX_ERROR, estimated by Laplace's rule of succession, (wrong + 1) / (photos + 2): a
    handful of photos without an error does not show that errors are rare. Where no band is good
    enough, everything is uncertain.
    """
    real, fake = p_fake[p_fake < 0.5], p_fake[p_fake >= 0.5]
    # Where the band may begin and end: at a photo's score or at one half itself.
    lows = _candidates(np.append(real, 0.5))[::-1]  # (m,), the narrowest first
    highs = _candidates(np.append(fake, 0.5))  # (n,)
    below, above = p_fake[None] <= lows[:, None], p_fake[None] >= highs[:, None]
    below &= (p_fake < 0.5)[None]
    wrong = (p_fake >= 0.5) != (labels == 1)
    # (m, n): photos outside each band, and how many of them are wrong.
    outside = below.sum(1)[:, None] + above.sum(1)[None]
    errors = (below & wrong).sum(1)[:, None] + (above & wrong).sum(1)[None]
    good = (errors + 1) / (outside + 2) <= MAX_ERROR
    if not good.any():
        return [0.0, 1.0]
    best = np.where(good, outside, -1)
    low, high = np.unravel_index(np.argmax(best), best.shape)
    return [float(lows[low]), float(highs[high])]


def _candidates(scores: np.ndarray, at_most: int = 400) -> np.ndarray:
    """Return the scores, thinned out to so many."""
    scores = np.unique(scores)
    return scores[np.linspace(0, len(scores) - 1, min(at_most, len(scores))).round().astype(int)]
