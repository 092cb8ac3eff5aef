"""The labelled photos of several data sets, to be asked about together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepfake_lab import paths
from deepfake_lab.data import duplicates
from deepfake_lab.data.datasets import Dataset, free_name, limit_photos, read_dataset
from deepfake_lab.data.folders import scan
from deepfake_lab.data.layouts import LAYOUTS, SPLITS, detect
from deepfake_lab.data.sources import with_origin
from deepfake_lab.errors import UserError

#: With fewer photos of a label than this, a data set is taken as it is when all of it is wanted.
_FEW = 20


@dataclass(frozen=True)
class Photos:
    """The photos of one split of several data sets.

    Attributes:
        manifest: their rows, with the columns ``data, source, family`` filled.
        data: one record a data set: ``name, layout, fingerprint, real, fake``.
        split: which split was wanted.
        notes: what was decided while reading, one sentence each.
    """

    manifest: pd.DataFrame
    data: tuple[dict, ...]
    split: str
    notes: tuple[str, ...]


def available(names: Sequence[str]) -> list[str]:
    """Return those of the data sets that are on this machine, each folder once."""
    there: dict[Path, str] = {}
    for name in names:
        try:
            there.setdefault(paths.data_folder(name), name)
        except UserError:
            continue  # not there, which is what was asked
    return list(there.values())


def gather(
    folders: Sequence[str | Path] | str | Path,
    split: str = "test",
    *,
    max_photos: int = 0,
    seed: int = 0,
    layout: str = "auto",
) -> Photos:
    """Read one split of several data sets.

    Arguments and errors as :func:`deepfake_lab.evaluation.assessment.assess`.
    """
    if split not in (*SPLITS, "all"):
        raise UserError(f"Unknown split '{split}'; known: {', '.join(SPLITS)}, all.")
    if max_photos < 0:
        raise UserError(f"max_photos={max_photos}: give a number above zero, or 0 for all.")
    wanted = [folders] if isinstance(folders, str | Path) else list(folders)
    roots = [paths.data_folder(folder) for folder in wanted]
    if not roots or len(set(roots)) < len(roots):
        raise UserError("Give one or more data sets, each of them once.")
    manifests: list[pd.DataFrame] = []
    records: list[dict[str, Any]] = []
    notes: list[str] = []
    for root in roots:
        data = _read(root, split, seed, layout)
        name = free_name(data, [record["name"] for record in records])
        rows = data.manifest
        if split != "all":
            there = [known for known in SPLITS if (rows["split"] == known).any()]
            rows = rows[rows["split"] == split]
            if rows.empty:
                raise UserError(
                    f"{root} has no photos in the split '{split}'; it has: {', '.join(there)}."
                )
        if max_photos and len(rows) > max_photos:
            everything = len(rows)
            # It counts by label, so that one label alone is asked for twice as many.
            labels = rows["label"].nunique()
            if max_photos < labels:
                raise UserError(
                    f"max_photos={max_photos}: {name} has photos of both labels; give 2 or more."
                )
            # From all splits together, whatever each photo's own is.
            rows = rows.assign(split=split, own=rows["split"])
            rows = limit_photos(rows, max_photos * 2 // labels, seed)
            rows = rows.assign(split=rows["own"]).drop(columns="own")
            notes.append(f"{name}: {len(rows):,} of {everything:,} photos, drawn at random.")
        notes += [f"{name}: {note}." for note in data.notes]
        if len(data.problems):
            told = (data.problems["file"] + ": " + data.problems["problem"]).tolist()
            notes.append(f"{name}: {len(told):,} files or rows do not fit; the first: {told[0]}.")
        counts = rows["label"].value_counts()
        records.append({
            "name": name, "layout": data.layout, "fingerprint": data.fingerprint(),
            "real": int(counts.get("real", 0)), "fake": int(counts.get("fake", 0)),
        })  # fmt: skip
        rows = with_origin(rows, name)
        manifests.append(rows.assign(**{
            column: name + "/" + rows[column].astype(str) for column in ("file", "group")
        }))  # fmt: skip
    manifest, shared = _one_group_each(pd.concat(manifests, ignore_index=True))
    if shared:
        notes.append(f"{shared:,} photos lie in several of the data sets: each counts as one group")
    return Photos(manifest, tuple(records), split, tuple(notes))


def _one_group_each(manifest: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Bring files that lie in several data sets into one group; say how many there are."""
    several = manifest.groupby("fingerprint")["data"].transform("nunique") > 1
    if not several.any():
        return manifest, 0
    rows = np.arange(len(manifest))
    names = [manifest["fingerprint"].where(several, manifest["file"]), manifest["group"]]
    firsts = [pd.Series(rows).groupby(of.to_numpy()).transform("first") for of in names]
    pairs = np.concatenate([np.stack([rows, first], axis=1) for first in firsts])
    kin = pd.Series(duplicates.linked(len(manifest), pairs), index=manifest.index)
    group = manifest["group"].groupby(kin).transform("first")
    return manifest.assign(group=group), manifest.loc[several, "fingerprint"].nunique()


def _read(root: Path, split: str, seed: int, wanted: str) -> Dataset:
    """Read a data set; one that is too small or has one label only, without making splits."""
    listing = scan(root)
    if listing.images and wanted in ("auto", *LAYOUTS):
        layout = detect(listing) if wanted == "auto" else wanted
        frame = LAYOUTS[layout](listing).frame
        counts = frame["label"].value_counts()
        unsplit = bool(frame["split"].isna().all())
        if len(counts) == 1 or (split == "all" and unsplit and counts.min() < _FEW):
            return _as_it_is(root, layout, seed, split if unsplit else "")
    return read_dataset(root, wanted, seed)


def _as_it_is(root: Path, layout: str, seed: int, split: str) -> Dataset:
    """Return a data set that needs no splits; `split`, where given, is what all of it is."""
    data = read_dataset(root, layout, seed, must_split=False, both_labels=False, unsplit=split)
    frame, notes = data.manifest, list(data.notes)
    if frame["label"].nunique() == 1:
        only, other = frame["label"].iloc[0], {"real": "fake", "fake": "real"}
        rate = "false alarms" if only == "real" else "misses"
        notes.append(
            f"it has no {other[only]} photos: {rate} can be told, but neither AUC nor calibration"
        )
    return replace(data, notes=tuple(notes))
