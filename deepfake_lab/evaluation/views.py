"""Tables as people read them: for the terminal, for a report, for a model card.

A cell says ``0.978 [0.960, 0.990]``: the value and its 95% interval; shares are in percent.
"""

import math

import pandas as pd

from deepfake_lab.evaluation.results import Results
from deepfake_lab.printing import printable, printable_lines

#: table -> column of the view -> (column of the table, how it is written). ``score`` and ``share``
#: come with an interval, ``score-`` and ``share-`` without.
_FULL = {
    "families": {
        "data": ("data", "text"), "fakes": ("family", "text"), "real photos": ("real", "count"),
        "fake photos": ("fake", "count"), "AUC": ("roc_auc", "score"),
        "balanced accuracy": ("balanced_accuracy", "score"),
        "average precision": ("average_precision", "score"),
        "EER": ("equal_error_rate", "score"), "TPR at 1% FPR": ("tpr_at_1_fpr", "score"),
        "TPR at 0.5% FPR": ("tpr_at_0_5_fpr", "score"),
        "Brier": ("brier_score", "score"), "ECE": ("calibration_error", "score"),
    },
    "sources": {
        "data": ("data", "text"), "label": ("label", "text"), "source": ("source", "text"),
        "family": ("family", "text"), "photos": ("photos", "count"),
        "judged wrongly": ("wrong", "share"), "uncertain": ("uncertain", "share"),
        "wrong outside the band": ("wrong_outside", "share"),
        "no face found": ("no_face", "share-"),
        "AUC": ("roc_auc", "score"), "balanced accuracy": ("balanced_accuracy", "score"),
        "EER": ("equal_error_rate", "score"), "TPR at 1% FPR": ("tpr_at_1_fpr", "score"),
        "TPR at 0.5% FPR": ("tpr_at_0_5_fpr", "score"),
    },
    "cross_source": {
        "fakes of": ("fake_source", "text"), "family": ("family", "text"),
        "fake photos": ("fake", "count"), "sources of real photos": ("sources", "count"),
        "median AUC": ("median", "score"), "AUC against the hardest": ("roc_auc", "score"),
        "that is": ("real_source", "text"),
    },
    "coverage": {
        "data": ("data", "text"), "answered": ("coverage", "share"),
        "wrong of these": ("error", "share"), "of real photos": ("false_alarms", "share"),
        "of fakes": ("misses", "share"), "photos": ("photos", "count"),
    },
    "subgroups": {
        "data": ("data", "text"), "source": ("source", "text"), "label": ("label", "text"),
        "attribute": ("attribute", "text"), "subgroup": ("subgroup", "text"),
        "photos": ("photos", "count"), "judged wrongly": ("wrong", "share"),
        "whole source": ("overall", "share-"),
    },
    "degradations": {
        "data": ("data", "text"), "photos are": ("name", "text"), "AUC": ("roc_auc", "score"),
        "AUC lost": ("fall", "score"), "ECE": ("calibration_error", "score"),
        "real called fake": ("false_alarm_rate", "share-"), "answered": ("coverage", "share-"),
        "wrong of these": ("error_outside", "share-"),
    },
    "reliability": {
        "data": ("data", "text"), "photos": ("photos", "count"), "P(fake) said": ("said", "share-"),
        "were fake": ("share", "share"),
    },
}  # fmt: skip
_FULL["same_source"] = _FULL["families"] | {"source": ("source", "text")}
_FULL["same_source"] = {
    name: _FULL["same_source"][name] for name in ("data", "source", *list(_FULL["families"])[2:])
}

#: The same, shorter, for a terminal.
_SHORT = {
    "families": {
        "data": ("data", "text"), "fakes": ("family", "text"), "real": ("real", "count"),
        "fake": ("fake", "count"), "AUC": ("roc_auc", "score"),
        "balanced acc.": ("balanced_accuracy", "score"), "EER": ("equal_error_rate", "score-"),
        "TPR@1%": ("tpr_at_1_fpr", "score-"), "ECE": ("calibration_error", "score-"),
    },
    "sources": {
        "data": ("data", "text"), "label": ("label", "text"), "source": ("source", "text"),
        "photos": ("photos", "count"), "wrong": ("wrong", "share"),
        "uncertain": ("uncertain", "share-"),
        "wrong outside band": ("wrong_outside", "share"), "AUC": ("roc_auc", "score"),
    },
    "coverage": {
        "data": ("data", "text"), "answered": ("coverage", "share"), "wrong": ("error", "share"),
        "false alarms": ("false_alarms", "share-"), "misses": ("misses", "share-"),
    },
}  # fmt: skip
_SHORT["same_source"] = {"data": ("data", "text"), "source": ("source", "text")} | {
    name: _SHORT["families"][name] for name in ("real", "fake", "AUC", "balanced acc.")
}


