"""The layouts in which people have their data -> rows of file, label and split.

The conventions of other data sets are translated here and nowhere else: the CSV files of Kaggle's
140k family say 1 = real, and class folders are named in many ways. A label that is not written
down is never guessed: a file without one is left out and named.

Source: the folder trees and tables of the Kaggle data sets xhlulu/140k-real-and-fake-faces,
sachchitkunichetty/rvf10k, hamzaboulahia/hardfakevsrealfaces, ciplab/real-and-fake-face-detection
and manjilkarki/deepfake-and-real-images, as they come when unpacked.
"""

import filecmp
import posixpath
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from deepfake_lab.data import facts
from deepfake_lab.data.folders import (
    LABEL_WORDS,
    SPLIT_WORDS,
    FolderWords,
    Listing,
    Problem,
    SplitFolders,
    says_more,
    word_in,
    words_in,
)
from deepfake_lab.data.tables import (
    LABELS,
    MISSING,
    checked_words,
    coding_by_folders,
    columns,
    label_of,
    one_is_real,
    one_label_each,
    read_table,
    stem,
)
from deepfake_lab.errors import UserError

SPLITS = ("train", "valid", "test")

#: Where this share of the rows contradicts, the table as a whole is taken to be wrong.
MOST = 0.5


@dataclass
class Reading:
    """What a layout says: a frame with at least `file, label, split`, and what did not fit."""

    frame: pd.DataFrame
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def detect(listing: Listing) -> str:
    """Return the name of the layout that a folder has."""
    if listing.table("manifest.csv"):
        return "manifest"
    table = listing.table("train.csv")
    if table and {"id", "label"} <= set(columns(listing.root / table)):
        splits = SplitFolders(listing.images)
        three = listing.beside(table, "test.csv") or any(
            splits.of(file)[0] == "test" for file in listing.images
        )
        return "140k" if three else "rvf10k"
    table = listing.table("data.csv")
    if table and {"images_id", "label"} <= set(columns(listing.root / table)):
        return "hardfakevsrealfaces"
    if _ciplab_folders(listing) and not _other_labels(listing):
        return "ciplab"
    if _capital_splits(listing):
        return "deepfake-and-real-images"
    return "plain"


def read_plain(listing: Listing) -> Reading:
    """Take the label and the split from the names of the folders above each file."""
    labels = FolderWords(listing.images, LABEL_WORDS)
    splits = SplitFolders(listing.images)
    rows, problems = [], []
    for file in listing.images:
        label, contradicted = labels.of(file)
        if label is None:
            above = posixpath.dirname(file)
            reason = (
                f"its folder '{above}' says neither real nor fake clearly: left out"
                if above
                else "it lies in no folder that says real or fake: left out"
            )
            problems.append(Problem(file, reason, "no label"))
        elif contradicted:
            reason = "folders above it say both real and fake: left out"
            problems.append(Problem(file, reason, "labels contradict"))
        else:
            rows.append((file, label, splits.of(file)[0]))
    if not rows:
        raise UserError(_no_labels(listing))
    frame = pd.DataFrame(rows, columns=["file", "label", "split"])
    notes = _negations_read(frame) + _labels_among_words(frame) + _folders_below(frame)
    if splits.not_read:
        some = ", ".join(f"'{name}'" for name in sorted(splits.not_read)[:3])
        notes.append(f"{len(splits.not_read)} names of folders say no split, for example {some}")
    return Reading(frame.assign(source=frame["label"]), problems, notes)


def read_140k(listing: Listing) -> Reading:
    """Folders as in plain, checked against train.csv, valid.csv and test.csv (1 = real)."""
    table = listing.table("train.csv")
    if not table:
        raise UserError(f"{listing.root} holds no train.csv.")
    reading = read_plain(listing)
    tables = [(split, listing.beside(table, f"{split}.csv")) for split in SPLITS]
    said: dict[str, str] = {}
    for split, name in tables:
        if name:
            said |= one_is_real(listing.root / name, split)
    frame = reading.frame
    stems = frame["file"].map(stem)
    # Where no folder says the split, the table with the photo does.
    homes: dict[str, list[str]] = {}
    for key in said:
        homes.setdefault(key.partition("/")[2], []).append(key)
    found = {name: keys[0].partition("/")[0] for name, keys in homes.items() if len(keys) == 1}
    frame["split"] = frame["split"].astype(object).where(frame["split"].notna(), stems.map(found))
    return _cross_check(reading, frame["split"].fillna("?") + "/" + stems, said, "1 means real")


