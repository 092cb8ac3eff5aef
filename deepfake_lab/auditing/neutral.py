"""A neutral copy of a data set: what can be made equal for both labels is made equal.

Every photo is cut and scaled alike and saved with one JPEG setting and without metadata; copies and
leaks are resolved; file names say nothing. What the pixels remember (blur, an earlier compression,
a generator's trace) stays: no copy can take it away, and the audit of the result shows it.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from deepfake_lab import paths
from deepfake_lab.auditing.survey import Audit, audit, facts_table
from deepfake_lab.data import duplicates, facts, factstore
from deepfake_lab.data.datasets import COLUMNS, Dataset
from deepfake_lab.errors import UserError
from deepfake_lab.locks import lock
from deepfake_lab.photos import images
from deepfake_lab.printing import printable_lines
from deepfake_lab.progress import progress

#: Of photos that belong together, those in the first of these splits stay.
PRIORITY = ("test", "valid", "train")

_SETTINGS, _JOURNAL, _LEFT_OUT = "prepared.json", "unfinished.jsonl", "left_out.csv"


@dataclass(frozen=True)
class Prepared:
    """A neutral copy.

    Attributes:
        folder: where it lies; :func:`deepfake_lab.data.datasets.read_dataset` reads it.
        left_out: one row a photo that is not in it, columns ``file, reason``.
        before: the audit of the original.
        after: the audit of the copy.
    """

    folder: Path
    left_out: pd.DataFrame
    before: Audit
    after: Audit

    def compare(self) -> pd.DataFrame:
        """Return `signal, before, after, outcome`: the AUC of each signal in both.

        A signal that is now the same in all photos has an AUC of 0.5.
        """
        old, new = (
            found.shortcuts[found.shortcuts["pair"] == "all"].set_index("signal")
            for found in (self.before, self.after)
        )
        frame = pd.DataFrame({"before": old["auc"], "after": new["auc"]}).fillna(0.5)
        was = old["shortcut"].reindex(frame.index, fill_value=False).astype(bool)
        still = new["shortcut"].reindex(frame.index, fill_value=False).astype(bool)
        # Fewer photos, or other ones, may widen the interval: that alone cures nothing.
        less = frame["after"] < frame["before"]
        outcomes = [was & ~still & less, still | (was & ~less)]
        frame["outcome"] = np.select(outcomes, ["cured", "remains"], "")
        return frame.rename_axis("signal").sort_values("before", ascending=False).reset_index()

    def summary(self) -> str:
        """Return what was made of the data set, as text for a person."""
        kept = len(self.after.dataset.manifest)
        lines = [f"{kept:,} photos in {self.folder}, {len(self.left_out):,} left out"]
        unread = self.before.dataset.problems
        if len(unread):
            first = unread.iloc[0]
            lines.append(
                f"  {len(unread):6,} more files or rows did not fit; the first: {first['file']}: "
                f"{first['problem']}"
            )
        for reason, rows in self.left_out.groupby(self.left_out["reason"].str.split(":").str[0]):
            lines.append(f"  {len(rows):6,} {reason}")
        lines += ["", f"{'AUC without looking at a face':29} before  after"]
        for row in self.compare().itertuples():
            lines.append(f"  {row.signal:27} {row.before:6.2f} {row.after:6.2f}  {row.outcome}")
        lines += ["", f"Before: {self.before.verdict}", f"After:  {self.after.verdict}"]
        return printable_lines(lines)


def prepare(
    folder: str | Path,
    out: str | Path,
    size: int = 256,
    framing: str = "face",
    quality: int = 90,
    layout: str = "auto",
) -> Prepared:
    """Write a neutral copy of a data set; the original is only read.

    A run that was interrupted is taken up where it stopped; a copy of which files were removed is
    made again.

    Args:
        folder: the data set, as for :func:`deepfake_lab.data.datasets.read_dataset`.
        out: a new folder, outside the data set.
        size: side of the square photos, in pixels.
        framing: ``face`` or ``whole``, see :func:`deepfake_lab.photos.images.load_face`.
        quality: of the JPEG files, 1 to 95.
        layout: as for :func:`deepfake_lab.data.datasets.read_dataset`.

    Raises:
        UserError: unusable settings, an `out` that holds something else, or what
            :func:`deepfake_lab.data.datasets.read_dataset` raises.
    """
    root, target = paths.data_folder(folder), paths.expanded(out).resolve()
    _check_settings(root, target, size, framing, quality)
    paths.check_writable(target if target.exists() else target.parent)
    before = audit(root, layout)
    data = before.dataset
    settings = {
        "size": size, "framing": framing, "quality": quality, "layout": data.layout,
        "data": data.fingerprint(), "manifest": _said(data),
    }  # fmt: skip
    done = _open_target(target, settings)
    rows, left_out = resolve(data)
    rows["target"] = rows["split"] + "/" + rows["label"] + "/" + rows["fingerprint"] + ".jpg"
    if not (done.get("complete") and _nothing_missing(target)):
        try:
            made, failed = _write(rows, target, settings)
            left_out = pd.concat([left_out, failed], ignore_index=True)
            _finish(target, rows, made, left_out, settings)
        except OSError as error:
            raise UserError(
                f"{target} cannot be written: {error.strerror or error}. What was written is kept: "
                "the same command goes on."
            ) from error
    left_out = pd.read_csv(target / _LEFT_OUT, dtype=str)
    return Prepared(target, left_out, before, audit(target))


def _said(data: Dataset) -> str:
    """Return a hash of all that is said of the photos: sources, groups and the like."""
    said = [name for name in data.manifest.columns if name not in ("path", "data")]
    return hashlib.blake2b(data.manifest[said].to_csv().encode(), digest_size=8).hexdigest()


def resolve(data: Dataset) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Decide which photos stay.

    Returns:
        The rows of the manifest that stay, `group` now naming all that belongs together, and what
        is left out: `file, reason`.
    """
    table = facts_table(data)
    reasons = pd.Series(None, index=table.index, dtype="object")
    broken = table["state"] != facts.OK
    reasons[broken] = table.loc[broken, "state"].map(lambda state: facts.STATES[state])

    def staying() -> pd.DataFrame:
        return table[reasons.isna()]

    same = staying().groupby("fingerprint")
    both = same["label"].transform("nunique") > 1
    reasons[both.index[both]] = "the same file is called real and fake"
    # The copy in the split of highest priority stays, of several the first by name.
    order = (
        staying().assign(rank=staying()["split"].map(PRIORITY.index)).sort_values(["rank", "file"])
    )
    first = order.groupby("fingerprint")["file"].transform("first")
    for row in order.index[order["file"] != first]:
        reasons[row] = f"a copy of another file: {first[row]}"

    rows = staying()
    kin = _kin(rows, data.groups_from)
    rank = rows["split"].map(PRIORITY.index)
    best = rank.groupby(kin).transform("min")
    for row in rows.index[rank > best]:
        split = PRIORITY[best[row]]
        reasons[row] = f"shows the same as, or belongs to, a photo of another split: {split}"
    rows = staying().drop(columns=["thumb"])
    name = rows["group"].groupby(kin[rows.index]).transform("first")
    columns = COLUMNS + [c for c in data.manifest.columns if c not in COLUMNS]
    out = reasons.dropna()
    left_out = pd.DataFrame({"file": table.loc[out.index, "file"], "reason": out}, dtype=str)
    return rows.assign(group=name)[columns].reset_index(drop=True), left_out.reset_index(drop=True)


