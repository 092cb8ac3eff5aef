"""Measure a detector on photos of sources that it has never learned from.

    python tools/collect_faces.py --out data/collected
    python benchmarks/unseen.py [--data collected] [--models efficientnet cnn]

Test photos of the sources that a detector was trained on say how it does on more of the same.
This asks about all photos of the others, and says by kind and by source how far its scores order
them (AUC, with intervals over persons) and how often its verdict is wrong. Some of them are more of
a kind that it knows: ``ffhq_1024``, ``140k_web`` and ``ciplab_more`` are other photos of FFHQ, of
140k and of CIPLAB's set. The figures go to ``benchmarks/unseen.json``, each detector's in place of
its former ones. Of a detector for which no real or no fake ones are left, those of its predecessor
stay: the same command repeats them where models/README.md says how to go back to that one.
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
from deepfake_lab.evaluation.labelled import gather

SCORES = ("roc_auc", "tpr_at_1_fpr")
VERDICTS = ("false_alarm_rate", "miss_rate")
PARTS = ("value", "low", "high")


def learned(detector: Detector) -> set[str]:
    """Return the names of the sources that a shipped detector's recipe draws from."""
    return set(re.findall(r'"(?:real|fake)/([^"]+)"', json.dumps(detector.config["recipe"])))


def measured(detector: Detector, rows: pd.DataFrame) -> dict:
    """Return what a detector says of photos (N rows of a manifest) of unseen sources."""
    predictions = detector.predict_many(rows)
    tables = tables_of(predictions)
    kinds, sources = tables["families"], tables["sources"]
    found = {
        row["family"]: {"photos": row["fake"], **{name: _interval(row, name) for name in SCORES}}
        for row in kinds[kinds["data"] != "all"].to_dict("records")
    }
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
        "kinds": found, "sources": wrong,
    }  # fmt: skip


def _interval(row: dict, name: str) -> list[float | None]:
    """Return a value with its 95% interval; None where it could not be measured."""
    values = (row[f"{name}{part}"] for part in ("", "_low", "_high"))
    return [None if pd.isna(value) else round(value, 4) for value in values]


def main() -> int:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["collected"])
    parser.add_argument("--models", nargs="+", default=["efficientnet", "cnn"])
    options = parser.parse_args()
    try:
        photos = gather(options.data, "all").manifest
        figures = {}
        for detector in map(Detector.load, options.models):
            rows = photos[~photos["source"].isin(learned(detector))].reset_index(drop=True)
            if rows["label"].nunique() < 2:
                print(f"{detector.name}: no real or no fake photos of unseen sources are left")
            else:
                figures[detector.name] = measured(detector, rows)
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
            print(f"  {kind}: AUC {row['roc_auc']} of {row['photos']} fakes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
