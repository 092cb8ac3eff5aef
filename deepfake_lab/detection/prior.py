"""The share of fakes among the photos asked about, and what P(fake) becomes at another one.

A score says how much likelier a fake is to look so than a real photo; how probable a fake then is
depends on how many of the photos are fake at all. Where one in two is, a score of 90% is nine to
one; where one in a hundred is, the same score is one to eleven.

Source: M. Saerens et al., "Adjusting the Outputs of a Classifier to New a Priori Probabilities",
    Neural Computation 14(1), 2002.
"""

import numpy as np

from deepfake_lab.errors import UserError


def checked_prior(prior: float) -> float:
    """Return a share of fakes as a number in (0, 1).

    Raises:
        UserError: it is none.
    """
    try:
        number = float(prior)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0 < number < 1:
        raise UserError(
            f"prior={prior}: give the share of fakes among the photos asked about, between 0 and "
            "1, such as 0.1."
        )
    return number


def at_prior(
    p_fake: np.ndarray, prior: float | np.ndarray, other: float | np.ndarray
) -> np.ndarray:
    """Return what P(fake), right where a share `prior` is fake, becomes at the share `other`.

    Args:
        p_fake: (N,) in [0, 1]; NaN stays NaN.
        prior: in (0, 1), a number or (N,).
        other: in (0, 1), a number or (N,).
    """
    p_fake, prior, other = (np.asarray(part, np.float64) for part in (p_fake, prior, other))
    fake = p_fake * (other / prior)
    return fake / (fake + (1 - p_fake) * ((1 - other) / (1 - prior)))


def from_threshold(threshold: float, band: list[float]) -> dict:
    """Return ``prior`` and ``uncertain_band`` that say what a threshold and its band said.

    An older version said FAKE from a threshold of P(fake) on, at a prior of one half.
    """
    prior = 1 - threshold
    return {"prior": prior, "uncertain_band": at_prior(np.array(band), 0.5, prior).tolist()}
