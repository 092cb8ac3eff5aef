"""The square around a face, and that it comes out upright."""

import numpy as np
import pytest
from PIL import Image

from deepfake_lab import paths
from deepfake_lab.photos.faces import UPRIGHT, Face, find_faces
from deepfake_lab.photos.images import FramedFace, frame_face, read_image
from deepfake_lab.photos.squares import Square, cut, square_around

FILES = sorted((paths.project() / "data" / "sample").rglob("*.jpg"))[::40]


@pytest.fixture(scope="module")
def portraits() -> list[np.ndarray]:
    return [read_image(file) for file in FILES]


def _tilted(portrait: np.ndarray, degrees: float) -> np.ndarray:
    """Return a portrait tilted clockwise, all of it, on grey."""
    grey = (110, 110, 110)
    picture = Image.fromarray(portrait)
    return np.asarray(picture.rotate(-degrees, Image.Resampling.BICUBIC, True, fillcolor=grey))


def _features(framed: FramedFace) -> np.ndarray:
    """Return where eyes, nose and mouth lie in the frame, (4, 2)."""
    return framed.square.place(framed.face.keypoints[:4], 224)


def _face(roll: float, left: float = 100, top: float = 80, side: float = 60) -> Face:
    return Face(left, top, side, side, np.zeros((6, 2)), 0.9, roll)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_portrait_that_lies_on_its_side_gives_the_same_pixels_as_upright(portraits, quarters):
    for portrait in portraits:
        upright = frame_face(portrait, 224)
        turned = frame_face(np.ascontiguousarray(np.rot90(portrait, -quarters)), 224)
        np.testing.assert_array_equal(turned.pixels, upright.pixels)


@pytest.mark.parametrize("degrees", [20, -30, 45])
def test_a_tilted_head_is_set_straight(portraits, degrees):
    for portrait in portraits:
        upright = frame_face(portrait, 224)
        tilted = frame_face(_tilted(portrait, degrees), 224)
        assert tilted.face.roll - upright.face.roll == pytest.approx(degrees, abs=10)
        moved = _features(tilted) - _features(upright)
        assert np.hypot(*moved.T).mean() < 0.08 * 224


def test_the_eyes_lie_level_in_the_frame_of_a_tilted_head(portraits):
    framed = frame_face(_tilted(portraits[0], 30), 224)
    right, left = framed.square.place(framed.face.keypoints[:2], 224)
    assert 0 < right[0] < left[0] < 224
    assert abs(right[1] - left[1]) < 0.15 * (left[0] - right[0])


def test_a_head_that_is_hardly_tilted_is_left_as_it_is(portraits):
    face = _face(roll=UPRIGHT - 0.5)
    square = square_around(face, 224, 224)
    assert square.turn == 0
    left, top, right, bottom = square.box
    photo = portraits[0]
    np.testing.assert_array_equal(cut(photo, square, right - left), photo[top:bottom, left:right])


def test_a_head_on_its_side_and_hardly_tilted_is_turned_by_a_quarter_alone():
    assert [square_around(_face(roll), 300, 300).turn for roll in (87, -93, 178)] == [90, -90, 180]


@pytest.mark.parametrize("roll", [0, 20, 90, 130, -70])
def test_the_square_lies_where_the_forehead_is(roll):
    face = _face(roll, left=400, top=400)
    square = square_around(face, 1000, 1000)
    up = np.array([np.sin(np.radians(roll)), -np.cos(np.radians(roll))])
    assert np.subtract(square.center, face.center) == pytest.approx(12 * up, abs=1)


def test_a_tilted_square_stays_within_the_photo_where_there_is_room():
    rng = np.random.default_rng(0)
    for _ in range(200):
        face = _face(rng.uniform(8, 82), *rng.uniform(0, 300, size=2))
        square = square_around(face, 360, 340)
        angle = np.radians(square.turn)
        reach = square.side / 2 * (abs(np.cos(angle)) + abs(np.sin(angle))) - 1e-6
        assert reach <= square.center[0] <= 360 - reach
        assert reach <= square.center[1] <= 340 - reach


def test_what_a_tilted_square_lacks_is_no_border():
    white = np.full((120, 100, 3), 255, np.uint8)
    square = square_around(_face(45, left=20, top=30), 100, 120)
    assert square.side * 2**0.5 > 100
    assert (cut(white, square, 64) == 255).all()


@pytest.mark.parametrize("side", [60, 224, 1000])
def test_turning_and_back_leaves_a_large_picture_nearly_as_it_was(side):
    y, x = np.mgrid[:1400, :1400] / 1400
    waves = 128 + 60 * np.sin(40 * x) + 60 * np.cos(55 * y)
    photo = np.repeat(waves.astype(np.uint8)[..., None], 3, axis=2)
    turned = np.asarray(Image.fromarray(photo).rotate(-30, Image.Resampling.BICUBIC))
    middle = (1400 - side) / 2
    straight = cut(photo, Square(middle, middle, side), 64).astype(int)
    back = cut(turned, Square(middle, middle, side, 30), 64).astype(int)
    assert np.abs(straight - back).mean() < 2


def test_a_small_face_on_its_side_in_a_large_photo_is_turned_too(portraits):
    photo = np.full((900, 1300, 3), 120, np.uint8)
    photo[500:724, 800:1024] = np.rot90(portraits[-1])
    (face,) = find_faces(photo)
    assert face.turn == -90
    assert 800 < face.center[0] < 1024 and 500 < face.center[1] < 724
