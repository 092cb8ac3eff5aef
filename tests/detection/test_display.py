"""What a notebook shows of an answer, and what --explain writes."""

import base64
import io
import re
from dataclasses import replace
from html import escape

import numpy as np
import pytest
from PIL import Image

from deepfake_lab import paths
from deepfake_lab.colors import FAKE_COLOR, REAL_COLOR
from deepfake_lab.detection.display import draw_heat, draw_photo, explain_picture

FILES = sorted((paths.project() / "data" / "sample").rglob("*.jpg"))


@pytest.fixture(scope="module")
def answer(detector):
    return detector.predict(FILES[-1])


def test_a_rich_answer_needs_no_other_file_and_holds_two_small_pictures(answer):
    html = answer._repr_html_()
    sources = re.findall(r'src="([^"]*)"', html)
    assert len(sources) == 2 and len(html) < 150_000
    for source in sources:
        kind, data = source.split(",")
        assert kind == "data:image/jpeg;base64"
        assert Image.open(io.BytesIO(base64.b64decode(data))).height == 280
    assert "http" not in html and "<script" not in html


def test_a_rich_answer_says_verdict_confidence_and_every_caveat(detector, answer):
    grey = detector.predict(np.full((300, 200, 3), 120, np.uint8))
    assert str(answer) in answer._repr_html_() and detector.name in answer._repr_html_()
    assert grey.caveats and all(escape(caveat) in grey._repr_html_() for caveat in grey.caveats)


def test_a_name_that_is_markup_stays_text(detector):
    html = detector.predict(FILES[0], name='<img src=x onerror="alert(1)">')._repr_html_()
    assert "<img src=x" not in html and "&lt;img src=x" in html


def test_a_huge_photo_is_shown_small(detector):
    large = np.asarray(Image.open(FILES[-1]).resize((4000, 3000)))
    answer = detector.predict(large)
    assert max(answer.preview.shape[:2]) < 1000 and len(answer._repr_html_()) < 150_000


def test_the_box_is_drawn_around_the_face(answer):
    plain = replace(answer, faces=(), framed=replace(answer.framed, face=None))
    changed = np.abs(np.asarray(draw_photo(answer), int) - np.asarray(draw_photo(plain), int))
    rows, columns = np.nonzero(changed.sum(axis=2) > 60)
    scale, face = 280 / answer.photo_size[1], answer.framed.face
    assert columns.min() == pytest.approx(scale * face.left, abs=4)
    assert columns.max() == pytest.approx(scale * (face.left + face.width), abs=4)
    assert rows.max() == pytest.approx(scale * (face.top + face.height), abs=4)


def test_places_take_the_color_of_what_they_argue_for():
    evidence = np.array([[3.0, 0.0], [0.0, -3.0]], np.float32)
    picture = np.asarray(draw_heat(np.full((64, 64, 3), 128, np.uint8), evidence), float)
    fake, real = picture[4, 4] - 128, picture[-5, -5] - 128
    assert np.dot(fake, np.subtract(FAKE_COLOR, 128)) > 0
    assert np.dot(real, np.subtract(REAL_COLOR, 128)) > 0


def test_the_heat_map_lies_on_grey_where_its_colors_show():
    skin = np.full((64, 64, 3), (224, 172, 138), np.uint8)
    left, right = np.asarray(draw_heat(skin, np.array([[0.0, 0.0, 0.0, 5.0]], np.float32)))[
        32, [2, -3]
    ]
    assert np.ptp(left) == 0 and np.ptp(right.astype(int)) > 100


def test_weak_evidence_stays_pale():
    grey = np.full((64, 64, 3), 128, np.uint8)
    weak = draw_heat(grey, np.full((2, 2), 0.01, np.float32))
    assert np.abs(np.asarray(weak, int) - 128).max() <= 2


def test_an_answer_that_kept_no_photo_shows_the_square_that_was_judged(detector):
    (answer,) = detector.judge([FILES[0]])
    assert answer.preview is None
    assert draw_photo(answer).size == answer.framed.pixels.shape[1::-1]
    assert "data:image/jpeg" in answer._repr_html_()


def test_the_picture_of_an_explanation_has_room_for_photo_and_heat_map(answer):
    assert explain_picture(answer).height > 280


@pytest.mark.parametrize("size", [(20000, 40), (40, 20000)])
def test_an_extremely_thin_picture_shows_itself(detector, size):
    answer = detector.predict(Image.new("RGB", size, (90, 100, 110)))
    assert len(answer._repr_html_()) < 150_000
    assert max(draw_photo(answer).size) <= 1400
