"""Exercises that answer: right, or a hint; never the solution.

A check knows what the exercise's own data say, so that it also holds for another data set. The
checks of a notebook stand together in a module of :data:`CHECKS`; in the notebook stands

    course.check("01 blind guess", answer, labels=labels)
"""

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from types import EllipsisType
from typing import NamedTuple

import nbformat
import pandas as pd

from deepfake_lab.errors import UserError

#: The modules whose import makes the exercises known.
CHECKS = ("checks_data", "checks_training", "checks_trust")

#: What a check may say; :func:`grade` reads it again.
RIGHT, NOT_YET, OPEN = "right", "not yet", "open"

_LINE = re.compile(rf"^(\d\d [^:\n]+): ({RIGHT}|{NOT_YET}|{OPEN})\.", re.MULTILINE)


class Exercise(NamedTuple):
    """What answers about one exercise.

    Attributes:
        judge: (answer, **facts) -> whether it is right, or a hint for this very mistake.
        hint: what to say about any other wrong answer.
        because: what a right answer shows.
    """

    judge: Callable[..., bool | str]
    hint: str
    because: str


_EXERCISES: dict[str, Exercise] = {}


def exercise(name: str, hint: str, because: str) -> Callable[[Callable], Callable]:
    """Make a function the judge of an exercise.

    Args:
        name: two digits of the notebook, a space, a few words: ``"01 blind guess"``.
        hint: for a wrong answer about which the function has no word of its own.
        because: for a right one.
    """

    def known(judge: Callable[..., bool | str]) -> Callable[..., bool | str]:
        _EXERCISES[name] = Exercise(judge, hint, because)
        return judge

    return known


def check(name: str, answer: object, **facts: object) -> None:
    """Print whether an answer is right, with the reason, or a hint.

    Args:
        name: of the exercise.
        answer: what the learner found; ``...`` as long as there is none.
        **facts: what the exercise's judge needs to know, as the notebook has it.

    Raises:
        UserError: no such exercise.
    """
    print(f"{name}: {_said(_find(name), answer, facts)}")


def grade(notebook: str | Path) -> pd.DataFrame:
    """Read from an executed notebook what its checks said.

    Args:
        notebook: file of a notebook that was run, for example by papermill.

    Returns:
        One row an exercise, in the notebook's order: ``exercise, result`` (``right``, ``not yet``,
        ``open``). Of an exercise that was checked twice the last result counts.

    Raises:
        UserError: no notebook, or one without a single check that was run.
    """
    try:
        cells = nbformat.read(notebook, as_version=4).cells
    except (OSError, ValueError, nbformat.reader.NotJSONError) as error:
        raise UserError(f"{notebook} cannot be read as a notebook: {error}.") from None
    printed = [
        output["text"]
        for cell in cells
        for output in cell.get("outputs", [])
        if output.get("name") == "stdout"
    ]
    found = dict(_LINE.findall("\n".join(printed)))
    if not found:
        raise UserError(f"{notebook} holds no checked exercise: run it first, from top to bottom.")
    return pd.DataFrame(found.items(), columns=["exercise", "result"])


def _find(name: str) -> Exercise:
    for module in CHECKS:
        importlib.import_module(f"deepfake_lab.course.{module}")
    if name not in _EXERCISES:
        raise UserError(f"There is no exercise '{name}'; there are {', '.join(_EXERCISES)}.")
    return _EXERCISES[name]


def _said(exercise: Exercise, answer: object, facts: dict[str, object]) -> str:
    if isinstance(answer, EllipsisType):
        return f"{OPEN}. Put your answer in place of the dots and run the cell again."
    try:
        found = exercise.judge(answer, **facts)
    except (TypeError, ValueError, AttributeError) as error:
        found = f"This kind of answer cannot be checked ({error})."
    if found is True:
        return f"{RIGHT}. {exercise.because}"
    return f"{NOT_YET}. {found or exercise.hint}"
