"""An assessment into the run folder of its detector: tables, metrics, model card."""

import json
import os
from pathlib import Path

import pandas as pd

from deepfake_lab import paths
from deepfake_lab.data.tables import read_written
from deepfake_lab.errors import UserError
from deepfake_lab.evaluation.appendix import about, table_records, write_json, write_tables
from deepfake_lab.evaluation.card import write_card
from deepfake_lab.evaluation.results import Results


def record(folder: str | Path, found: Results, baseline: Results | None = None) -> Path:
    """Keep an assessment in a run folder and write its model card anew.

    Beside the models lie then ``families.csv``, ``sources.csv`` and the other tables, and
    ``baseline.csv``; ``metrics.json`` keeps ``test`` as it is and gets the same in short
    (``assessment, families, sources, same_source, coverage, degradations``). The model card also
    shows ``leave_one_out.csv`` (``left_out, kind, auc, low, high, photos``), ``ablation.csv`` (any
    columns) and ``shortcuts.csv`` (of an audit of its photos) where they lie in the folder.

    Args:
        folder: the run folder.
        found: an assessment of its detector.
        baseline: an assessment of another detector on the same photos, to stand beside it and
            beside those that stand there.

    Raises:
        UserError: the assessment is of another detector.
    """
    folder = Path(folder)
    config = json.loads(paths.detector_file(folder).read_text(encoding="utf-8"))
    if config["sha256"] != found.detector.config["sha256"]:
        raise UserError(
            f"{folder} holds other weights than the detector that was assessed: assess it again."
        )
    write_tables(found.tables, folder)
    if baseline is not None:
        beside = baseline.tables["families"].assign(detector=baseline.detector.name)
        kept = folder / "baseline.csv"
        if kept.is_file():
            others = read_written(kept)
            others = others[others["detector"] != baseline.detector.name]
            beside = pd.concat([others, beside], ignore_index=True)
        beside.to_csv(kept, index=False, float_format="%.6g")
    file = folder / "metrics.json"
    metrics = json.loads(file.read_text(encoding="utf-8"))
    metrics = {"test": metrics["test"], "assessment": about(found)}
    metrics |= table_records(_in_short(found.tables))
    # Through a neighbour: who answers at this moment must never read half a file.
    write_json(file.with_suffix(".new"), metrics)
    os.replace(file.with_suffix(".new"), file)
    return rewrite_card(folder)


def with_baseline(folder: str | Path) -> pd.DataFrame:
    """Return what a run folder keeps of each kind of fake, its baseline's rows first.

    Returns:
        Columns as :func:`deepfake_lab.evaluation.breakdown.family_table`, and ``detector``; empty
        where the run folder keeps no assessment.
    """
    folder = Path(folder)
    kept = []
    if (folder / "baseline.csv").is_file():
        kept.append(read_written(folder / "baseline.csv"))
    if (folder / "families.csv").is_file():
        kept.append(read_written(folder / "families.csv").assign(detector=folder.name))
    return pd.concat(kept, ignore_index=True) if kept else pd.DataFrame()


def rewrite_card(folder: str | Path) -> Path:
    """Write the model card of a run folder anew from the files in it, and return its path."""
    folder = Path(folder)
    config, metrics = (
        json.loads(file.read_text(encoding="utf-8"))
        for file in (paths.detector_file(folder), folder / "metrics.json")
    )
    write_card(folder / "README.md", config, metrics)
    return folder / "README.md"


def _in_short(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the tables without curves and without rows that only a figure needs."""
    short = {name: tables[name] for name in ("families", "sources", "same_source")}
    short["coverage"] = tables["coverage"][tables["coverage"]["shipped"].astype(bool)]
    damaged = tables.get("degradations", pd.DataFrame())
    if len(damaged):
        whole = damaged["family"].isin(["macro", "all"]) & (damaged["data"] != "all")
        short["degradations"] = damaged[whole]
    return short
