"""Run the notebooks in order through papermill, without a screen."""

import ast
import difflib
import math
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import papermill
import yaml
from jupyter_client.kernelspec import NoSuchKernel
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from deepfake_lab import paths
from deepfake_lab.data.tables import read_written
from deepfake_lab.detection.judgement import verdict_line
from deepfake_lab.errors import UserError
from deepfake_lab.locks import lock

#: What a run was given and what it took by default; a folder that holds it is a run's.
RECORD = "parameters.yaml"


class KernelDied(UserError):
    """A notebook's Python ended without a word; once more may go well."""


# YAML takes a number without a point, as 1e-3, for a word.
_EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")


def run_course(
    parameters: dict[str, Any], only: list[str] | None = None, out_dir: str | Path = ""
) -> Path:
    """Execute the notebooks, each with those of the parameters that it knows.

    Everything of one run lies together: ``notebooks/`` (executed copies), ``models/``,
    ``figures/``, ``logs/``, ``metrics/``, ``predictions.csv`` and ``parameters.yaml``.

    Args:
        parameters: values for the cells tagged ``parameters``, by name. Where an earlier run goes
            on, they are added to what it was given.
        only: beginnings of notebook names (``03``); None for all.
        out_dir: a new or empty folder; with ``only``, it may hold an earlier run of the same data
            set to go on with. Empty for ``<home>/runs/<data>-<time>``.

    Returns:
        The folder of the run.

    Raises:
        UserError: a parameter that none of these notebooks knows or of the wrong type, a notebook
            that does not exist, a folder that holds something else, another run or a run of other
            data, one that cannot be written, or a notebook that stopped (with its name, the cell
            and the reason).
    """
    notebooks = chosen_notebooks(only)
    known = {notebook: _parameters(notebook) for notebook in _all_notebooks()}
    parameters = check_parameters(parameters, only)
    try:
        folder = _own_folder(out_dir, parameters, anew=only is None)
        with _locked(folder / RECORD):
            parameters = _recorded(folder) | parameters | {"out_dir": str(folder)}
            (folder / RECORD).write_text(_record(parameters, notebooks, known), encoding="utf-8")
            (folder / "notebooks").mkdir(exist_ok=True)
            for number, notebook in enumerate(notebooks, start=1):
                print(f"[{number}/{len(notebooks)}] {notebook.stem}", flush=True)
                mine = {name: parameters[name] for name in known[notebook] if name in parameters}
                _execute(notebook, folder / "notebooks" / notebook.name, mine)
    except BrokenPipeError:  # who reads what is printed went away; that is not the folder's fault
        raise
    except OSError as error:
        where = error.filename or out_dir or paths.home() / "runs"
        raise UserError(f"{where}: cannot be written ({error.strerror or error}).") from error
    return folder


def check_parameters(parameters: dict[str, Any], only: list[str] | None = None) -> dict[str, Any]:
    """Return parameters as a run takes them: each of the type its notebooks give it, paths whole.

    Args and errors as :func:`run_course`; nothing runs.
    """
    known = {notebook: _parameters(notebook) for notebook in _all_notebooks()}
    checked = _checked(parameters, chosen_notebooks(only), known)
    if "data_dir" in checked:  # a relative path is the caller's, not the notebook's
        checked["data_dir"] = str(paths.data_folder(checked["data_dir"]))
    return checked


def parameter_types() -> dict[str, str]:
    """Return name -> type, as annotated, of all parameters of the notebooks."""
    return {n: t for notebook in _all_notebooks() for n, t in _parameters(notebook).items()}


def applicable(parameters: dict[str, Any], only: list[str] | None) -> dict[str, Any]:
    """Return what is meant for these notebooks of a file of parameters for all of them.

    What no notebook at all knows stays, to be refused; ``out_dir``, which a run records, goes: a
    recorded run can be repeated elsewhere.
    """
    known = {notebook: _parameters(notebook) for notebook in _all_notebooks()}
    mine = {name for notebook in chosen_notebooks(only) for name in known[notebook]}
    others = {name for found in known.values() for name in found} - mine
    return {name: value for name, value in parameters.items() if name not in {*others, "out_dir"}}


