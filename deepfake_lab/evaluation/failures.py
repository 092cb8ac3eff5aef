"""Tables -> sentences: where a detector is known to fail, with numbers, the worst first."""

from collections.abc import Iterator

import pandas as pd

from deepfake_lab.evaluation.subgroups import ENOUGH
from deepfake_lab.evaluation.views import score, share

#: How many rows of each table are named.
_WORST = 3


def known_failures(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Return the worst rows of an assessment's tables, a sentence each.

    The worst are named however good they are: which they are is part of the answer.

    Args:
        tables: as :class:`deepfake_lab.evaluation.assessment.Assessment` has them; missing ones are
            passed over.
    """
    here = {name: table for name, table in tables.items() if len(table)}
    found: list[str] = []
    for name, describe in _DESCRIBE.items():
        if name in here:
            found += describe(here[name])
    return found


def _families(table: pd.DataFrame) -> Iterator[str]:
    rows = _single_sets(table)
    rows = rows[~rows["family"].isin(["macro", "all"])]
    blind = rows[rows["roc_auc_low"] <= 0.5]
    for row in blind.sort_values("roc_auc").to_dict("records"):
        value = score(row["roc_auc"], row["roc_auc_low"], row["roc_auc_high"])
        kind = f"{row['family']} ({row['data']})"
        yield f"Fakes of the kind {kind}: no better than a coin, AUC {value}."
    if blind.empty:
        (row,) = rows.nsmallest(1, "roc_auc").to_dict("records")
        value = score(row["roc_auc"], row["roc_auc_low"], row["roc_auc_high"])
        yield f"The hardest kind of fake is {row['family']} ({row['data']}): AUC {value}."


def _sources(table: pd.DataFrame) -> Iterator[str]:
    for label, what in (("fake", "of its fakes are missed"), ("real", "of its photos are called "
                                                              "fake")):  # fmt: skip
        rows = table[table["label"] == label].nlargest(_WORST, "wrong")
        for row in rows[rows["wrong"] > 0].to_dict("records"):
            value = share(row["wrong"], row["wrong_low"], row["wrong_high"])
            yield f"{row['source']} ({row['data']}, {row['family']}): {value} {what}."
    loud = table[(table["wrong_outside_low"] > 0.05)].nlargest(_WORST, "wrong_outside")
    for row in loud.to_dict("records"):
        value = share(row["wrong_outside"], row["wrong_outside_low"], row["wrong_outside_high"])
        yield (
            f"{row['source']} ({row['data']}, {row['label']}): even outside the uncertain band "
            f"{value} of the answers are wrong. Doubt is not shown where it is due."
        )


def _degradations(table: pd.DataFrame) -> Iterator[str]:
    rows = table[table["family"].isin(["macro", "all"]) & (table["data"] != "all")]
    for data, part in rows.groupby("data", sort=False):
        whole = part[part["family"] == ("macro" if (part["family"] == "macro").any() else "all")]
        (row,) = whole.nlargest(1, "fall").to_dict("records")
        if row["fall"] > 0:
            lost = score(row["fall"], row["fall_low"], row["fall_high"])
            yield f"{data}, {row['name']}: the AUC falls to {row['roc_auc']:.3f}, by {lost}."


def _subgroups(table: pd.DataFrame) -> Iterator[str]:
    rows = table[table["photos"] >= ENOUGH]
    rows = rows.assign(excess=rows["wrong_low"] - rows["overall"])
    for row in rows[rows["excess"] > 0].nlargest(_WORST, "excess").to_dict("records"):
        what = "called fake" if row["label"] == "real" else "missed"
        value = share(row["wrong"], row["wrong_low"], row["wrong_high"])
        yield (
            f"{row['source']}, {row['attribute']} {row['subgroup']}: {value} {what}, against "
            f"{row['overall']:.1%} in the whole source."
        )


def _single_sets(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out the rows that put several data sets together."""
    return table[table["data"] != "all"] if (table["data"] != "all").any() else table


_DESCRIBE = {
    "families": _families,
    "sources": _sources,
    "degradations": _degradations,
    "subgroups": _subgroups,
}
