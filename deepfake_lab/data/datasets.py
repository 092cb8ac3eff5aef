"""A folder as people have it -> the manifest frame.

What a layout says of labels and splits comes from :mod:`deepfake_lab.data.layouts`; here the files
are looked at, groups are found and missing splits are made. From here on a label is the string
``"real"`` or ``"fake"``, and FAKE is the positive class.
"""

import hashlib
import os
import warnings
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from deepfake_lab import paths
from deepfake_lab.data import duplicates, facts, factstore
from deepfake_lab.data.folders import Problem, scan
from deepfake_lab.data.layouts import LAYOUTS, SPLITS, detect, tables_unused
from deepfake_lab.data.sources import dataset_name, with_origin
from deepfake_lab.data.tables import LABELS
from deepfake_lab.errors import UserError
from deepfake_lab.photos.images import EXTENSIONS, MAX_PIXELS, MIN_SIDE, why_no_decoder
from deepfake_lab.photos.listing import tell_passed_over
from deepfake_lab.printing import printable_lines, unicode_name

#: Columns of the manifest frame, in this order; others that a manifest.csv has come after them.
COLUMNS = [
    "path", "file", "label", "split", "source", "group",
    "width", "height", "format", "bytes", "fingerprint",
]  # fmt: skip

_REASONS = {
    facts.EMPTY: "an empty file: left out",
    facts.NOT_AN_IMAGE: "not a readable image: left out",
    facts.UNREADABLE: "cannot be opened (no permission, or it has gone): left out",
    facts.TOO_LARGE: f"more than {MAX_PIXELS // 1_000_000} megapixels: left out",
    facts.TOO_SMALL: f"a side of less than {MIN_SIDE} pixels: left out",
}


@dataclass(frozen=True)
class Dataset:
    """A data set that has been read.

    Attributes:
        folder: the folder that was given.
        layout: which of :data:`LAYOUTS` it has.
        manifest: one row a usable image; see :data:`COLUMNS`. ``path`` is where the file lies on
            this machine, ``file`` its name inside the folder (the same on every machine), and
            ``group`` names what must stay in one split.
        problems: one row a thing that was left out or does not fit, columns
            ``file, problem, kind``.
        notes: what was decided while reading (how missing splits were made, for example).
        groups_from: ``manifest``, ``likeness`` (photos that show nearly the same), or ``content``
            (identical files only: the data has splits of its own).
    """

    folder: Path
    layout: str
    manifest: pd.DataFrame
    problems: pd.DataFrame
    notes: tuple[str, ...]
    groups_from: str = "manifest"

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
        return printable_lines(lines)

    def counts(self) -> pd.DataFrame:
        """Return the number of images, splits in rows and labels in columns."""
        table = pd.crosstab(self.manifest["split"], self.manifest["label"])
        return table.reindex(index=list(SPLITS), columns=list(LABELS), fill_value=0)

    def fingerprint(self) -> str:
        """Return 16 hex digits that change when a file, a label or a split changes."""
        columns = ["file", "fingerprint", "label", "split"]
        text = self.manifest.sort_values("file")[columns].to_csv(index=False)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def read_dataset(
    folder: str | Path, layout: str = "auto", seed: int = 0, *, must_split: bool = True,
    both_labels: bool = True, unsplit: str = "",
) -> Dataset:  # fmt: skip
    """Read a data set in the layout in which people have it.

    Labels come from the class folders (any letter case, any depth) or from ``manifest.csv``; where
    CSV files lie beside the folders, the two are compared. Splits that the data has are kept;
    missing ones are made by group, stratified by label and source. Groups are those of the
    manifest; where there are none, photos that show nearly the same are one group.

    Args:
        folder: a path or a short name, see :func:`deepfake_lab.paths.data_folder`.
        layout: one of :data:`LAYOUTS`, or ``auto`` to find out.
        seed: of the splits that are made here.
        must_split: refuse data of which no splits can be made; else all of it is called train,
            and data of one label are not split.
        both_labels: refuse data of one label alone; else it may be a part of what is joined.
        unsplit: what all of it is called where the data have no splits; by default they are made.

    Raises:
        UserError: no such folder, no images, only one of the two labels, labels that contradict
            one another, an unknown layout, or a seed that no generator takes.
    """
    check_seed(seed)
    if layout != "auto" and layout not in LAYOUTS:
        raise UserError(f"Unknown layout '{layout}'; known: auto, {', '.join(LAYOUTS)}.")
    root = paths.data_folder(folder)
    if unicode_name(str(root)) != str(root):
        raise UserError(f"{root}: this path is not UTF-8; rename the folder.")
    listing = scan(root)
    if not listing.images:
        first = f" Unpack {listing.archives[0]} first." if listing.archives else ""
        told = [f"{problem.file}: {problem.problem}" for problem in listing.problems]
        also = f" {tell_passed_over(told)}" if told else ""
        raise UserError(f"{root} holds no images ({', '.join(EXTENSIONS)}).{first}{also}")
    layout = detect(listing) if layout == "auto" else layout
    reading = LAYOUTS[layout](listing)
    frame, unusable = _with_file_facts(root, reading.frame)
    problems = [asdict(problem) for problem in listing.problems + reading.problems + unusable]
    _check_labels(root, frame, reading.problems, unusable, both_labels)
    if layout == "plain":
        reading.notes += tables_unused(listing)
    frame = frame.sort_values("file", ignore_index=True)
    groups_from = _groups_from(frame)
    frame, grouping = _with_groups(root, frame, layout, groups_from)
    if unsplit and frame["split"].isna().all():
        frame["split"], splitting = unsplit, ["it has no splits: all of it is taken"]
    else:
        frame, splitting = _with_splits(frame, seed, must_split)
    others = [column for column in frame.columns if column not in COLUMNS]
    return Dataset(
        root, layout, frame[COLUMNS + others],
        pd.DataFrame(problems, columns=["file", "problem", "kind"], dtype=str),
        tuple(reading.notes + grouping + splitting), groups_from,
    )  # fmt: skip


