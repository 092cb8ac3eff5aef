"""The controls of notebooks 03 to 06, without a browser: what they say."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepfake_lab.course import controls_trust, pictures_trust
from deepfake_lab.data.datasets import read_dataset


@pytest.fixture(scope="module")
def test_photos():
    manifest = read_dataset("sample").manifest
    return manifest[manifest["split"] == "test"].reset_index(drop=True)


@pytest.fixture(scope="module")
def answers(detector, test_photos):
    return detector.predict_many(test_photos)


def made_up(seed=0):
    rng = np.random.default_rng(seed)
    label = np.array(["real", "fake"] * 50)
    p_fake = np.clip(0.25 + 0.4 * (label == "fake") + rng.normal(0, 0.2, 100), 0.01, 0.99)
    verdict = np.where(p_fake >= 0.5, "FAKE", "REAL")
    return pd.DataFrame({
        "label": label, "source": label, "group": range(100), "p_fake": p_fake, "verdict": verdict,
    })  # fmt: skip


def test_threshold_and_share_move_the_numbers_and_the_picture():
    rows = made_up()
    moving = controls_trust.Thresholds(rows)
    before, picture = moving.numbers.value, moving.picture.value
    moving.threshold.value = 0.7
    alarms, found, right = moving.rates()
    called = rows["p_fake"] >= 0.7
    assert alarms == pytest.approx(called[rows["label"] == "real"].mean())
    assert found == pytest.approx(called[rows["label"] == "fake"].mean())
    assert right == pytest.approx(found / (found + alarms))  # half are fake
    assert moving.numbers.value != before and moving.picture.value != picture
    moving.share.value = 0.01
    assert moving.rates()[2] == pytest.approx(0.01 * found / (0.01 * found + 0.99 * alarms))
    assert moving.said in moving.picture.value  # as alternative text
    moving.threshold.value = 1.0
    assert "never said" in moving.said


def test_a_figure_that_was_saved_goes_on_moving(tmp_path):
    moving = controls_trust.Thresholds(made_up())
    before = moving.picture.value
    moving.figure.savefig(tmp_path / "still.png", dpi=110)
    saved = np.asarray(Image.open(tmp_path / "still.png").convert("RGB"))
    assert (saved == (213, 94, 0)).all(axis=-1).any()  # the moving dot is saved, too
    moving.threshold.value = 0.9
    moving.threshold.value = 0.5
    assert moving.picture.value == before


def test_wear_shows_what_the_detector_says_of_the_damaged_photo(detector, test_photos):
    pixels = np.asarray(Image.open(test_photos["path"][0]))
    wear = controls_trust.Wear(detector, pixels)
    before = wear.numbers.value
    wear.quality.value, wear.factor.value = 10, 4
    asked = detector.predict(controls_trust.worn(pixels, 10, 4))
    assert wear.answer.p_fake == asked.p_fake
    assert f"{asked.p_fake:.3f}" in wear.numbers.value and wear.numbers.value != before


def test_the_game_keeps_both_scores_and_ends(detector, test_photos):
    game = controls_trust.RealOrFake(detector, test_photos, count=4)
    truth = game.answers["label"].str.upper()
    assert sorted(truth) == ["FAKE", "FAKE", "REAL", "REAL"]
    for word in truth:
        (game.real if word == "REAL" else game.fake).click()
    right = int((game.answers["verdict"] == truth).sum())
    assert game.scores() == (4, right)
    assert f"you 4, detector {right}" in game.score.value and game.real.disabled


def test_the_game_gives_nothing_away(detector, test_photos):
    game = controls_trust.RealOrFake(detector, test_photos, count=4)
    row = game.answers.iloc[0]
    assert row["file"] not in game.picture.value and row["source"] not in game.picture.value


def test_mistakes_are_browsed_by_source(answers):
    browse = controls_trust.Mistakes(answers)
    wrong = answers[answers["verdict"].str.lower() != answers["label"]]
    assert len(browse.source.options) == len(wrong.groupby(["label", "source"]))
    browse.source.value = browse.source.options[-1]
    before = browse.picture.value
    if browse.number.max > 1:
        browse.number.value = 2
        assert browse.picture.value != before
    assert any(file in browse.picture.value for file in wrong["file"])


def test_without_mistakes_the_browser_says_so(answers):
    right = answers[answers["verdict"].str.lower() == answers["label"]]
    assert "No verdict is wrong" in controls_trust.Mistakes(right).picture.value


def test_a_broken_upload_is_named_and_the_others_are_judged(detector, test_photos):
    stream = io.BytesIO()
    Image.open(test_photos["path"][0]).save(stream, "PNG")
    control = controls_trust.Upload(detector)
    control.show(
        ({"name": "good.png", "content": memoryview(stream.getvalue())},
         {"name": "broken.jpg", "content": memoryview(b"no picture")})
    )  # fmt: skip
    assert "Classification" in control.answers.value and "broken.jpg" in control.answers.value


def test_feature_maps_follow_the_chosen_layer():
    rng = np.random.default_rng(0)
    maps = {"block1a": rng.random((16, 16, 20)), "block2a": rng.random((8, 8, 4))}
    control = controls_trust.FeatureMaps(maps)
    assert "20 maps of 16 x 16; 16 are shown" in control.picture.value
    control.layer.value = "block2a"
    assert "4 maps of 8 x 8; 4 are shown" in control.picture.value


def test_without_a_kernel_a_control_says_what_to_do():
    control = controls_trust.FeatureMaps({"a": np.zeros((4, 4, 2))})
    assert control._repr_mimebundle_()["text/plain"] == "Run this cell to move its controls."


def test_taking_the_calibration_out_and_putting_it_in_again_gives_the_same(detector, answers):
    scale = detector.config["calibration"]
    bare = pictures_trust.uncalibrated(detector, answers)["p_fake"].to_numpy()
    logits = np.log(bare / (1 - bare))
    again = 1 / (1 + np.exp(-(logits / scale["temperature"] + scale["bias"])))
    assert again == pytest.approx(answers["p_fake"].to_numpy(), abs=1e-6)


def test_kinds_in_words_follow_the_numbers():
    table = pd.DataFrame({"a": [0.9, 0.4, 0.65, 0.7], "b": [0.8, 0.7, 0.75, 0.75]},
                         ["gan", "swap", "macro", "all"])  # fmt: skip
    apart = {"a": (0.6, 0.74), "b": (0.745, 0.8)}
    said = "\n".join(pictures_trust.kinds_in_words(table, apart))
    assert "The highest is that of 'b'" in said and "do not overlap" in said
    assert "'a' finds swap worst: 0.400, below a coin's 0.5." in said
    assert "may be luck" in "\n".join(pictures_trust.kinds_in_words(table, apart | {"a": (0, 1)}))
    assert "lack a label" in next(pictures_trust.kinds_in_words(table.iloc[:0], apart))


def test_shuffled_weights_are_the_same_numbers_elsewhere(run_folder, detector, test_photos):
    model = pictures_trust.load_keras(detector)
    before = model.get_weights()
    pixels = detector.predict(test_photos["path"][0]).framed.pixels
    learned = pictures_trust.grad_cam(model, pixels)
    pictures_trust.shuffle_weights(model)
    for was, now in zip(before, model.get_weights()):
        assert sorted(was.ravel()) == sorted(now.ravel())
    assert learned.min() >= 0 and learned.shape == pictures_trust.grad_cam(model, pixels).shape


def test_grad_cam_of_a_network_that_averages_is_its_exact_map_where_that_says_fake():
    from deepfake_lab.training.models import build_model

    model = build_model("efficientnet_lite0", 64, weights=None)
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    bias = float(model.get_layer("logit").get_weights()[1][0])
    exact = np.maximum(pictures_trust.exact_map(model, pixels) - bias, 0)
    found = pictures_trust.grad_cam(model, pixels) * exact.size
    assert found == pytest.approx(exact, rel=1e-3, abs=1e-5)
