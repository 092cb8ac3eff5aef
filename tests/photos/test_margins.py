"""A plain margin is no part of a photo, and a plain background no margin."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from deepfake_lab import paths
from deepfake_lab.photos import images
from deepfake_lab.photos.framing import frame_centers
from deepfake_lab.photos.images import frame_face, read_image
from deepfake_lab.photos.margins import content_box

FILES = sorted((paths.project() / "data" / "sample").rglob("*.jpg"))[::40]


@pytest.fixture(scope="module")
def portraits() -> list[np.ndarray]:
    return [read_image(file) for file in FILES]


@pytest.fixture
def photo() -> np.ndarray:
    """A picture of noise, (60, 80, 3): no side of it is plain."""
    return np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def _in_margin(photo: np.ndarray, *, rows=(0, 0), columns=(0, 0), colour=255) -> np.ndarray:
    return np.pad(photo, (rows, columns, (0, 0)), constant_values=colour)


@pytest.mark.parametrize("colour", [0, 128, 255])
@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        ((9, 7), (5, 11)),
        ((9, 7), (0, 0)),
        ((0, 0), (5, 11)),
        ((400, 90), (1, 700)),
        ((9, 0), (5, 11)),
        ((0, 7), (5, 11)),
        ((9, 7), (0, 11)),  # on three sides
    ],
)
def test_a_margin_is_no_part_of_the_photo(photo, rows, columns, colour):
    box = content_box(_in_margin(photo, rows=rows, columns=columns, colour=colour))
    assert box == (columns[0], rows[0], columns[0] + 80, rows[0] + 60)


def test_a_recompressed_margin_is_one_still(portraits):
    for portrait in portraits[:8]:
        stream = io.BytesIO()
        framed = Image.fromarray(_in_margin(portrait, rows=(30, 60), columns=(40, 50), colour=90))
        framed.save(stream, "JPEG", quality=60)
        box = content_box(np.asarray(Image.open(stream)))
        size = portrait.shape[0]
        assert np.abs(np.subtract(box, (40, 30, 40 + size, 30 + size))).max() <= 8


def test_a_margin_may_have_another_one_around_it(photo):
    framed = _in_margin(photo, rows=(5, 5), columns=(5, 5), colour=0)
    page = _in_margin(framed, rows=(30, 40), columns=(50, 60), colour=240)
    edged = _in_margin(page, rows=(1, 1), columns=(1, 1), colour=90)
    assert content_box(edged) == (56, 36, 136, 96)


def test_round_corners_and_the_number_of_a_page_change_nothing(photo):
    mask = Image.new("L", (80, 60), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, 79, 59), 8, fill=255)
    white = Image.new("RGB", (80, 60), "white")
    white.paste(Image.fromarray(photo), mask=mask)
    page = _in_margin(np.asarray(white), rows=(20, 60), columns=(60, 60))
    page[-20:-12, 97:103] = 0
    assert content_box(page) == (60, 20, 140, 80)


def test_a_photo_without_a_margin_stays_as_it_is(photo, portraits):
    for picture in (photo, *portraits):
        height, width = picture.shape[:2]
        assert content_box(picture) == (0, 0, width, height)


@pytest.mark.parametrize("shoulders", [True, False])
def test_a_plain_background_is_no_margin(shoulders):
    picture = Image.new("RGB", (200, 240), "white")
    draw = ImageDraw.Draw(picture)
    draw.ellipse((60, 40, 140, 150), fill=(190, 150, 130))
    if shoulders:
        draw.ellipse((30, 150, 170, 400), fill=(40, 60, 90))
    assert content_box(np.asarray(picture)) == (0, 0, 200, 240)


def test_one_plain_side_or_two_of_two_colours_are_no_margin(photo):
    sky = _in_margin(photo, rows=(20, 0))
    assert content_box(sky) == (0, 0, 80, 80)
    sky_and_road = _in_margin(_in_margin(photo, rows=(20, 0)), rows=(0, 20), colour=60)
    assert content_box(sky_and_road) == (0, 0, 80, 100)


def test_a_picture_of_one_colour_has_no_margin(photo):
    assert content_box(np.full((40, 50, 3), 7, np.uint8)) == (0, 0, 50, 40)
    dot = _in_margin(photo[:3, :3], rows=(30, 30), columns=(30, 30))
    assert content_box(dot) == (0, 0, 63, 63)


def test_a_face_in_a_margin_is_framed_as_without(portraits):
    portrait = portraits[0]
    alone = frame_face(portrait, 128)
    framed = frame_face(_in_margin(portrait, rows=(31, 57), columns=(44, 23), colour=128), 128)
    np.testing.assert_array_equal(framed.pixels, alone.pixels)
    assert framed.box == tuple(np.add(alone.box, (44, 31, 44, 31)))
    assert framed.face.center == pytest.approx(np.add(alone.face.center, (44, 31)))
    np.testing.assert_allclose(framed.face.keypoints, np.add(alone.face.keypoints, (44, 31)))


def test_so_it_is_for_each_of_several_faces(portraits):
    pair = np.hstack([portraits[0], portraits[1]])
    size = 128
    alone = frame_centers(pair, size, "face", most=5)
    pair = _in_margin(pair, rows=(20, 20), columns=(10, 30), colour=0)
    framed = frame_centers(pair, size, "face", most=5)
    assert len(alone) == len(framed) == 2
    for one, other in zip(alone, framed):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        assert other.box == tuple(np.add(one.box, (10, 20, 10, 20)))


def test_without_a_face_the_square_leaves_the_margin_out(photo, monkeypatch):
    monkeypatch.setattr(images, "find_faces", lambda _: [])
    framed = frame_face(_in_margin(photo, rows=(9, 9), columns=(9, 9)), 60)
    assert framed.box == (19, 9, 79, 69)
    np.testing.assert_array_equal(framed.pixels, photo[:, 10:70])