def view(name: str, table: pd.DataFrame, short: bool = False) -> pd.DataFrame:
    """Return a table as text cells, one column per thing to read.

    Args:
        name: which table, see :class:`deepfake_lab.evaluation.results.Results`. Of ``coverage`` the
            detector's own band is shown, of ``degradations`` each data set's mean over families,
            of ``cross_source`` what is hardest for the fakes of each source.
        table: its frame.
        short: fewer columns, for a terminal.
    """
    if name == "coverage" and len(table):
        table = table[table["shipped"].astype(bool)]
    if name == "families" and len(table):
        kinds = table.groupby("data")["family"].transform("size")  # one kind, and "all": the same
        table = table[(table["family"] != "all") | (kinds > 2)]
    if name == "degradations" and len(table):
        table = _one_family(table)
    if name == "cross_source" and len(table):
        table = _hardest(table)
    columns = _SHORT.get(name, _FULL[name]) if short else _FULL[name]
    return pd.DataFrame({
        title: [_cell(row, column, kind) for row in table.to_dict("records")]
        for title, (column, kind) in columns.items()
    })  # fmt: skip


def degradations_by_data(table: pd.DataFrame) -> pd.DataFrame:
    """Return a view with a row per degradation and, per data set, its AUC and what it lost."""
    columns = {}
    for data, rows in _one_family(table).groupby("data", sort=False):
        named = rows.to_dict("records")
        columns["photos are"] = [row["name"] for row in named]
        columns[f"{data}: AUC"] = [_cell(row, "roc_auc", "score") for row in named]
        columns["lost, " + str(data)] = [_cell(row, "fall", "score-") for row in named]
    return pd.DataFrame(columns)


def by_family(table: pd.DataFrame) -> pd.DataFrame:
    """Return a view of AUC by degradation and kind of fake, of data sets with several kinds."""
    several = table.loc[table["family"] == "macro", "data"].unique()
    rows = table[table["data"].isin(several) & (table["family"] != "all")]
    wide = rows.pivot_table(
        index=["data", "name"], columns="family", values="roc_auc", sort=False
    ).reset_index()
    columns = [name for name in wide if name not in ("data", "name", "macro")]
    shown = wide.rename(columns={"name": "photos are", "macro": "mean"})
    return shown[["data", "photos are", *columns, "mean"]].map(
        lambda cell: cell if isinstance(cell, str) else score(cell)
    )


def score(value: float, low: float | None = None, high: float | None = None) -> str:
    """Return ``0.978 [0.960, 0.990]``, or ``-`` where nothing was measured."""
    if pd.isna(value):
        return "-"
    value = round(value, 3) + 0.0  # never "-0.000"
    if low is None or pd.isna(low):
        return f"{value:.3f}"
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def share(value: float, low: float | None = None, high: float | None = None) -> str:
    """Return ``12.3% [9.8, 15.2]``, or ``-`` where nothing was measured."""
    if pd.isna(value):
        return "-"
    if low is None or high is None or pd.isna(low):
        return f"{value:.1%}"
    return f"{value:.1%} [{low * 100:.1f}, {high * 100:.1f}]"


def calibration(config: dict, prior: float) -> str:
    """Return how a detector makes a probability of its raw score, as a formula, at a prior."""
    temperature, bias = (config["calibration"][part] for part in ("temperature", "bias"))
    bias += math.log(prior / (1 - prior))
    sign = "-" if bias < 0 else "+"
    return f"P(fake) = sigmoid(logit / {temperature:.4g} {sign} {abs(bias):.4g})"


