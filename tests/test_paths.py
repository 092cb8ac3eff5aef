"""Where data and detectors are looked for, in which order, and what is said where they are not."""

import os
from pathlib import Path

import platformdirs
import pytest

from deepfake_lab import paths
from deepfake_lab.errors import UserError
from deepfake_lab.starting import start_course


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch) -> Path:
    """An empty current folder, and no environment variables of the library."""
    monkeypatch.delenv("DEEPFAKE_LAB_DATA", raising=False)
    monkeypatch.delenv("DEEPFAKE_LAB_HOME", raising=False)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


def _detector(root: Path, name: str, age: int = 0) -> Path:
    folder = root / "models" / name
    folder.mkdir(parents=True)
    (folder / "detector.json").write_text("{}")
    os.utime(folder / "detector.json", (10_000 - age, 10_000 - age))
    return folder


# --- data ---


def test_a_short_name_is_found_in_the_projects_data_folder():
    assert paths.data_folder("sample") == paths.project() / "data" / "sample"


def test_the_folder_of_the_environment_variable_goes_before_the_project(tmp_path, monkeypatch):
    (tmp_path / "mine" / "sample").mkdir(parents=True)
    monkeypatch.setenv("DEEPFAKE_LAB_DATA", str(tmp_path / "mine"))
    assert paths.data_folder("sample") == tmp_path / "mine" / "sample"


def test_the_current_folder_goes_before_all_others(tmp_path, monkeypatch, elsewhere):
    (tmp_path / "mine" / "sample").mkdir(parents=True)
    (elsewhere / "sample").mkdir()
    monkeypatch.setenv("DEEPFAKE_LAB_DATA", str(tmp_path / "mine"))
    assert paths.data_folder("sample") == elsewhere / "sample"


def test_an_absolute_path_is_taken_as_it_is(tmp_path):
    assert paths.data_folder(tmp_path) == tmp_path
    assert paths.data_folder(str(tmp_path)) == tmp_path


def test_the_home_sign_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert paths.data_folder("~/here") == tmp_path / "here"


def test_a_missing_data_folder_lists_the_places_where_it_was_looked_for(
    tmp_path, monkeypatch, elsewhere
):
    monkeypatch.setenv("DEEPFAKE_LAB_DATA", str(tmp_path / "mine"))
    with pytest.raises(UserError, match="'140k' not found") as caught:
        paths.data_folder("140k")
    for place in (elsewhere, tmp_path / "mine", paths.project() / "data"):
        assert str(place / "140k") in str(caught.value)


def test_a_file_is_no_data_folder(elsewhere):
    (elsewhere / "faces.zip").write_bytes(b"")
    with pytest.raises(UserError, match="is a file"):
        paths.data_folder("faces.zip")


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_name_asks_for_a_folder(name):
    with pytest.raises(UserError, match="No data folder given"):
        paths.data_folder(name)


def test_the_home_of_nobody_is_a_folder_that_is_not_there():
    with pytest.raises(UserError, match="not found"):
        paths.data_folder("~nobody-of-that-name/faces")


# --- where things are written ---


def test_runs_are_written_into_the_project_unless_something_else_is_said(tmp_path, monkeypatch):
    assert paths.home() == paths.project()
    monkeypatch.setenv("DEEPFAKE_LAB_HOME", str(tmp_path / "home"))
    assert paths.home() == tmp_path / "home"
    assert paths.home(tmp_path / "run") == tmp_path / "run"


def test_inside_a_course_folder_everything_lands_there(tmp_path, monkeypatch):
    start_course(tmp_path / "course")
    monkeypatch.chdir(tmp_path / "course" / "notebooks")
    assert paths.home() == tmp_path / "course"
    assert paths.notebooks() == tmp_path / "course" / "notebooks"
    assert paths.data_folder("sample") == tmp_path / "course" / "data" / "sample"


def test_an_installed_package_writes_into_a_folder_of_the_user(monkeypatch):
    monkeypatch.setattr(paths, "is_checkout", lambda: False)
    assert paths.project() == Path(paths.__file__).parent / "shipped"
    assert paths.home() == platformdirs.user_data_path("deepfake-lab", appauthor=False)
    assert paths.project() not in (paths.home(), *paths.home().parents)


def test_asking_for_a_path_creates_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPFAKE_LAB_HOME", str(tmp_path / "home"))
    paths.home()
    paths.has_model("cnn")
    assert not (tmp_path / "home").exists()


# --- detectors ---


def test_a_detector_is_found_by_path(tmp_path):
    folder = _detector(tmp_path, "mine")
    assert paths.model_folder(folder) == folder
    assert paths.model_folder(str(folder)) == folder


def test_a_detector_is_found_by_name_in_the_folder_of_the_run(tmp_path):
    folder = _detector(tmp_path / "run", "mine")
    assert paths.model_folder("mine", tmp_path / "run") == folder
    assert paths.has_model("mine", tmp_path / "run") and not paths.has_model("mine")


def test_a_detector_of_the_run_goes_before_a_shipped_one_of_that_name(tmp_path):
    folder = _detector(tmp_path / "run", "cnn")
    assert paths.model_folder("cnn", tmp_path / "run") == folder


def test_an_unknown_detector_lists_the_known_ones_and_the_places(tmp_path):
    _detector(tmp_path, "first")
    _detector(tmp_path, "second")
    with pytest.raises(UserError, match="No detector 'third'") as caught:
        paths.model_folder("third", tmp_path)
    assert "first, " in str(caught.value) and "second" in str(caught.value)
    assert str(tmp_path / "models") in str(caught.value)


def test_a_run_that_is_being_written_is_no_detector_yet(tmp_path, monkeypatch):
    _detector(tmp_path, ".mine-x1y2")
    with pytest.raises(UserError) as caught:
        paths.model_folder("mine", tmp_path)
    assert "x1y2" not in str(caught.value)


def test_a_detector_of_an_older_version_is_known_by_name_as_any_other(tmp_path):
    folder = _detector(tmp_path, "mine")
    (folder / "detector.json").rename(folder / "config.json")
    assert paths.has_model("mine", tmp_path) and paths.model_folder("mine", tmp_path) == folder
    with pytest.raises(UserError, match=r"Known detectors: .*mine"):
        paths.model_folder("other", tmp_path)


def test_a_folder_without_config_is_named_as_no_whole_run_folder(tmp_path):
    (tmp_path / "models" / "half").mkdir(parents=True)
    for name in ("half", tmp_path / "models" / "half"):
        with pytest.raises(UserError, match=r"half is not a whole run folder: detector\.json"):
            paths.model_folder(name, tmp_path)


def test_without_a_shipped_detector_the_last_one_trained_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "project", lambda: tmp_path / "project")
    monkeypatch.setenv("DEEPFAKE_LAB_HOME", str(tmp_path / "home"))
    with pytest.raises(UserError, match="no trained detector"):
        paths.default_model()
    _detector(tmp_path / "home", "older", age=5)
    newest = _detector(tmp_path / "home" / "runs" / "sample-1", "newer", age=3)
    _detector(tmp_path / "home", ".half-x1y2", age=1)
    assert paths.default_model() == newest
    shipped = _detector(tmp_path / "project", "efficientnet", age=9)
    assert paths.default_model() == shipped