def read_hardfake(listing: Listing) -> Reading:
    """Folders as in plain, checked against data.csv (`images_id,label`)."""
    name = listing.table("data.csv")
    if not name:
        raise UserError(f"{listing.root} holds no data.csv.")
    table = listing.root / name
    rows = read_table(table, {"images_id", "label"})
    rows = rows[rows["label"].fillna("").str.strip() != ""]  # the folder still says what it is
    stems = rows["images_id"].fillna("").map(stem)
    reading = read_plain(listing)
    keys = reading.frame["file"].map(stem)
    written = rows["label"].str.strip().str.lower()
    known = {value: label_of(value) for value in written.unique()}
    coding = {value: label for value, label in known.items() if label is not None}
    if len(coding) < len(known):
        # Its numbers are documented nowhere: the folders tell what they mean, or nobody does.
        folders = dict(zip(keys, reading.frame["label"]))
        coding = coding_by_folders(table, written, stems.map(folders))
        meaning = ", ".join(f"{value} = {label}" for value, label in sorted(coding.items()))
        reading.notes.append(f"{name} writes labels as its folders show: {meaning}")
    said = one_label_each(table, stems, written.map(coding))
    return _cross_check(reading, keys, said, "real and fake mean what they say")


def read_ciplab(listing: Listing) -> Reading:
    """`training_real/` and `training_fake/`; a download holds everything twice, read once."""
    wanted = _ciplab_folders(listing)
    if not wanted:
        raise UserError(f"{listing.root} holds no folders training_real and training_fake.")
    first: dict[str, str] = {}
    rows, problems = [], []
    for file in sorted(listing.images, key=lambda file: (file.count("/"), file)):
        folder, _, name = file.rpartition("/")
        label = wanted.get(folder)
        if label is None:
            reason = "in neither training_real nor training_fake: left out"
            problems.append(Problem(file, reason, "no label"))
            continue
        twin = first.setdefault(f"{label}/{name}", file)
        if twin != file and _same_content(listing.root / twin, listing.root / file):
            reason = f"the download's second copy of {twin}: left out"
            problems.append(Problem(file, reason, "second copy in the download"))
            continue
        found = re.match(r"(?:.*_)?(easy|mid|hard)_", name) if label == "fake" else None
        rows.append((file, label, None, label, found[1] if found else None))
    columns = ["file", "label", "split", "source", "difficulty"]
    return Reading(pd.DataFrame(rows, columns=columns), problems)


def read_capital_splits(listing: Listing) -> Reading:
    """`Dataset/{Train,Validation,Test}/{Real,Fake}/`."""
    if not _capital_splits(listing):
        raise UserError(
            f"{listing.root} holds no folders Train, Validation and Test with Real and Fake inside."
        )
    return read_plain(listing)


