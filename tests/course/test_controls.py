"""The controls of notebooks 01 and 02, without a browser: what they show."""

import io

import numpy as np
from ipywidgets import HTML, Dropdown, FloatSlider, Image as Screen, IntSlider, Widget
from PIL import Image

from deepfake_lab.course import controls

PHOTO = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)


def parts(control: Widget, kind: type) -> list:
    """Return the widgets of a kind below a control, in their order."""
    below = [found for child in getattr(control, "children", ()) for found in parts(child, kind)]
    return [control, *below] if isinstance(control, kind) else below


def picture(control: Widget) -> np.ndarray:
    (screen,) = parts(control, Screen)
    return np.asarray(Image.open(io.BytesIO(screen.value)))


def test_stronger_compression_changes_picture_and_words():
    control = controls.compression_lab(PHOTO)
    (quality,), (scale,) = parts(control, IntSlider), parts(control, FloatSlider)
    (words,) = parts(control, HTML)
    before, said = picture(control), words.value
    quality.value = 10
    assert (picture(control) != before).any() and words.value != said
    at_ten = words.value
    scale.value = 0.3
    assert words.value != at_ten and "kB" in words.value


def test_a_filter_answers_to_its_numbers():
    control = controls.filter_designer(PHOTO)
    numbers, (words,) = parts(control, FloatSlider), parts(control, HTML)
    assert len(numbers) == 9 and "<b>0</b>" in words.value  # an edge filter
    before = picture(control)
    numbers[4].value = 5
    assert (picture(control) != before).any() and "<b>5</b>" in words.value


def test_a_filter_to_begin_with_sets_all_nine_numbers():
    control = controls.filter_designer(PHOTO)
    (chosen,) = parts(control, Dropdown)
    chosen.value = "nothing changes"
    assert [slider.value for slider in parts(control, FloatSlider)] == [0, 0, 0, 0, 1, 0, 0, 0, 0]
    shown = picture(control)
    half = shown.shape[1] // 2
    grey = shown[:, :half].astype(float).mean(axis=-1)
    assert np.abs(grey - shown[:, half:, 0]).max() < 40  # the photo itself, in grey
