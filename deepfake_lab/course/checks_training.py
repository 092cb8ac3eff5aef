"""What answers about the exercises of notebook 02."""

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from deepfake_lab.course.exercises import exercise
from deepfake_lab.course.network_pictures import filtered

if TYPE_CHECKING:
    import keras


@exercise(
    "02 level edges",
    "Turn the filter: what stood in the left column belongs in the top row.",
    "Turned by a quarter, the filter answers to edges that lie level.",
)
def _level_edges(answer: np.ndarray, *, size: int = 9) -> bool | str:
    kernel = np.asarray(answer, dtype=float)
    if kernel.shape != (3, 3):
        return f"A filter of 3 x 3 numbers is asked for; the shape of yours is {kernel.shape}."
    if abs(kernel.sum()) > 1e-6:
        return (
            f"Your numbers sum up to {kernel.sum():g}, so the filter answers to every plain "
            "surface. They have to sum up to 0."
        )
    bright_left = np.tile(np.arange(size) < size // 2, (size, 1)).astype(float)
    if np.abs(filtered(bright_left, kernel)).max() > 1e-6:
        return (
            "It still answers to upright edges: the three numbers of each column have to sum up "
            "to 0."
        )
    level = filtered(bright_left.T, kernel)
    if not np.abs(level).max() > 1e-6:
        return "It answers to nothing: make the top row differ from the bottom row."
    if level.max() < 1e-6:
        return "It is the right way round for dark above bright; asked for is bright above dark."
    if level.min() < -1e-6:  # somewhere it answers to the other kind
        return "It answers to both kinds of level edges, dark above bright as well: no good."
    return True


@exercise(
    "02 numbers of conv2",
    "Height of the window x width of the window x channels that come in x filters.",
    "However large the photo is: a filter is the same at every place.",
)
def _numbers_of_conv2(answer: int, *, model: "keras.Model") -> bool | str:
    height, width, channels, filters = model.get_layer("conv2").kernel.shape
    right, said = height * width * channels * filters, float(answer)
    if said == height * width * filters:
        return f"One filter looks at all {channels} channels that come in, not at one."
    if said == height * width * channels:
        return f"That is one filter. The layer has {filters}."
    if said == right + filters:
        return (
            "Almost: that counts a number more per filter (a bias), which this layer does not "
            "have, because the batch norm after it has one."
        )
    return said == right


@exercise(
    "02 loss of a coin",
    "Minus the natural logarithm of the probability that was given to the true label.",
    "Keep this number in mind: a loss above it is worse than saying 'I do not know' every time.",
)
def _loss_of_a_coin(answer: float) -> bool | str:
    said, right = float(answer), -math.log(0.5)
    if abs(said - right) < 0.006:
        return True
    if abs(said + right) < 0.006:
        return "The size is right, the sign is not: a loss is above zero."
    if abs(said - 0.5) < 1e-9:
        return "That is the probability. The loss is minus its logarithm."
    if abs(said + math.log10(0.5)) < 0.006 or abs(said - 1) < 1e-9:
        return "That is a logarithm to another base; the loss takes the natural one, `np.log`."
    return False


@exercise(
    "02 the epoch to keep",
    "Which column says how the network does on photos that it does not learn from?",
    "The weights of this epoch are kept; those of later ones are thrown away.",
)
def _epoch_to_keep(answer: int, *, history: pd.DataFrame) -> bool | str:
    said, epochs = float(answer), history["epoch"].to_numpy()
    best = int(history["val_loss"].to_numpy().argmin())
    if said == epochs[best]:
        return True
    if said == best:
        return "That is the row; rows are counted from 0, epochs from 1."
    if said == epochs[history["loss"].to_numpy().argmin()]:
        return "There the loss on the training photos is lowest, which is no proof of anything."
    if said == epochs[history["val_accuracy"].to_numpy().argmax()]:
        return (
            "There the accuracy is highest. The loss is asked for: it also sees how sure the "
            "network was."
        )
    return False
