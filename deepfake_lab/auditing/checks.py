"""What can be wrong with a data set: each check takes the table of facts, returns its findings."""

import os
from dataclasses import dataclass

import numpy as np
import pandas as pd

from deepfake_lab.auditing import shortcuts
from deepfake_lab.data import duplicates, facts

SEVERITIES = ("high", "medium", "low")

#: Names of example files that a finding carries.
EXAMPLES = 6

#: A face box shorter than this share of the photo's shorter side is tiny; one whose centre is
#: further from the photo's than this share of its sides is far from the centre.
TINY_FACE, FAR_FACE = 0.2, 0.25

#: More than this share of the photos makes a remark on faces a matter of medium severity.
MANY = 0.05


@dataclass(frozen=True)
class Finding:
    """One kind of thing that is wrong.

    Attributes:
        finding: what, in a few words.
        severity: ``high``: no score from this data can be trusted; ``medium``: put it right;
            ``low``: good to know.
        count: photos (or files, or rows of a table) concerned.
        files: some of them.
        detail: the numbers, in a sentence.
        advice: what to do.
        topic: ``files``, ``duplicates``, ``balance``, ``shortcuts`` or ``faces``.
    """

    finding: str
    severity: str
    count: int
    files: tuple[str, ...]
    detail: str
    advice: str
    topic: str


# kind of problem, as the reader names it -> severity, advice
_READING = {
    "empty file": ("medium", "copy or download it again"),
    "not an image": ("medium", "delete it, or save the picture anew"),
    "no decoder": ("medium", "install what its line names, or convert it to JPEG"),
    "name not UTF-8": ("medium", "rename it"),
    "unreadable file": ("medium", "give yourself permission to read it"),
    "unreadable folder": ("medium", "give yourself permission to open it"),
    "too many pixels": ("medium", "scale it down"),
    "too small": ("medium", "nothing can be seen on it: delete it"),
    "broken link": ("medium", "put the file where the link points, or delete the link"),
    "link to a folder read before": ("low", "delete the link"),
    "not an image by its ending": ("low", "nothing, if it is no photo"),
    "format not read here": ("medium", "convert it to JPEG or PNG"),
    "no label": ("medium", "put it into a folder that says real or fake, or into the manifest"),
    "labels contradict": ("high", "find out which is right, and correct the table or move it"),
    "file in no CSV": ("low", "its folder was believed; add it to the table"),
    "label without a file": ("medium", "the download is not complete, or the table is of another"),
    "listed twice": ("low", "delete one of the lines"),
    "path outside the folder": ("medium", "write paths relative to the manifest"),
    "second copy in the download": ("low", "nothing: it was read once"),
}

_ENDINGS = {
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif"}, "MPO": {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"},
    "PNG": {".png", ".apng"}, "HEIF": {".heic", ".heif", ".hif"},
    "WEBP": {".webp"}, "BMP": {".bmp", ".dib"}, "GIF": {".gif"}, "TIFF": {".tif", ".tiff"},
    "AVIF": {".avif"},
}  # fmt: skip


def reading(problems: pd.DataFrame) -> list[Finding]:
    """Return what the reader left out or could not match, one finding a kind."""
    found = []
    for kind, rows in problems.groupby("kind", sort=False):
        kind = str(kind)
        severity, advice = _READING[kind]
        detail = rows["problem"].iloc[0]
        found.append(_finding(kind, severity, rows["file"], detail, advice, "files"))
    return found