def join(datasets: list[Dataset]) -> Dataset:
    """Return several data sets as one, to train on all of them.

    Sources get the names that :func:`deepfake_lab.data.sources.with_origin` gives them; the column
    ``data`` says which data set a photo is from. What is in several sets, or nearly the same, comes
    into one split with its groups: the test split if one of them lies there, else ``valid``.
    """
    if len(datasets) == 1:
        return datasets[0]
    names: list[str] = []
    for data in datasets:
        names.append(free_name(data, names))
    manifests, problems, notes = [], [], []
    for name, data in zip(names, datasets):
        manifest = with_origin(data.manifest, name)
        for column in ("file", "group"):
            manifest[column] = name + "/" + manifest[column].astype(str)
        manifests.append(manifest)
        problems.append(data.problems.assign(file=name + "/" + data.problems["file"]))
        notes += [f"{name}: {note}" for note in data.notes]
    manifest, kept = _one_split_each(pd.concat(manifests, ignore_index=True))
    notes += kept
    return Dataset(
        Path("+".join(names)), "+".join(dict.fromkeys(data.layout for data in datasets)),
        manifest, pd.concat(problems, ignore_index=True),
        tuple(notes), "+".join(dict.fromkeys(data.groups_from for data in datasets)),
    )  # fmt: skip


def free_name(data: Dataset, taken: list[str]) -> str:
    """Return what to call a data set: two folders of the same name are told apart by a number."""
    name = dataset_name(data.layout, data.folder.name)
    numbered = (f"{name}_{number}" for number in range(2, len(taken) + 2))
    return next(free for free in (name, *numbered) if free not in taken)


