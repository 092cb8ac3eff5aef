"""Exercises: what a check answers, how a notebook is graded, and how solutions are taken out."""

import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from deepfake_lab import paths
from deepfake_lab.course import check, exercises, grade
from deepfake_lab.errors import UserError

sys.path.insert(0, str(paths.project() / "tools"))
import make_exercises


@pytest.fixture(autouse=True)
def larger(monkeypatch):
    """One exercise, that of this file alone."""
    monkeypatch.setattr(exercises, "CHECKS", ())
    monkeypatch.setattr(exercises, "_EXERCISES", {})

    @exercises.exercise("01 larger", "Count again.", "It is one more.")
    def judge(answer, *, than):
        if answer == than:
            return "That is the number itself."
        return answer == than + 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (4, "01 larger: right. It is one more."),
        (3, "01 larger: not yet. That is the number itself."),
        (9, "01 larger: not yet. Count again."),
        (..., "01 larger: open. Put your answer in place of the dots"),
    ],
)
def test_an_answer_is_right_or_gets_a_hint(capsys, answer, said):
    check("01 larger", answer, than=3)
    assert capsys.readouterr().out.startswith(said)


def test_an_exercise_that_does_not_exist_is_named(capsys):
    with pytest.raises(UserError, match="no exercise '01 smaller'; there are 01 larger"):
        check("01 smaller", 1)


def test_a_notebook_is_graded_by_what_its_checks_said(capsys, tmp_path):
    cells = [new_markdown_cell("words")]
    for answer in (..., 9, 4):
        check("01 larger", answer, than=3)
        printed = new_output("stream", name="stdout", text=capsys.readouterr().out)
        cells.append(new_code_cell("check(...)", outputs=[printed]))
        nbformat.write(new_notebook(cells=cells), tmp_path / "01.ipynb")
    assert grade(tmp_path / "01.ipynb").values.tolist() == [["01 larger", "right"]]


def test_a_notebook_that_did_not_run_is_refused(tmp_path):
    nbformat.write(new_notebook(cells=[new_code_cell("check(...)")]), tmp_path / "01.ipynb")
    with pytest.raises(UserError, match="run it first"):
        grade(tmp_path / "01.ipynb")
    with pytest.raises(UserError, match="cannot be read"):
        grade(tmp_path / "02.ipynb")


def test_a_solution_leaves_its_names_and_the_heads_of_its_functions():
    source = (
        "import math\n### BEGIN SOLUTION\nroot = math.sqrt(2)\na, b = 1, 2\n"
        'def area(r: float) -> float:\n    """Return it."""\n    return r * r\n### END SOLUTION\n'
        "root"
    )
    assert make_exercises.emptied(source) == (
        "import math\nroot = ...  # your answer\na = ...  # your answer\nb = ...  # your answer\n"
        'def area(r: float):\n    """Return it."""\n    ...  # your answer\nroot'
    )


@pytest.mark.parametrize(
    "source", ["### BEGIN SOLUTION\na = 1", "### BEGIN SOLUTION\nprint(1)\n### END SOLUTION\n"]
)
def test_a_solution_that_cannot_be_taken_out_is_an_error(source):
    with pytest.raises(ValueError):
        make_exercises.emptied(source)


def test_outputs_of_cells_that_stay_stay(tmp_path):
    printed = new_output("stream", name="stdout", text="2")
    kept = new_code_cell("1 + 1", outputs=[printed], execution_count=1)
    nbformat.write(new_notebook(cells=[kept, new_code_cell("old")]), tmp_path / "01.ipynb")
    (tmp_path / "solutions").mkdir()
    solved = [new_code_cell("1 + 1"),
              new_code_cell("### BEGIN SOLUTION\na = 1\n### END SOLUTION\n")]  # fmt: skip
    nbformat.write(new_notebook(cells=solved), tmp_path / "solutions" / "01.ipynb")
    assert make_exercises.write(tmp_path / "solutions" / "01.ipynb", tmp_path / "01.ipynb")
    cells = nbformat.read(tmp_path / "01.ipynb", as_version=4).cells
    assert [cell.source for cell in cells] == ["1 + 1", "a = ...  # your answer"]
    assert cells[0].outputs == [printed] and cells[1].outputs == []
    assert not make_exercises.write(tmp_path / "solutions" / "01.ipynb", tmp_path / "01.ipynb")


def test_the_notebooks_are_what_their_solutions_give(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["make_exercises.py", "--check"])
    assert make_exercises.main() == 0, capsys.readouterr().out