def files(table: pd.DataFrame) -> list[Finding]:
    """Return what is odd about the files that were read."""
    ending = table["file"].map(lambda file: os.path.splitext(file)[1].lower())
    wrong = [end not in _ENDINGS.get(kind, {end}) for end, kind in zip(ending, table["format"])]
    short, long = table[["width", "height"]].min(axis=1), table[["width", "height"]].max(axis=1)
    absurd = (short < 48) | (long > 4 * short) | (table["width"] * table["height"] > 40_000_000)
    checks: list[tuple[str, str, pd.Series | np.ndarray, str, str]] = [
        ("truncated image", "medium", table["state"] == facts.TRUNCATED,
         "the file ends before the picture does", "copy or download it again"),
        ("JPEG without its end", "low", table["lacks_end"],
         "the file lacks its end marker, though no pixel", "copy or download it again"),
        ("damaged image", "medium", table["state"] == facts.DAMAGED,
         "the file opens, but cannot be decoded", "copy or download it again"),
        ("wrong file extension", "low", np.array(wrong, bool),
         "the content is of another format than the name says", "rename it"),
        ("animated image", "medium", table["animated"],
         "only the first picture of an animation is looked at", "save that picture as JPEG or PNG"),
        ("CMYK colours", "low", table["mode"] == "CMYK",
         "made for print; colours shift when brought to RGB", "convert it to RGB yourself"),
        ("16 bits per channel", "low", table["deep"],
         "brought to 8 bits when read", "convert it to 8 bits yourself"),
        ("transparency", "low", table["transparent"],
         "transparent parts are laid on white", "lay it on a background yourself"),
        ("EXIF rotation", "low", table["orientation"] > 1,
         "turned upright when read here; other programs may not", "save it upright"),
        ("absurd size", "medium", absurd,
         "a side under 48 pixels, four times as long as wide, or over 40 megapixels",
         "delete it, or cut and scale it"),
    ]  # fmt: skip
    return [
        _finding(name, severity, table.loc[rows, "file"], detail, advice, "files")
        for name, severity, rows, detail, advice in checks
        if rows.any()
    ]


def repeated(table: pd.DataFrame, groups_from: str) -> list[Finding]:
    """Return duplicates: identical files, then photos that show the same; and torn groups.

    Photos that the manifest itself puts into one group (a photo and the forgery made from it) are
    not held against it, unless the group lies in two splits.
    """
    good = table[table["state"] == facts.OK].reset_index(drop=True)
    content = pd.factorize(good["fingerprint"])[0]
    found = _clusters_found(good, content, "exact duplicates", "identical files")
    thumbs = np.array(good["thumb"].to_list(), np.uint8).reshape(len(good), facts.THUMB**2)
    pairs = duplicates.near_pairs(good["hash"].to_numpy(), thumbs)
    same = content[pairs[:, 0]] == content[pairs[:, 1]]
    if groups_from == "manifest":
        group = good["group"].to_numpy()
        same |= group[pairs[:, 0]] == group[pairs[:, 1]]
    near = duplicates.clusters(len(good), pairs[~same], good["hash"].to_numpy(), thumbs)
    found += _clusters_found(good, near, "near duplicates", "photos that show nearly the same")
    if groups_from == "manifest":
        torn = good.groupby("group")["split"].transform("nunique") > 1
        if torn.any():
            found.append(_finding(
                "groups across splits", "high", good.loc[torn, "file"],
                f"{good.loc[torn, 'group'].nunique()} groups of the manifest lie in several splits",
                "give all photos of a group the same split", "duplicates",
            ))  # fmt: skip
    return found


def _clusters_found(
    table: pd.DataFrame, cluster: np.ndarray, name: str, what: str
) -> list[Finding]:
    of = table.assign(cluster=cluster).groupby("cluster")
    size = of["file"].transform("size")
    labels, splits = of["label"].transform("nunique"), of["split"].transform("nunique")
    clean = (size > 1) & (labels == 1) & (splits == 1)
    order = np.argsort(cluster, kind="stable")  # members of a cluster side by side
    keep = "`deepfake-lab prepare` keeps one of them"
    exact = name.startswith("exact")
    checks = [
        ("across labels", "high" if exact else "medium", labels > 1,
         f"{what}, one called real and one fake",
         "find out which label is right" if exact else
         "correct the label; or, if one was made from the other, give both one group"),
        ("across splits", "high", splits > 1, f"{what} in different splits: a leak",
         "`deepfake-lab prepare` leaves out the copies in training"),
        ("", "low", clean, f"{what} within one label and split",
         keep if exact else "give them one group; if they are too many, keep one of each"),
    ]  # fmt: skip
    found = []
    for where, severity, rows, detail, advice in checks:
        if rows.any():
            number = len(np.unique(cluster[rows]))
            files = table["file"].iloc[order][rows.iloc[order]]
            detail = f"{detail} ({number} {'set' if number == 1 else 'sets'})"
            label = f"{name} {where}".strip()
            found.append(_finding(label, severity, files, detail, advice, "duplicates"))
    return found