def read_manifest(listing: Listing) -> Reading:
    """Rows of manifest.csv: path (relative to it) and label; more columns are kept."""
    name = listing.table("manifest.csv")
    if not name:
        raise UserError(f"{listing.root} holds no manifest.csv.")
    if rivals := listing.rivals(name):
        raise UserError(
            f"{listing.root} holds several tables: {', '.join([name, *rivals])}. Read each of "
            "their folders by itself, and join them (deepfake_lab.data.join)."
        )
    table = listing.root / name
    frame = read_table(table, {"path", "label"})
    unnamed = _no_names(frame)
    for column in set(frame.columns) - {"path"}:  # the name of a file may end in a blank
        plain = frame[column].str.strip()
        frame[column] = plain.where(plain != "")
    if frame.empty:
        raise UserError(f"{table} names no photos: it has a line of column names and no other.")
    frame["label"] = checked_words(table, frame["label"], label_of, "label")
    if "split" in frame:
        known = SPLIT_WORDS.get
        frame["split"] = checked_words(
            table, frame["split"], lambda word: known(word.lower()), "split"
        )
    else:
        frame["split"] = None
    if "source" not in frame:
        frame["source"] = frame["label"]
    frame["source"] = frame["source"].fillna(frame["label"])
    base = posixpath.dirname(name)
    written = frame.pop("path")
    frame["file"] = [_inside(listing.root, base, path) for path in written]
    notes = unnamed + _find_otherwise(listing, name, written, frame)
    here = set(listing.images)
    if not frame["file"].isin(here).any():
        raise UserError(
            f"{table} names {len(frame):,} photos, none of them is there; the first: "
            f"{written.iloc[0]}. Its paths must be relative to the table."
        )
    problems = []
    for line, file in frame["file"].items():
        if pd.isna(file):
            reason = f"line {line} names no file inside this folder: left out"
            problems.append(Problem(name, reason, "path outside the folder"))
    frame = frame[frame["file"].notna()]
    both = frame.groupby("file")["label"].transform("nunique") > 1
    for file in frame.loc[both, "file"].unique():
        reason = "the manifest says both real and fake: left out"
        problems.append(Problem(file, reason, "labels contradict"))
    named = set(frame["file"])
    frame = frame[~both]
    if frame.empty:
        raise UserError(f"{table} calls each of its photos both real and fake.")
    twice = frame["file"].duplicated()
    gone = ~frame["file"].isin(here)
    for file in frame.loc[twice, "file"]:
        problems.append(Problem(file, "named twice in the manifest", "listed twice"))
    for file in frame.loc[gone & ~twice, "file"]:
        reason = "named in the manifest, but there is no such image"
        problems.append(Problem(file, reason, "label without a file"))
    for file in sorted(here - named):
        problems.append(Problem(file, f"not in {name}: left out", "no label"))
    outside = [file for file in here - named if not file.startswith(f"{base}/")] if base else []
    if outside:
        notes.append(
            f"labels come from {name} alone: {len(outside):,} images outside its folder are not in "
            "it and left out; the layout 'plain' reads labels off folders instead"
        )
    # What the files themselves say is never taken from a table.
    own = ["width", "height", "format", "bytes", "fingerprint"]
    measured = (*(facts.RECORD.names or ()), "aspect", "bytes_per_pixel", "data")
    taken = [column for column in measured if column in frame and column not in own]
    if taken:
        notes.append(
            f"{name}: left out {', '.join(taken)}, the names of what is measured here; give such "
            "columns other names to keep them"
        )
    frame = frame[~gone & ~twice].drop(columns=[c for c in (*own, *taken) if c in frame])
    notes += _folders_contradict(name, frame)
    return Reading(frame.reset_index(drop=True), problems, notes)


#: Layouts that can be read: name -> reader.
LAYOUTS: dict[str, Callable[[Listing], Reading]] = {
    "manifest": read_manifest,
    "140k": read_140k,
    "rvf10k": read_140k,
    "hardfakevsrealfaces": read_hardfake,
    "ciplab": read_ciplab,
    "deepfake-and-real-images": read_capital_splits,
    "plain": read_plain,
}


# --- steps that layouts share --------------------------------------------------------------------


def _cross_check(reading: Reading, keys: pd.Series, said: dict[str, str], rule: str) -> Reading:
    """Compare the labels of folders with those of a table; leave out what contradicts."""
    frame, problems = reading.frame, reading.problems
    contradicting = []
    for file, label, wanted in zip(frame["file"], frame["label"], keys.map(said)):
        if pd.isna(wanted):
            reason = "in no CSV; label taken from its folder"
            problems.append(Problem(file, reason, "file in no CSV"))
        elif wanted != label:
            contradicting.append(file)
            reason = f"folder says {label}, CSV says {wanted}: left out"
            problems.append(Problem(file, reason, "labels contradict"))
    for key in sorted(set(said) - set(keys)):
        reason = "named in a CSV, but there is no such file"
        problems.append(Problem(key, reason, "label without a file"))
    if len(contradicting) > MOST * len(frame):
        raise UserError(
            f"Most CSV labels contradict the folders; in this layout {rule}. "
            "Correct the CSV files, or read the folders alone with layout='plain'."
        )
    kept = frame[~frame["file"].isin(contradicting)].reset_index(drop=True)
    return Reading(kept, problems, reading.notes)


def _ciplab_folders(listing: Listing) -> dict[str, str]:
    """Return the folders training_real and training_fake, each with its label; both or none."""
    found = {}
    for folder in {file.rpartition("/")[0] for file in listing.images}:
        name = posixpath.basename(folder).lower()
        if name in ("training_real", "training_fake"):
            found[folder] = name.removeprefix("training_")
    return found if set(found.values()) == set(LABELS) else {}


