"""Errors by subgroup: how large a photo is and, as far as names tell, who is in it or what made it.

Names of files are all there is about people: no attribute is guessed from a face. What the names
of a source mean was stated by its makers; for every other source nothing is known, and
:data:`UNTOLD` says so.
"""

import re
from collections.abc import Callable

import pandas as pd

from deepfake_lab.evaluation.bootstrap import share_of
from deepfake_lab.evaluation.breakdown import prepared
from deepfake_lab.evaluation.degradations import with_interval

#: Fewer photos than this make a row that says little; it is shown, but no conclusion drawn.
ENOUGH = 30

_AGES = ((0, "0 to 12"), (13, "13 to 19"), (20, "20 to 39"), (40, "40 to 59"), (60, "60 and over"))
_SIDES = (
    (0, "0 to 99 px"),
    (100, "100 to 199 px"),
    (200, "200 to 399 px"),
    (400, "400 px and more"),
)
_GENDERS = ("male", "female")
_ETHNICITIES = ("White", "Black", "Asian", "Indian", "other")
_PARTS = ("left eye", "right eye", "nose", "mouth")
_GENERATORS = {"FLUX1_schnell": "FLUX.1 schnell", "SDXL": "SDXL"}

#: What the names of each source are, and whose word that is.
MEANING = {
    "aaf": "age as in All-Age-Faces' file names, which its group names repeat. Real photos only: "
    "these are false alarms.",
    "utkface": "age, gender and ethnicity as in UTKFace's file names; its makers had an algorithm "
    "estimate them and people check. Real photos only: these are false alarms.",
    "ciplab": "difficulty and replaced parts as in the set's file names. Fakes only: these are "
    "misses.",
    "generated_photos": "gender and ethnicity that the file names give to faces of nobody. Fakes "
    "only: these are misses.",
    "sfhq_t2i": "the generator, as in the file names. Fakes only: these are misses.",
}

#: What no name tells.
UNTOLD = (
    "Nothing is known of age, gender, skin or origin in the other sources, so that differences "
    "between people among them cannot be told. No source has real and fake photos with such "
    "attributes, so that AUC by subgroup cannot be told either, only errors at the threshold. "
    "Attributes were not crossed with one another: the groups would be too small."
)


def _band(value: float, bands: tuple[tuple[int, str], ...]) -> str:
    return [name for start, name in bands if value >= start][-1]


def _age_band(age: int) -> str:
    return _band(age, _AGES)


def _side_bands(part: pd.DataFrame) -> pd.DataFrame:
    """Return the band of each photo's shorter side, where a source has photos of several bands."""
    if not {"width", "height"} <= set(part):
        return pd.DataFrame(index=part.index)
    sides = part[["width", "height"]].astype(float).min(axis=1)
    bands = sides.map(lambda side: _band(side, _SIDES), na_action="ignore")
    return pd.DataFrame({"shorter side": bands} if bands.nunique() > 1 else {}, index=part.index)


def of_utkface(stem: str) -> dict[str, str]:
    """Return age band, gender and ethnicity: ``[age]_[gender]_[ethnicity]_[time].jpg.chip``.

    Source: the labels as the authors of UTKFace (Zhang et al., CVPR 2017) describe them.
    """
    match = re.match(r"(\d{1,3})_([01])_([0-4])_\d", stem)
    if match is None:
        return {}
    age, gender, ethnicity = map(int, match.groups())
    return {"age": _age_band(age), "gender": _GENDERS[gender], "ethnicity": _ETHNICITIES[ethnicity]}


def of_aaf(stem: str) -> dict[str, str]:
    """Return the age band: ``00001A02``, the second number being the age."""
    match = re.search(r"(?:^|:)\d{5}A(\d{2})$", stem)
    return {"age": _age_band(int(match.group(1)))} if match else {}


def of_ciplab(stem: str) -> dict[str, str]:
    """Return difficulty, how many parts were replaced, and which: ``easy_12_1010``."""
    match = re.search(r"(easy|mid|hard)_\d+_([01]{4})$", stem)
    if match is None:
        return {}
    flags = [flag == "1" for flag in match.group(2)]
    found = {"difficulty": match.group(1), "parts replaced": str(sum(flags))}
    return found | {f"{part} replaced": "yes" if on else "no" for part, on in zip(_PARTS, flags)}


def of_generated_photos(stem: str) -> dict[str, str]:
    """Return gender and ethnicity: ``female__asian__<id>``."""
    match = re.match(r"(female|male)__([a-z]+)__", stem)
    return {"gender": match.group(1), "ethnicity": match.group(2)} if match else {}


def of_sfhq_t2i(stem: str) -> dict[str, str]:
    """Return the generator: ``SDXL_0000803``."""
    name = re.sub(r"_\d+$", "", stem)
    return {"generator": _GENERATORS[name]} if name in _GENERATORS else {}


#: (source, label) -> what a file's name without its ending tells.
READERS: dict[tuple[str, str], Callable[[str], dict[str, str]]] = {
    ("aaf", "real"): of_aaf,
    ("utkface", "real"): of_utkface,
    ("ciplab", "fake"): of_ciplab,
    ("generated_photos", "fake"): of_generated_photos,
    ("sfhq_t2i", "fake"): of_sfhq_t2i,
}


def subgroup_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Say how often each subgroup is judged wrongly at the detector's threshold.

    Returns:
        A row per source, attribute and subgroup: ``data, source, label, attribute, subgroup,
        photos``, ``wrong`` (with ``_low`` and ``_high``), ``mean_p_fake``, and ``overall``, the
        error of the whole source beside it. The attribute ``shorter side``, of the photo, is there
        where a source has photos of several sizes. Empty where nothing is told.
    """
    rows = prepared(predictions)
    table = []
    for (data, source, label), part in rows.groupby(["data", "source", "label"], sort=False):
        wrong = part["verdict"].str.lower() != part["label"]
        told = _side_bands(part)
        if reader := READERS.get((str(source), str(label))):
            stems = part["file"].str.split("/").str[-1].str.rsplit(".", n=1).str[0]
            names = [
                reader(stem) or reader(str(group)) for stem, group in zip(stems, part["group"])
            ]
            told = told.join(pd.DataFrame(names, index=part.index))
        for attribute in told.columns:
            for subgroup, index in sorted(told.groupby(attribute).groups.items()):
                row = {"data": data, "source": source, "label": label}
                row |= {"attribute": attribute, "subgroup": subgroup, "photos": len(index)}
                share = share_of(wrong[index], part.loc[index, "group"])
                row |= with_interval("wrong", *share.values())
                row |= {"mean_p_fake": part.loc[index, "p_fake"].mean(), "overall": wrong.mean()}
                table.append(row)
    return pd.DataFrame(table)
