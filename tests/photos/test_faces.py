"""The face finder, on the photos of the sample set and on pictures without a face."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from skimage import data as photos

from deepfake_lab import paths
from deepfake_lab.photos.boxes import distinct
from deepfake_lab.photos.faces import find_faces
from deepfake_lab.photos.images import read_image

FILES = sorted((paths.project() / "data" / "sample").rglob("*.jpg"))


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [read_image(file) for file in FILES]


@pytest.fixture(scope="module")
def found(pictures) -> list:
    return [find_faces(picture) for picture in pictures]


def test_nearly_every_sample_photo_shows_a_face(found):
    assert np.mean([len(faces) > 0 for faces in found]) >= 0.97


def test_nearly_every_sample_photo_shows_only_one(found):
    assert np.mean([len(faces) == 1 for faces in found]) >= 0.97


def test_the_box_lies_in_the_middle_of_a_portrait_and_fills_much_of_it(pictures, found):
    for picture, faces in zip(pictures, found):
        side = picture.shape[0]
        if faces:
            x, y = faces[0].center
            assert 0.3 * side < x < 0.7 * side and 0.3 * side < y < 0.8 * side
            assert 0.4 * side < faces[0].width < 0.9 * side


def test_the_keypoints_lie_as_in_a_face(found):
    for faces in filter(None, found):
        right_eye, left_eye, nose, mouth, _, _ = faces[0].keypoints
        assert right_eye[0] < nose[0] < left_eye[0]  # the person's right is our left
        assert max(right_eye[1], left_eye[1]) < nose[1] < mouth[1]


@pytest.mark.parametrize("degrees", [-45, 45])
def test_no_head_halfway_between_two_ways_up_is_set_on_its_head(pictures, found, degrees):
    some = [place for place, faces in enumerate(found) if faces][::3]
    rolls = []
    for place in some:
        picture = Image.fromarray(pictures[place])
        filled = tuple(np.asarray(picture).reshape(-1, 3)[0].tolist())
        tilted = picture.rotate(-degrees, Image.Resampling.BICUBIC, True, fillcolor=filled)
        if seen := find_faces(np.asarray(tilted)):
            rolls.append(seen[0].roll - found[place][0].roll - degrees)
    assert len(rolls) > 0.95 * len(some)
    assert (np.abs((np.array(rolls) + 180) % 360 - 180) < 45).all()


def _gradient() -> np.ndarray:
    y, x = np.mgrid[:300, :400]
    return np.stack([y * 0.8, 255 - y * 0.5, x * 0.6], axis=-1).astype(np.uint8)


@pytest.mark.parametrize(
    "picture",
    [
        photos.coffee(),
        photos.rocket(),
        _gradient(),
        np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8),
        np.zeros((64, 64, 3), np.uint8),
        np.full((16, 3000, 3), 255, np.uint8),
    ],
    ids=["coffee", "rocket", "gradient", "noise", "black", "a white line"],
)
def test_there_is_no_face_where_there_is_none(picture):
    assert find_faces(picture) == []


def test_two_portraits_side_by_side_show_two_faces(pictures):
    pair = np.concatenate([pictures[200], pictures[-1]], axis=1)
    left, right = sorted(find_faces(pair), key=lambda face: face.left)
    middle = pictures[200].shape[1]
    assert left.center[0] < middle < right.center[0]


def test_a_small_face_in_a_large_photo_is_found_where_it_is(pictures):
    portrait = pictures[-1]
    canvas = np.full((1200, 1600, 3), 90, np.uint8)
    canvas[700 : 700 + portrait.shape[0], 1000 : 1000 + portrait.shape[1]] = portrait
    (face,) = find_faces(canvas)
    alone = find_faces(portrait)[0]
    assert face.center == pytest.approx((alone.center[0] + 1000, alone.center[1] + 700), abs=25)


@pytest.mark.parametrize(("right", "down"), [(60, 0), (0, 60), (37, 21)])
def test_the_box_follows_when_the_photo_is_shifted(pictures, right, down):
    portrait = pictures[-1]
    height, width = portrait.shape[:2]
    centers = []
    for x, y in ((0, 0), (right, down)):
        canvas = np.zeros((height + 60, width + 60, 3), np.uint8)
        canvas[y : y + height, x : x + width] = portrait
        centers.append(find_faces(canvas)[0].center)
    moved = np.subtract(centers[1], centers[0])
    assert moved == pytest.approx([right, down], abs=8)


def test_the_box_grows_with_the_photo(pictures):
    portrait = pictures[-1]
    larger = portrait.repeat(3, axis=0).repeat(3, axis=1)
    assert find_faces(larger)[0].width == pytest.approx(3 * find_faces(portrait)[0].width, rel=0.05)


def test_a_wide_photo_is_not_squeezed(pictures):
    portrait = pictures[-1]
    wide = np.pad(portrait, ((0, 0), (200, 200), (0, 0)))
    face = find_faces(wide)[0]
    assert face.width == pytest.approx(face.height, rel=0.1)
    assert face.width == pytest.approx(find_faces(portrait)[0].width, rel=0.25)


def test_threads_find_the_same_faces(pictures, found):
    with ThreadPoolExecutor(8) as pool:
        again = list(pool.map(find_faces, pictures[:64]))
    assert [[face.center for face in faces] for faces in again] == [
        [face.center for face in faces] for faces in found[:64]
    ]


def test_of_boxes_that_overlap_the_best_is_kept():
    centers = np.array([[0.5, 0.5], [0.52, 0.5], [0.9, 0.9]])
    sizes = np.full((3, 2), 0.2)
    assert distinct(centers, sizes, np.array([0.6, 0.9, 0.7])) == [1, 2]