def _other_labels(listing: Listing) -> bool:
    """Return whether other folders say a label and a split: `testing_real`, `test/real`."""
    folders = {file.rpartition("/")[0] for file in listing.images} - set(_ciplab_folders(listing))
    return any(
        word_in(posixpath.basename(folder), LABEL_WORDS)
        and any(word_in(name, SPLIT_WORDS) for name in folder.split("/"))
        for folder in folders
    )


def _capital_splits(listing: Listing) -> bool:
    pairs = set()
    for folder in {file.rpartition("/")[0] for file in listing.images}:
        above, _, label = folder.lower().rpartition("/")
        pairs.add((posixpath.basename(above), label))
    return {(s, b) for s in ("train", "validation", "test") for b in LABELS} <= pairs


def _same_content(one: Path, other: Path) -> bool:
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:  # one of them cannot be read, which is told of it later
        return False


def _inside(root: Path, base: str, path: str | float) -> str | None:
    """Return the name of a manifest's path inside the root, None where it lies elsewhere."""
    if not isinstance(path, str) or not path.strip():
        return None
    wanted = path.strip().replace("\\", "/")
    if wanted.startswith("/") or re.match(r"[A-Za-z]:/", wanted):
        # The root was resolved; a path written down on this machine may not have been.
        try:
            return Path(wanted).resolve().relative_to(root).as_posix()
        except ValueError:
            return None
    name = posixpath.normpath(posixpath.join(base, wanted))
    return None if name.startswith("..") else name


def _find_otherwise(
    listing: Listing, table: str, written: pd.Series, frame: pd.DataFrame
) -> list[str]:
    """Find files that a table spells otherwise than the disk; change `file`, return notes.

    Letter case, the way in which accents are stored, a missing ending, bare names and a path from
    another machine in front are bridged, as long as one file alone fits.
    """
    here = set(listing.images)
    missing = frame.index[~frame["file"].isin(here)]
    if missing.empty:
        return []
    tails: dict[str, list[str]] = {}
    for file in listing.images:
        parts = _plain_spelling(file).split("/")
        for start in range(len(parts)):
            tail = "/".join(parts[start:])
            tails.setdefault(tail, []).append(file)
            tails.setdefault(f"{posixpath.splitext(tail)[0]}/", []).append(file)  # no ending
    wanted = {
        line: [part for part in _plain_spelling(text).split("/") if part not in ("", ".")]
        for line, text in written[missing].dropna().items()
        if ".." not in text.replace("\\", "/").split("/")
    }
    # What stands in front is the same for all paths of a table, and never all but the name: then
    # fake/1.jpg could be taken for real/1.jpg.
    depth = max(map(len, wanted.values()), default=1)
    for cut in range(max(1, depth - 1)):
        found = {}
        for line, parts in wanted.items():
            if len(parts) > cut + bool(cut):
                tail = "/".join(parts[cut:])
                fits = tails.get(tail) or tails.get(f"{tail}/", [])
                if len(set(fits)) == 1:
                    found[line] = fits[0]
        if found:
            break
    else:
        return []
    taken = set(frame["file"].dropna())
    found = {line: file for line, file in found.items() if file not in taken}
    if not found:
        return []
    frame.loc[list(found), "file"] = list(found.values())
    line = next(iter(found))
    return [
        f"{len(found):,} of {len(frame):,} paths in {table} are spelled otherwise than the files "
        f"and were matched where one file alone fits; the first: {written.at[line]} = {found[line]}"
    ]


def _folders_contradict(table: str, frame: pd.DataFrame) -> list[str]:
    """Return a note where photos lie in a folder that says the other label than their table.

    A collection whose folders all say the same is merely called so.
    """
    folders = FolderWords(frame["file"].tolist(), LABEL_WORDS)
    found = map(folders.of, frame["file"])
    said = [None if contradicted else label for label, contradicted in found]
    if not set(LABELS) <= set(said):
        return []
    other = [word is not None and word != label for word, label in zip(said, frame["label"])]
    if not any(other):
        return []
    first = frame[other].iloc[0]
    return [
        f"{sum(other):,} of {len(frame):,} photos lie in a folder that says the other label than "
        f"{table}, which is followed; the first: {first['file']} is called {first['label']}"
    ]


