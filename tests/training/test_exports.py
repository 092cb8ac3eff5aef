"""An export answers as the detector does, or there is none."""

import numpy as np
import pandas as pd
import pytest

from deepfake_lab import cli, paths
from deepfake_lab.data import seen
from deepfake_lab.detection.detector import Detector
from deepfake_lab.errors import UserError
from deepfake_lab.training import exports
from deepfake_lab.training.exports import export_detector


@pytest.fixture(scope="module")
def pushed(run_folder, tmp_path_factory):
    """The tiny detector as a folder for the Hugging Face Hub."""
    return export_detector(run_folder, "hf", tmp_path_factory.mktemp("exports") / "tiny")


def test_the_folder_for_the_hub_holds_a_model_that_keras_loads_from_there(pushed):
    import keras

    model = keras.saving.load_model(pushed.folder, compile=False)
    assert model.output_shape == (None, 1)
    assert 0 <= pushed.apart <= exports.ALLOWED and pushed.photos == 16


def test_the_folder_for_the_hub_is_a_detector_that_answers_the_same(pushed, run_folder):
    photo = next((paths.project() / "data" / "sample").rglob("*.jpg"))
    here, there = Detector.load(run_folder), Detector.load(pushed.folder)
    assert there.predict(photo).p_fake == here.predict(photo).p_fake


def test_an_export_leaves_out_the_small_pictures_of_training_photos(pushed, run_folder):
    assert (run_folder / seen.FILE).is_file() and not (pushed.folder / seen.FILE).exists()


def test_an_export_leaves_out_the_names_of_photos(pushed, run_folder):
    whole = pd.read_csv(run_folder / "predictions.csv")
    passed_on = pd.read_csv(pushed.folder / "predictions.csv")
    assert "file" in whole and "file" not in passed_on and len(whole) == len(passed_on)


def test_onnx_runtime_answers_as_the_detector_does(run_folder, tmp_path, capsys):
    pytest.importorskip("tf2onnx", reason='needs pip install "deepfake-lab[export]"')
    onnxruntime = pytest.importorskip("onnxruntime", reason='needs "deepfake-lab[export]"')
    out = tmp_path / "tiny"
    assert cli.main(["export", str(run_folder), "--format", "onnx", str(out)]) == 0
    assert f"lies in {out}; over 16 photos" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(out / "model.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    (logits,) = session.run(None, {session.get_inputs()[0].name: pixels.astype(np.float32)})
    expected = Detector.load(run_folder).logits(pixels)
    np.testing.assert_allclose(logits[:, 0], expected, atol=exports.ALLOWED)


@pytest.mark.parametrize("off", [0.01, np.nan])
def test_an_export_that_answers_otherwise_is_not_kept(run_folder, tmp_path, monkeypatch, off):
    in_keras = exports._in_keras
    monkeypatch.setattr(exports, "_in_keras", lambda *asked: in_keras(*asked) + off)
    with pytest.raises(UserError, match=r"answers otherwise: .* Nothing was written"):
        export_detector(run_folder, "keras", tmp_path / "tiny")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(run_folder, tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UserError, match="holds something already: name a new folder"):
        export_detector(run_folder, "keras", tmp_path)


def test_nothing_is_written_into_a_run_folder(run_folder):
    for folder in (run_folder, paths.project() / "models" / "cnn"):
        with pytest.raises(UserError, match="which is only read: name another folder"):
            export_detector(run_folder, "keras", folder / "keras")
        assert not (folder / "keras").exists()


def test_an_unknown_format_is_refused_by_the_known_ones(run_folder, tmp_path):
    with pytest.raises(UserError, match="'pickle'; known: onnx, keras, hf"):
        export_detector(run_folder, "pickle", tmp_path / "tiny")


def test_a_missing_converter_is_named_with_the_extra_that_brings_it(
    run_folder, tmp_path, monkeypatch
):
    from deepfake_lab import extras

    monkeypatch.setattr(extras, "find_spec", lambda module: None if module == "tf2onnx" else 1)
    with pytest.raises(UserError, match=r"'tf2onnx' is missing: pip .*deepfake-lab\[export\]"):
        export_detector(run_folder, "onnx", tmp_path / "tiny")
