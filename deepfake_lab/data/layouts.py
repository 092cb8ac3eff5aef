"""The layouts in which people have their data -> rows of file, label and split.

The conventions of other data sets are translated here and nowhere else: the CSV files of Kaggle's
140k family say 1 = real, and class folders are named in many ways. A label that is not written
down is never guessed: a file without one is left out and named.

Source: the folder trees and tables of the Kaggle data sets xhlulu/140k-real-and-fake-faces,
sachchitkunichetty/rvf10k, hamzaboulahia/hardfakevsrealfaces, ciplab/real-and-fake-face-detection
and manjilkarki/deepfake-and-real-images, as they come when unpacked.
"""

import os
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pandas as pd

from deepfake_lab.data.folders import (
    LABEL_WORDS,
    SPLIT_WORDS,
    FolderWords,
    Listing,
    Problem,
    word_in,
)
from deepfake_lab.data.tables import (
    LABELS,
    checked_words,
    coding_by_folders,
    columns,
    one_is_real,
    read_table,
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
    if table and {"id", "label"} <= columns(listing.root / table):
        splits = FolderWords(listing.images, SPLIT_WORDS)
        three = listing.beside(table, "test.csv") or any(
            splits.of(file)[0] == "test" for file in listing.images
        )
        return "140k" if three else "rvf10k"
    table = listing.table("data.csv")
    if table and {"images_id", "label"} <= columns(listing.root / table):
        return "hardfakevsrealfaces"
    if _ciplab_folders(listing):
        return "ciplab"
    if _capital_splits(listing):
        return "deepfake-and-real-images"
    return "plain"


def read_plain(listing: Listing) -> Reading:
    """Take the label and the split from the names of the folders above each file."""
    labels = FolderWords(listing.images, LABEL_WORDS)
    splits = FolderWords(listing.images, SPLIT_WORDS)
    rows, problems = [], []
    for file in listing.images:
        label, contradicted = labels.of(file)
        if label is None:
            reason = "no folder above it says real or fake: left out"
            problems.append(Problem(file, reason, "no label"))
        elif contradicted:
            reason = "folders above it say both real and fake: left out"
            problems.append(Problem(file, reason, "labels contradict"))
        else:
            rows.append((file, label, splits.of(file)[0]))
    if not rows:
        raise UserError(_no_labels(listing.root))
    frame = pd.DataFrame(rows, columns=["file", "label", "split"])
    return Reading(frame.assign(source=frame["label"]), problems)


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
    stems = frame["file"].map(lambda file: PurePosixPath(file).stem)
    return _cross_check(reading, frame["split"].fillna("?") + "/" + stems, said, "1 means real")


def read_hardfake(listing: Listing) -> Reading:
    """Folders as in plain, checked against data.csv (`images_id,label`)."""
    name = listing.table("data.csv")
    if not name:
        raise UserError(f"{listing.root} holds no data.csv.")
    table = listing.root / name
    rows = read_table(table, {"images_id", "label"})
    stems = rows["images_id"].fillna("").map(lambda text: PurePosixPath(text).stem)
    reading = read_plain(listing)
    keys = reading.frame["file"].map(lambda file: PurePosixPath(file).stem)
    written = rows["label"].fillna("").str.strip().str.lower()
    coding = {value: LABEL_WORDS.get(value) for value in written.unique()}
    if None in coding.values():
        # Its numbers are documented nowhere: the folders tell what they mean, or nobody does.
        folders = dict(zip(keys, reading.frame["label"]))
        coding = coding_by_folders(table, written, stems.map(folders))
        meaning = ", ".join(f"{value} = {label}" for value, label in sorted(coding.items()))
        reading.notes.append(f"{name} writes labels as its folders show: {meaning}")
    said = dict(zip(stems, written.map(coding)))
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
        if twin != file and _same_size(listing.root, twin, file):
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
    table = listing.root / name
    frame = read_table(table, {"path", "label"})
    frame["label"] = checked_words(table, frame["label"], dict(zip(LABELS, LABELS)), "label")
    if "split" in frame:
        frame["split"] = checked_words(table, frame["split"], SPLIT_WORDS, "split")
    else:
        frame["split"] = None
    if "source" not in frame:
        frame["source"] = frame["label"]
    frame["source"] = frame["source"].fillna(frame["label"])
    base = posixpath.dirname(name)
    frame["file"] = [_inside(listing.root, base, path) for path in frame.pop("path")]
    here = set(listing.images)
    problems = []
    for line, file in enumerate(frame["file"], start=2):
        if pd.isna(file):
            reason = f"line {line} names no file inside this folder: left out"
            problems.append(Problem(name, reason, "path outside the folder"))
    frame = frame[frame["file"].notna()]
    twice = frame["file"].duplicated()
    gone = ~frame["file"].isin(here)
    for file in frame.loc[twice, "file"]:
        problems.append(Problem(file, "named twice in the manifest", "listed twice"))
    for file in frame.loc[gone & ~twice, "file"]:
        reason = "named in the manifest, but there is no such image"
        problems.append(Problem(file, reason, "label without a file"))
    for file in sorted(here - set(frame["file"])):
        problems.append(Problem(file, "not in the manifest: left out", "no label"))
    # What the files themselves say is never taken from a table.
    own = ["width", "height", "format", "bytes", "fingerprint"]
    frame = frame[~gone & ~twice].drop(columns=[c for c in own if c in frame])
    return Reading(frame.reset_index(drop=True), problems)


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


def _capital_splits(listing: Listing) -> bool:
    pairs = set()
    for folder in {file.rpartition("/")[0] for file in listing.images}:
        above, _, label = folder.lower().rpartition("/")
        pairs.add((posixpath.basename(above), label))
    return {(s, b) for s in ("train", "validation", "test") for b in LABELS} <= pairs


def _same_size(root: Path, one: str, other: str) -> bool:
    return os.path.getsize(root / one) == os.path.getsize(root / other)


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


def _no_labels(root: Path) -> str:
    own = word_in(root.name, LABEL_WORDS)
    if own:
        return (
            f"{root} is itself the folder of {own} images: give the folder above it, "
            "which holds the real and the fake ones."
        )
    return (
        f"No folder in {root} says real or fake: put the images into real/ and fake/, "
        "or write a manifest.csv with the columns path,label."
    )