def _one_split_each(manifest: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Bring what several data sets share into one split each; say how many photos that moved."""
    found = factstore.collect_anywhere(manifest["path"].tolist(), facts.PIXELS)
    near = duplicates.near_pairs(found["hash"], found["thumb"], duplicates.KEEP_TOGETHER)
    pairs = np.concatenate([duplicates.same_content(found["fingerprint"]), near])
    same = duplicates.clusters(
        len(manifest), pairs, found["hash"], found["thumb"], duplicates.KEEP_TOGETHER
    )
    shared = (manifest.groupby(same)["data"].transform("nunique") > 1).to_numpy()
    rows = pd.Series(np.arange(len(manifest)))
    alike, grouped = (np.stack([rows, rows.groupby(of).transform("first")], axis=1)
                      for of in (same, manifest["group"].to_numpy()))  # fmt: skip
    kin = duplicates.linked(len(manifest), np.concatenate([alike[shared], grouped]))
    order = manifest["split"].map(SPLITS.index)
    to = order.groupby(kin).transform("max")
    to = to.where(pd.Series(shared).groupby(kin).transform("any"), order)
    moved = int((to != order).sum())
    if not moved:
        return manifest, []
    note = f"{moved} photos that another data set has too, or their groups, went into its split"
    return manifest.assign(split=to.map(dict(enumerate(SPLITS)))), [note]


def check_seed(seed: int) -> None:
    """Raise a :class:`UserError` for a seed that no generator takes."""
    if not 0 <= seed < 2**32:
        raise UserError(f"seed={seed}: a seed lies in 0 to 2**32 - 1.")


def limit_photos(manifest: pd.DataFrame, at_most: int, seed: int = 0) -> pd.DataFrame:
    """Return the manifest with at most so many photos of each split, both labels alike.

    Args:
        manifest: as :func:`read_dataset` makes it.
        at_most: photos per split; 0 for all.
        seed: of the choice.

    Raises:
        UserError: fewer than one photo of each label, or a seed that no generator takes.
    """
    if not at_most:
        return manifest
    check_seed(seed)
    each = at_most // len(LABELS)
    if each < 1:
        raise UserError(
            f"At most {at_most} photos of each split: give {len(LABELS)} or more, so that both "
            "labels are there, or 0 for all."
        )
    parts = [
        rows.sample(min(each, len(rows)), random_state=seed)
        for _, rows in manifest.groupby(["split", "label"])
    ]
    return pd.concat(parts).sort_values("file", ignore_index=True)


def _with_file_facts(root: Path, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Problem]]:
    """Add what the files themselves say; leave out those that are no images."""
    frame = frame.reset_index(drop=True)
    found = factstore.collect(root, frame["file"].tolist())
    bad = np.isin(found["state"], list(_REASONS))  # the others are usable, says their header
    unusable = [
        _unusable(root, file, state) for file, state in zip(frame["file"][bad], found["state"][bad])
    ]
    found, frame = found[~bad], frame[~bad].reset_index(drop=True)
    frame["path"] = [os.path.join(root, file) for file in frame["file"]]
    for column in ("width", "height", "bytes"):
        frame[column] = found[column].astype(np.int64)
    frame["format"] = np.char.decode(found["format"])
    frame["fingerprint"] = [f"{fingerprint:016x}" for fingerprint in found["fingerprint"].tolist()]
    return frame, unusable


def _unusable(root: Path, file: str, state: int) -> Problem:
    """Return why a file is left out; of an image without a decoder here, what would read it."""
    if state == facts.NOT_AN_IMAGE:
        with suppress(OSError), open(os.path.join(root, file), "rb") as stream:
            why = why_no_decoder(stream.read(64))
            if why:
                return Problem(file, f"{why}: left out", "no decoder")
    return Problem(file, _REASONS[state], facts.STATES[state])


def _check_labels(
    root: Path, frame: pd.DataFrame, problems: list[Problem], unusable: list[Problem],
    both_labels: bool,
) -> None:  # fmt: skip
    if frame.empty:
        first = f"; the first: {unusable[0].file}: {unusable[0].problem}" if unusable else ""
        raise UserError(f"{root}: none of the files is a readable image{first}.")
    there = set(frame["label"])
    for label in LABELS:
        if both_labels and label not in there:
            without = [problem for problem in problems if problem.kind == "no label"]
            also = ""
            if without:
                told = f"{without[0].file}: {without[0].problem}"
                also = f" {len(without):,} more say no label; the first: {told}."
            raise UserError(
                f"{root} has only {there.pop()} images; a detector needs real and fake ones.{also}"
            )


def _groups_from(frame: pd.DataFrame) -> str:
    if "group" in frame and frame["group"].notna().any():
        return "manifest"
    return "likeness" if _missing_splits(frame) else "content"


def _with_groups(
    root: Path, frame: pd.DataFrame, layout: str, groups_from: str
) -> tuple[pd.DataFrame, list[str]]:
    """Name what must stay in one split; look at the pictures only where splits must be made."""
    if groups_from == "manifest":
        frame["group"] = frame["group"].fillna(frame["fingerprint"])
        return frame, []
    frame["group"] = frame["fingerprint"]  # identical files stay together
    if groups_from == "content":
        return frame, []
    found = factstore.collect(root, frame["file"].tolist(), facts.PIXELS)
    near = duplicates.near_pairs(found["hash"], found["thumb"], duplicates.KEEP_TOGETHER)
    pairs = [duplicates.same_content(found["fingerprint"]), near]
    if layout == "ciplab":
        # No file name says which photo was edited; the picture around the edit does.
        fake = (frame["label"] == "fake").to_numpy()
        pairs.append(duplicates.edited_pairs(found["hash"], found["thumb"], fake))
    cluster = duplicates.clusters(
        len(frame), np.concatenate(pairs), found["hash"], found["thumb"], duplicates.KEEP_TOGETHER
    )
    # The name of a cluster is that of its first file: the same on every machine.
    first = frame.groupby(cluster)["fingerprint"].transform("first")
    frame["group"] = first.to_numpy()
    together = int((frame["group"].map(frame["group"].value_counts()) > 1).sum())
    if not together:
        return frame, []
    kept = f"{together} photos that show nearly the same as another stay in one split with it"
    return frame, [kept]


def _missing_splits(frame: pd.DataFrame) -> list[str]:
    """Return the splits that have to be made, the one to be cut first in front."""
    given = set(frame["split"].dropna())
    if frame["split"].notna().all() and "train" not in given:
        return []  # made for evaluation alone
    return [split for split in ("test", "valid") if split not in given]


def _with_splits(
    frame: pd.DataFrame, seed: int, must_split: bool
) -> tuple[pd.DataFrame, list[str]]:
    """Keep the splits that are there, make the missing ones out of the rest, by group."""
    notes = []
    missing = _missing_splits(frame) if must_split or frame["label"].nunique() > 1 else []
    without = int(frame["split"].isna().sum())
    if without and not frame["split"].isna().all():
        notes.append(f"{without} images without a split were put into train")
    # Files without a split join the training data; from there the missing splits are cut.
    frame["split"] = frame["split"].astype(object).fillna("train").astype(str)
    if not (frame["split"] == "train").any():
        notes.append("no training images: this data can only be evaluated on")
    for split, folds in zip(missing, (5, 4) if len(missing) == 2 else (5,)):
        rows = frame.index[frame["split"] == "train"]
        try:
            fold = _one_fold(frame.loc[rows], folds, seed)
        except UserError as error:
            if must_split:
                raise
            frame.loc[frame["split"].isin(missing), "split"] = "train"
            return frame, [*notes, f"no splits were made: {str(error).partition('; ')[0]}"]
        frame.loc[fold, "split"] = split
    if missing:
        made = " and ".join(reversed(missing))
        notes.append(f"{made} made from the training images by group, seed {seed}")
    return frame, notes


def _one_fold(frame: pd.DataFrame, folds: int, seed: int) -> pd.Index:
    """Return the rows of one of so many stratified folds that keep groups whole."""
    from sklearn.model_selection import StratifiedGroupKFold

    groups = frame.groupby("label")["group"].nunique()
    sources = frame["label"] + "/" + frame["source"].astype(str)
    cutter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    if groups.min() >= folds:
        for strata in (sources, frame["label"]):
            if strata.value_counts().max() < folds:  # no source could lie in every fold
                continue
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "The least populated class", UserWarning)
                cut = list(cutter.split(frame, strata, frame["group"]))
            # Few groups of several sources can leave a fold without one of the labels.
            for both in cut:
                if all(frame["label"].iloc[part].nunique() == len(groups) for part in both):
                    return frame.index[both[1]]
    listed = ", ".join(f"{count} {label}" for label, count in groups.items())
    raise UserError(
        f"Too few images to make splits: {listed} groups, {folds} of each label needed; "
        "bring more images, or sort them into train/, valid/ and test/ yourself."
    )
