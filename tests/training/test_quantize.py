"""A smaller model is written beside the old one, with what it costs."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from deepfake_lab import cli, paths
from deepfake_lab.detection.detector import Detector
from deepfake_lab.errors import UserError
from deepfake_lab.training.quantize import export_quantised

FILES = sorted((paths.project() / "data" / "sample").rglob("*.jpg"))[::40]


@pytest.fixture(scope="module", params=["int8", "float16"])
def exported(request, run_folder, tmp_path_factory) -> Path:
    folder = Path(shutil.copytree(run_folder, tmp_path_factory.mktemp(request.param) / "tiny"))
    export_quantised(folder, request.param, "sample")
    return folder


def test_the_quantised_model_is_smaller_and_nearly_agrees(exported):
    before, after = Detector.load(exported), Detector.load(exported, quantised=True)
    assert after.quantised["bytes"] < 0.6 * (exported / "model.tflite").stat().st_size
    pixels = np.stack([before.frame(file).pixels for file in FILES])
    apart = np.abs(before.logits(pixels) - after.logits(pixels)).max()
    assert 0 < apart < 1


def test_the_loss_of_auc_is_recorded_with_its_interval_and_said(exported):
    record = json.loads((exported / "detector.json").read_text())["quantised"]
    loss = record["auc_loss"]
    assert loss["low"] <= loss["value"] <= loss["high"]
    assert loss["value"] == pytest.approx(record["auc_before"] - record["auc_after"])
    about = Detector.load(exported, quantised=True).about
    assert f"took {loss['value']:.4f} from its AUC" in about and record["kind"] in about


def test_only_who_asks_gets_the_quantised_model(exported):
    plain = Detector.load(exported)
    assert plain.quantised is None and "quantised" not in plain.about
    assert plain.weights != Detector.load(exported, quantised=True).weights


def test_the_quantised_model_says_what_the_other_says(exported):
    before, after = Detector.load(exported), Detector.load(exported, quantised=True)
    record = json.loads((exported / "detector.json").read_text())["quantised"]
    assert after.config["calibration"] == record["answers"]["calibration"]
    assert (after.prior, after.band) == (before.prior, before.band)
    said = [[answer.p_fake for answer in one.stream(FILES)] for one in (before, after)]
    assert np.abs(np.subtract(*said)).max() < 0.1


@pytest.mark.parametrize("prior", [0.0596, 0.5])
def test_what_was_promised_of_false_alarms_is_kept(run_folder, tmp_path, prior):
    folder = Path(shutil.copytree(run_folder, tmp_path / "careful"))
    file = folder / "detector.json"
    config = json.loads(file.read_text()) | {"prior": prior, "uncertain_band": [0.01, 0.5]}
    file.write_text(json.dumps(config))
    after = export_quantised(folder, "float16", "sample")
    assert after.prior == prior and list(after.band) == [0.01, 0.5]


def test_the_command_says_what_the_quantised_model_costs(exported, capsys):
    assert cli.main(["predict", "--quantised", "--model", str(exported), str(FILES[0])]) == 0
    assert "from its AUC (95% interval" in capsys.readouterr().out.splitlines()[-1]


def test_a_damaged_quantised_model_is_refused(exported, tmp_path):
    copy = Path(shutil.copytree(exported, tmp_path / "copy"))
    (copy / "model.quantised.tflite").write_bytes(b"")
    Detector.load(copy)
    with pytest.raises(UserError, match="damaged or was exchanged"):
        Detector.load(copy, quantised=True)


def test_a_damaged_keras_model_is_not_quantised(run_folder, tmp_path):
    copy = Path(shutil.copytree(run_folder, tmp_path / "copy"))
    with (copy / "model.keras").open("ab") as file:
        file.write(b"x")
    with pytest.raises(UserError, match=r"model\.keras is damaged"):
        export_quantised(copy, "float16", "sample")


def test_an_unknown_kind_is_refused(run_folder):
    with pytest.raises(UserError, match="known: int8, float16"):
        export_quantised(run_folder, "int4", "sample")


def test_the_folder_of_a_shipped_detector_is_only_read(run_folder, tmp_path, monkeypatch, capsys):
    project = tmp_path / "project"
    shipped = Path(shutil.copytree(run_folder, project / "models" / "cnn"))
    for part in shipped.iterdir():
        part.chmod(0o444)
    before = {part.name: part.read_bytes() for part in shipped.iterdir()}
    monkeypatch.setattr(paths, "project", lambda: project)
    monkeypatch.setenv("DEEPFAKE_LAB_HOME", str(tmp_path / "home"))
    sample = str(FILES[0].parents[1])
    for name in ("cnn", str(shipped), "cnn"):  # the third time over what the first has made
        assert cli.main(["export", name, "--quantise", "float16", "--data", sample]) == 0
    assert {part.name: part.read_bytes() for part in shipped.iterdir()} == before
    made = tmp_path / "home" / "models" / "cnn-float16"
    assert f"--quantised --model {made}" in capsys.readouterr().out
    assert Detector.load("cnn-float16", quantised=True).name == "cnn-float16"


@pytest.mark.parametrize("count", [2, 5, 19])
def test_too_few_test_photos_are_refused_and_nothing_is_written(run_folder, tmp_path, count):
    for split in ("train", "valid", "test"):
        for label in ("real", "fake"):
            (tmp_path / "data" / split / label).mkdir(parents=True)
            found = sorted((FILES[0].parents[1] / label).glob("*.jpg"))
            for i, file in enumerate(found[:count]):
                shutil.copy(file, tmp_path / "data" / split / label / f"{split}{i}.jpg")
    before = sorted(run_folder.iterdir())
    with pytest.raises(UserError, match=r"has \d+ test photos of one label.* 20 or more"):
        export_quantised(run_folder, "float16", tmp_path / "data")
    assert sorted(run_folder.iterdir()) == before