def balance(table: pd.DataFrame) -> list[Finding]:
    """Return where labels, splits or sources are out of balance."""
    found = []
    fake = table["label"] == "fake"
    share = fake.mean()
    if not 0.4 <= share <= 0.6:
        rare = "fake" if share < 0.5 else "real"
        found.append(_finding(
            "labels out of balance", "medium" if 0.2 <= share <= 0.8 else "high",
            table.loc[table["label"] == rare, "file"],
            f"{min(share, 1 - share):.0%} of the photos are {rare}",
            "read the ROC curve and balanced accuracy, not accuracy; or bring more of them",
            "balance",
        ))  # fmt: skip
    for split, rows in table.groupby("split"):
        if rows["label"].nunique() == 1:
            only = rows["label"].iloc[0]
            lacks = "fake" if only == "real" else "real"
            found.append(_finding(
                f"no {lacks} photos in the {split} split", "high", rows["file"],
                f"all {len(rows):,} photos of {split} are {only}: "
                + ("no score can be had from it" if split == "test" else "no detector can be made"),
                f"bring {lacks} photos into {split}, or make the splits anew", "balance",
            ))  # fmt: skip
        mine = fake[rows.index].mean()
        if abs(mine - share) > 0.1:
            found.append(_finding(
                f"{split} split out of balance", "medium", rows["file"],
                f"{mine:.0%} of {split} is fake, {share:.0%} of all photos",
                "make the splits anew, stratified by label", "balance",
            ))  # fmt: skip
        fewest = int(rows["label"].value_counts().reindex(["real", "fake"], fill_value=0).min())
        if fewest < 30:
            found.append(_finding(
                f"few photos in the {split} split", "medium", rows["file"],
                f"only {fewest} photos of one label: "
                + ("too few to learn from" if split == "train" else "a score from them is a guess"),
                "bring more photos, or make the split larger", "balance",
            ))  # fmt: skip
    labels_of = table.groupby("source")["label"].nunique()
    sources_of = table.groupby("label")["source"].nunique()
    single = table["source"].map(labels_of) == 1
    if (sources_of > 1).all() and single.any():
        found.append(_finding(
            "sources with one label only", "high" if single.mean() > 0.5 else "medium",
            table.loc[single, "file"],
            f"{int((labels_of == 1).sum())} of {len(labels_of)} sources are all real or all fake "
            f"({single.mean():.0%} of the photos): who knows the source knows the label",
            shortcuts.advice("source"), "balance",
        ))  # fmt: skip
    return found


