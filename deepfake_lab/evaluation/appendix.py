"""An assessment as files: predictions, tables, metrics, figures and a report for a paper."""

import json
import math
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from deepfake_lab.data import sources
from deepfake_lab.errors import UserError
from deepfake_lab.evaluation import bootstrap, subgroups, views
from deepfake_lab.evaluation.failures import known_failures
from deepfake_lab.evaluation.predictions import answered, evaluate
from deepfake_lab.evaluation.results import Results

#: How many decimals a CSV file keeps.
_PRECISION = "%.6g"

_TITLES = {
    "families": "Each kind of fake against all real photos of its data set",
    "sources": "Each source against all photos of the other label in its data set",
    "same_source": "Real and fake photos of the same source against each other",
    "cross_source": "The fakes of each source against the real photos of every source",
    "coverage": "Answers outside the uncertain band",
    "reliability": "What P(fake) says and what was fake",
    "subgroups": "Errors by subgroup",
    "degradations": "After damage (AUC: the mean over kinds of fakes, where there are several)",
}

#: What :func:`save` may write or remove beside the report and a figure of damage per data set.
FILES = (
    "metrics.json", "predictions.csv", "predictions_degraded.csv",
    *(f"{name}.csv" for name in _TITLES),
    *(f"figures/{name}.png" for name in ("families", "reliability", "sources", "coverage")),
)  # fmt: skip

_METHOD = """\
- A score is P(fake) after calibration; FAKE is the positive class. Nothing was chosen on these
  photos: model, calibration and uncertain band are those of the run folder, restated for the prior
  above where another one was asked for.
- P(fake) is stated for a share of fakes, the prior. Brier score, ECE and reliability take it at the
  share that these photos have (one half where both labels weigh the same): only so can it be held
  against what was fake.
- In the tables of kinds, sources and damage **both labels weigh the same**, whatever their numbers,
  so that average precision, Brier score and ECE of kinds with few and with many fakes can be
  compared. Answers outside the band and reliability count photos as they come, and so does `test`
  in `metrics.json`.
- A *kind* (family) is its fakes against all real photos of its data set. *macro* is the plain
  mean over kinds; *all* takes all fakes at once.
- **Intervals** hold 95%. Those of scores: percentiles of {resamples:,} bootstrap resamples that
  draw whole groups with replacement, the same resamples for all kinds, so that the mean over kinds
  and the loss against clean photos have intervals of their own. Those of shares: Wilson's, with as
  many trials as there are groups. An interval of no width means that no resample erred, not that no
  photo would. Intervals cover chance in drawing photos, not what nobody collected.
- *The fakes of each source against the real photos of every source*: what a person has who holds
  one fake against photos of her own. `cross_source.csv` has every pair; pairs of sources may be
  told apart by camera, size or people alone, so that a high value proves less than a low one.
- EER: where false alarms and misses are equal on the ROC curve, linear between thresholds. TPR at
  1% (0.5%) FPR: of thresholds with at most so many false alarms the best; not given for fewer than
  100 (200) real photos. ECE: ten bins of equal weight. An AUC below 0.5 means that fakes look
  *more* real.
- Damaged photos are damaged whole, before a face is looked for. *Half size, then JPEG 40* is
  answered at that half size; *screenshot 1/x* was a JPEG 85, is drawn x times smaller and
  sharpened, cut off its old grid and stored as JPEG 70.
"""