def _kin(rows: pd.DataFrame, groups_from: str) -> pd.Series:
    """Return for each photo the number of what it belongs to: a group, a likeness, or both."""
    if rows.empty:
        raise UserError("None of the photos can be used: `deepfake-lab audit` says why.")
    hashes, thumbs = rows["hash"].to_numpy(), np.stack(rows["thumb"].to_list())
    pairs = [duplicates.near_pairs(hashes, thumbs)]
    if groups_from != "content":
        group = pd.factorize(rows["group"])[0]
        pairs.append(duplicates.same_content(group))
    return pd.Series(duplicates.linked(len(rows), np.concatenate(pairs)), index=rows.index)


def _check_settings(root: Path, target: Path, size: int, framing: str, quality: int) -> None:
    if target == root or root in target.parents or target in root.parents:
        raise UserError(f"{target} must lie outside {root}: the data is never touched.")
    if not 64 <= size <= 2048:
        raise UserError(f"size must be from 64 to 2048 pixels, not {size}.")
    if framing not in images.FRAMINGS:
        raise UserError(f"Unknown framing '{framing}'; known: {', '.join(images.FRAMINGS)}.")
    if not 1 <= quality <= 95:
        raise UserError(f"quality must be from 1 to 95, not {quality}.")


def _open_target(target: Path, settings: dict) -> dict:
    """Return what is known of an earlier run into this folder; make it where there was none."""
    if (target / _SETTINGS).is_file():
        try:
            earlier = json.loads((target / _SETTINGS).read_text(encoding="utf-8"))
        except ValueError:
            earlier = None
        if not isinstance(earlier, dict):
            raise UserError(f"{target / _SETTINGS} is damaged: give a new folder.")
        changed = [name for name, value in settings.items() if earlier.get(name) != value]
        if changed:
            raise UserError(
                f"{target} was made with another {' and '.join(changed)}: give a new folder."
            )
        return earlier
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} holds something already: give a new folder.")
    try:
        target.mkdir(parents=True, exist_ok=True)
        _write_whole(target / _SETTINGS, json.dumps(settings, indent=2) + "\n")
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror}.") from error
    return settings