def given_away(measured: pd.DataFrame, table: pd.DataFrame) -> list[Finding]:
    """Return each signal that gives the label away, overall or between single sources."""
    found = []
    names = [one.name for one in shortcuts.SIGNALS]
    overall = measured[(measured["pair"] == "all") & measured["shortcut"]]
    if overall["signal"].tolist() == [shortcuts.TOGETHER]:
        names.append(shortcuts.TOGETHER)  # many weak signals, none of them a shortcut by itself
    for signal in names:
        rows = measured[measured["signal"] == signal]
        overall = rows[rows["pair"] == "all"]
        pairs = rows[rows["pair"] != "all"]
        hits = pairs[pairs["shortcut"]]
        if not (overall["shortcut"].any() or len(hits)):
            continue
        does = bool(overall["shortcut"].any())
        parts = [
            f"AUC {row.auc:.2f} ({row.low:.2f} to {row.high:.2f}) over all photos"
            for row in overall.itertuples()
            if does
        ]
        strongest = float(overall["auc"].max()) if overall["shortcut"].any() else 0.0
        if len(hits):
            (top,) = hits.nlargest(1, "auc").to_dict("records")
            strongest = max(strongest, float(top["auc"]) - 0.1)  # no pair is the whole of the data
            parts.append(
                f"in {len(hits)} of {len(pairs)} pairs of sources, up to {top['auc']:.2f} "
                f"({top['pair']})"
            )
        name = f"shortcut: {signal}"
        severity = "high" if strongest > 0.8 else "medium"
        topic = "faces" if signal == "framing" else "shortcuts"
        involved = table
        if not overall["shortcut"].any():
            of = set(hits["real"]) | set(hits["fake"])
            involved = table[table["source"].isin(of)]
        typical, said = _typical(involved, signal)
        found.append(Finding(
            name, severity, len(involved), typical,
            f"tells real from fake without a look at the face: {'; '.join(parts)}{said}",
            shortcuts.advice(signal), topic,
        ))  # fmt: skip
    return found


def faces(table: pd.DataFrame) -> list[Finding]:
    """Return photos without a face, with several, with a tiny one, or one at the edge."""
    seen = table[table["faces"] >= 0]
    if seen.empty:
        return []
    off = seen[["face_x", "face_y"]].abs().max(axis=1) > FAR_FACE
    checks = [
        ("no face found", seen["faces"] == 0,
         "the whole picture is used instead", "delete what shows no face"),
        ("several faces", seen["faces"] > 1,
         "the largest is looked at", "cut out the one that the label is about"),
        ("tiny face", seen["face_size"] < TINY_FACE,
         f"shorter than {TINY_FACE:.0%} of the photo's shorter side",
         "cut to the face from a larger version of the photo"),
        ("face far from the centre", off,
         f"more than {FAR_FACE:.0%} of a side away from it",
         "train and answer with framing='face'"),
    ]  # fmt: skip
    good = int((table["state"] == facts.OK).sum())
    looked = "" if len(seen) == good else f"; looked for in {len(seen):,} of {good:,}"
    found = []
    for name, rows, detail, advice in checks:
        if rows.any():
            real, fake = (rows[seen["label"] == label].mean() for label in ("real", "fake"))
            severity = "medium" if rows.mean() > MANY else "low"
            detail = f"{detail} (real {real:.1%}, fake {fake:.1%}{looked})"
            found.append(_finding(name, severity, seen.loc[rows, "file"], detail, advice, "faces"))
    return found


def _typical(table: pd.DataFrame, signal: str) -> tuple[tuple[str, ...], str]:
    """Return photos of each label in which a signal is as it mostly is, and what it mostly is."""
    column = next((one.columns[0] for one in shortcuts.SIGNALS if one.name == signal), "bytes")
    alone = signal != shortcuts.TOGETHER  # of all together no single number is the cause
    names: list[str] = []
    medians = []
    for label in ("real", "fake"):
        rows = table.loc[table["label"] == label].dropna(subset=column)
        if not pd.api.types.is_numeric_dtype(rows[column]) or column == "metadata":
            names.extend(rows.loc[rows[column] == rows[column].mode().iloc[0], "file"].head(3))
            continue
        median = rows[column].median()
        nearest = (rows[column] - median).abs().sort_values(kind="stable").index[:3]
        names.extend(rows.loc[nearest, "file"])
        medians.append(f"{label} {median:{',.0f' if abs(median) >= 1000 else '.3g'}}")
    what = column.replace("_", " ")
    differ = len({median.split()[1] for median in medians}) > 1
    return tuple(names), f"; median {what}: {', '.join(medians)}" if differ and alone else ""


def _finding(
    name: str, severity: str, names: pd.Series, detail: str, advice: str, topic: str
) -> Finding:
    return Finding(name, severity, len(names), tuple(names[:EXAMPLES]), detail, advice, topic)
