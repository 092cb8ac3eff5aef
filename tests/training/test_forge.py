"""Forgeries made in training: the face changes, what is around it stays, and nothing gives way."""

import numpy as np
import pytest

from deepfake_lab import paths
from deepfake_lab.photos import images
from deepfake_lab.training.forge import can_forge, forge

SIDE = 160
PORTRAITS = sorted((paths.project() / "data" / "sample" / "real").glob("*.jpg"))[:40:10]


def _load(path) -> tuple[np.ndarray, np.ndarray]:
    framed = images.load_face(path, SIDE)
    left, top, right, _ = framed.box
    return framed.pixels, (framed.face.keypoints - (left, top)) * SIDE / (right - left)


@pytest.fixture(scope="module")
def people() -> list[tuple[np.ndarray, np.ndarray]]:
    return [_load(path) for path in PORTRAITS]


def _forgeries(target, donor, count: int = 40) -> np.ndarray:
    return np.stack([forge(*target, *donor, rng) for rng in np.random.default_rng(0).spawn(count)])


@pytest.mark.parametrize("donor", [0, 1], ids=["itself", "another"])
def test_a_forgery_changes_the_face_and_leaves_the_corners_alone(people, donor):
    frame, keypoints = people[0]
    forgeries = _forgeries(people[0], people[donor])
    assert forgeries.shape == (40, SIDE, SIDE, 3) and forgeries.dtype == np.uint8
    changed = np.abs(forgeries.astype(int) - frame).max(axis=3) > 8  # (40, S, S)
    assert changed.any(axis=(1, 2)).all()
    corner = SIDE // 16
    assert not changed[:, :corner, :corner].any() and not changed[:, :corner, -corner:].any()
    x, y = keypoints[:4].mean(axis=0).astype(int)
    assert changed[:, y - 30 : y + 30, x - 30 : x + 30].mean() > 2 * changed.mean()


def test_another_person_changes_more_than_a_self_blend(people):
    frame = people[0][0].astype(int)
    own, foreign = (np.abs(_forgeries(people[0], people[i]) - frame).mean() for i in (0, 2))
    assert foreign > own


def test_the_same_generator_forges_the_same(people):
    np.testing.assert_array_equal(*(_forgeries(people[0], people[1], 5) for _ in range(2)))


def test_where_the_donor_has_no_pixels_the_photo_shows(people):
    frame, keypoints = people[0]
    bright = np.full_like(frame, 200)
    # The donor's face sits in its corner, so half of the mask reaches beyond the donor's border.
    cut_off = keypoints - keypoints[:4].mean(axis=0) + (10, 10)
    forgeries = _forgeries((bright, keypoints), (bright, cut_off))
    assert forgeries.min() > 100  # black would be the donor's outside


def test_only_photos_with_a_whole_face_of_some_size_can_be_forged(people):
    _, keypoints = people[0]
    none, cut, tiny = (keypoints * np.nan, keypoints - SIDE / 2, keypoints * 0.1 + SIDE / 2)
    possible = can_forge(np.stack([keypoints, none, cut, tiny]), SIDE)
    assert possible.tolist() == [True, False, False, False]
