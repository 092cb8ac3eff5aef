"""A detector that is measured on photos it has learned from, whatever they are called now."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepfake_lab import paths
from deepfake_lab.cli import main
from deepfake_lab.data import seen
from deepfake_lab.data.datasets import read_dataset
from deepfake_lab.errors import UserError


@pytest.fixture
def photos(tmp_path):
    """Eight pictures that look like no other."""
    made = []
    for i in range(8):
        noise = np.random.default_rng(i).integers(0, 255, (8, 8, 3), np.uint8)
        made.append(tmp_path / f"{i}.png")
        Image.fromarray(noise).resize((96, 96), Image.Resampling.BICUBIC).save(made[-1])
    return [str(path) for path in made]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("DEEPFAKE_LAB_HOME", str(tmp_path_factory.mktemp("home")))


def test_the_same_file_and_a_recompressed_one_are_known_again(photos, tmp_path):
    seen.write(tmp_path, photos[:4])
    copy, jpeg = tmp_path / "renamed.png", tmp_path / "sent.jpg"
    copy.write_bytes((tmp_path / "0.png").read_bytes())
    Image.open(photos[1]).resize((80, 80)).save(jpeg, quality=60)
    same, near = seen.known_again(tmp_path, [str(copy), str(jpeg), *photos[4:]])
    assert same.tolist() == [True] + [False] * 5
    assert near.tolist() == [False, True] + [False] * 4


def test_without_pictures_the_same_file_alone_is_known_again(photos, tmp_path):
    seen.write(tmp_path, photos[:4])
    whole = (tmp_path / seen.FILE).stat().st_size
    seen.leave_out_pictures(tmp_path)
    assert (tmp_path / seen.FILE).stat().st_size < whole
    same, near = seen.known_again(tmp_path, [photos[0], photos[5]])
    assert same.tolist() == [True, False] and near is None


def test_a_shipped_detector_knows_the_files_that_it_has_learned_from(tmp_path, capsys):
    rows = read_dataset("sample").manifest.query("split == 'train'").groupby("label").head(3)
    for row in rows.itertuples():
        target = tmp_path / "holiday" / "test" / row.label / f"{row.Index}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(row.path).read_bytes())
    for name in paths.SHIPPED:
        assert main(["evaluate", str(tmp_path / "holiday"), "--model", name]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert "has learned from 6 of these 6 photos" in said
        assert "photos that were saved anew are not" in said


def test_copies_among_the_photos_asked_about_are_no_leak(photos, tmp_path):
    seen.write(tmp_path, photos[:4])
    same, near = seen.known_again(tmp_path, [photos[5], photos[5], photos[6]])
    assert not same.any() and not near.any()


def test_an_older_run_folder_says_nothing(photos, tmp_path):
    assert seen.known_again(tmp_path, photos) is None


def test_a_damaged_record_is_one_clear_line(photos, tmp_path):
    (tmp_path / seen.FILE).write_bytes(b"no archive")
    with pytest.raises(UserError, match="is damaged"):
        seen.known_again(tmp_path, photos)


def test_evaluate_warns_of_training_photos_in_a_renamed_folder(run_folder, tmp_path, capsys):
    manifest = read_dataset("sample").manifest
    rows = manifest[manifest["split"] == "train"].groupby("label").head(3)
    for number, row in enumerate(rows.itertuples()):
        target = tmp_path / "holiday" / "test" / row.label / f"{number}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(row.path).read_bytes())
    assert main(["evaluate", str(tmp_path / "holiday"), "--model", str(run_folder)]) == 0
    said = capsys.readouterr().out
    assert "has learned from 6 of these 6 photos (6 the same file, 0 nearly" in said


def test_evaluate_says_where_nothing_was_recorded(run_folder, tmp_path, capsys):
    older = tmp_path / "older"
    shutil.copytree(run_folder, older)
    (older / seen.FILE).unlink()
    rows = read_dataset("sample").manifest.groupby("label").head(2)
    for row in rows.itertuples():
        target = tmp_path / "set" / "test" / row.label / f"{row.Index}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(row.path).read_bytes())
    assert main(["evaluate", str(tmp_path / "set"), "--model", str(older)]) == 0
    assert "was not recorded" in capsys.readouterr().out
