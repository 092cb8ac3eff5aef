"""What lies in a folder: its images, its tables, and what can be neither.

One walk, in the same order on every machine. A class or a split is read off the names of the
folders above a file.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from deepfake_lab.photos.images import EXTENSIONS

SPLIT_WORDS = {
    "train": "train", "training": "train",
    "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip
LABEL_WORDS = {
    "real": "real", "reals": "real", "realfaces": "real", "realimages": "real",
    "original": "real", "originals": "real", "authentic": "real", "genuine": "real",
    "pristine": "real",
    "fake": "fake", "fakes": "fake", "fakefaces": "fake", "fakeimages": "fake",
    "deepfake": "fake", "deepfakes": "fake", "manipulated": "fake", "forged": "fake",
    "tampered": "fake", "synthetic": "fake", "synthesis": "fake", "generated": "fake",
}  # fmt: skip

#: Files that lie beside images in every download and are none; nobody needs to hear of them.
_DOCUMENTS = {
    ".csv", ".tsv", ".txt", ".md", ".rst", ".json", ".jsonl", ".yaml", ".yml", ".toml", ".html",
    ".pdf", ".xml", ".log", ".py", ".ipynb", ".npy", ".npz", ".pkl", ".db", ".ini", ".sh",
}  # fmt: skip
_NO_FILES = {"thumbs.db", "desktop.ini", "license", "readme", "makefile"}
_ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"}


@dataclass(frozen=True)
class Problem:
    """One thing that was left out or does not fit.

    Attributes:
        file: its name inside the folder.
        problem: what is wrong, in words.
        kind: the same for all problems of a kind, so that they can be counted.
    """

    file: str
    problem: str
    kind: str


@dataclass
class Listing:
    """A folder's content; names are relative to the root, with `/`, in order.

    Attributes:
        root: the folder.
        images: files that are images by their ending.
        tables: CSV files up to three folders deep, the shallowest first.
        archives: files to be unpacked first.
        problems: what was passed over.
    """

    root: Path
    images: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    archives: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def table(self, name: str) -> str | None:
        """Return the shallowest table of that name, whatever its letter case."""
        return next((t for t in self.tables if PurePosixPath(t).name.lower() == name), None)

    def beside(self, table: str, name: str) -> str | None:
        """Return the table called `name` in the folder of `table`."""
        folder = PurePosixPath(table).parent
        here = (t for t in self.tables if PurePosixPath(t).parent == folder)
        return next((t for t in here if PurePosixPath(t).name.lower() == name), None)


def scan(root: Path) -> Listing:
    """Walk a folder. Links to folders are followed, but no folder is entered twice."""
    listing = Listing(root)
    seen: set[tuple[int, int]] = set()
    # Links wait until every folder proper has been seen: a link must not rename its target.
    folders, links = [""], []
    while folders or links:
        prefix = folders.pop() if folders else links.pop(0)
        try:
            place = os.stat(root / prefix)
            entries = sorted(os.scandir(root / prefix), key=lambda entry: entry.name)
        except OSError as error:
            reason = f"this folder cannot be opened ({error.strerror})"
            listing.problems.append(Problem(prefix, reason, "unreadable folder"))
            continue
        if (place.st_dev, place.st_ino) in seen:
            reason = "a link to a folder that has been read already: left out"
            listing.problems.append(Problem(prefix, reason, "link to a folder read before"))
            continue
        seen.add((place.st_dev, place.st_ino))
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            name = f"{prefix}{entry.name}"
            if entry.is_dir():
                (links if entry.is_symlink() else folders).append(f"{name}/")
            else:
                _sort_in(listing, name, entry)
    listing.images.sort()
    listing.tables.sort(key=lambda name: (name.count("/"), name))
    return listing


def _sort_in(listing: Listing, name: str, entry: os.DirEntry) -> None:
    ending = os.path.splitext(name)[1].lower()
    if not entry.is_file():
        if ending in EXTENSIONS:
            reason = "a link to a file that is not there: left out"
            listing.problems.append(Problem(name, reason, "broken link"))
    elif ending in EXTENSIONS:
        listing.images.append(name)
    elif ending == ".csv":
        if name.count("/") <= 3:
            listing.tables.append(name)
    elif ending in _ARCHIVES:
        listing.archives.append(name)
    elif ending not in _DOCUMENTS and entry.name.lower() not in _NO_FILES:
        reason = f"not an image by its ending ({ending or 'none'}): left out"
        listing.problems.append(Problem(name, reason, "not an image by its ending"))


def word_in(folder: str, words: dict[str, str]) -> str | None:
    """Return what a folder's name says, reading `training_fake`, `FakeFaces`, `Real` alike."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", folder)
    meanings = {words[token] for token in re.split(r"[^a-z]+", spaced.lower()) if token in words}
    return meanings.pop() if len(meanings) == 1 else None


class FolderWords:
    """Answers what the folders above a file say; each folder is looked at once."""

    def __init__(self, files: list[str], words: dict[str, str]):
        self._words = words
        self._said: dict[str, tuple[str | None, bool]] = {}
        self._class_folders = {file.rpartition("/")[0] for file in files}

    def of(self, file: str) -> tuple[str | None, bool]:
        """Return what the nearest folder says, and whether one further up contradicts it.

        Only folders that hold images themselves can contradict: a collection may well be called
        `deepfakes` and have a folder `real` inside.
        """
        folder = file.rpartition("/")[0]
        if folder not in self._said:
            self._said[folder] = self._read(folder)
        return self._said[folder]

    def _read(self, folder: str) -> tuple[str | None, bool]:
        said: str | None = None
        while folder:
            parent, _, last = folder.rpartition("/")
            word = word_in(last, self._words)
            if said is None:
                said = word
            elif word not in (None, said) and folder in self._class_folders:
                return said, True
            folder = parent
        return said, False
