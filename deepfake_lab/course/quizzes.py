"""Quizzes: a few questions after each notebook, answered by the page itself, without a network."""

import json
from pathlib import Path

from deepfake_lab.errors import UserError

_FOLDER = Path(__file__).parent / "quizzes"


def quiz(name: str) -> None:
    """Show the questions about a notebook.

    Args:
        name: two digits of the notebook.

    Raises:
        UserError: no such quiz.
    """
    from jupyterquiz import display_quiz

    display_quiz(questions(name), shuffle_answers=False)


def questions(name: str) -> list[dict]:
    """Return a quiz's questions, as jupyterquiz takes them.

    Raises:
        UserError: no such quiz.
    """
    file = _FOLDER / f"{name}.json"
    if not file.is_file():
        there = ", ".join(sorted(file.stem for file in _FOLDER.glob("*.json")))
        raise UserError(f"There is no quiz '{name}'; there are {there}.")
    return json.loads(file.read_text(encoding="utf-8"))
