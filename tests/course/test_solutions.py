"""The solutions run from top to bottom, and every check calls them right."""

from pathlib import Path

import nbformat
import pytest

from deepfake_lab import paths
from deepfake_lab.course import grade, running

#: Small: the notebooks themselves run with their defaults elsewhere, and a solution is right for
#: any numbers.
PARAMETERS = {
    "cnn_epochs": 3, "cnn_image_size": 64, "head_epochs": 5, "epochs": 2, "image_size": 96,
    "other_photos": 20,
}  # fmt: skip

SOLUTIONS = sorted((paths.notebooks() / "solutions").glob("*.ipynb"))


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """One home for all, in their order: a notebook goes on from what the one before it made."""
    folder = tmp_path_factory.mktemp("solutions")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPFAKE_LAB_HOME", str(folder))
        yield folder


@pytest.mark.parametrize("notebook", SOLUTIONS, ids=lambda file: file.stem)
def test_every_check_calls_the_solution_right(notebook, home):
    known = running._parameters(notebook)
    parameters = {name: value for name, value in PARAMETERS.items() if name in known}
    running._execute(notebook, home / notebook.name, parameters)
    results = grade(home / notebook.name)
    assert set(results["result"]) == {"right"}, results.to_string()
    assert 2 <= len(results) <= 4


@pytest.mark.parametrize("notebook", SOLUTIONS, ids=lambda file: file.stem)
def test_no_cell_is_too_long_to_be_read(notebook):
    cells = nbformat.read(notebook, as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    assert max(source.count("\n") + 1 for source in code) <= 20


@pytest.mark.parametrize("notebook", SOLUTIONS, ids=lambda file: file.stem)
def test_nothing_is_answered_in_the_notebook_that_people_get(notebook):
    assert set(grade(paths.notebooks() / notebook.name)["result"]) == {"open"}
