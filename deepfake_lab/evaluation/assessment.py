"""A detector and data sets in, everything that a sceptic asks for out.

One call, :func:`assess`, for notebook and command alike: it reads the data sets, asks the detector
about one split of each, and makes the tables.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from deepfake_lab import paths
from deepfake_lab.data import seen
from deepfake_lab.detection.detector import Detector
from deepfake_lab.errors import UserError
from deepfake_lab.evaluation import appendix, breakdown, degradations, subgroups, views
from deepfake_lab.evaluation.labelled import Photos, available, gather
from deepfake_lab.evaluation.metrics import Scores, roc_auc
from deepfake_lab.evaluation.results import Results
from deepfake_lab.printing import printable

if TYPE_CHECKING:  # an extra
    from distributed import Client

__all__ = [
    "Assessment",
    "Photos",
    "assess",
    "available",
    "check_out",
    "compare",
    "gather",
    "tables_of",
]


#: An AUC below this, with at least so many photos of each label, is a hint at swapped labels.
_SWAPPED, _FEW = 0.2, 10


@dataclass(frozen=True)
class Assessment(Results):
    """What was found about a detector, as text and as files."""

    def summary(self) -> str:
        """Return the main tables, aligned for people."""
        return views.summary(self)

    def save(self, folder: str | Path) -> Path:
        """Write predictions, tables, metrics, figures and ``report.md``; return the folder.

        Raises:
            UserError: the folder cannot be written.
        """
        return appendix.save(self, paths.expanded(folder))


def assess(
    detector: Detector,
    folders: Sequence[str | Path] | str | Path,
    split: str = "test",
    degrade: bool = False,
    *,
    max_photos: int = 0,
    seed: int = 0,
    layout: str = "auto",
    cluster: "Client | None" = None,
) -> Assessment:
    """Ask a detector about one split of several data sets and measure its answers.

    Args:
        detector: who is asked.
        folders: data sets, as :func:`deepfake_lab.data.datasets.read_dataset` takes them; one
            that has only real or only fake photos is measured as far as that goes.
        split: ``train``, ``valid``, ``test`` or ``all``.
        degrade: also damage every photo in each way of
            :data:`deepfake_lab.evaluation.degradations.CURVES` and ask again: about two dozen times
            the work.
        max_photos: at most so many photos of each data set, both labels alike; 0 for all.
        seed: of the bootstrap, of splits that have to be made, and of the choice of photos.
        layout: of all of them, one of :data:`deepfake_lab.data.layouts.LAYOUTS`; ``auto`` to find
            out.
        cluster: whose workers judge the photos, by the same paths; None for this machine's cores.

    Raises:
        UserError: no such data set, an unknown layout, a split that it does not have, or no photo
            that can be read.
    """
    photos = gather(folders, split, max_photos=max_photos, seed=seed, layout=layout)
    predictions = _without_paths(detector.predict_many(photos.manifest, cluster=cluster))
    clean = breakdown.prepared(predictions)
    if clean.empty:
        raise UserError(f"None of the {len(predictions)} photos can be read; see `audit`.")
    tables = tables_of(predictions, seed)
    degraded = pd.DataFrame()
    if degrade:
        answers = list(degradations.degraded_answers(detector, clean, degradations.CURVES, cluster))
        parts = breakdown.family_parts(clean)
        if parts:
            found = degradations.degradation_table(clean, answers, parts, seed)
            tables["degradations"] = found
        degraded = pd.concat([
            rows[["data", "file", "label", "source", "family", "p_fake", "verdict", "uncertain"]]
            .assign(kind=kind, level=level)
            for kind, level, rows in answers
        ])  # fmt: skip
    notes = (
        photos.notes
        + tuple(_learned_from(detector, photos))
        + tuple(_caveats(detector, photos, predictions, clean))
    )
    return Assessment(detector, photos, predictions, tables, notes, degraded, seed)


def tables_of(predictions: pd.DataFrame, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Return every table that a predictions frame allows; see :class:`Assessment`."""
    return {
        "families": breakdown.family_table(predictions, seed),
        "sources": breakdown.source_table(predictions, seed),
        "same_source": breakdown.same_source_table(predictions, seed),
        "cross_source": breakdown.cross_source_table(predictions, seed),
        "coverage": breakdown.coverage_table(predictions),
        "reliability": breakdown.reliability_table(predictions),
        "subgroups": subgroups.subgroup_table(predictions),
    }


def compare(assessments: Sequence[Assessment], table: str = "families") -> pd.DataFrame:
    """Return one table of several detectors, one below the other, with the column ``detector``."""
    return pd.concat(
        [found.tables[table].assign(detector=found.detector.name) for found in assessments],
        ignore_index=True,
    )