def aligned(shown: pd.DataFrame) -> str:
    """Return a view as lines of text: words to the left, numbers to the right."""
    cells = [list(shown.columns), *shown.values.tolist()]
    lines = [[printable(cell) for cell in line] for line in cells]  # names may hold anything
    widths = [max(len(line[i]) for line in lines) for i in range(len(shown.columns))]
    right = [all(_is_number(cell) for cell in shown[column]) for column in shown]
    return "\n".join(
        "  " + "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, right)
        ).rstrip()
        for line in lines
    )  # fmt: skip


def markdown(shown: pd.DataFrame) -> str:
    """Return a view as a Markdown table."""
    lines = [list(shown.columns), ["---"] * len(shown.columns), *shown.values.tolist()]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def summary(found: Results) -> str:
    """Return an assessment for the terminal."""
    tables = found.tables
    names = " and ".join(record["name"] for record in found.photos.data)
    sources = tables["sources"]
    reals, fakes = (sources.loc[sources["label"] == x, "photos"].sum() for x in ("real", "fake"))
    which = "all" if found.photos.split == "all" else f"the {found.photos.split}"
    parts = [
        f"{found.detector.name} on {which} photos of {names}: {reals:,} real, {fakes:,} fake.\n"
        "In brackets: 95% intervals. AUC, accuracy and ECE weigh real and fake the same."
    ]
    if len(tables["families"]):
        shown = aligned(view("families", tables["families"], True))
        parts.append(f"Kinds of fakes, each against all real photos of its data set\n{shown}")
    for label, title in (("real", "Real photos called fake"), ("fake", "Fakes missed")):
        rows = tables["sources"]
        rows = rows[rows["label"] == label]
        if len(rows):
            shown = aligned(view("sources", rows, True).drop(columns="label"))
            parts.append(f"{title}\n{shown}")
    if len(tables["same_source"]):
        shown = aligned(view("same_source", tables["same_source"], True))
        parts.append(f"Real against fake of the same source\n{shown}")
    low, high = found.detector.band
    shown = aligned(view("coverage", tables["coverage"], True))
    prior = found.detector.prior
    parts.append(
        f"If P(fake) from {low:.2f} to {high:.2f} counts as 'do not know' (for photos of which a "
        f"share of {prior:g} is fake)\n{shown}"
    )
    if len(tables.get("degradations", ())):
        shown = aligned(degradations_by_data(tables["degradations"]))
        parts.append(f"After damage (mean over kinds of fakes)\n{shown}")
    if found.notes:
        parts.append(printable_lines(f"note: {note}" for note in found.notes))
    return "\n\n".join(parts)


def _hardest(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row per source of fakes: the real photos that it is hardest to tell from."""
    pairs = table.groupby("fake_source", sort=False)["roc_auc"]
    hardest = table.loc[pairs.idxmin()]
    return hardest.assign(
        sources=pairs.size().reindex(hardest["fake_source"]).to_numpy(),
        median=pairs.median().reindex(hardest["fake_source"]).to_numpy(),
    )


def _one_family(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row per data set and degradation.

    How well fakes are told from photos is the mean over families, where there are several; what
    the answers are worth (calibration, false alarms, coverage) is that of all photos.
    """
    key = ["data", "kind", "level"]
    whole = table[table["family"] == "all"].set_index(key)
    means = table[table["family"] == "macro"].set_index(key)
    ranked = [
        name for name in table.columns if name.startswith(("roc_auc", "balanced_accuracy", "fall"))
    ]
    mixed = whole.copy()
    mixed.loc[means.index, ranked] = means[ranked]
    order = list(table["data"].unique())
    return mixed.reset_index().sort_values(
        "data", key=lambda names: names.map(order.index), kind="stable"
    )


def _cell(row: dict, column: str, kind: str) -> str:
    value = row.get(column)
    if kind == "text":
        return "-" if value is None or pd.isna(value) else str(value)
    if kind == "count":
        return "-" if value is None or pd.isna(value) else f"{int(value):,}"
    write = score if kind.startswith("score") else share
    if value is None:
        return "-"
    if kind.endswith("-"):
        return write(value)
    return write(value, row.get(f"{column}_low"), row.get(f"{column}_high"))


def _is_number(cell: str) -> bool:
    return str(cell)[:1].isdigit() or str(cell)[:1] == "-"
