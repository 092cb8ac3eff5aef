"""`deepfake-lab init`: a course folder for a person without a checkout."""

import pytest

from deepfake_lab import paths
from deepfake_lab.cli import main
from deepfake_lab.errors import UserError
from deepfake_lab.starting import start_course


def test_a_course_folder_holds_notebooks_parameters_the_sample_and_ten_lines_of_help(tmp_path):
    folder = start_course(tmp_path / "course")
    for part, pattern in (("notebooks", "*.ipynb"), ("params", "*.yaml")):
        shipped = sorted(path.name for path in (paths.project() / part).glob(pattern))
        assert shipped and sorted(path.name for path in (folder / part).iterdir()) == shipped
    assert (folder / "data" / "sample" / "manifest.csv").is_file()
    assert (folder / "docs" / "glossary.md").is_file()  # the notebooks link to it
    assert len((folder / "README.md").read_text().splitlines()) == 10


def test_no_folder_with_something_in_it_is_written_into(tmp_path):
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(UserError, match="not empty"):
        start_course(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.docx"]


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "course").touch()
    with pytest.raises(UserError, match="course is a file"):
        start_course(tmp_path / "course")


def test_the_command_says_where_the_course_lies(tmp_path, capsys):
    assert main(["init", str(tmp_path / "course")]) == 0
    assert f"The course lies in {tmp_path / 'course'}" in capsys.readouterr().out


def test_a_run_that_finds_no_notebook_is_an_error(tmp_path, monkeypatch, capsys):
    folder = start_course(tmp_path / "course")
    for notebook in (folder / "notebooks").iterdir():
        notebook.unlink()
    monkeypatch.chdir(folder)
    assert main(["run"]) == 2
    assert "There is no notebook in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "extra"), [("papermill", "course"), ("pandas", "course"), ("kagglehub", "download")]
)
def test_a_package_that_is_missing_is_named_with_what_to_install(
    module, extra, monkeypatch, capsys
):
    def command(_):
        raise ModuleNotFoundError(name=f"{module}.part")

    monkeypatch.setattr("deepfake_lab.cli._serve", command)
    assert main(["serve"]) == 2
    said = capsys.readouterr().err
    assert f"'{module}' is missing: pip install \"deepfake-lab[{extra}]\"" in said
    assert said.count("\n") == 1


def test_a_module_that_no_extra_brings_is_a_fault_of_the_program(monkeypatch):
    def command(_):
        raise ModuleNotFoundError(name="deepfake_lab.nowhere")

    monkeypatch.setattr("deepfake_lab.cli._serve", command)
    with pytest.raises(ModuleNotFoundError):
        main(["serve"])


def test_the_version_is_that_of_the_package(capsys):
    import deepfake_lab

    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"deepfake-lab {deepfake_lab.__version__}\n"
