"""What is said about the exercises of notebooks 01 and 02: right, or a hint for this mistake."""

import numpy as np
import pandas as pd
import pytest

from deepfake_lab.course import check
from deepfake_lab.training.models import build_model

RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
SPREAD = (FRAMES.max(-1) - FRAMES.min(-1)).mean((1, 2))
APART = np.array([[5.0, 2.0, 9.0], [4.0, 6.0, 7.0]])
HISTORY = pd.DataFrame({
    "epoch": [1, 2, 3, 4], "loss": [0.7, 0.5, 0.4, 0.1], "val_loss": [0.7, 0.6, 0.65, 0.8],
    "val_accuracy": [0.5, 0.6, 0.7, 0.6],
})  # fmt: skip
EDGE = np.array([[1, 1, 1], [0, 0, 0], [-1, -1, -1]])


@pytest.fixture(scope="module")
def model():
    return build_model("cnn", 32)


def said(capsys, name: str, answer: object, **facts) -> str:
    check(name, answer, **facts)
    return capsys.readouterr().out.removeprefix(f"{name}: ").strip()


@pytest.mark.parametrize(
    ("name", "answer", "facts"),
    [
        ("01 your eye", ["Real", "fake "], {"labels": ["real", "fake"]}),
        ("01 broken split", ["a", "b", "c"], {"groups": ["x", "x", "y"]}),
        ("01 the original", (0, 1), {"apart": APART}),
        ("01 colourfulness", SPREAD, {"frames": FRAMES}),
        ("02 level edges", EDGE, {}),
        ("02 loss of a coin", np.log(2), {}),
        ("02 the epoch to keep", 2, {"history": HISTORY}),
    ],
)
def test_a_right_answer_is_right(capsys, name, answer, facts):
    assert said(capsys, name, answer, **facts).startswith("right.")


@pytest.mark.parametrize(
    ("name", "answer", "facts", "hint"),
    [
        ("01 your eye", ["real"], {"labels": ["real", "fake"]}, "There are 2 photos"),
        ("01 your eye", ["real", "yes"], {"labels": ["real", "fake"]}, "not yes"),
        ("01 your eye", ["real", "real"], {"labels": ["real", "fake"]}, "1 of 2 are right"),
        ("01 broken split", ["a", "b"], {"groups": ["x", "x", "y"]}, "you give 2 values"),
        ("01 broken split", ["a"] * 3, {"groups": ["x", "x", "y"]}, "all be dealt to the same"),
        ("01 broken split", ["x", "x", "y"], {"groups": ["x", "x", "y"]}, "These are the groups"),
        ("01 the original", 1, {"apart": APART}, "Two numbers"),
        ("01 the original", (2, 0), {"apart": APART}, "2 rows and 3 columns"),
        ("01 the original", (0, 2), {"apart": APART}, "least alike"),
        ("01 the original", (1, 0), {"apart": APART}, "differ by 4.0"),
        ("01 colourfulness", FRAMES.max(-1), {"frames": FRAMES}, "axis=(1, 2)"),
        ("01 colourfulness", SPREAD[:2], {"frames": FRAMES}, "5 in all"),
        ("01 colourfulness", FRAMES.std(-1).mean((1, 2)), {"frames": FRAMES}, "largest minus"),
        ("02 level edges", EDGE.T, {}, "still answers to upright edges"),
        ("02 level edges", -EDGE, {}, "bright above dark"),
        ("02 level edges", np.outer([-1, 2, -1], [1, 1, 1]), {}, "both kinds"),
        ("02 level edges", np.outer([1, -2, 1], [1, 1, 1]), {}, "both kinds"),
        ("02 level edges", [[2, 2, 2], [-3, -3, -3], [1, 1, 1]], {}, "both kinds"),
        ("02 level edges", np.ones((3, 3)), {}, "sum up to 9"),
        ("02 level edges", np.zeros((3, 3)), {}, "answers to nothing"),
        ("02 level edges", [1, 2], {}, "3 x 3"),
        ("02 loss of a coin", 0.5, {}, "minus its logarithm"),
        ("02 loss of a coin", -np.log(2), {}, "above zero"),
        ("02 loss of a coin", 1.0, {}, "another base"),
        ("02 loss of a coin", "much", {}, "cannot be checked"),
        ("02 the epoch to keep", 1, {"history": HISTORY}, "counted from 0"),
        ("02 the epoch to keep", 4, {"history": HISTORY}, "no proof of anything"),
        ("02 the epoch to keep", 3, {"history": HISTORY}, "accuracy is highest"),
    ],
)
def test_a_mistake_gets_its_hint_and_no_solution(capsys, name, answer, facts, hint):
    answered = said(capsys, name, answer, **facts)
    assert answered.startswith("not yet.") and hint in answered


def test_the_numbers_of_a_layer_are_those_of_the_model(capsys, model):
    name, (height, width, channels, filters) = "02 numbers of conv2", (3, 3, 16, 32)
    right = height * width * channels * filters
    assert said(capsys, name, right, model=model).startswith("right.")
    for wrong, hint in (
        (height * width * filters, "16 channels"), (height * width * channels, "has 32"),
        (right + filters, "a bias"),
    ):  # fmt: skip
        answered = said(capsys, name, wrong, model=model)
        assert answered.startswith("not yet.") and hint in answered