def save(found: Results, folder: Path) -> Path:
    """Write everything into a folder, as :meth:`.assess.Assessment.save` says."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Where the files lie is of no interest to anybody else.
        rows = found.predictions.drop(columns="path")
        rows.to_csv(folder / "predictions.csv", index=False, float_format=_PRECISION)
        if len(found.degraded):
            damaged = folder / "predictions_degraded.csv"
            found.degraded.to_csv(damaged, index=False, float_format=_PRECISION)
        write_tables(found.tables, folder)
        write_json(folder / "metrics.json", metrics(found))
        figures = save_figures(found.tables, folder / "figures")
        text = report(found, [path.relative_to(folder).as_posix() for path in figures])
        (folder / "report.md").write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}.") from error
    return folder


def write_tables(tables: dict[str, pd.DataFrame], folder: Path) -> None:
    """Write each table that has rows as ``<name>.csv``; remove an older one that has none now."""
    for name in _TITLES:
        file = folder / f"{name}.csv"
        if len(tables.get(name, ())):
            tables[name].to_csv(file, index=False, float_format=_PRECISION)
        else:
            file.unlink(missing_ok=True)


def write_json(file: Path, content: dict) -> None:
    """Write JSON that any reader takes: a number that is missing becomes null."""
    text = json.dumps(_without_nan(content), indent=2, allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8")


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and math.isnan(content) else content


def metrics(found: Results) -> dict:
    """Return the assessment as JSON: what was asked, of whom, and every table as records.

    ``test`` is there where both labels are: all photos as they come, as in a run folder.
    """
    record: dict = {"assessment": about(found)} | table_records(found.tables)
    if answered(found.predictions)["label"].nunique() == 2:
        record = {"test": evaluate(found.predictions, seed=found.seed)} | record
    return record


def about(found: Results) -> dict:
    """Return what was asked, of whom, with what."""
    return {
        "detector": found.detector.name,
        "model_sha256": found.detector.config["sha256"]["model.tflite"],
        "split": found.photos.split,
        "seed": found.seed,
        "data": list(found.photos.data),
        "notes": list(found.notes),
        "versions": {name: version(name) for name in ("deepfake-lab", "ai-edge-litert", "pillow")},
    }


def table_records(tables: dict[str, pd.DataFrame]) -> dict[str, list[dict]]:
    """Return each table as a list of records, six digits a number, null where there is none."""
    # Through pandas' own writer: it knows what to do with NaN and with NumPy's types.
    return {
        name: json.loads(table.to_json(orient="records", double_precision=6))
        for name, table in tables.items()
        if len(table)
    }


def save_figures(tables: dict[str, pd.DataFrame], folder: Path) -> list[Path]:
    """Draw every table that can be drawn and return the files."""
    import matplotlib.pyplot as plt

    with plt.rc_context({"text.parse_math": False}):  # a folder's name may have dollar signs
        return _save_figures(tables, folder)


def _save_figures(tables: dict[str, pd.DataFrame], folder: Path) -> list[Path]:
    import matplotlib.pyplot as plt

    from deepfake_lab.evaluation import result_plots as draw
    from deepfake_lab.evaluation.degradations import AXES

    folder.mkdir(exist_ok=True)
    drawn = {}
    if len(tables["families"]):
        drawn["families"] = draw.plot_families(tables["families"]).figure.get_figure(root=True)
        reliability = draw.plot_reliability(tables["reliability"])
        drawn["reliability"] = reliability.figure.get_figure(root=True)
    drawn["sources"] = draw.plot_sources(tables["sources"]).figure.get_figure(root=True)
    drawn["coverage"] = draw.plot_coverage(tables["coverage"]).figure.get_figure(root=True)
    damaged = tables.get("degradations", pd.DataFrame())
    for data in damaged["data"].unique() if len(damaged) else ():
        rows = damaged[damaged["data"] == data]
        kinds = [kind for kind in AXES if kind in set(rows["kind"])]
        figure, axes = plt.subplots(
            2, 3, figsize=(13, 7.5), sharey=True, squeeze=False, layout="constrained"
        )
        for ax in axes.flat[len(kinds) :]:
            ax.axis("off")
        for ax, kind in zip(axes.flat, kinds):
            draw.plot_degradations(rows, kind, ax=ax)
            lines, names = ax.get_legend_handles_labels()
            ax.get_legend().remove()
        axes.flat[-1].legend(lines, names, loc="center", frameon=False)  # once, in the free panel
        figure.suptitle(f"{data}: each kind of fake against the real photos, after damage")
        drawn[f"degradations_{data}"] = figure
    files = []
    for name, figure in drawn.items():
        files.append(folder / f"{name}.png")
        figure.savefig(files[-1], dpi=110, bbox_inches="tight")
        plt.close(figure)
    return files


def report(found: Results, figures: list[str]) -> str:
    """Return the report as Markdown; figures are named relative to it."""
    config, prior = found.detector.config, found.detector.prior
    low, high = found.detector.band
    lines = [
        f"# Evaluation of {found.detector.name}",
        "",
        f"{config['architecture']}, input {config['image_size']} px, framing "
        f"`{config['framing']}`; weights sha256 `{config['sha256']['model.tflite']}`. "
        f"{views.calibration(config, prior)}, at a prior (share of fakes) of {prior:g}; "
        f"between {low:.3f} and {high:.3f} the answer is "
        '"do not know".',
        "",
        f"## Photos: the split `{found.photos.split}`",
        "",
        views.markdown(pd.DataFrame([
            {"data": d["name"], "layout": d["layout"], "real": f"{d['real']:,}",
             "fake": f"{d['fake']:,}", "fingerprint": d["fingerprint"]} for d in found.photos.data
        ])),
        "",
        source_facts(found.predictions),
        "",
        *[f"- {note}" for note in found.notes],
        "",
        "## Method",
        "",
        _METHOD.format(resamples=bootstrap.RESAMPLES),
        "## Results",
        "",
    ]  # fmt: skip
    lines += table_sections(found.tables, "###")
    lines += ["## Worst rows", "", *[f"- {line}" for line in known_failures(found.tables)], ""]
    lines += [f"![{Path(file).stem}]({file})\n" for file in figures]
    lines += [f"Made with {', '.join(f'{k} {v}' for k, v in about(found)['versions'].items())}, "
              f"Python {platform.python_version()}."]  # fmt: skip
    return "\n".join(lines) + "\n"


def table_sections(tables: dict[str, pd.DataFrame], heading: str, short: bool = False) -> list[str]:
    """Return the tables that have rows as Markdown lines, each under its title.

    Args:
        tables: as :class:`deepfake_lab.evaluation.assessment.Assessment` has them.
        heading: ``##`` or ``###``.
        short: fewer columns, no rows of several data sets together, and no subgroups too small to
            conclude from.
    """
    lines = []
    for name, title in _TITLES.items():
        table = tables.get(name)
        if table is None or not len(table):
            continue
        shown = table
        if short and "data" in table and (table["data"] != "all").any():
            shown = table[table["data"] != "all"]
        if short and name == "subgroups":
            shown = shown[shown["photos"] >= subgroups.ENOUGH]
        lines += [f"{heading} {title}", "", views.markdown(views.view(name, shown, short)), ""]
        if name == "subgroups":
            there = table["source"].unique()
            meanings = subgroups.MEANING.items()
            lines += [f"- {source}: {meaning}" for source, meaning in meanings if source in there]
            if short:
                lines.append(f"- Subgroups of fewer than {subgroups.ENOUGH} photos are left out.")
            lines += [f"- {subgroups.UNTOLD}", ""]
        if name == "degradations" and (table["family"] == "macro").any():
            lines += ["By kind of fake, AUC:", "", views.markdown(views.by_family(shown)), ""]
    return lines


def source_facts(rows: pd.DataFrame) -> str:
    """Return what is known about the sources among some photos, as a Markdown table."""
    there = sorted(set(zip(rows["label"], rows["source"])), key=lambda key: (key[0] != "real", key))
    facts = [sources.describe(name, label) for label, name in there]
    return views.markdown(pd.DataFrame([
        {"label": fact.label, "source": fact.name, "kind": fact.family, "what": fact.what,
         "terms": fact.terms} for fact in facts
    ]))  # fmt: skip
