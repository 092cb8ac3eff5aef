"""Scores by sharpness: the measure, the scale, and that every way of asking uses it."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from deepfake_lab.data.datasets import read_dataset
from deepfake_lab.detection.detector import Detector
from deepfake_lab.errors import UserError
from deepfake_lab.photos import images
from deepfake_lab.photos.sharpness import measure_sharpness, scaled

SCALE = {"center": -0.5, "spread": 1.5, "slope": 0.7, "zero": 0.2, "sharpness": [2.5, 3.1]}
FILES = read_dataset("sample").manifest["path"].tolist()[:6]


def test_the_laplacian_of_a_known_pattern():
    pixels = np.zeros((9, 9, 3), np.uint8)
    pixels[4, 4] = 100  # one bright point: 4 x 100 there and 100 at each of its four neighbours
    assert measure_sharpness(pixels) == pytest.approx(np.log(800 / 49 + 0.1), rel=1e-4)
    assert measure_sharpness(np.full((9, 9, 3), 200, np.uint8)) == pytest.approx(np.log(0.1), 1e-3)


@pytest.mark.parametrize(("kind", "level"), [("blur", 1), ("downscale", 2), ("jpeg", 20)])
def test_damaged_photos_are_less_sharp(kind, level):
    for file in FILES:
        photo = images.read_image(file)
        damaged = images.degrade(photo, kind, level)
        assert measure_sharpness(damaged) < measure_sharpness(photo)


def test_beyond_the_range_that_was_seen_its_nearest_end_counts():
    sharpness = np.array([-3.0, 2.5, 3.0, 3.1, 9.0])
    spread = np.array([3.25, 3.25, 3.6, 3.67, 3.67])
    found = scaled(np.full(5, 1.0), sharpness, SCALE)
    np.testing.assert_allclose(found, (1.0 + 0.5) / spread - 0.2)


@pytest.fixture(scope="module")
def asked(run_folder, tmp_path_factory):
    """The same network, with and without a scale in its config."""
    folder = shutil.copytree(run_folder, tmp_path_factory.mktemp("scaled") / "copy")
    config = json.loads((folder / "detector.json").read_text(encoding="utf-8"))
    (folder / "detector.json").write_text(json.dumps(config | {"sharpness": SCALE}))
    return Detector.load(run_folder), Detector.load(folder)


def test_every_way_of_asking_gives_the_scaled_score(asked):
    plain, with_scale = asked
    pixels = np.stack([plain.frame(file).pixels for file in FILES])
    sharpness = np.array([measure_sharpness(picture) for picture in pixels])
    assert np.ptp(sharpness.clip(2.5, 3.1)) > 0.2  # else the slope says nothing
    expected = scaled(plain.logits(pixels), sharpness, SCALE)
    np.testing.assert_allclose(with_scale.logits(pixels), expected, atol=1e-5)
    alone = [with_scale.logits(picture[None])[0] for picture in pixels]
    np.testing.assert_allclose(alone, expected, atol=1e-5)
    one = with_scale.predict(FILES[0])
    assert one.logit == pytest.approx(expected[0], abs=1e-5)
    many = with_scale.predict_many(FILES)
    np.testing.assert_allclose(many["p_fake"], with_scale.probability(expected), atol=1e-5)


def test_the_map_is_on_the_scale_of_the_score(asked, monkeypatch):
    heat = np.arange(12, dtype=np.float32).reshape(3, 4)
    outputs = {"logit": heat.mean(keepdims=True)[0], "activation_map": heat}
    graph = SimpleNamespace(run=lambda picture, alone=True: outputs)
    for detector in asked:
        monkeypatch.setattr(detector, "_graph", graph)
    plain, with_scale = (detector.predict(FILES[1]) for detector in asked)
    assert with_scale.activation_map.mean() == pytest.approx(with_scale.logit, abs=1e-4)
    assert plain.logit == 5.5 and with_scale.logit < 2.5


def test_a_scale_that_lacks_a_part_is_refused(asked, tmp_path):
    folder = shutil.copytree(asked[1].folder, tmp_path / "copy")
    config = json.loads((folder / "detector.json").read_text(encoding="utf-8"))
    del config["sharpness"]["slope"]
    (folder / "detector.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="damaged"):
        Detector.load(folder)
