"""What answers about the exercises of notebooks 03 to 06."""

import math

import numpy as np
import pandas as pd

from deepfake_lab.course.exercises import exercise
from deepfake_lab.detection.detector import Detector
from deepfake_lab.detection.prior import at_prior
from deepfake_lab.photos import images

#: What "05 break it" may do to a photo: JPEG qualities, and by how much it is made smaller.
QUALITIES, FACTORS = (90, 70, 50, 30, 20, 10), (1, 2, 3, 4)


def _close(answer: float, right: float, tolerance: float = 0.005) -> bool:
    return math.isclose(float(answer), float(right), abs_tol=tolerance)


# 03: a network that can already see ---------------------------------------------------------------


@exercise(
    "03 numbers that learn",
    "The new layer multiplies each feature by a weight and adds the products up. Is that all?",
    "One weight for each feature, and one bias. All the millions of others stand still.",
)
def _numbers_that_learn(answer: int, *, features: int, total: int) -> bool | str:
    if answer == features:
        return "Close: that is one weight for each feature. What is added to their sum?"
    if answer >= total - features:
        return "That is nearly the whole network. Frozen numbers do not learn."
    return answer == features + 1


@exercise(
    "03 kind it misses",
    "Compare the numbers in the column of the frozen head, not those of another detector, and "
    "without the rows that take several kinds together.",
    "One average over all kinds would have hidden it.",
)
def _kind_it_misses(answer: str, *, by_kind: pd.DataFrame, column: str) -> bool | str:
    kinds = by_kind[column].drop(["all", "macro"], errors="ignore")
    if answer in ("all", "macro"):
        return "That row takes several kinds of fakes together. Look at each kind by itself."
    if answer not in kinds.index:
        return f"Give the name of a row, one of: {', '.join(kinds.index)}."
    if kinds[answer] == kinds.max() > kinds.min():
        return "That is the kind it finds best. An AUC of 1 is perfect, and 0.5 is a coin."
    return bool(kinds[answer] == kinds.min())


@exercise(
    "03 what one seed shows",
    "Two intervals: where does one of them begin, and where does the other end?",
    "Overlapping intervals do not show that both are equal; they show that this test cannot tell. "
    "Notebook 06 compares more sharply, on the same photos.",
)
def _what_one_seed_shows(
    answer: bool, *, first: tuple[float, float], second: tuple[float, float]
) -> bool | str:
    if not isinstance(answer, bool | np.bool_):
        return "Answer True or False."
    return bool(answer == (max(first[0], second[0]) <= min(first[1], second[1])))


# 04: how far the scores can be trusted ------------------------------------------------------------


@exercise(
    "04 rare fakes",
    "Imagine the photos: how many are fake and found, how many are real and called fake? Precision "
    "is the share of the first among both.",
    "The detector is the same, and its test is the same. Only the base rate has changed.",
)
def _rare_fakes(answer: float, *, rows: pd.DataFrame, prior: float) -> bool | str:
    called = rows["verdict"] == "FAKE"
    found, alarms = (float(called[rows["label"] == label].mean()) for label in ("fake", "real"))
    if found + alarms == 0:
        return bool(math.isnan(answer)) or "It never says FAKE: there is no precision, only nan."
    right = prior * found / (prior * found + (1 - prior) * alarms)
    near = 0.005 * right  # where fakes are rare, wrong ways to reckon come out close by
    here = (called & (rows["label"] == "fake")).sum() / called.sum()
    if _close(answer, here) and not _close(here, right):
        return "That is the precision on this test set, with its own share of fakes."
    if _close(answer, 1 - right) and not _close(right, 0.5):
        return "That is how often FAKE is wrong. How often is it right?"
    if alarms and _close(answer, right / (1 - right), 1e-6) and not _close(right, 0, 1e-6):
        return "That is hits per false alarm. Precision is their share in both together."
    slips = {
        "a share of {:.0%} fakes leaves {:.0%} real photos to be called fake.": (1.0, found),
        "not every one of the {:.0%} fakes among {:.0%} real photos is found.": (1 - prior, 1.0),
    }
    for hint, (reals, hits) in slips.items():
        slipped = prior * hits / (prior * hits + reals * alarms)
        if _close(answer, slipped, near) and not _close(slipped, right, near):
            return "Nearly: " + hint.format(prior, 1 - prior)
    return _close(answer, right, near)


@exercise(
    "04 few false alarms",
    "Look at the scores of the real photos alone, sorted. How many of them may lie at or above the "
    "threshold?",
    "The same detector with another threshold: fewer false alarms are paid for with more misses. "
    "In earnest, a threshold is chosen on validation photos; here, you have seen the test.",
)
def _few_false_alarms(answer: float, *, rows: pd.DataFrame, at_most: float) -> bool | str:
    real, fake = (rows.loc[rows["label"] == label, "p_fake"] for label in ("real", "fake"))
    if not 0 <= answer <= 1.000001:
        return "A threshold on P(fake) lies between 0 and 1."
    alarms, found = (real >= answer).mean(), (fake >= answer).mean()
    if alarms > at_most:
        return f"At that threshold {alarms:.0%} of the real photos are called fake: more than that."
    allowed = [found]
    allowed += [(fake >= t).mean() for t in rows["p_fake"] if (real >= t).mean() <= at_most]
    if found < max(allowed):
        return (
            f"Few enough false alarms ({alarms:.0%}), but {found:.0%} of the fakes are found, and "
            "a lower threshold finds more without breaking the limit."
        )
    return True