def _nothing_missing(target: Path) -> bool:
    """Return whether all files that a finished copy consists of are still there."""
    try:
        written = pd.read_csv(target / "manifest.csv", dtype=str)["path"]
    except (OSError, ValueError, LookupError):
        return False
    return (target / _LEFT_OUT).is_file() and all((target / name).is_file() for name in written)


def _write(rows: pd.DataFrame, target: Path, settings: dict) -> tuple[dict, pd.DataFrame]:
    """Write the photos that are not there yet; return how each was cut, and what failed."""
    journal = target / _JOURNAL
    work = partial(_write_chunk, str(target), settings)
    failed = []
    with journal.open("a", encoding="utf-8") as file:
        lock(file.fileno(), target)
        made = _read_journal(journal)
        there = rows["target"].map(lambda name: name in made and (target / name).is_file())
        todo = list(rows.loc[~there, ["path", "target"]].itertuples(index=False, name=None))
        parts = [todo[i : i + factstore.CHUNK] for i in range(0, len(todo), factstore.CHUNK)]
        alone = len(todo) < factstore.IN_THIS_PROCESS[facts.PIXELS]
        results = factstore.in_processes(work, parts, alone)
        for results_of_part in progress(results, "writing photos", len(parts)):
            for name, result in results_of_part:
                if isinstance(result, str):
                    failed.append((name, result))
                else:
                    made[name] = result
                    file.write(json.dumps([name, result]) + "\n")
            file.flush()
    reason = dict(failed)
    bad = rows[rows["target"].isin(reason)]
    return made, pd.DataFrame({"file": bad["file"], "reason": bad["target"].map(reason)}, dtype=str)


def _write_chunk(target: str, settings: dict, todo: list[tuple[str, str]]) -> list[tuple]:
    """Cut and save some photos; return for each its box and if a face was found, or why not."""
    results: list[tuple] = []
    for path, name in todo:
        try:
            framed = images.load_face(path, settings["size"], settings["framing"])
        except UserError as error:
            results.append((name, str(error)))
            continue
        file = Path(target, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        picture = Image.fromarray(framed.pixels)
        picture.save(part, "JPEG", quality=settings["quality"], subsampling="4:2:0")
        os.replace(part, file)  # a photo is there whole or not at all
        results.append((name, [*map(int, framed.box), framed.face is not None]))
    return results


def _read_journal(journal: Path) -> dict:
    made = {}
    if journal.is_file():
        for line in journal.read_text(encoding="utf-8").splitlines():
            try:
                name, result = json.loads(line)
            except ValueError:
                continue  # an earlier run was cut off here: the photo is made again
            made[name] = result
    return made


def _finish(
    target: Path, rows: pd.DataFrame, made: dict, left_out: pd.DataFrame, settings: dict
) -> None:
    """Write the manifest with each photo's origin; only now the folder counts as complete."""
    rows = rows[rows["target"].isin(set(made))]
    how = [made[name] for name in rows["target"]]
    extra = [column for column in rows.columns if column not in [*COLUMNS, "target"]]
    manifest = pd.DataFrame({
        "path": rows["target"], "label": rows["label"], "split": rows["split"],
        "source": rows["source"], "group": rows["group"], **{c: rows[c] for c in extra},
        "original": rows["file"], "original_width": rows["width"],
        "original_height": rows["height"], "original_format": rows["format"],
        "original_bytes": rows["bytes"],
        "box": [" ".join(map(str, box[:4])) for box in how], "face_found": [box[4] for box in how],
    })  # fmt: skip
    _write_whole(target / _LEFT_OUT, left_out.to_csv(index=False))
    _write_whole(target / "manifest.csv", manifest.to_csv(index=False))
    _write_whole(target / _SETTINGS, json.dumps(settings | {"complete": True}, indent=2) + "\n")
    (target / _JOURNAL).unlink(missing_ok=True)


def _write_whole(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
