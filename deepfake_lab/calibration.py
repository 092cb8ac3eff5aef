"""From raw scores to probabilities, and to "I do not know"."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from deepfake_lab.errors import UserError

#: Outside the uncertain band, at most this share of the verdicts may be wrong, as far as the
#: validation photos can tell.
MAX_ERROR = 0.05


def fit_calibration(logits: np.ndarray, labels: np.ndarray) -> dict:
    """Choose calibration, threshold and uncertain band on validation photos.

    Platt scaling with both labels weighted alike: P(fake) = sigmoid(logit / temperature + bias).
    For such a probability the threshold with the fewest errors is 0.5. A mild penalty, the same
    for logits of any scale, keeps the temperature finite where validation is classified without an
    error.

    Args:
        logits: (N,) raw scores of validation photos.
        labels: (N,) 1 for fake, 0 for real; both must occur.

    Returns:
        ``calibration`` (``temperature``, ``bias``), ``threshold`` and ``uncertain_band``
        ([low, high] of P(fake)), as ``config.json`` has them.

    Raises:
        UserError: only one of the labels, or logits that are no numbers.

    Source: J. Platt, "Probabilistic Outputs for Support Vector Machines", 1999; C. Guo et al.,
        "On Calibration of Modern Neural Networks", ICML 2017, arXiv:1706.04599.
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
    half = _half_band(p_fake, labels)
    return {
        "calibration": {"temperature": 1 / slope, "bias": bias},
        "threshold": 0.5,
        "uncertain_band": [0.5 - half, 0.5 + half],
    }


def _half_band(p_fake: np.ndarray, labels: np.ndarray) -> float:
    """Return the smallest distance from 0.5 from which on at most MAX_ERROR are wrong.

    The share is estimated by Laplace's rule of succession, (wrong + 1) / (photos + 2): a handful
    of photos without an error does not show that errors are rare.
    """
    distance = np.abs(p_fake - 0.5)
    wrong = (p_fake >= 0.5) != (labels == 1)
    for half in np.concatenate([[0.0], np.sort(distance)]):
        outside = distance >= half
        if (wrong[outside].sum() + 1) / (outside.sum() + 2) <= MAX_ERROR:
            return float(half)
    return 0.5
