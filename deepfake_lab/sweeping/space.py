"""What a sweep varies: lists of values, ranges, and what all its runs share."""

import json
import re
from dataclasses import dataclass
from typing import Any

import yaml

from deepfake_lab.course.running import check_parameters, parameter_types
from deepfake_lab.errors import UserError

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})")

#: A range that spans so many times its lower end is searched on a logarithmic scale.
_WIDE = 10

#: How many characters of its parameters a run's folder is named by: some systems allow few.
_LONGEST = 80


@dataclass(frozen=True)
class Space:
    """Parameters of a sweep.

    Attributes:
        choices: name -> two or more values.
        ranges: name -> (low, high), to search in; both int or both float.
        fixed: name -> the value that all runs share.
    """

    choices: dict[str, list[Any]]
    ranges: dict[str, tuple[float, float]]
    fixed: dict[str, Any]

    @property
    def grid(self) -> int:
        """How many combinations of the choices there are."""
        count = 1
        for values in self.choices.values():
            count *= len(values)
        return count

    def record(self) -> dict[str, Any]:
        """Return the space as YAML and JSON take it."""
        ranges = {name: list(ends) for name, ends in self.ranges.items()}
        return {"choices": self.choices, "ranges": ranges, "fixed": self.fixed}


def read_space(
    file: dict[str, Any], values: dict[str, list[Any]], only: list[str] | None = None
) -> Space:
    """Return what a sweep varies, every value checked as a run would check it.

    Args:
        file: parameters as a YAML file has them; a list stands for alternatives, except for a
            parameter that is a list itself: there a list of lists does.
        values: name -> alternatives; they go before those of the file. ``low..high`` is a range.
        only: as for :func:`deepfake_lab.course.run_course`.

    Raises:
        UserError: as :func:`deepfake_lab.course.run_course`, a value given twice, a range without
            width, or nothing that varies.
    """
    types = parameter_types()
    given = {name: _alternatives(value, types.get(name, "")) for name, value in file.items()}
    given |= values
    ranges = {}
    for name, alternatives in given.items():
        if not alternatives:
            raise UserError(f"The parameter '{name}' has no value.")
        if len(alternatives) == 1 and isinstance(alternatives[0], str):
            found = _RANGE.fullmatch(alternatives[0])
            if found:
                ranges[name] = _ends(name, found.groups(), types.get(name, ""))
    probe = given | {name: list(ends) for name, ends in ranges.items()}
    # The first of each, the second of each, ...: so many checks as the longest list has values.
    checked: dict[str, list[Any]] = {name: [] for name in probe}
    for i in range(max(map(len, probe.values()), default=0)):
        row = {name: vals[min(i, len(vals) - 1)] for name, vals in probe.items()}
        for name, value in check_parameters(row, only).items():
            if name in probe and i < len(probe[name]):
                checked[name].append(value)
    for name, alternatives in checked.items():
        if len({label(value) for value in alternatives}) < len(alternatives):
            raise UserError(f"The parameter '{name}' has a value twice: {alternatives}.")
    lists = {name: vals for name, vals in checked.items() if name not in ranges}
    choices = {name: vals for name, vals in lists.items() if len(vals) > 1}
    if not choices and not ranges:
        raise UserError("Nothing varies: give a parameter several values, -p seed=0,1,2.")
    return Space(choices, ranges, {name: v[0] for name, v in lists.items() if len(v) == 1})


def parse_values(text: str) -> tuple[str, list[Any]]:
    """Return name and alternatives of ``NAME=A,B,...``, each read as YAML reads it.

    For a parameter that is a text, each is taken as it stands; quotes keep a comma in one.

    Raises:
        UserError: no name, no ``=``, or values that are none.
    """
    name, equals, values = text.partition("=")
    if not equals or not name:
        raise UserError(f"-p takes NAME=A,B,..., not '{text}'.")
    is_text = parameter_types().get(name) == "str"
    try:
        return name, yaml.load(f"[{values}]", yaml.BaseLoader if is_text else yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise UserError(f"-p {name}: '{values}' are no values.") from error


def label(value: Any) -> str | int | float | bool | None:
    """Return a value as a study keeps it: lists as text."""
    return value if isinstance(value, str | int | float | bool | None) else json.dumps(value)


def folder_name(number: int, values: dict[str, Any]) -> str:
    """Return a name for a run of a sweep that any file system takes."""
    words = [
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in values.items()
    ]
    safe = re.sub(r"[^\w=.+-]+", "_", "-".join(words))
    return f"{number:03d}-{safe[:_LONGEST]}".rstrip("._-")


def is_wide(low: float, high: float) -> bool:
    """Return whether a range is searched on a logarithmic scale."""
    return low > 0 and high / low >= _WIDE


def _alternatives(value: Any, kind: str) -> list[Any]:
    if not isinstance(value, list):
        return [value]
    if kind.startswith("list"):
        return value if value and all(isinstance(part, list) for part in value) else [value]
    return value


def _ends(name: str, ends: tuple[str, ...], kind: str) -> tuple[float, float]:
    if kind not in ("int", "float"):
        raise UserError(f"The parameter '{name}' is no number: a range cannot be searched in it.")
    try:
        low, high = (int(end) if kind == "int" else float(end) for end in ends)
    except ValueError as error:
        raise UserError(
            f"The parameter '{name}' takes whole numbers: {'..'.join(ends)}."
        ) from error
    if low >= high:
        raise UserError(f"The range {ends[0]}..{ends[1]} of '{name}' must rise.")
    return low, high
