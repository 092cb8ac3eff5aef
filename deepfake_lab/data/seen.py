"""Which photos a detector has learned from, kept in its run folder, to be known again.

Names say nothing: a folder may be renamed, photos saved anew. Kept are the hash of each file's
content, the perceptual hash and the grey thumbnail of 16 x 16 pixels, by which
:mod:`deepfake_lab.data.duplicates` finds photos that show the same. Of a detector that is passed on
the first alone is kept: thumbnails are pictures.
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deepfake_lab.data import duplicates, facts, factstore
from deepfake_lab.errors import UserError

#: The file in a run folder; folders that an older version wrote have none.
FILE = "training_photos.npz"


def write(folder: Path, photos: Sequence[str]) -> None:
    """Keep what photos can be known by.

    Args:
        folder: the run folder.
        photos: paths of the training and validation photos.
    """
    found = factstore.collect_anywhere(photos, facts.PIXELS)
    kept = {name: found[name] for name in _KEPT}
    np.savez_compressed(folder / FILE, allow_pickle=False, **kept)


def leave_out_pictures(folder: Path) -> None:
    """Keep of a run folder's record the hashes of the files alone."""
    with np.load(folder / FILE) as kept:
        fingerprint = kept["fingerprint"]
    np.savez_compressed(folder / FILE, allow_pickle=False, fingerprint=fingerprint)


def known_again(folder: Path, photos: Sequence[str]) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Return which photos a detector has learned from; None where that was not recorded.

    Args:
        folder: the run folder.
        photos: (N) paths of the photos to be looked up.

    Returns:
        Two arrays, (N,) bool: the same file, and another file that shows the same; in place of the
        second None where the record knows files alone.

    Raises:
        UserError: the record is damaged.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        with np.load(file) as kept:
            known = {name: kept[name] for name in kept.files}
            fingerprint = known["fingerprint"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{file} is damaged: train this detector again.") from error
    pictures = set(_KEPT) <= set(known)
    found = factstore.collect_anywhere(photos, facts.PIXELS if pictures else facts.HEADER)
    same = np.isin(found["fingerprint"], fingerprint) & (found["bytes"] > 0)
    if not pictures:
        return same, None
    hashes, thumbs = known["hash"], known["thumb"]
    pairs = duplicates.near_pairs(
        np.concatenate([hashes, found["hash"]]), np.concatenate([thumbs, found["thumb"]])
    )
    across = (pairs[:, 0] < len(hashes)) & (pairs[:, 1] >= len(hashes))
    near = np.zeros(len(found), bool)
    near[pairs[across, 1] - len(hashes)] = True
    return same, near & ~same


_KEPT = ("fingerprint", "hash", "thumb")