def parse_parameter(text: str) -> tuple[str, Any]:
    """Return name and value of ``NAME=VALUE``.

    A value is read as YAML reads it; for a parameter that is a text it is taken as it stands
    (``2024``, ``on``).

    Raises:
        UserError: no name, no ``=``, or a value that is none.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UserError(f"-p takes NAME=VALUE, not '{text}'.")
    try:
        read = yaml.safe_load(value) if value else ""
    except yaml.YAMLError as error:
        if not _is_text(name):
            raise UserError(f"-p {name}: '{value}' is not a value.") from error
        read = None
    return name, value if _is_text(name) and not isinstance(read, str) else read


def _is_text(name: str) -> bool:
    return any(_parameters(notebook).get(name) == "str" for notebook in _all_notebooks())


def chosen_notebooks(only: list[str] | None) -> list[Path]:
    """Return the notebooks whose names begin as one of `only` does, in order; None for all.

    Raises:
        UserError: there are no notebooks here, or none that begins so.
    """
    notebooks = sorted(paths.notebooks().glob("[0-9]*.ipynb"))
    if not notebooks:
        raise UserError(
            f"There is no notebook in {paths.notebooks()}: `deepfake-lab init DIR` writes a course "
            "folder; run it there."
        )
    if not only:
        return notebooks
    for beginning in only:
        if not beginning.strip():
            raise UserError("--only takes the beginning of a notebook's name, such as 03, not ''.")
        if not any(notebook.name.startswith(beginning) for notebook in notebooks):
            names = ", ".join(notebook.stem for notebook in notebooks)
            raise UserError(f"No notebook begins with '{beginning}'. Notebooks: {names}.")
    return [n for n in notebooks if any(n.name.startswith(beginning) for beginning in only)]


def first_verdict(folder: Path) -> tuple[str, str] | None:
    """Return what notebook 05 said of its first photo, or None where it did not run.

    Args:
        folder: of a run.

    Returns:
        The photo's file name and the verdict line.
    """
    table = folder / "predictions.csv"
    if not table.is_file():
        return None
    photos = read_written(table)
    if photos.empty or pd.isna(photos.iloc[0]["verdict"]):
        return None
    first = photos.iloc[0]
    return first["file"], verdict_line(first["verdict"], first["confidence"])


def _all_notebooks() -> list[Path]:
    return sorted(paths.notebooks().glob("[0-9]*.ipynb"))


def _inspected(notebook: Path) -> dict[str, dict[str, str]]:
    try:
        return papermill.inspect_notebook(str(notebook))
    except OSError as error:
        raise UserError(f"{notebook}: cannot be read ({error.strerror}).") from error
    except Exception as error:  # what a reader raises at a damaged file is anybody's guess
        raise UserError(f"{notebook} is damaged: it is no notebook.") from error


def _parameters(notebook: Path) -> dict[str, str]:
    """Return name -> type of a notebook's parameters."""
    return {name: facts["inferred_type_name"] for name, facts in _inspected(notebook).items()}


def _defaults(notebook: Path) -> dict[str, Any]:
    """Return name -> value of a notebook's parameters; cells tagged so hold literals only."""
    return {
        name: ast.literal_eval(facts["default"]) for name, facts in _inspected(notebook).items()
    }


def _record(
    parameters: dict[str, Any], notebooks: list[Path], known: dict[Path, dict[str, str]]
) -> str:
    """Return what is written of a run: what it was given, and the defaults of all else.

    A default that is not the same in all notebooks cannot be given to all: it is a comment.
    """
    defaults = {notebook: _defaults(notebook) for notebook in known}
    same, apart = {}, []
    for notebook in notebooks:
        for name, value in defaults[notebook].items():
            if all(value == other.get(name, value) for other in defaults.values()):
                same[name] = value
            elif name not in parameters:
                line = yaml.safe_dump({name: value}, allow_unicode=True).strip()
                apart.append(f"# {notebook.stem}: {line}\n")
    lines = yaml.safe_dump(same | parameters, sort_keys=True, allow_unicode=True)
    return lines + ("# By default, each notebook its own:\n" if apart else "") + "".join(apart)


