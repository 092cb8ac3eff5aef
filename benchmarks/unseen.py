"""Measure detectors on photos of sources that they have never learned from.

    python tools/collect_faces.py --table tools/unseen_faces.csv --out data/unseen
    python benchmarks/unseen.py [--data unseen] [--models efficientnet cnn]

Test photos of the sources that a detector was trained on say how it does on more of the same.
`tools/unseen_faces.csv` lists photos of others, which no shipped detector learns from or is
calibrated on. This asks about them, and says by kind and by source how far the scores order them
(AUC, with intervals over persons) and how often the verdict is wrong. Most of these fakes came as
large PNG files and most of the real photos as JPEG: so all are asked about once more after half
their size and JPEG 40 (``worn``), when no format tells them apart. The figures go to
``benchmarks/unseen.json``, each detector's in place of its former ones, and as ``unseen.csv`` into
its run folder, where its model card and the page say them.
"""

import argparse
import json
import re
import sys

import pandas as pd

from deepfake_lab import paths
from deepfake_lab.detection.detector import Detector
from deepfake_lab.errors import UserError
from deepfake_lab.evaluation import evaluate
from deepfake_lab.evaluation.assessment import tables_of
from deepfake_lab.evaluation.degradations import degraded_answers
from deepfake_lab.evaluation.labelled import gather
from deepfake_lab.evaluation.record import rewrite_card

SCORES = ("roc_auc", "tpr_at_1_fpr")
VERDICTS = ("false_alarm_rate", "miss_rate")
PARTS = ("value", "low", "high")

#: See :func:`deepfake_lab.photos.images.degrade`.
WORN = ("messenger", 40)


def learned(detector: Detector) -> set[str]:
    """Return the names of the sources that a shipped detector's recipe draws from."""
    return set(re.findall(r'"(?:real|fake)/([^"]+)"', json.dumps(detector.config["recipe"])))


def measured(detector: Detector, rows: pd.DataFrame) -> dict:
    """Return what a detector says of photos (N rows of a manifest) of unseen sources."""
    predictions = detector.predict_many(rows)
    tables = tables_of(predictions)
    sources = tables["sources"]
    [(_, _, worn)] = degraded_answers(detector, rows, [WORN])
    wrong = {
        f"{row['label']}, {row['source']}": {
            "photos": row["photos"], "wrong": _interval(row, "wrong"),
        }
        for row in sources.to_dict("records")
    }  # fmt: skip
    verdicts = evaluate(predictions, metrics=VERDICTS)["metrics"]
    return {
        "photos": {label: int(n) for label, n in rows["label"].value_counts().items()},
        "created": detector.config["created"], "prior": detector.config["prior"],
        **{name: [round(verdicts[name][part], 4) for part in PARTS] for name in VERDICTS},
        "kinds": _by_kind(tables), "worn": _by_kind(tables_of(worn)), "sources": wrong,
    }  # fmt: skip


def _by_kind(tables: dict[str, pd.DataFrame]) -> dict[str, dict]:
    kinds = tables["families"]
    return {
        row["family"]: {"photos": row["fake"], **{name: _interval(row, name) for name in SCORES}}
        for row in kinds[kinds["data"] != "all"].to_dict("records")
    }


def _interval(row: dict, name: str) -> list[float | None]:
    """Return a value with its 95% interval; None where it could not be measured."""
    values = (row[f"{name}{part}"] for part in ("", "_low", "_high"))
    return [None if pd.isna(value) else round(value, 4) for value in values]


def table(found: dict) -> pd.DataFrame:
    """Return what :func:`measured` found as rows ``what, photos, measure, value, low, high``.

    And ``worn, worn_low, worn_high``: the same of the photos after :data:`WORN`.
    """
    wrong = (("real", "false_alarm_rate", "called fake"), ("fake", "miss_rate", "called real"))
    rows = [
        {"what": label, "photos": found["photos"][label], "measure": measure,
         **dict(zip(PARTS, found[rate]))}
        for label, rate, measure in wrong
    ]  # fmt: skip
    for kind, row in found["kinds"].items():
        worn = dict(zip(("worn", "worn_low", "worn_high"), found["worn"][kind]["roc_auc"]))
        auc = dict(zip(PARTS, row["roc_auc"]))
        rows.append({"what": kind, "photos": row["photos"], "measure": "AUC", **auc, **worn})
    return pd.DataFrame(rows)


def main() -> int:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["unseen"])
    parser.add_argument("--models", nargs="+", default=["efficientnet", "cnn"])
    options = parser.parse_args()
    try:
        photos = gather(options.data, "all").manifest
        figures = {}
        for detector in map(Detector.load, options.models):
            if seen := sorted(learned(detector) & set(photos["source"])):
                raise UserError(f"{detector.name} has learned from {', '.join(seen)}.")
            found = figures[detector.name] = measured(detector, photos)
            table(found).to_csv(detector.folder / "unseen.csv", index=False)
            rewrite_card(detector.folder)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    file = paths.project() / "benchmarks" / "unseen.json"
    kept = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    file.write_text(json.dumps(kept | figures, indent=2) + "\n", encoding="utf-8")
    for name, found in figures.items():
        wrong = ", ".join(f"{verdict} {found[verdict]}" for verdict in VERDICTS)
        print(f"{name}: {found['photos']}, {wrong}")
        for kind, row in found["kinds"].items():
            worn = found["worn"][kind]["roc_auc"]
            print(f"  {kind}: AUC {row['roc_auc']} of {row['photos']} fakes, worn {worn}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