@exercise(
    "04 blind spot",
    "Each row of the table is one kind of photo; the column `correct` says which share of them "
    "was judged rightly.",
    "Whoever knows this kind can walk past the detector, or be accused by it.",
)
def _blind_spot(answer: str, *, sources: pd.DataFrame) -> bool | str:
    named = sources[sources["source"] == answer]
    if named.empty:
        return f"Give the name of a source, one of: {', '.join(sources['source'].unique())}."
    return bool(named["correct"].min() == sources["correct"].min())


# 05: one photo ------------------------------------------------------------------------------------


@exercise(
    "05 another prior",
    "Turn P(fake) into odds, p / (1 - p). Divide by the odds of the prior that it was stated for, "
    "multiply by the odds of the new one, and turn the result back: odds / (1 + odds).",
    "Not one pixel has changed. What changed is what was to be expected before anyone looked.",
)
def _another_prior(answer: float, *, p_fake: float, prior: float, other: float) -> bool | str:
    right = float(at_prior(np.array(p_fake), prior, other))
    odds = p_fake / max(1 - p_fake, 1e-12) / (prior / (1 - prior)) * other / (1 - other)
    if _close(answer, odds, 1e-4 * max(1, odds)) and not _close(odds, right):
        return "Those are the odds. P(fake) is odds / (1 + odds)."
    if _close(answer, p_fake) and not _close(p_fake, right):
        return "That is P(fake) as it was stated. It was stated for another share of fakes."
    return _close(answer, right)


@exercise(
    "05 photo that fools it",
    "Hold the column `verdict` against the column `label`: where do they say different things?",
    "Such photos are worth more to whoever builds a detector than a hundred right answers.",
)
def _photo_that_fools_it(answer: str | None, *, judged: pd.DataFrame) -> bool | str:
    wrong = judged["verdict"].str.lower() != judged["label"]
    if answer is None:
        return (
            not wrong.any() or f"There is one: {wrong.sum()} of {len(judged)} verdicts are wrong."
        )
    rows = judged["file"] == answer
    if not rows.any():
        return (
            "There is no such file among these photos: give the name as the column `file` has it."
        )
    if not wrong[rows].all():
        said = judged.loc[rows, "verdict"].iloc[0]
        return f"It calls this photo {said}, and that is what it is. Find one that it gets wrong."
    surest = judged.loc[wrong, "confidence"].max()
    if judged.loc[rows, "confidence"].max() < surest:
        return "It is wrong there, but on another photo it is wrong and surer of itself."
    return True


@exercise(
    "05 break it",
    "Move the sliders until the verdict changes, and write down where they stand.",
    "To a person it is the same photo. The verdict rests on traces that get lost on the way.",
)
def _break_it(
    answer: tuple[int, float] | None, *, detector: Detector, pixels: np.ndarray
) -> bool | str:
    before = detector.predict(pixels).verdict
    if answer is None:
        grid = ((quality, factor) for factor in FACTORS for quality in QUALITIES)
        flips = any(detector.predict(worn(pixels, *one)).verdict != before for one in grid)
        return not flips or "There is a way. Try a low quality, or a photo that is much smaller."
    if len(answer) != 2:
        return "Give two numbers: the JPEG quality, and by how much the photo is made smaller."
    quality, factor = answer
    if not (1 <= quality <= 95 and 1 <= factor <= 8):
        return "The quality lies between 1 and 95, and the photo is made smaller by 1 to 8."
    after = detector.predict(worn(pixels, quality, factor))
    if after.verdict == before:
        return f"The verdict is still {before}, with P(fake) = {after.p_fake:.2f}. Go further."
    return True


def worn(pixels: np.ndarray, quality: float, factor: float) -> np.ndarray:
    """Return a photo, (H, W, 3) uint8, made smaller and large again, then saved as a JPEG."""
    smaller = images.degrade(pixels, "downscale", factor) if factor > 1 else pixels
    return images.degrade(smaller, "jpeg", quality)


# 06: luck -----------------------------------------------------------------------------------------


@exercise(
    "06 spread of the seeds",
    "The standard deviation of the column `roc_auc`, over the runs of this setting alone.",
    "That much the number moves when nothing but chance changes.",
)
def _spread_of_the_seeds(answer: float, *, scores: list[float]) -> bool | str:
    right = float(np.std(scores, ddof=1)) if len(scores) > 1 else math.nan
    if math.isnan(right):
        return math.isnan(answer) or "One run alone has no spread: the answer is float('nan')."
    told = {kind: abs(answer - value) for kind, value in (
        ("right", right), ("range", np.ptp(scores)), ("all of them", np.std(scores))
    )}  # fmt: skip
    nearest = min(told, key=lambda kind: told[kind])
    if not told[nearest] <= 5e-4:  # nor is NaN
        return False
    if nearest == "range":
        return "That is the distance from the lowest to the highest. Take the standard deviation."
    if nearest == "all of them":
        return "Nearly: of a few runs drawn from many, divide by one less than their number (ddof)."
    return True


@exercise(
    "06 more than luck",
    "The interval of the difference decides, after correction: is zero in it?",
    "The higher mean alone would have given no answer at all.",
)
def _more_than_luck(answer: bool, *, differences: pd.DataFrame) -> bool | str:
    if not isinstance(answer, bool | np.bool_):
        return "Answer True or False."
    return bool(answer == differences["more_than_luck"].any())


@exercise(
    "06 how many pairs",
    "Write the settings A, B, C, ... on paper, and draw a line from each to each other one.",
    "The number of pairs grows with the square of the number of settings, and so do the finds that "
    "are luck. That is why p-values are corrected.",
)
def _how_many_pairs(answer: float, *, settings: int) -> bool | str:
    if answer == settings * (settings - 1):
        return "That counts each pair twice: A against B is the same as B against A."
    if answer == settings**2:
        return "No setting is compared with itself, and no pair twice."
    return answer == settings * (settings - 1) // 2
