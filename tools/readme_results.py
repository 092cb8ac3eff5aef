"""Write the tables of results from what the shipped run folders record.

    python tools/readme_results.py            fill the marked regions
    python tools/readme_results.py --check    say whether they are up to date; exit status 1 if not

`docs/results.md` has every row, `README.md` the few that sum them up. Nothing in these regions is
typed by hand: a test holds them to `models/*/metrics.json`, `models/*/detector.json`,
`models/*/leave_one_out.csv` and `benchmarks/unseen.json`.
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

#: A source with fewer photos is not called the worst: chance alone could make it so.
ENOUGH = 50

#: How many of the figures of :func:`_unseen` the small table shows.
IN_SHORT = 4

_KINDS = {
    "blend": "blended with itself",
    "diffusion": "diffusion models",
    "edit": "edited by hand",
    "gan": "GANs",
    "swap": "face swaps",
}

_NONE = "*No shipped detector with a recorded evaluation.*"


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    options = parser.parse_args()
    models = paths.project() / "models"
    differ = []
    for name, content in (("README.md", summary(models)), ("docs/results.md", results(models))):
        file = paths.project() / name
        text = file.read_text(encoding="utf-8")
        filled = fill(text, content)
        if filled != text:
            differ.append(name)
            if not options.check:
                file.write_text(filled, encoding="utf-8")
    if options.check:
        print(f"{' and '.join(differ)}: not what the run folders say" if differ else "up to date")
    return int(options.check and bool(differ))


def fill(text: str, content: str) -> str:
    """Return a page with the region between the two marks replaced."""
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"The page lacks the marks {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n{content}\n{END}{after}"


def results(models: Path) -> str:
    """Return the whole table: a row per measure, a column per shipped detector."""
    columns: dict[str, dict[str, str]] = {}
    for name, metrics in _recorded(models).items():
        left_out = models / name / "leave_one_out.csv"
        table = pd.read_csv(left_out) if left_out.is_file() else None
        measures = _measures(metrics, table)
        if "start" in _detector(models, name)["recipe"]:  # it was made for the one it went on from
            short = " left out of a short training,"
            measures = {
                row.replace(short, f"{short} of an earlier detector's photos,"): value
                for row, value in measures.items()
            }
        columns[name] = measures | _unseen(models, name)
    return _table(columns)


def summary(models: Path) -> str:
    """Return the small table: kinds of fakes, false alarms, misses, recompression."""
    columns: dict[str, dict[str, str]] = {}
    recorded = _recorded(models)
    kinds = [
        {(row["data"], row["family"]) for row in metrics["families"]}
        for metrics in recorded.values()
    ]
    shared = set.intersection(*kinds) if kinds else set()
    for name, metrics in recorded.items():
        unseen = list(_unseen(models, name).items())[:IN_SHORT]
        prior = _detector(models, name).get("prior")
        columns[name] = _in_short(metrics, prior, shared) | dict(unseen)
    return _table(columns)


def _detector(models: Path, name: str) -> dict:
    return json.loads((models / name / "detector.json").read_text(encoding="utf-8"))


def _unseen(models: Path, name: str) -> dict[str, str]:
    """Return what a detector says of sources that it never learned from, the sums first."""
    file = models.parent / "benchmarks" / "unseen.json"
    found = json.loads(file.read_text(encoding="utf-8")).get(name) if file.is_file() else None
    if found is None or found["created"] != _detector(models, name)["created"]:
        return {}  # another detector of that name
    where = "sources never learned from"
    worn = f"{where}, half size, then JPEG 40, mean over kinds: AUC"
    said = {
        f"{where}, mean over kinds: AUC": views.score(*found["kinds"]["macro"]["roc_auc"]),
        worn: views.score(*found["worn"]["macro"]["roc_auc"]),
        f"{where}: real photos called fake": views.share(*found["false_alarm_rate"]),
        f"{where}: fake photos called real": views.share(*found["miss_rate"]),
    }
    for kind, row in found["kinds"].items():
        if kind not in ("macro", "all"):
            said[f"{where}, {kind}: AUC"] = views.score(*row["roc_auc"])
    for source, row in found["sources"].items():
        label, _, source = source.partition(", ")
        other = "fake" if label == "real" else "real"
        said[f"{where}: {label} photos called {other}: {source}"] = views.share(*row["wrong"])
    return said


def _recorded(models: Path) -> dict[str, dict]:
    """Return detector -> metrics, of the shipped ones that have a recorded evaluation."""
    found = {}
    for name in paths.SHIPPED:
        file = models / name / "metrics.json"
        metrics = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        if "assessment" in metrics:
            found[name] = metrics
    return found


def _table(columns: dict[str, dict[str, str]]) -> str:
    if not columns:
        return _NONE
    rows = list(dict.fromkeys(row for column in columns.values() for row in column))
    table = pd.DataFrame({"on test photos": rows} | {
        f"`{name}`": [column.get(row, "-") for row in rows] for name, column in columns.items()
    })  # fmt: skip
    return views.markdown(table)


def _in_short(metrics: dict, prior: float | None, shared: set[tuple[str, str]]) -> dict[str, str]:
    """Return the few measures that sum a detector up.

    A kind of fakes is shown on the data set that has most of it, among those on which all detectors
    were asked about it (`shared`: data set and kind), the mean over kinds and the fall on the data
    set with most kinds. Of false alarms and misses: all photos, which are more for a
    detector that was asked about more data sets, and the worst source of at least `ENOUGH` photos.
    """
    said: dict[str, str] = {}
    names = [record["name"] for record in metrics["assessment"]["data"]]
    rows = [row for row in metrics["families"] if row["data"] in names]
    kinds = [row for row in rows if row["family"] not in ("macro", "all")]
    several = {row["data"] for row in rows if row["family"] == "macro"}
    main = max(names, key=lambda name: sum(row["data"] == name for row in kinds))
    for kind in sorted({row["family"] for row in kinds}):
        of_kind = [row for row in kinds if row["family"] == kind]
        both = [row for row in of_kind if (row["data"], kind) in shared]
        row = max(both or of_kind, key=lambda row: row["fake"])
        said[f"{_KINDS.get(kind, kind)}: AUC"] = f"{_score(row, 'roc_auc')}, {row['data']}"
    for row in rows:
        if row["data"] == main and row["family"] == ("macro" if main in several else "all"):
            said["mean over kinds: AUC"] = f"{_score(row, 'roc_auc')}, {main}"
    overall = metrics["test"]["metrics"]
    for label, other, rate in (("real", "fake", "false_alarm_rate"), ("fake", "real", "miss_rate")):
        of_label = [
            row for row in metrics["sources"] if row["label"] == label and row["data"] in names
        ]
        value = views.share(*(overall[rate][part] for part in ("value", "low", "high")))
        photos = sum(row["photos"] for row in of_label)
        said[f"{label} photos called {other}"] = f"{value}, {photos:,} photos"
        of = [row for row in of_label if row["photos"] >= ENOUGH]
        if of:
            worst = max(of, key=lambda row: row["wrong"])
            text = f"{_share(worst, 'wrong')}, {worst['source']}"
            worst_of = f"worst source of {ENOUGH} photos or more"
            said[f"{label} photos called {other}, {worst_of}"] = text
    for row in metrics.get("degradations", ()):
        if row["kind"] == "messenger" and row["data"] == main and _stands_for(row, metrics):
            said[f"{row['name']}: AUC lost"] = f"{_score(row, 'fall')}, {main}"
    if prior is not None:
        said["P(fake) is stated for a share of fakes of"] = f"{prior:.0%}"
    return said


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
                where = dict.fromkeys((row["data"], row["source"]))  # a source may be in several
                said[f"{label} photos called {other}: {', '.join(where)}"] = _share(row, "wrong")
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
