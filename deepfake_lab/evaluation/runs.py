"""Folders of runs -> one table: parameters, metrics with intervals, time, and what made them."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from deepfake_lab import paths
from deepfake_lab.errors import UserError
from deepfake_lab.evaluation import views
from deepfake_lab.evaluation.metrics import METRICS

#: Columns that say what a run was made with, and what each is called where runs differ in it.
FACTS = {
    "fingerprint": "data (their fingerprint)", "commit": "commit", "versions": "package versions",
    "python": "Python", "lock": "locked packages", "hardware": "hardware",
}  # fmt: skip

#: Columns of :func:`runs_table` that are there for every run; parameters and metrics follow.
COLUMNS = (
    "name", "run", "detector", "status", "made", "seconds", "data", *FACTS, "uncommitted", "folder",
)  # fmt: skip

#: What a recipe holds and a cell of a table takes: no lists, no mappings.
_SCALARS = (str, int, float, bool)

#: What reading a run raises whose files are not as they were written.
_DAMAGED = (AttributeError, LookupError, OSError, TypeError, ValueError, yaml.YAMLError, UserError)


def runs_table(places: Iterable[str | Path]) -> pd.DataFrame:
    """Return a row for each detector that a run has trained, and for each run without any.

    Args:
        places: detectors (names or run folders), runs of the course, sweeps, or folders of these.

    Returns:
        :data:`COLUMNS`: ``name`` (short and unique), ``run`` (its folder's name), ``detector``,
        ``status`` (``whole``, or why not), ``made`` (UTC), ``seconds`` (of all its notebooks),
        ``data`` and the facts of :data:`FACTS`; then each parameter, and each test metric with
        ``_low`` and ``_high``.

    Raises:
        UserError: a place without any run.
    """
    rows: dict[Path, dict[str, Any]] = {}
    for place in places:
        found = _rows(paths.expanded(place))
        if not found:
            here = paths.expanded(place)
            names = str(place), str(here.absolute())
            if here.is_dir() and not any(map(paths.has_model, names)):
                raise UserError(f"{here} holds no runs: name a folder that `run` has made.")
            folder = paths.model_folder(str(place))  # a detector's name, or an error that says so
            found = {folder: _row(folder, None)}
        rows |= found
    parameters = sorted({name for row in rows.values() for name in row["parameters"]})
    metrics = list(dict.fromkeys(name for row in rows.values() for name in row["metrics"]))
    flat = []
    for row in rows.values():
        facts = {name: row.get(name) for name in COLUMNS}
        values = {name: row["parameters"].get(name) for name in parameters}
        flat.append(facts | values | {name: row["metrics"].get(name) for name in metrics})
    table = pd.DataFrame(flat, columns=[*COLUMNS, *parameters, *metrics])
    table["name"] = _short_names(table)
    return table


def parameters_of(runs: pd.DataFrame) -> list[str]:
    """Return the columns of a table of runs that are parameters."""
    metrics = {f"{name}{ending}" for name in METRICS for ending in ("", "_low", "_high")}
    return [
        name for name in runs.columns if name not in {*COLUMNS, *metrics, "setting", "measured"}
    ]


def failure_of(run: Path) -> str | None:
    """Return where and why a notebook of a run has stopped, or None where none has."""
    for name, notebook in _copies(run):
        if notebook is None:
            return f"{name} is being written, or was cut short"
        for cell in notebook["cells"]:
            for output in cell.get("outputs", []):
                if output["output_type"] == "error":
                    reason = " ".join(f"{output['ename']}: {output['evalue']}".split())
                    return f"{name} stopped in cell [{cell['execution_count']}]: {reason}"
        if not notebook["metadata"].get("papermill", {}).get("end_time"):
            return f"{name} did not come to its end: it still runs, or its Python died"
    return None


def _copies(run: Path) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Yield name and content of a run's executed notebooks, None for one that is half a file."""
    for copy in sorted((run / "notebooks").glob("*.ipynb")):
        try:
            yield copy.stem, json.loads(copy.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError):
            yield copy.stem, None


def _rows(place: Path) -> dict[Path, dict[str, Any]]:
    """Return folder -> row of all runs and detectors in a folder, down to those of a sweep."""
    if _is_detector(place):
        run = place.parent.parent if place.parent.name == "models" else None
        known = run if run and (run / "parameters.yaml").is_file() else None
        return {place.resolve(): _row(place.resolve(), known)}
    rows: dict[Path, dict[str, Any]] = {}
    # Hidden folders are being written, or hold what was put aside.
    for depth in ("", "[!.]*/", "[!.]*/[!.]*/"):
        runs = {file.parent for file in place.glob(f"{depth}parameters.yaml")}
        runs |= {file.parent.parent.parent for file in place.glob(f"{depth}models/*/metrics.json")}
        for run in sorted(runs):
            rows |= _run_rows(run.resolve())
    return rows


def _run_rows(run: Path) -> dict[Path, dict[str, Any]]:
    detectors = [folder for folder in sorted(run.glob("models/[!.]*")) if _is_detector(folder)]
    if not detectors:
        return {run: _row(run, run)}
    return {folder: _row(folder, run) for folder in detectors}


def _row(folder: Path, run: Path | None) -> dict[str, Any]:
    """Return the row of a detector, or of a run without one; of a damaged one it says so."""
    row = {"run": (run or folder).name, "folder": str(folder), "parameters": {}, "metrics": {}}
    try:
        if folder != run:
            return _detector_row(folder, run)
        return row | {"parameters": _given(run), "status": failure_of(run) or "no detector"}
    except _DAMAGED as error:
        reason = " ".join(str(error).split())
        return row | {"status": f"damaged ({type(error).__name__}: {reason}): remove it"}


def _is_detector(folder: Path) -> bool:
    files = paths.detector_file(folder), folder / "metrics.json", folder / "predictions.csv"
    return all(file.is_file() for file in files)


def _detector_row(folder: Path, run: Path | None) -> dict[str, Any]:
    config, metrics = (
        json.loads(file.read_text(encoding="utf-8"))
        for file in (paths.detector_file(folder), folder / "metrics.json")
    )
    used = {
        "architecture": config["architecture"], "image_size": config["image_size"],
        "framing": config["framing"], "seed": config["seed"],
    } | {name: v for name, v in config["recipe"].items() if isinstance(v, _SCALARS)}  # fmt: skip
    test = metrics["test"]["metrics"]
    made_with = config.get("environment", {})
    hardware = made_with.get("hardware", {})
    return {
        "run": run.name if run else folder.name,
        "detector": folder.name,
        "status": "whole",
        "made": config["created"],
        "seconds": _seconds(run) if run else None,
        "data": config["data"]["name"],
        "fingerprint": config["data"]["fingerprint"],
        "commit": config.get("git_commit"),
        "uncommitted": config.get("git_dirty"),
        "versions": ", ".join(f"{name} {number}" for name, number in config["versions"].items()),
        "python": made_with.get("python"),
        "lock": made_with.get("lock_sha256"),
        "hardware": ", ".join(f"{k} {v}" for k, v in hardware.items()) or None,
        "folder": str(folder),
        "parameters": (_given(run) if run else {}) | used,
        "metrics": {
            f"{name}{ending}": interval[part]
            for name, interval in test.items()
            for ending, part in (("", "value"), ("_low", "low"), ("_high", "high"))
        },
    }


def _given(run: Path) -> dict[str, Any]:
    """Return the parameters that a run was given, lists as text."""
    record = run / "parameters.yaml"
    if not record.is_file():
        return {}
    given = yaml.safe_load(record.read_text(encoding="utf-8")) or {}
    if not isinstance(given, dict):
        raise UserError(f"{record} holds no parameters")
    return {
        name: value if isinstance(value, _SCALARS) else json.dumps(value)
        for name, value in given.items()
        if name != "out_dir"
    }


def _seconds(run: Path) -> float | None:
    """Return how long the notebooks of a run took together, as papermill has noted."""
    took = [copy["metadata"].get("papermill", {}) for _, copy in _copies(run) if copy]
    known = [notes["duration"] for notes in took if notes.get("duration")]
    return round(sum(known), 1) if known else None


def _short_names(table: pd.DataFrame) -> pd.Series:
    """Return the detector's name where it is unique, else the run's, else both, else the folder."""
    both = table["run"] + "/" + table["detector"].fillna("")
    for names in (table["detector"].fillna(table["run"]), table["run"], both):
        if not names.duplicated().any():
            return names
    folders = [Path(folder).absolute().parts for folder in table["folder"]]
    differ = (place for place, parts in enumerate(zip(*folders)) if len(set(parts)) > 1)
    shared = next(differ, 0)
    return pd.Series(["/".join(parts[shared:]) for parts in folders], table.index)


def list_runs(runs: pd.DataFrame) -> str:
    """Return a table of runs for a terminal: what each is, and its test AUC."""
    shown = runs[["run", "detector", "made", "seconds", "data", "status"]].copy()
    shown = shown.rename(columns={"seconds": "seconds of the run"})
    if "roc_auc" in runs:
        ends = runs["roc_auc_low"], runs["roc_auc_high"]
        shown.insert(2, "test AUC", [views.score(*row) for row in zip(runs["roc_auc"], *ends)])
    return views.aligned(shown.astype(object).where(shown.notna(), "-"))


def save_table(table: pd.DataFrame, file: Path) -> Path:
    """Write a table as CSV, Parquet or HTML, whichever the file's ending says.

    Raises:
        UserError: another ending, or a file that cannot be written.
    """
    try:
        if file.suffix == ".csv":
            table.to_csv(file, index=False, float_format="%.6g")
        elif file.suffix == ".parquet":
            _one_type(table).to_parquet(file, index=False)
        elif file.suffix == ".html":
            head = '<!doctype html>\n<meta charset="utf-8"><title>Runs</title>\n'
            file.write_text(f"{head}{table.to_html(index=False)}\n", encoding="utf-8")
        else:
            raise UserError(f"{file}: the name must end in .csv, .parquet or .html.")
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror or error}.") from error
    return file


def _one_type(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with text in columns that mix types, which Parquet does not take."""
    mixed = [name for name in table.columns if table[name].dropna().map(type).nunique() > 1]
    return table.assign(**{name: table[name].map(str, na_action="ignore") for name in mixed})
