"""What is wrong with a data set, before anything is trained on it."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from deepfake_lab import paths
from deepfake_lab.auditing import checks, shortcuts
from deepfake_lab.auditing.checks import Finding
from deepfake_lab.auditing.report import write_report
from deepfake_lab.auditing.results import Results
from deepfake_lab.data import duplicates, facts, factstore
from deepfake_lab.data.datasets import Dataset, read_dataset
from deepfake_lab.data.folders import scan

if TYPE_CHECKING:  # an extra
    from distributed import Client

#: Faces are looked for in about this many photos: the dearest fact by far, and enough to judge by.
FACES = 3000


@dataclass(frozen=True)
class Audit(Results):
    """What an audit found, with a page of it."""

    def to_html(self, path: str | Path) -> Path:
        """Write the audit as one page that needs no other file; return where."""
        return write_report(self, paths.expanded(path))


def audit(
    data: Dataset | str | Path,
    layout: str = "auto",
    faces: int = FACES,
    seed: int = 0,
    cluster: "Client | None" = None,
) -> Audit:
    """Look a data set over: files, duplicates and leaks, balance, shortcuts, faces.

    Every file is decoded once, on all cores; its facts are kept (see
    :func:`deepfake_lab.data.factstore.cache_file`), so that a second audit takes a moment. The data
    folder is only read.

    Args:
        data: what :func:`read_dataset` returned, or a folder as for it.
        layout: as for :func:`read_dataset`, where a folder is given.
        faces: in about how many photos faces are looked for; 0 for all of them.
        seed: of folds, of the bootstrap and, where a folder is given, of splits made here.
        cluster: whose workers read the files of a folder, by the same paths; None for the cores of
            this machine.

    Raises:
        UserError: as :func:`read_dataset`.
    """
    if not isinstance(data, Dataset):
        data = _read_once(data, layout, faces, seed, cluster)
    share = _share(faces, len(data.manifest))
    key = _key(data, share, seed)
    kept = factstore.remembered(key)
    if kept is None:
        kept = json.dumps(_examine(data, share, seed))
        factstore.remember(key, kept)
    result = json.loads(kept)
    columns = dict.fromkeys(["signal", "pair", "real", "fake"], str)
    measured = pd.DataFrame(result["shortcuts"]).astype(columns)
    found = tuple(Finding(**fault | {"files": tuple(fault["files"])}) for fault in result["faults"])
    return Audit(data, result["verdict"], found, measured, result["faces_looked_for"])


def facts_table(dataset: Dataset, faces: int = FACES) -> pd.DataFrame:
    """Return the manifest with the facts of each file: what the signals are made of.

    Args:
        dataset: what :func:`read_dataset` returned.
        faces: as for :func:`audit`. Where faces were not looked for, `faces` is -1.
    """
    return _table(dataset, _share(faces, len(dataset.manifest)))


def _share(faces: int, photos: int) -> float:
    return min(1.0, faces / max(1, photos)) if faces else 1.0


def _read_once(
    folder: str | Path, layout: str, faces: int, seed: int, cluster: "Client | None"
) -> Dataset:
    """Read a data set whose facts have all been found before: no file is read twice."""
    root = paths.data_folder(folder)
    images = scan(root).images
    factstore.collect(root, images, facts.PIXELS, _share(faces, len(images)), cluster)
    # Of what cannot be split an audit has much to say: that it is all copies, for example.
    return read_dataset(root, layout, seed, must_split=False)


def _table(dataset: Dataset, share: float) -> pd.DataFrame:
    manifest = dataset.manifest
    found = factstore.collect_anywhere(manifest["path"].astype(str).tolist(), facts.PIXELS, share)
    fresh = [name for name in facts.RECORD.fields or () if name not in manifest and name != "thumb"]
    columns = {name: found[name] for name in fresh} | {"mode": np.char.decode(found["mode"])}
    table = pd.concat([manifest, pd.DataFrame(columns)], axis="columns")
    table["thumb"] = list(found["thumb"])
    table["aspect"] = table["width"] / table["height"]
    table["bytes_per_pixel"] = table["bytes"] / (table["width"] * table["height"])
    # Which photos were chosen follows from this audit, not from what an earlier one looked at.
    table.loc[~facts.is_chosen(found["fingerprint"], share), "faces"] = -1
    no_face = table["faces"] < 1
    table.loc[no_face, ["face_size", "face_x", "face_y"]] = np.nan
    return table


def _examine(dataset: Dataset, share: float, seed: int) -> dict:
    table = _table(dataset, share)
    good = table[table["state"] == facts.OK]
    measured = shortcuts.measure(good.drop(columns="thumb"), seed)
    found = (
        checks.reading(dataset.problems)
        + checks.files(table)
        + checks.repeated(table, dataset.groups_from)
        + checks.balance(table)
        + checks.given_away(measured, table)
        + checks.faces(table)
    )
    found.sort(key=lambda fault: checks.SEVERITIES.index(fault.severity))
    return {
        "verdict": _verdict(measured, found),
        "faults": [asdict(fault) for fault in found],
        "shortcuts": measured.to_dict("list"),
        "faces_looked_for": int((table["faces"] >= 0).sum()),
    }


def _verdict(measured: pd.DataFrame, found: list[Finding]) -> str:
    overall = measured[measured["pair"] == "all"].sort_values("auc", ascending=False)
    trivial = overall[~overall["signal"].isin(["source", "framing"])]
    wrong = _gravest(found)
    if trivial.empty:
        return f"There are too few photos, or too few groups, to look for shortcuts{wrong}."
    score = overall.loc[overall["signal"] != "source", "auc"].max()
    guilty = overall.loc[overall["shortcut"] & (overall["signal"] != shortcuts.TOGETHER), "signal"]
    hits = measured[(measured["pair"] != "all") & measured["shortcut"]]
    hits = hits[~hits["signal"].isin([*guilty, shortcuts.TOGETHER])]
    between = hits.groupby("signal")["auc"].agg(["size", "max"]).sort_values(["size", "max"])[::-1]
    names = _listed(list(between.index[:3]))
    if trivial["shortcut"].any() or len(guilty):
        what = _listed(list(guilty[:4])) if len(guilty) else "many weak signals together"
        verb = "gives" if len(guilty) == 1 else "give"
        said = (
            f"Without a look at a face, the signals measured here score {score:.2f}: "
            f"{what} {verb} the label away"
        )
        if names:
            said += f"; between single sources, {names} {'does' if len(between) == 1 else 'do'} too"
    elif names:
        (top,) = hits.nlargest(1, "auc").to_dict("records")
        said = (
            f"Over all photos no signal is a shortcut (the strongest: {score:.2f}, a coin 0.50), "
            f"but between single sources {names} {'gives' if len(between) == 1 else 'give'} the "
            f"label away: up to {top['auc']:.2f} ({top['pair']})"
        )
    else:
        said = _no_shortcut(trivial)
    return f"{said}{wrong}."


def _no_shortcut(trivial: pd.DataFrame) -> str:
    """Say how far the label shows without a face, where no signal is called a shortcut."""
    best = trivial.iloc[0]
    numbers = f"{best['auc']:.2f} ({best['low']:.2f} to {best['high']:.2f}, {best['signal']})"
    if (trivial["low"] <= 0.5).all():
        if best["auc"] <= shortcuts.THRESHOLD:
            return (
                "Nothing gives the label away without a look at the face, as far as these photos "
                f"can tell: the best a trivial model does is {numbers}, a coin 0.50"
            )
        return (
            "There are too few photos to tell whether anything gives the label away without a look "
            f"at the face: the best a trivial model does is {numbers}, a coin 0.50"
        )
    strong = best["auc"] > shortcuts.THRESHOLD
    return (
        f"No signal is {'surely ' if strong else ''}a shortcut, but the label shows a little "
        f"without a look at the face: the best a trivial model does is {numbers}, a coin 0.50"
    )


def _gravest(found: list[Finding]) -> str:
    """Return the half-sentence on what makes every score too good, empty where nothing does."""
    graves = [
        fault for fault in found
        if fault.severity == "high" and ("across" in fault.finding or "contradict" in fault.finding)
    ]  # fmt: skip
    return "".join(f"; {fault.finding}: {fault.count:,}" for fault in graves[:2])


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _key(dataset: Dataset, share: float, seed: int) -> str:
    """Return a name for this question; it changes with the data, the settings and the code."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{factstore.code_version()} {share} {seed} {dataset.groups_from}".encode())
    for file in (__file__, checks.__file__, duplicates.__file__, shortcuts.__file__):
        digest.update(Path(file).read_bytes())
    for column in ("file", "label", "split", "source", "group", "fingerprint"):
        digest.update("\n".join(dataset.manifest[column].astype(str)).encode())
    digest.update(dataset.problems.to_csv(index=False).encode())
    return digest.hexdigest()