def _no_names(frame: pd.DataFrame) -> list[str]:
    """Empty a column of groups that says `NA` for every photo; return a note where some say so.

    R writes `NA` for what is missing, and a person or a source may be called so.
    """
    if "group" not in frame:
        return []
    none = frame["group"].isin(MISSING)
    if (none | frame["group"].isna()).all():
        frame["group"] = frame["group"].mask(none)
    elif none.sum() > 1:
        word = frame.loc[none, "group"].iloc[0]
        return [
            f"{none.sum():,} photos have the group '{word}', which is taken for a name: leave the "
            "cell empty where nothing is known"
        ]
    return []


def _plain_spelling(path: str) -> str:
    return unicodedata.normalize("NFC", path.strip().replace("\\", "/")).casefold()


def _deciding(frame: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return, for each folder with photos, what decided on their label, in order.

    Returns:
        The folder that says the label, the label, and the first folder inside it, on the way to the
        photos, that says no split; "" where there is none.
    """
    found = []
    for folder, label in sorted(
        {(posixpath.dirname(file), label) for file, label in zip(frame["file"], frame["label"])}
    ):
        inside = ""
        while folder and word_in(posixpath.basename(folder), LABEL_WORDS) != label:
            folder, name = posixpath.split(folder)
            inside = inside if word_in(name, SPLIT_WORDS) else name
        found.append((folder, label, inside))
    return found


def _labels_among_words(frame: pd.DataFrame) -> list[str]:
    """Return a note where folders beside one that says a label say it among other words.

    Beside `real` and `fake`, `RealVisXL` may be the name of a generator.
    """
    beside: dict[str, dict[str, str]] = {}  # folder -> its folders that decide -> their labels
    for folder, label, _ in _deciding(frame):
        above, name = posixpath.split(folder)
        beside.setdefault(above, {})[name] = label
    odd = sorted(
        (name, label)
        for labels in beside.values()
        for name, label in labels.items()
        if says_more(name)
        and any(other == label and not says_more(plain) for plain, other in labels.items())
    )
    if not odd:
        return []
    some = ", ".join(f"'{name}' is read as {label}" for name, label in odd[:3])
    return [f"names of folders that hold the word of a label among others ({len(odd)}): {some}"]


def _folders_below(frame: pd.DataFrame) -> list[str]:
    """Return a note where a folder that says a label holds several others: of what, is not read."""
    below: dict[str, set[str]] = {}  # folder that says the label -> folders inside it
    for folder, _, inside in _deciding(frame):
        if inside:
            below.setdefault(folder, set()).add(inside)
    return [
        f"{len(names)} folders below '{folder}' are not read as sources (such as "
        f"{', '.join(sorted(names)[:3])}): a manifest.csv with a column source tells them apart"
        for folder, names in sorted(below.items())
        if len(names) > 1
    ]


def _negations_read(frame: pd.DataFrame) -> list[str]:
    """Return a note for each folder whose name negates a word: what it was taken to say."""
    names = [(posixpath.basename(folder), label) for folder, label, _ in _deciding(frame)]
    return [
        f"the folder '{name}' is read as {label}"
        for name, label in dict.fromkeys(names)
        if label not in words_in(name, LABEL_WORDS)
    ]


def tables_unused(listing: Listing) -> list[str]:
    """Return a note on tables that lie beside the folders and were not understood."""
    unused = [
        f"{name} (columns {', '.join(names)})"
        for name in listing.tables
        if (names := columns(listing.root / name)) and "label" in " ".join(names)
    ]
    if not unused:
        return []
    return [f"labels come from the folders alone; not used: {', '.join(unused[:3])}"]


def _no_labels(listing: Listing) -> str:
    root = listing.root
    own = word_in(root.name, LABEL_WORDS)
    if own:
        return (
            f"{root} is itself the folder of {own} images: give the folder above it, "
            "which holds the real and the fake ones."
        )
    folders = sorted({posixpath.dirname(file) for file in listing.images} - {""})
    seen = f" (it has: {', '.join(folders[:5])})" if folders else ""
    return (
        f"No folder in {root} says clearly real or fake{seen}: put the images into real/ and "
        "fake/, or write a manifest.csv with the columns path,label."
    )