def check_out(folder: str | Path, data: Sequence[str | Path] = ()) -> Path:
    """Return the folder that an assessment is to be written to.

    Args:
        folder: as a person names it.
        data: the data sets that are assessed.

    Raises:
        UserError: it is a file, cannot be written, holds a detector, an assessment or another file
            that would be replaced, or lies in one of the data sets.
    """
    folder = paths.expanded(folder)
    for root in map(paths.data_folder, data):
        if root in (folder.resolve(), *folder.resolve().parents):
            raise UserError(
                f"{folder} must lie outside {root}: its pictures would be taken for photos; name "
                "another folder."
            )
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder for the results.")
    if (folder / "report.md").exists():
        raise UserError(f"{folder} holds an evaluation already; name another folder.")
    if paths.detector_file(folder).exists():
        raise UserError(f"{folder} holds a detector and its own evaluation; name another folder.")
    damaged = [f"figures/{file.name}" for file in (folder / "figures").glob("degradations_*.png")]
    for name in (*appendix.FILES, *damaged):
        if (folder / name).exists():
            raise UserError(f"{folder} holds {name}, which would be replaced; name another folder.")
    return paths.check_writable(folder)


def _without_paths(predictions: pd.DataFrame) -> pd.DataFrame:
    """Say why a photo could not be read without saying where it lies: results are passed on."""
    reasons = [
        error.removeprefix(f"{printable(path)}: ")
        for error, path in zip(predictions["error"].astype(str), predictions["path"])
    ]
    return predictions.assign(error=reasons)


def _learned_from(detector: Detector, photos: Photos) -> Iterator[str]:
    """Yield how many of the photos the detector has learned from, whatever they are called."""
    known = seen.known_again(Path(detector.folder), photos.manifest["path"].tolist())
    if known is None:
        yield (
            "Which photos it has learned from was not recorded: some of these may be among them."
        )
        return
    same, near = known
    if near is None:
        near = np.zeros(len(same), bool)
        yield (
            "The files that it has learned from are known again, photos that were saved anew are "
            "not: some of these may be among them."
        )
    if same.any() or near.any():
        first = photos.manifest["file"].to_numpy()[same | near][0]
        yield (
            f"WARNING: the detector has learned from {int((same | near).sum()):,} of these "
            f"{len(same):,} photos ({int(same.sum()):,} the same file, {int(near.sum()):,} nearly "
            f"the same picture): the numbers are too good. The first: {first}"
        )


def _auc(rows: pd.DataFrame) -> float:
    answers = ((rows["label"] == "fake"), rows["p_fake"], (rows["verdict"] == "FAKE"))
    return float(roc_auc(Scores.of(*(column.to_numpy() for column in answers)).count())[0])


def _caveats(
    detector: Detector, photos: Photos, predictions: pd.DataFrame, clean: pd.DataFrame
) -> Iterator[str]:
    """Yield what must be known to read the numbers."""
    learned = detector.config["data"]
    for record in photos.data:
        known = record["name"] in learned["name"].split("+") or (
            record["fingerprint"] == learned.get("fingerprint")
        )
        if known and photos.split != "test":
            yield (
                f"{record['name']}: the detector learned from a data set of this name, and this is "
                "not its test split: the numbers are too good."
            )
    for name, rows in clean.groupby("data"):
        real, fake = (rows.loc[rows["label"] == label, "p_fake"] for label in ("real", "fake"))
        if min(len(real), len(fake)) >= _FEW:
            auc = _auc(rows)
            if auc < _SWAPPED:
                yield (
                    f"{name}: AUC {auc:.2f} is far below a coin's 0.50: its labels look swapped, "
                    "real called fake and fake real."
                )
    failed = predictions[predictions["p_fake"].isna()]
    if len(failed):
        first = failed.iloc[0]
        yield (
            f"{len(failed)} photos could not be read and are not in the numbers; the first: "
            f"{first['file']}: {first['error']}"
        )
    faceless = int((~clean["face_found"].astype(bool)).sum())
    if faceless:
        share = faceless / len(clean)
        yield (
            f"In {faceless:,} of {len(clean):,} photos ({share:.1%}) no face was found: a person "
            "would be told that the answer is unreliable; here they count like all others."
        )
    together = len(clean) - clean["group"].nunique()
    if not together:
        yield "Every photo is a group of its own: what its data set does not group is unknown."
    if np.ptp(clean["p_fake"]) == 0:
        yield "The detector gives every photo the same score: it has learned nothing."
