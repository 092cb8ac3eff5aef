"""A folder as people have it -> the manifest frame.

The two conventions that other data sets use are translated here and nowhere else: CSV files of
Kaggle's 140k family say 1 = real, and class folders are named in many ways. From here on a label is
the string ``"real"`` or ``"fake"``, and FAKE is the positive class.
"""

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold
from tqdm.auto import tqdm

from deepfake_lab import paths
from deepfake_lab.errors import UserError
from deepfake_lab.images import EXTENSIONS, FORMATS

LABELS = ("real", "fake")
SPLITS = ("train", "valid", "test")

#: Columns of the manifest frame, in this order; others that a manifest.csv has come after them.
COLUMNS = [
    "path", "file", "label", "split", "source", "group",
    "width", "height", "format", "bytes", "fingerprint",
]  # fmt: skip

_SPLIT_WORDS = {
    "train": "train", "training": "train",
    "valid": "valid", "validation": "valid", "val": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip
_LABEL_WORDS = {
    "real": "real", "reals": "real",
    "fake": "fake", "fakes": "fake", "deepfake": "fake", "deepfakes": "fake",
}  # fmt: skip


@dataclass(frozen=True)
class Dataset:
    """A data set that has been read.

    Attributes:
        folder: the folder that was given.
        layout: which of :data:`LAYOUTS` it has.
        manifest: one row a usable image; see :data:`COLUMNS`. ``path`` is where the file lies on
            this machine, ``file`` its name inside the folder (the same on every machine), and
            ``group`` names what must stay in one split.
        problems: one row a thing that was left out or does not fit, columns ``file, problem``.
        notes: what was decided while reading (how missing splits were made, for example).
    """

    folder: Path
    layout: str
    manifest: pd.DataFrame
    problems: pd.DataFrame
    notes: tuple[str, ...]

    def summary(self) -> str:
        """Return what was read, in a few lines for a person."""
        counts = self.counts()
        lines = [f"{self.folder.name}: {self.layout} layout, {len(self.manifest):,} images"]
        for split in counts.index:
            real, fake = counts.loc[split, "real"], counts.loc[split, "fake"]
            lines.append(f"  {split:5}  {real:6,} real  {fake:6,} fake")
        lines += [f"  note: {note}" for note in self.notes]
        if len(self.problems):
            lines.append(f"  {len(self.problems):,} problems, see .problems; the first ones:")
            lines += [f"    {row.file}: {row.problem}" for row in self.problems[:5].itertuples()]
        return "\n".join(lines)

    def counts(self) -> pd.DataFrame:
        """Return the number of images, splits in rows and labels in columns."""
        table = pd.crosstab(self.manifest["split"], self.manifest["label"])
        return table.reindex(index=list(SPLITS), columns=list(LABELS), fill_value=0)

    def fingerprint(self) -> str:
        """Return 16 hex digits that change when a file, a label or a split changes."""
        columns = ["file", "fingerprint", "label", "split"]
        text = self.manifest.sort_values("file")[columns].to_csv(index=False)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def read_dataset(folder: str | Path, layout: str = "auto", seed: int = 0) -> Dataset:
    """Read a data set in the layout in which people have it.

    Labels come from the class folders (any letter case, any depth) or from ``manifest.csv``; where
    CSV files lie beside the folders, the two are compared. Splits that the data has are kept;
    missing ones are made by group, stratified by label and source.

    Args:
        folder: a path or a short name, see :func:`deepfake_lab.paths.data_folder`.
        layout: one of :data:`LAYOUTS`, or ``auto`` to find out.
        seed: of the splits that are made here.

    Raises:
        UserError: no such folder, no images, only one of the two labels, labels that contradict
            one another, or an unknown layout.
    """
    root = paths.data_folder(folder)
    files = _image_files(root)
    if not files:
        raise UserError(f"{root} holds no images ({', '.join(EXTENSIONS)}).")
    layout = _detect(root, files) if layout == "auto" else layout
    if layout not in LAYOUTS:
        raise UserError(f"Unknown layout '{layout}'; known: auto, {', '.join(LAYOUTS)}.")
    frame, problems = LAYOUTS[layout](root, files)
    frame, unreadable = _with_file_facts(root, frame)
    problems = pd.concat([problems, unreadable], ignore_index=True)
    _check_labels(root, frame)
    frame = frame.sort_values("file", ignore_index=True)
    frame, notes = _with_splits(frame, seed)
    others = [column for column in frame.columns if column not in COLUMNS]
    return Dataset(root, layout, frame[COLUMNS + others], problems, tuple(notes))


def limit_training(manifest: pd.DataFrame, at_most: int, seed: int = 0) -> pd.DataFrame:
    """Return the manifest with at most so many training images, both labels alike; 0 for all."""
    train = manifest[manifest["split"] == "train"]
    if not at_most or len(train) <= at_most:
        return manifest
    each = max(1, at_most // len(LABELS))
    kept = [rows.sample(min(each, len(rows)), random_state=seed) for _, rows in train.groupby("label")]
    chosen = pd.concat([*kept, manifest[manifest["split"] != "train"]])
    return chosen.sort_values("file", ignore_index=True)


# --- layouts ------------------------------------------------------------------------------------


def _read_plain(root: Path, files: list[Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Take the label and the split from the names of the folders above each file."""
    rows, problems = [], []
    for file in files:
        folders = file.relative_to(root).parts[:-1]
        label = _said(folders, _LABEL_WORDS)
        name = file.relative_to(root).as_posix()
        if label is None:
            problems.append((name, "no folder above it says real or fake: left out"))
        else:
            rows.append((name, label, _said(folders, _SPLIT_WORDS)))
    if not rows:
        raise UserError(
            f"No folder in {root} says real or fake: put the images into real/ and fake/, "
            "or write a manifest.csv with the columns path,label."
        )
    frame = pd.DataFrame(rows, columns=["file", "label", "split"])
    frame["source"] = frame["label"]
    return frame, _problems(problems)


def _read_140k(root: Path, files: list[Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Folders as in plain, checked against train.csv, valid.csv and test.csv (1 = real)."""
    frame, problems = _read_plain(root, files)
    base = _csv_folder(root, "train.csv")
    tables = [base / f"{split}.csv" for split in SPLITS if (base / f"{split}.csv").is_file()]
    said = pd.concat([_read_140k_csv(table) for table in tables], ignore_index=True)
    key = frame["split"] + "/" + frame["file"].map(lambda file: Path(file).stem)
    labels = dict(zip(said["split"] + "/" + said["id"], said["label"]))
    found = []
    for name, label, wanted in zip(frame["file"], frame["label"], key.map(labels)):
        if pd.isna(wanted):
            found.append((name, "in no CSV; label taken from its folder"))
        elif wanted != label:
            found.append((name, f"folder says {label}, CSV says {wanted}: left out"))
    missing = sorted(set(labels) - set(key))
    found += [(name, "named in a CSV, but there is no such file") for name in missing]
    contradicting = {name for name, problem in found if problem.endswith("left out")}
    if len(contradicting) > len(frame) / 2:
        raise UserError(
            f"{base}: most CSV labels contradict the folders; in this layout 1 means real. "
            "Correct the CSV files, or read the folders alone with layout='plain'."
        )
    frame = frame[~frame["file"].isin(contradicting)]
    return frame, pd.concat([problems, _problems(found)], ignore_index=True)


def _read_140k_csv(table: Path) -> pd.DataFrame:
    frame = pd.read_csv(table, dtype=str)
    missing = {"id", "label"} - set(frame.columns)
    if missing:
        raise UserError(f"{table} lacks the column {', '.join(sorted(missing))}.")
    label = frame["label"].map({"1": "real", "0": "fake"})
    if label.isna().any():
        row = int(np.flatnonzero(label.isna())[0])
        raise UserError(f"{table}, line {row + 2}: label '{frame['label'][row]}' is not 0 or 1.")
    stem = frame["id"].map(lambda name: Path(name).stem)
    return pd.DataFrame({"id": stem, "label": label, "split": table.stem})


def _read_manifest(root: Path, files: list[Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of manifest.csv: path (relative to it) and label; more columns are kept."""
    base = _csv_folder(root, "manifest.csv")
    frame = pd.read_csv(base / "manifest.csv", dtype=str)
    missing = {"path", "label"} - set(frame.columns)
    if missing:
        raise UserError(f"{base / 'manifest.csv'} lacks the column {', '.join(sorted(missing))}.")
    frame["label"] = frame["label"].str.strip().str.lower()
    odd = ~frame["label"].isin(LABELS)
    if odd.any():
        row = int(np.flatnonzero(odd)[0])
        raise UserError(
            f"{base / 'manifest.csv'}, line {row + 2}: label '{frame['label'][row]}' "
            "is neither real nor fake."
        )
    if "split" in frame:
        frame["split"] = frame["split"].str.strip().str.lower().map(_SPLIT_WORDS)
    else:
        frame["split"] = None
    prefix = base.relative_to(root)
    frame["file"] = [(prefix / path).as_posix() for path in frame.pop("path")]
    if "source" not in frame:
        frame["source"] = frame["label"]
    frame = frame.drop(columns=[c for c in ("width", "height", "format", "bytes") if c in frame])
    twice = frame["file"].duplicated()
    here = {file.relative_to(root).as_posix() for file in files}
    gone = ~frame["file"].isin(here)
    found = [(name, "named twice in the manifest") for name in frame.loc[twice, "file"]]
    found += [(name, "named in the manifest, but there is no such file") for name in frame.loc[gone, "file"]]
    found += [(name, "not in the manifest: left out") for name in sorted(here - set(frame["file"]))]
    return frame[~gone & ~twice], _problems(found)


#: Layouts that can be read: name -> reader of (root, image files) -> (frame, problems).
LAYOUTS = {"manifest": _read_manifest, "140k": _read_140k, "plain": _read_plain}


def _detect(root: Path, files: list[Path]) -> str:
    if _csv_folder(root, "manifest.csv", required=False):
        return "manifest"
    if _csv_folder(root, "train.csv", required=False):
        return "140k"
    return "plain"


def _csv_folder(root: Path, name: str, required: bool = True) -> Path | None:
    """Return the folder that holds the CSV: the root, or one or two folders below it."""
    for pattern in (name, f"*/{name}", f"*/*/{name}"):
        found = sorted(root.glob(pattern))
        if found:
            return found[0].parent
    if required:
        raise UserError(f"{root} holds no {name}.")
    return None


# --- steps that all layouts share ---------------------------------------------------------------


def _image_files(root: Path) -> list[Path]:
    found = (path for path in root.rglob("*") if path.suffix.lower() in EXTENSIONS)
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))


def _said(folders: tuple[str, ...], words: dict[str, str]) -> str | None:
    """Return what the nearest folder says, reading `training_fake`, `FakeFaces`, `Real` alike."""
    for folder in reversed(folders):
        spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", folder)
        meanings = {words[token] for token in re.split(r"[^a-z]+", spaced.lower()) if token in words}
        if len(meanings) == 1:
            return meanings.pop()
    return None


def _problems(rows: list[tuple[str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["file", "problem"], dtype=str)


def _with_file_facts(root: Path, frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Add what the files themselves say; leave out those that are no images."""
    frame = frame.reset_index(drop=True)
    with ThreadPoolExecutor() as pool:
        work = pool.map(_file_facts, [root / name for name in frame["file"]])
        facts = list(tqdm(work, total=len(frame), desc="reading files", leave=False, disable=None))
    good = np.array([isinstance(fact, dict) for fact in facts], dtype=bool)
    bad = [(name, fact) for name, fact in zip(frame["file"], facts) if not isinstance(fact, dict)]
    columns = ["path", "width", "height", "format", "bytes", "fingerprint"]
    added = pd.DataFrame([fact for fact in facts if isinstance(fact, dict)], columns=columns)
    kept = frame[good].reset_index(drop=True)
    return pd.concat([kept, added], axis="columns"), _problems(bad)


def _file_facts(path: Path) -> dict | str:
    """Return the facts of one image file, or the reason why it is none."""
    try:
        content = path.read_bytes()
        with Image.open(path, formats=FORMATS) as image:
            width, height, kind = image.width, image.height, image.format
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "an empty file" if path.stat().st_size == 0 else "not a readable image"
        return f"{reason} ({type(error).__name__}): left out"
    return {
        "path": str(path), "width": width, "height": height, "format": kind, "bytes": len(content),
        "fingerprint": hashlib.blake2b(content, digest_size=8).hexdigest(),
    }  # fmt: skip


def _check_labels(root: Path, frame: pd.DataFrame) -> None:
    if frame.empty:
        raise UserError(f"{root}: none of the files is a readable image.")
    there = set(frame["label"])
    for label in LABELS:
        if label not in there:
            raise UserError(
                f"{root} has only {there.pop()} images; a detector needs real and fake ones."
            )


def _with_splits(frame: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, list[str]]:
    """Keep the splits that are there, make the missing ones out of the rest, by group."""
    if "group" not in frame:
        frame["group"] = frame["fingerprint"]  # identical files stay together
    frame["group"] = frame["group"].fillna(frame["fingerprint"])
    notes = []
    given = set(frame["split"].dropna())
    if given == set(SPLITS) and frame["split"].notna().all():
        return frame, notes
    # Files without a split join the training data; from there the missing splits are cut.
    frame["split"] = frame["split"].fillna("train").astype(str)
    missing = [split for split in ("test", "valid") if split not in given]
    for split, folds in zip(missing, (5, 4) if len(missing) == 2 else (5,)):
        rows = frame.index[frame["split"] == "train"]
        frame.loc[_one_fold(frame.loc[rows], folds, seed), "split"] = split
    if missing:
        made = " and ".join(reversed(missing))
        notes.append(f"{made} made from the training images by group, seed {seed}")
    return frame, notes


def _one_fold(frame: pd.DataFrame, folds: int, seed: int) -> pd.Index:
    """Return the rows of one of so many stratified folds that keep groups whole."""
    groups = frame.groupby("label")["group"].nunique()
    if len(groups) < 2 or groups.min() < folds:
        raise UserError(
            f"Too few images to make splits: {dict(groups)} groups per label, {folds} needed; "
            "bring more images, or sort them into train/, valid/ and test/ yourself."
        )
    strata = frame["label"] + "/" + frame["source"].astype(str)
    cutter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    _, fold = next(cutter.split(frame, strata, frame["group"]))
    return frame.index[fold]
