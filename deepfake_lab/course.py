"""Run the notebooks in order through papermill, without a screen."""

import difflib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import papermill
import yaml
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from deepfake_lab import paths
from deepfake_lab.detection.judgement import verdict_line
from deepfake_lab.errors import UserError

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
        out_dir: a new or empty folder; with ``only``, it may hold an earlier run to go on with.
            Empty for ``<home>/runs/<data>-<time>``.

    Returns:
        The folder of the run.

    Raises:
        UserError: a parameter that no notebook knows or of the wrong type, a notebook that does
            not exist, a folder that holds another run, or a notebook that stopped (with its name,
            the cell and the reason).
    """
    notebooks = _chosen(only)
    known = {notebook: _parameters(notebook) for notebook in paths.notebooks().glob("*.ipynb")}
    parameters = _checked(parameters, known)
    if "data_dir" in parameters:  # a relative path is the caller's, not the notebook's
        parameters["data_dir"] = str(paths.data_folder(parameters["data_dir"]))
    folder = _new_folder(out_dir, parameters, anew=only is None)
    record = folder / "parameters.yaml"
    if record.is_file():
        parameters = yaml.safe_load(record.read_text(encoding="utf-8")) | parameters
    parameters["out_dir"] = str(folder)
    recorded = yaml.safe_dump(parameters, sort_keys=True, allow_unicode=True)
    record.write_text(recorded, encoding="utf-8")
    for number, notebook in enumerate(notebooks, start=1):
        print(f"[{number}/{len(notebooks)}] {notebook.stem}", flush=True)
        mine = {name: value for name, value in parameters.items() if name in known[notebook]}
        _execute(notebook, folder / "notebooks" / notebook.name, mine)
    return folder


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
    photos = pd.read_csv(table)
    if photos.empty or pd.isna(photos.iloc[0]["verdict"]):
        return None
    first = photos.iloc[0]
    return first["file"], verdict_line(first["verdict"], first["confidence"])


def _chosen(only: list[str] | None) -> list[Path]:
    notebooks = sorted(paths.notebooks().glob("[0-9]*.ipynb"))
    if not notebooks:
        raise UserError(
            f"There is no notebook in {paths.notebooks()}: `deepfake-lab init DIR` writes a course "
            "folder; run it there."
        )
    if not only:
        return notebooks
    for beginning in only:
        if not any(notebook.name.startswith(beginning) for notebook in notebooks):
            names = ", ".join(notebook.stem for notebook in notebooks)
            raise UserError(f"No notebook begins with '{beginning}'. Notebooks: {names}.")
    return [n for n in notebooks if any(n.name.startswith(beginning) for beginning in only)]


def _parameters(notebook: Path) -> dict[str, str]:
    """Return name -> type of a notebook's parameters."""
    found = papermill.inspect_notebook(str(notebook))
    return {name: facts["inferred_type_name"] for name, facts in found.items()}


def _checked(parameters: dict[str, Any], known: dict[Path, dict[str, str]]) -> dict[str, Any]:
    """Return the parameters, each as the type that the notebooks give it."""
    types = {name: kind for found in known.values() for name, kind in found.items()}
    checked = dict(parameters)
    for name, value in parameters.items():
        if name == "out_dir":
            raise UserError("out_dir is no parameter here: say where to write with --out.")
        if name not in types:
            close = difflib.get_close_matches(str(name), types, n=1, cutoff=0.0)[0]
            listed = ", ".join(sorted(set(types) - {"out_dir"}))
            raise UserError(
                f"No notebook knows the parameter '{name}'; did you mean '{close}'? All: {listed}."
            )
        kind = type(value).__name__
        wanted = types[name].partition("[")[0]  # list[str]: a list
        if wanted == "float" and kind == "str" and _EXPONENT.fullmatch(value):
            checked[name] = float(value)
        elif kind != wanted and (wanted, kind) != ("float", "int") and wanted not in ("", "None"):
            raise UserError(f"The parameter '{name}' must be {wanted}, not {kind}: {value!r}.")
    return checked


def _new_folder(out_dir: str | Path, parameters: dict[str, Any], anew: bool) -> Path:
    if out_dir:
        folder = Path(out_dir).expanduser().resolve()
        if anew and folder.is_dir() and any(folder.iterdir()):
            raise UserError(f"{folder} is not empty: give --out a new folder, or leave it out.")
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file: give --out a folder.")
    else:
        data = Path(parameters.get("data_dir", "sample")).name
        stem = paths.home() / "runs" / f"{data}-{datetime.now():%Y%m%d-%H%M%S}"
        folder, again = stem, 2
        while folder.exists():  # two runs in one second
            folder, again = stem.with_name(f"{stem.name}-{again}"), again + 1
    (folder / "notebooks").mkdir(parents=True, exist_ok=True)
    return folder


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
    except DeadKernelError as error:
        cells = [c for c in nbformat.read(output, as_version=4).cells if c.cell_type == "code"]
        started = sum(cell.metadata.papermill.start_time is not None for cell in cells)
        raise UserError(
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
