"""What answers about the exercises of notebook 01."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from deepfake_lab.course.exercises import exercise

#: So many photos are compared with a learner's numbers about them.
_LOOKED_AT = 1000


@exercise(
    "01 your eye",
    "Look at hair against the background, at ears and teeth, at the border of the face.",
    "And it took time: nobody looks this long at a photo in a feed.",
)
def _your_eye(answer: Sequence[str], *, labels: Sequence[str]) -> bool | str:
    said = [str(word).strip().lower() for word in answer]
    if len(said) != len(labels):
        return f"There are {len(labels)} photos, and you have named {len(said)}."
    if unknown := sorted(set(said) - {"real", "fake"}):
        return f'Say "real" or "fake" of each photo, not {", ".join(unknown)}.'
    right = sum(mine == true for mine, true in zip(said, labels))
    return right == len(labels) or (
        f"{right} of {len(labels)} are right; a coin gets {len(labels) / 2:g} on average. Look at "
        "hair against the background, at ears and teeth, at the border of the face."
    )


@exercise(
    "01 broken split",
    "Give every photo a value of its own, its file name for example.",
    "Now photos of one group may be dealt to both sides.",
)
def _broken_split(answer: Sequence, *, groups: Sequence) -> bool | str:
    values = pd.Series(list(answer)).astype(str).to_numpy()
    before = np.asarray(pd.Series(list(groups)).astype(str))
    if len(values) != len(before):
        return f"There are {len(before)} photos; you give {len(values)} values."
    if len(set(values)) == len(values):
        return True
    if len(set(values)) == 1:
        return "All photos have one value: they would all be dealt to the same side."
    if (values == before).all():
        return "These are the groups: whoever is in one group still stays together."
    return "Some photos still share a value, so they stay together."


@exercise(
    "01 the original",
    "`apart.argmin()` counts through the whole table; `np.unravel_index` turns its answer into "
    "a row and a column.",
    "No two photos of a different label are more alike.",
)
def _the_original(answer: Sequence[int], *, apart: np.ndarray) -> bool | str:
    if np.size(answer) != 2:
        return (
            "Two numbers are asked for, a row and a column: `np.unravel_index(position, "
            "apart.shape)` gives both."
        )
    row, column = (int(number) for number in answer)
    if not (0 <= row < apart.shape[0] and 0 <= column < apart.shape[1]):
        return f"The table has {apart.shape[0]} rows and {apart.shape[1]} columns."
    if apart[row, column] == apart.min():
        return True
    if apart[row, column] == apart.max():
        return "This is the pair that is least alike; look for the smallest difference."
    return (
        f"These two differ by {apart[row, column]:.1f} grey levels; there is a pair that differs "
        "by less."
    )


@exercise(
    "01 colourfulness",
    "Take the largest of the three colours of each pixel, subtract the smallest, and average that "
    "over the pixels of each photo.",
    "One line, and no look at the face.",
)
def _colourfulness(answer: np.ndarray, *, frames: np.ndarray) -> bool | str:
    values = np.asarray(answer, dtype=float)
    if values.ndim > 1:
        return (
            f"One number per photo is asked for, {len(frames)} in all; the shape of your answer is "
            f"{values.shape}. Average over rows and columns, too: axis=(1, 2)."
        )
    if values.shape != (len(frames),):
        return f"One number per photo is asked for, {len(frames)} in all."
    looked_at = frames[:_LOOKED_AT]
    spread = looked_at.max(axis=-1) - looked_at.min(axis=-1)  # (N, H, W) uint8
    if np.allclose(values[:_LOOKED_AT], spread.mean(axis=(1, 2)), atol=0.01):
        return True
    if np.allclose(values[:_LOOKED_AT], looked_at.std(axis=-1).mean(axis=(1, 2)), atol=0.01):
        return "That is the standard deviation of the colours; largest minus smallest is asked for."
    return False