def _recorded(folder: Path) -> dict[str, Any]:
    """Return what an earlier run here was given, or nothing; refuse what is no run's record."""
    try:
        content = yaml.safe_load((folder / RECORD).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{folder / RECORD} is damaged: give --out a new folder.") from error
    return content if isinstance(content, dict) else {}


def _checked(
    parameters: dict[str, Any], notebooks: list[Path], known: dict[Path, dict[str, str]]
) -> dict[str, Any]:
    """Return the parameters, each as the type that the notebooks give it."""
    types = {name: kind for notebook in notebooks for name, kind in known[notebook].items()}
    checked = dict(parameters)
    for name, value in parameters.items():
        if name == "out_dir":
            raise UserError("out_dir is no parameter here: say where to write with --out.")
        if name not in types:
            _refuse_unknown(str(name), types, notebooks, known)
        kind = type(value).__name__
        wanted = types[name].partition("[")[0]  # list[str]: a list
        if wanted == "float" and kind == "str" and _EXPONENT.fullmatch(value):
            checked[name] = float(value)
        elif wanted == "list" and kind == "list":
            checked[name] = [
                float(part) if isinstance(part, str) and _EXPONENT.fullmatch(part) else part
                for part in value
            ]
        elif kind != wanted and (wanted, kind) != ("float", "int") and wanted not in ("", "None"):
            quoted = f"; put it in quotes: {name}: '{value}'" if wanted == "str" else ""
            raise UserError(
                f"The parameter '{name}' must be {wanted}, not {kind}: {value!r}{quoted}."
            )
        elif name == "seed" and kind == "int" and not 0 <= value < 2**32:
            raise UserError(f"The parameter 'seed' must lie in 0 to 2**32 - 1: {value} does not.")
        elif name == "max_photos" and kind == "int" and (value < 0 or value == 1):
            raise UserError(f"The parameter 'max_photos' must be 0 (all), or 2 or more: {value}.")
        elif kind == "float" and not math.isfinite(value):
            raise UserError(f"The parameter '{name}' must be a number: {value} is none.")
    return checked


def _refuse_unknown(
    name: str, types: dict[str, str], notebooks: list[Path], known: dict[Path, dict[str, str]]
) -> None:
    names = sorted(set(types) - {"out_dir"})
    # Notebook 02 has `cnn_epochs` for what is `epochs` in 03.
    ends_so = [known_name for known_name in names if known_name.endswith(f"_{name}")]
    close = (ends_so or difflib.get_close_matches(name, names, n=1, cutoff=0.0) or [""])[0]
    owners = [notebook.stem for notebook, found in known.items() if name in found]
    if owners:
        raise UserError(
            f"The parameter '{name}' belongs to {', '.join(owners)}; of "
            f"{', '.join(notebook.stem for notebook in notebooks)} did you mean '{close}'? "
            f"All: {', '.join(names)}."
        )
    raise UserError(
        f"No notebook knows the parameter '{name}'; did you mean '{close}'? "
        f"All: {', '.join(names)}."
    )


def _own_folder(out_dir: str | Path, parameters: dict[str, Any], anew: bool) -> Path:
    """Return a folder that belongs to this run alone, with its record; it may be empty as yet."""
    if not out_dir:
        data = Path(parameters.get("data_dir", "sample")).name
        stem = paths.home() / "runs" / f"{data}-{datetime.now():%Y%m%d-%H%M%S}"
        stem.parent.mkdir(parents=True, exist_ok=True)
        for again in count(1):
            folder = stem if again == 1 else stem.with_name(f"{stem.name}-{again}")
            try:
                folder.mkdir()  # who makes it has it: another run may start in the same moment
            except FileExistsError:
                continue
            (folder / RECORD).touch(exist_ok=False)
            return folder
    folder = paths.expanded(out_dir).resolve()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: give --out a folder.")
    folder.mkdir(parents=True, exist_ok=True)
    there = set(os.listdir(folder))
    try:
        if not there:
            (folder / RECORD).touch(exist_ok=False)
            return folder
    except FileExistsError:  # another run has taken it in this moment
        there = {RECORD}
    if RECORD not in there or not (anew or "out_dir" in _recorded(folder)):
        raise UserError(
            f"{folder} is not empty and no run's folder: give --out a new folder, or leave it out."
        )
    if anew:
        raise UserError(
            f"{folder} is not empty, it holds a run: give --out a new folder, or go on with --only."
        )
    earlier = _recorded(folder).get("data_dir", "sample")
    wanted = parameters.get("data_dir", earlier)
    if _place(wanted) != _place(earlier):
        raise UserError(
            f"{folder} holds a run with the data set {earlier}, not {wanted}: give --out another "
            "folder."
        )
    return folder


def _place(data: str) -> str:
    try:
        return str(paths.data_folder(data))
    except UserError:  # it was there when that run began
        return str(data)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Keep other runs out of the folder that this file lies in, until the end."""
    with file.open("r+b") as stream:
        lock(stream.fileno(), file.parent)
        yield


def _execute(notebook: Path, output: Path, parameters: dict[str, Any]) -> None:
    try:
        with _kernel_messages_in(output.parent.parent / "kernel.log"):
            papermill.execute_notebook(
                str(notebook), str(output), parameters=parameters, kernel_name="python3"
            )
    except PapermillExecutionError as error:
        reason = " ".join(str(error.evalue).split())
        raise UserError(
            f"{notebook.stem} stopped in cell [{error.exec_count}]: {error.ename}: {reason} "
            f"(the executed copy: {output})"
        ) from error
    except NoSuchKernel as error:
        raise UserError(
            "Jupyter knows no kernel 'python3': run `python -m ipykernel install --sys-prefix`."
        ) from error
    except DeadKernelError as error:
        cells = [c for c in nbformat.read(output, as_version=4).cells if c.cell_type == "code"]
        started = sum(cell.metadata.papermill.start_time is not None for cell in cells)
        raise KernelDied(
            f"{notebook.stem} stopped in cell [{started}]: its Python died, most often for want "
            f"of memory (the executed copy: {output})"
        ) from error


@contextmanager
def _kernel_messages_in(log: Path) -> Iterator[None]:
    """Send what kernels print past the notebook (TensorFlow's C++ remarks) to a file.

    The kernel inherits file descriptor 2; the progress bar keeps the terminal.
    """
    terminal = os.dup(2)
    python_stderr = sys.stderr
    with log.open("ab") as file, os.fdopen(os.dup(2), "w", buffering=1) as screen:
        os.dup2(file.fileno(), 2)
        sys.stderr = screen
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            sys.stderr = python_stderr
