"""The exercises of notebooks 03 to 06: right answers are right, and wrong ones get their hint."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from deepfake_lab.course import check

ROWS = pd.DataFrame({
    "file": ["a", "b", "c", "d", "e", "f", "g", "h"],
    "label": ["real"] * 4 + ["fake"] * 4,
    "p_fake": [0.1, 0.2, 0.3, 0.8, 0.25, 0.6, 0.7, 0.9],
    "verdict": ["REAL", "REAL", "REAL", "FAKE", "REAL", "FAKE", "FAKE", "FAKE"],
    "confidence": [0.9, 0.8, 0.7, 0.8, 0.75, 0.6, 0.7, 0.9],
})  # fmt: skip
KINDS = pd.DataFrame({"frozen head": [0.6, 0.4, 0.9, 0.7]}, ["swap", "blend", "gan", "all"])
SOURCES = pd.DataFrame({"source": ["camera", "swap"], "correct": [0.9, 0.5]})
BY_KIND = {"by_kind": KINDS, "column": "frozen head"}
LUCK = pd.DataFrame({"more_than_luck": [False, True]})


def said(capsys, name, answer, **facts):
    check(name, answer, **facts)
    return capsys.readouterr().out.removeprefix(f"{name}: ")


@pytest.mark.parametrize(
    ("name", "answer", "facts"),
    [
        ("03 numbers that learn", 1281, {"features": 1280, "total": 3_414_305}),
        ("03 kind it misses", "blend", BY_KIND),
        ("03 kind it misses", "gan", BY_KIND | {"by_kind": KINDS.loc[["gan"]]}),
        ("03 what one seed shows", True, {"first": (0.6, 0.9), "second": (0.8, 0.95)}),
        ("03 what one seed shows", False, {"first": (0.6, 0.7), "second": (0.8, 0.95)}),
        ("04 rare fakes", 0.75 * 0.01 / (0.75 * 0.01 + 0.25 * 0.99), {"rows": ROWS, "prior": 0.01}),
        ("04 rare fakes", 0.0294, {"rows": ROWS, "prior": 0.01}),
        ("04 few false alarms", 0.5, {"rows": ROWS, "at_most": 0.25}),
        ("04 few false alarms", 0.85, {"rows": ROWS, "at_most": 0.0}),
        ("04 blind spot", "swap", {"sources": SOURCES}),
        ("05 another prior", 0.01 / (0.01 + 0.99), {"p_fake": 0.5, "prior": 0.5, "other": 0.01}),
        ("05 photo that fools it", "d", {"judged": ROWS}),
        ("05 photo that fools it", None, {"judged": ROWS.drop([3, 4])}),
        ("06 spread of the seeds", 0.1, {"scores": [0.7, 0.8, 0.9]}),
        ("06 spread of the seeds", math.nan, {"scores": [0.7]}),
        ("06 spread of the seeds", 0.002, {"scores": [0.700, 0.702, 0.704]}),
        ("06 spread of the seeds", 0.012, {"scores": [0.910, 0.9345, 0.921]}),
        ("06 more than luck", True, {"differences": LUCK}),
        ("06 more than luck", False, {"differences": LUCK.iloc[:0]}),
        ("06 how many pairs", 28, {"settings": 8}),
    ],
)
def test_a_right_answer_is_right(capsys, name, answer, facts):
    assert said(capsys, name, answer, **facts).startswith("right.")


@pytest.mark.parametrize(
    ("name", "answer", "facts", "hint"),
    [
        ("03 numbers that learn", 1280, {"features": 1280, "total": 3_414_305}, "added to their"),
        (
            "03 numbers that learn",
            3_414_305,
            {"features": 1280, "total": 3_414_305},
            "do not learn",
        ),
        ("03 numbers that learn", 7, {"features": 1280, "total": 3_414_305}, "Is that all"),
        ("03 kind it misses", "all", BY_KIND, "several kinds"),
        ("03 kind it misses", "gan", BY_KIND, "finds best"),
        ("03 kind it misses", "blur", BY_KIND, "one of: swap, blend, gan"),
        ("03 kind it misses", "swap", BY_KIND, "column of the frozen head"),
        ("03 what one seed shows", "no", {"first": (0, 1), "second": (0, 1)}, "True or False"),
        ("03 what one seed shows", False, {"first": (0, 1), "second": (0, 1)}, "Two intervals"),
        ("04 rare fakes", 0.75, {"rows": ROWS, "prior": 0.01}, "on this test set"),
        ("04 rare fakes", 0.9706, {"rows": ROWS, "prior": 0.01}, "FAKE is wrong"),
        ("04 rare fakes", 0.75 / 24.75, {"rows": ROWS, "prior": 0.01}, "hits per false alarm"),
        ("04 rare fakes", 0.3, {"rows": ROWS, "prior": 0.01}, "Imagine the photos"),
        ("04 rare fakes", 0.033, {"rows": ROWS, "prior": 0.01}, "Imagine the photos"),
        ("04 rare fakes", 0.0075 / 0.2575, {"rows": ROWS, "prior": 0.01}, "99% real photos to be"),
        ("04 rare fakes", 0.01 / 0.2575, {"rows": ROWS, "prior": 0.01}, "is found"),
        ("04 few false alarms", 0.15, {"rows": ROWS, "at_most": 0.25}, "75% of the real"),
        ("04 few false alarms", 0.65, {"rows": ROWS, "at_most": 0.25}, "lower threshold finds"),
        ("04 few false alarms", 2, {"rows": ROWS, "at_most": 0.25}, "between 0 and 1"),
        ("04 blind spot", "camera", {"sources": SOURCES}, "Each row"),
        ("04 blind spot", "moon", {"sources": SOURCES}, "one of: camera, swap"),
        ("05 another prior", 0.5, {"p_fake": 0.5, "prior": 0.5, "other": 0.01}, "as it was stated"),
        ("05 another prior", 9 / 99, {"p_fake": 0.9, "prior": 0.5, "other": 0.01}, "are the odds"),
        ("05 photo that fools it", "a", {"judged": ROWS}, "that is what it is"),
        ("05 photo that fools it", "e", {"judged": ROWS}, "surer of itself"),
        ("05 photo that fools it", "z", {"judged": ROWS}, "no such file"),
        ("05 photo that fools it", None, {"judged": ROWS}, "2 of 8 verdicts"),
        ("06 spread of the seeds", 0.2, {"scores": [0.7, 0.8, 0.9]}, "lowest to the highest"),
        ("06 spread of the seeds", 0.0816, {"scores": [0.7, 0.8, 0.9]}, "divide by one less"),
        ("06 spread of the seeds", math.nan, {"scores": [0.7, 0.8, 0.9]}, "standard deviation"),
        ("06 spread of the seeds", "much", {"scores": [0.7, 0.8, 0.9]}, "cannot be checked"),
        ("06 more than luck", False, {"differences": LUCK}, "is zero in it"),
        ("06 how many pairs", 56, {"settings": 8}, "each pair twice"),
        ("06 how many pairs", 64, {"settings": 8}, "with itself"),
        ("06 how many pairs", 8, {"settings": 8}, "draw a line"),
    ],
)
def test_a_wrong_answer_gets_a_hint(capsys, name, answer, facts, hint):
    reply = said(capsys, name, answer, **facts)
    assert reply.startswith("not yet.") and hint in reply


class Coarse:
    """Calls a photo FAKE as long as it has fine detail: what JPEG and a smaller size take away."""

    def predict(self, pixels):
        fine = float(np.abs(np.diff(pixels[..., 0].astype(float), axis=1)).mean())
        fake = fine > self.least
        return SimpleNamespace(verdict="FAKE" if fake else "REAL", p_fake=min(1.0, fine / 100))

    least = 20.0


def test_a_photo_is_broken_when_its_verdict_changes(capsys):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    facts = {"detector": Coarse(), "pixels": pixels}
    assert said(capsys, "05 break it", (10, 4), **facts).startswith("right.")
    assert "still FAKE" in said(capsys, "05 break it", (95, 1), **facts)
    assert "There is a way" in said(capsys, "05 break it", None, **facts)
    assert "between 1 and 95" in said(capsys, "05 break it", (0, 1), **facts)
    assert "two numbers" in said(capsys, "05 break it", (50,), **facts)
    facts["detector"].least = -1.0  # always FAKE
    assert said(capsys, "05 break it", None, **facts).startswith("right.")
