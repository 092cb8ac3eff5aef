"""Heat maps in a folder, one picture a photo: `predict --explain`."""

import hashlib
import os
import tempfile
import threading
from collections import Counter
from functools import lru_cache
from pathlib import Path

from PIL import Image

from deepfake_lab.detection.prediction import Prediction
from deepfake_lab.errors import UserError
from deepfake_lab.photos.listing import Found
from deepfake_lab.scoring.scorefile import place

#: What the name of a photo gets for its map, in the place of its ending.
ENDING = ".map.jpg"

#: Most bytes of a file's name on the usual file systems.
LONGEST = 255


class Maps:
    """A folder that receives heat maps; threads may share it.

    Args:
        folder: made where it is not there.

    Attributes:
        failed: why maps could not be drawn or written, one sentence each. The answers stand.

    Raises:
        UserError: the folder cannot be made or written to.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.failed: list[str] = []
        self._owners: dict[Path, bytes] = {}  # map -> the mark of its photo, of this run
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise UserError(f"{folder}: cannot be written to ({error.strerror}).") from error

    def lacks(self, photo: Found) -> bool:
        """Return whether there is no map of a photo yet."""
        return not self.file(photo).is_file()

    def file(self, photo: Found) -> Path:
        """Return where a photo's map lies: under another name where something else has that one.

        A picture that is no map of this photo is never replaced. Each map carries the first digits
        of the checksum of its photo's place as a comment.
        """
        file, mark = self.folder / map_name(photo), _mark(photo)
        with self._lock:
            owner = self._owners.get(file) or (_kept_mark(file) if file.exists() else mark)
            if owner == mark:
                self._owners[file] = mark
                return file
        return file.with_name(_with_digits(file.name.removesuffix(ENDING), mark.decode()) + ENDING)

    def draw(self, photo: Found, answer: Prediction) -> None:
        """Write the map of an answer under the photo's name."""
        from deepfake_lab.detection.display import explain_picture

        file = self.file(photo)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            explain_picture(answer).save(file, "JPEG", quality=88, comment=_mark(photo))
        except (OSError, ValueError) as error:  # one picture; the other photos have theirs
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())
            self.failed.append(f"the map of {photo.path} cannot be written ({reason}).")


def _mark(photo: Found) -> bytes:
    return hashlib.sha256(os.fsencode(place(photo.path))).hexdigest()[:12].encode()


def _kept_mark(file: Path) -> bytes:
    """Return the mark of the map in a file; nothing where it has none."""
    try:
        with Image.open(file) as picture:
            return bytes(picture.info.get("comment", b""))
    except OSError:
        return b""


def map_name(photo: Found) -> str:
    """Return the name of a photo's map: ``a.map.jpg`` for ``a.jpg``.

    Where the photo's folder holds another ``a`` as well, say ``a.png``, the whole name stays
    (``a.jpg.map.jpg``): no two photos have one map. A name that would be too long is cut, and the
    first digits of its checksum tell it from others.
    """
    folder, slash, name = photo.name.rpartition("/")
    stem = os.path.splitext(name)[0]
    if _same_stem(os.path.dirname(photo.path) or ".").get(stem.lower(), 0) > 1:
        stem = name
    encoded = os.fsencode(stem)
    if len(encoded) + len(ENDING) > LONGEST:
        stem = _with_digits(stem, hashlib.sha256(os.fsencode(name)).hexdigest()[:12])
    return f"{folder}{slash}{stem}{ENDING}"


def _with_digits(stem: str, digits: str) -> str:
    """Return a stem with digits behind it, cut where a map's name would be too long."""
    cut = os.fsencode(stem)[: LONGEST - len(ENDING) - len(digits) - 1]
    return f"{cut.decode('utf-8', 'ignore')}-{digits}"


@lru_cache(maxsize=64)
def _same_stem(folder: str) -> Counter[str]:
    """Return how many names of a folder have a stem, or are one; upper case counts as lower."""
    try:
        names = [name.lower() for name in os.listdir(folder)]
    except OSError:  # a photo of it was read; whole names are safe, too
        return Counter()
    stems = Counter(os.path.splitext(name)[0] for name in names)
    stems.update(name for name in names if name in stems and os.path.splitext(name)[1])
    return stems
