"""Photos damaged as the world does, and what is then measured."""

import numpy as np
import pandas as pd
import pytest

from deepfake_lab import paths
from deepfake_lab.evaluation import breakdown, degradations
from deepfake_lab.evaluation.degradations import (
    CURVES,
    DEGRADATIONS,
    degradation_name,
    degradation_table,
)
from deepfake_lab.photos import images
from deepfake_lab.photos.squares import resize

PHOTO = sorted((paths.project() / "data/sample/real").glob("*.jpg"))[0]


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return images.read_image(PHOTO)


def _change(photo: np.ndarray, kind: str, level: float) -> float:
    damaged = images.degrade(photo, kind, level)
    return float(np.abs(resize(damaged, 224).astype(int) - resize(photo, 224)).mean())


@pytest.mark.parametrize(
    ("kind", "mild", "strong"), [("noise", 2, 20), ("screenshot", 1, 2), ("messenger", 90, 10)]
)
def test_a_stronger_damage_changes_more(photo, kind, mild, strong):
    assert 0 < _change(photo, kind, mild) < _change(photo, kind, strong)


@pytest.mark.parametrize(("kind", "level"), CURVES)
def test_the_same_photo_is_always_damaged_in_the_same_way(photo, kind, level):
    first, second = (images.degrade(photo, kind, level) for _ in range(2))
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, second)


def test_two_photos_do_not_get_the_same_noise(photo):
    other = images.read_image(PHOTO.with_name(sorted(PHOTO.parent.iterdir())[-1].name))
    noise = [images.degrade(p, "noise", 10).astype(int) - p for p in (photo, other)]
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05


def test_noise_is_as_strong_as_it_says():
    grey = np.full((200, 200, 3), 128, np.uint8)
    assert images.degrade(grey, "noise", 5).std() == pytest.approx(5, rel=0.05)


def test_a_messenger_sends_half_the_size(photo):
    height, width = photo.shape[:2]
    assert images.degrade(photo, "messenger", 40).shape == (height // 2, width // 2, 3)


def test_a_screenshot_is_cut_off_the_old_grid(photo):
    assert images.degrade(photo, "screenshot", 1).shape[0] % 8 == (photo.shape[0] - 3) % 8


def test_a_photo_with_a_margin_is_whole_in_the_middle_of_a_blurred_copy(photo):
    height, width = photo.shape[:2]
    larger = images.degrade(photo, "margin", 1.3)
    assert larger.shape == (round(1.3 * height), round(1.3 * width), 3)
    top, left = (larger.shape[0] - height) // 2, (larger.shape[1] - width) // 2
    np.testing.assert_array_equal(larger[top : top + height, left : left + width], photo)
    detail = [np.abs(np.diff(rows.astype(float), axis=1)).mean() for rows in (larger[:top], photo)]
    assert detail[0] < detail[1] / 2
    assert larger.mean(axis=(0, 1)) == pytest.approx(photo.mean(axis=(0, 1)), abs=15)


@pytest.mark.parametrize("kind", ["screenshot", "messenger", "noise", "jpeg", "blur", "downscale"])
def test_a_tiny_photo_can_be_damaged(kind):
    assert images.degrade(np.zeros((1, 1, 3), np.uint8), kind, 2).shape == (1, 1, 3)


def test_every_step_has_a_name_of_its_own():
    for steps in (CURVES, DEGRADATIONS):
        assert len({degradation_name(*step) for step in steps}) == len(steps)


# --- the table ---


def _answers(p_fake) -> pd.DataFrame:
    p_fake = np.asarray(p_fake, float)
    count = len(p_fake) // 4
    return pd.DataFrame({
        "label": np.repeat(["real", "fake"], 2 * count), "data": "set", "group": range(4 * count),
        "source": np.repeat(["photo", "photo", "gan", "edit"], count), "p_fake": p_fake,
        "family": np.repeat(["photo", "photo", "gan", "edit"], count), "uncertain": False,
        "verdict": np.where(p_fake >= 0.5, "FAKE", "REAL"),
    })  # fmt: skip


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Forty photos judged rightly; damaged, the gan's fakes look like real photos."""
    clean = _answers(np.repeat([0.1, 0.2, 0.8, 0.9], 10))
    damaged = _answers(np.repeat([0.1, 0.2, 0.15, 0.9], 10))
    answers = [("none", 0, clean), ("jpeg", 30, damaged)]
    return degradation_table(clean, answers, breakdown.family_parts(clean))


def test_the_fall_is_what_the_damage_takes_from_the_auc(table):
    falls = table.set_index(["kind", "family"])["fall"].to_dict()
    assert falls["none", "macro"] == 0 and falls["jpeg", "edit"] == 0
    assert falls["jpeg", "gan"] == pytest.approx(0.5)
    assert falls["jpeg", "macro"] == pytest.approx(0.25)


def test_the_fall_of_photos_that_are_as_they_were_is_surely_zero(table):
    rows = table[table["kind"] == "none"]
    assert (rows[["fall_low", "fall", "fall_high"]] == 0).all(axis=None)


def test_a_photo_that_damage_made_unreadable_is_left_out():
    clean = _answers(np.repeat([0.1, 0.2, 0.8, 0.9], 10))
    broken = clean.copy()
    broken.loc[0, "p_fake"] = np.nan
    found = degradation_table(clean, [("jpeg", 30, broken)], breakdown.family_parts(clean))
    photos = found.set_index("family")["photos"]
    assert photos["all"] == 39 and photos["gan"] == 29
    assert found["roc_auc"].tolist() == [1.0] * len(found)


def test_degraded_answers_ask_about_the_damaged_photo():
    class Mean:
        """Answers with the brightness of what it sees."""

        name = "mean"

        def predict_many(self, manifest, change, cluster=None):
            return manifest.assign(p_fake=[change(images.read_image(p)).mean() for p in
                                           manifest["path"]])  # fmt: skip

    manifest = pd.DataFrame({"path": [str(PHOTO)]})
    answers = list(degradations.degraded_answers(Mean(), manifest, [("none", 0), ("jpeg", 10)]))
    assert [(kind, level) for kind, level, _ in answers] == [("none", 0), ("jpeg", 10)]
    clean, damaged = (rows["p_fake"].item() for *_, rows in answers)
    assert clean == images.read_image(PHOTO).mean() != damaged
