"""Write the table of results in `README.md` from what the shipped run folders record.

    python tools/readme_results.py            fill the marked region of README.md
    python tools/readme_results.py --check    say whether it is up to date; exit status 1 if not

Nothing in that region is typed by hand: a test holds it to `models/*/metrics.json` and
`models/*/leave_one_out.csv`.
"""

import argparse
import json
import sys
from pathlib import Path

import pandas as pd

from deepfake_lab import paths
from deepfake_lab.evaluation import views

BEGIN = "<!-- results: written by tools/readme_results.py, not by hand -->"
END = "<!-- end of results -->"

_NONE = "*No shipped detector with a recorded evaluation.*"


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    options = parser.parse_args()
    readme = paths.project() / "README.md"
    text = readme.read_text(encoding="utf-8")
    filled = fill(text, results(paths.project() / "models"))
    if options.check:
        print("up to date" if filled == text else "README.md differs from the run folders")
        return int(filled != text)
    readme.write_text(filled, encoding="utf-8")
    return 0


def fill(text: str, content: str) -> str:
    """Return a README with the region between the two marks replaced."""
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"README.md lacks the marks {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n{content}\n{END}{after}"


def results(models: Path) -> str:
    """Return the table: a row per measure, a column per shipped detector."""
    columns: dict[str, dict[str, str]] = {}
    for name in paths.SHIPPED:
        file = models / name / "metrics.json"
        if file.is_file():
            metrics = json.loads(file.read_text(encoding="utf-8"))
            if "assessment" in metrics:
                left_out = models / name / "leave_one_out.csv"
                table = pd.read_csv(left_out) if left_out.is_file() else None
                columns[name] = _measures(metrics, table)
    if not columns:
        return _NONE
    rows = list(dict.fromkeys(row for column in columns.values() for row in column))
    table = pd.DataFrame({"on test photos": rows} | {
        f"`{name}`": [column.get(row, "-") for row in rows] for name, column in columns.items()
    })  # fmt: skip
    return views.markdown(table)


def _measures(metrics: dict, left_out: pd.DataFrame | None) -> dict[str, str]:
    """Return what is said of one detector: measure -> value with its 95% interval."""
    said: dict[str, str] = {}
    names = [record["name"] for record in metrics["assessment"]["data"]]
    families = [row for row in metrics["families"] if row["data"] in names]
    for data in names:
        rows = {row["family"]: row for row in families if row["data"] == data}
        kinds = [kind for kind in rows if kind not in ("macro", "all")]
        for kind in [*kinds, *(["macro"] if "macro" in rows else [])]:
            what = "mean over kinds" if kind == "macro" else kind
            said[f"{data}, {what}: AUC"] = _score(rows[kind], "roc_auc")
            if kind == "macro" or len(kinds) == 1:
                accuracy = _score(rows[kind], "balanced_accuracy")
                said[f"{data}, {what}: balanced accuracy"] = accuracy
    for label, other in (("real", "fake"), ("fake", "real")):
        for row in metrics["sources"]:
            if row["label"] == label and row["data"] in names:
                said[f"{label} photos called {other}: {row['source']}"] = _share(row, "wrong")
    sent = [row for row in metrics.get("degradations", ()) if row["kind"] == "messenger"]
    for row in sent:
        if row["data"] in names and _stands_for(row, metrics):
            said[f"{row['data']}, {row['name']}: AUC lost"] = _score(row, "fall")
    for row in sent:
        if row["data"] in names and row["family"] == "all":
            error = _score(row, "calibration_error")
            said[f"{row['data']}, {row['name']}: calibration error (ECE)"] = error
    for data in names:
        for row in families:
            if (row["data"], row["family"]) == (data, "all"):
                said[f"{data}: calibration error (ECE)"] = _score(row, "calibration_error")
        for row in metrics["coverage"]:
            if row["data"] == data:
                said[f"{data}: answered outside the uncertain band"] = _share(row, "coverage")
                said[f"{data}: wrong of these answers"] = _share(row, "error")
    for kind, rows in left_out.groupby("kind", sort=False) if left_out is not None else ():
        what = "kind" if kind == "family" else kind
        mean = f"{rows['auc'].mean():.3f}"
        said[f"a {what} of fakes left out of a short training, mean of {len(rows)}: AUC"] = mean
    return said


def _stands_for(row: dict, metrics: dict) -> bool:
    """Return whether a row speaks for its data set: the mean over kinds, or its only kind."""
    several = any(
        other["data"] == row["data"] and other["family"] == "macro" for other in metrics["families"]
    )
    return row["family"] == ("macro" if several else "all")


def _score(row: dict, name: str) -> str:
    return views.score(*_three(row, name))


def _share(row: dict, name: str) -> str:
    return views.share(*_three(row, name))


def _three(row: dict, name: str) -> tuple:
    return row[name], row[f"{name}_low"], row[f"{name}_high"]


if __name__ == "__main__":
    sys.exit(main())
