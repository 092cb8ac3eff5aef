"""A detector that does nothing but remember: what a leaking split does to a score."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

#: More photos than this are not compared with one another.
PHOTOS = 1000


def memory_score(
    frames: np.ndarray, is_fake: np.ndarray, keep_together: Iterable, repeats: int = 20
) -> float:
    """Return the share of photos that a detector gets right which only remembers.

    It calls a photo what the most similar photo that it has stored is called. Photos are dealt
    again and again, seven of ten to those it stores and three to those it is asked about.

    Args:
        frames: (N, S, S, 3) uint8; thumbnails of the first :data:`PHOTOS` are compared.
        is_fake: (N,) 0 or 1.
        keep_together: one value a photo; photos of one value are dealt to one side.
        repeats: how often the photos are dealt; the mean is returned.

    Returns:
        Balanced accuracy: 0.5 is a coin, 1.0 is all right.
    """
    step = max(1, frames.shape[1] // 12)
    small = frames[:PHOTOS, ::step, ::step].reshape(min(len(frames), PHOTOS), -1) / 255.0
    truth = np.asarray(is_fake)[:PHOTOS].astype(int)
    groups = np.unique(np.asarray(list(keep_together)[:PHOTOS]).astype(str), return_inverse=True)[1]
    scores = []
    for seed in range(repeats):
        stored = (np.random.default_rng(seed).random(groups.max() + 1) < 0.7)[groups]
        if len(set(truth[stored])) == len(set(truth[~stored])) == 2:  # else nothing to tell apart
            memory = KNeighborsClassifier(1).fit(small[stored], truth[stored])
            scores.append(balanced_accuracy_score(truth[~stored], memory.predict(small[~stored])))
    return float(np.mean(scores)) if scores else float("nan")


def memory_scores(frames: np.ndarray, manifest: pd.DataFrame, keep_together: Iterable) -> pd.Series:
    """Return :func:`memory_score` for two kinds of fakes, each against all real photos.

    Args:
        frames: (N, S, S, 3) uint8.
        manifest: (N rows) with ``label`` and ``group``.
        keep_together: one value a photo; photos of one value are dealt to one side.

    Returns:
        A score for fakes whose group also holds real photos (made from photos of this folder),
        and one for the other fakes, as far as there are any.
    """
    is_fake = (manifest["label"] == "fake").to_numpy()
    made_here = is_fake & manifest["group"].isin(manifest.loc[~is_fake, "group"]).to_numpy()
    kinds = {"fakes made from these photos": made_here, "other fakes": is_fake & ~made_here}
    keep_together = np.asarray(list(keep_together))
    scores = {}
    for name, chosen in kinds.items():
        if chosen.any():
            rows = chosen | ~is_fake
            scores[name] = memory_score(frames[rows], is_fake[rows], keep_together[rows])
    return pd.Series(scores, name="right", dtype=float)
