"""What lies in a folder: its images, its tables, and what can be neither.

One walk, in the same order on every machine. A class or a split is read off the names of the
folders above a file.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from deepfake_lab.photos.images import EXTENSIONS
from deepfake_lab.photos.listing import NOT_READ, passed_over, safely
from deepfake_lab.printing import unicode_name

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
    "tampered": "fake", "altered": "fake", "edited": "fake", "synthetic": "fake",
    "synthesis": "fake", "generated": "fake",
}  # fmt: skip

#: What names of folders say beside a split or a label.
_FILLERS = {
    "crops", "data", "dataset", "faces", "files", "frames", "images", "img", "imgs", "part",
    "photos", "pictures", "samples", "set", "split", "subset",
}  # fmt: skip

_ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"}

_NEGATIONS = {"not", "non", "no", "never", "without"}
_ARTICLES = {"a", "an", "the"}
_OPPOSITE = {"real": "fake", "fake": "real"}


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

    def rivals(self, table: str) -> list[str]:
        """Return the other tables of the same name that lie as deep."""
        name, depth = PurePosixPath(table).name.lower(), table.count("/")
        alike = (t for t in self.tables if PurePosixPath(t).name.lower() == name)
        return [t for t in alike if t != table and t.count("/") == depth]

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
    folders: list[str] = [""]
    links: list[str] = []
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
            if unicode_name(entry.name) != entry.name:  # no table could hold it
                reason = "its name is not UTF-8: left out"
                listing.problems.append(Problem(unicode_name(name), reason, "name not UTF-8"))
                continue
            if safely(entry.is_dir):
                (links if entry.is_symlink() else folders).append(f"{name}/")
            else:
                _sort_in(listing, name, entry)
    listing.images.sort()
    listing.tables.sort(key=lambda name: (name.count("/"), name))
    return listing


def _sort_in(listing: Listing, name: str, entry: os.DirEntry) -> None:
    ending = os.path.splitext(name)[1].lower()
    if not safely(entry.is_file):
        if ending in EXTENSIONS:
            reason = "a link to a file that is not there: left out"
            listing.problems.append(Problem(name, reason, "broken link"))
    elif ending == ".csv":
        if name.count("/") <= 3:
            listing.tables.append(name)
    elif ending in _ARCHIVES:
        listing.archives.append(name)
    else:
        why = passed_over(entry.path)
        if why is None:
            listing.images.append(name)
        elif why:
            kind = "format not read here" if NOT_READ in why else "not an image by its ending"
            listing.problems.append(Problem(name, f"{why}: left out", kind))


def word_in(folder: str, words: dict[str, str]) -> str | None:
    """Return what a folder's name, or a cell of a table, says; None where that is not clear.

    `training_fake`, `FakeFaces` and `Real` are read alike; `not_real` is fake. A name that negates
    in another way (`unreal`, `no_mask_real`) is not guessed at.
    """
    tokens = _tokens(folder)
    meanings = set()
    negated = False
    for token in tokens:
        if token in _NEGATIONS:
            negated = True
        elif token in _ARTICLES and negated:
            continue
        elif token in words:
            meanings.add(_OPPOSITE.get(words[token]) if negated else words[token])
            negated = False
        else:
            meanings |= {_OPPOSITE.get(words[inner]) for inner in _negated_in(token, words)}
            if negated and len(tokens) > 1 and any(other in words for other in tokens):
                meanings.add(None)  # it negates something else: of what, nobody can tell
            negated = False
    if negated and meanings:
        return None
    return meanings.pop() if len(meanings) == 1 else None


def words_in(folder: str, words: dict[str, str]) -> set[str]:
    """Return the meanings of the words in a name as they stand, whatever negates them."""
    return {words[token] for token in _tokens(folder) if token in words}


def says_more(folder: str) -> bool:
    """Return whether a name says more than a label, a split, and that there are photos."""
    known = {*SPLIT_WORDS, *LABEL_WORDS, *_FILLERS, *_NEGATIONS, *_ARTICLES}
    return not known.issuperset(_tokens(folder))


def _tokens(folder: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", folder)
    joined = re.sub(r"\bun[^a-z]+(?=[a-z])", "un", re.sub(r"[^a-z]+", " ", spaced.lower()))
    return joined.split()  # `un-edited` is unedited


def _negated_in(token: str, words: dict[str, str]) -> Iterator[str]:
    """Yield the word that a token negates by a prefix: `nonfake`, `notreal`, `unaltered`."""
    for prefix in ("non", "not", "no", "un"):
        inner = token.removeprefix(prefix)
        # `unreal` may well be the name of a game engine.
        if inner != token and inner in words and (prefix != "un" or words[inner] == "fake"):
            yield inner


class FolderWords:
    """Answers what the folders above a file say; each folder is looked at once."""

    def __init__(self, files: list[str], words: dict[str, str]):
        self._words = words
        self._said: dict[str, tuple[str | None, bool]] = {}
        self._class_folders = {file.rpartition("/")[0] for file in files}
        self._within: dict[str, set[str]] = {}  # folder -> what those directly inside it say
        self._below: dict[str, set[str]] = {}  # folder -> what those at any depth say
        self._speaking: dict[str, set[str]] = {}  # folder -> those directly inside it that say any
        plain: dict[str, set[str]] = {}  # folder -> what plain names at any depth say
        literal: dict[str, set[str]] = {}  # the same of the labels' own words
        for folder in self._class_folders:
            said: set[str] = set()
            plainly: set[str] = set()
            literally: set[str] = set()
            while folder:
                parent, _, name = folder.rpartition("/")
                word = self._word(parent, name)
                if word:
                    said.add(word)
                    if not says_more(name):
                        plainly.add(word)
                        literally |= {word} & set(_tokens(name))
                    self._within.setdefault(parent, set()).add(word)
                    self._speaking.setdefault(parent, set()).add(folder)
                self._below.setdefault(parent, set()).update(said)
                plain.setdefault(parent, set()).update(plainly)
                literal.setdefault(parent, set()).update(literally)
                folder = parent
        self._collections = {
            folder
            for folder in plain
            if self._is_collection(folder, len(plain[folder]) > 1, literal[folder])
        }

    def _word(self, parent: str, name: str) -> str | None:
        return word_in(name, self._words)

    def of(self, file: str) -> tuple[str | None, bool]:
        """Return what the nearest folder says, and whether one further up contradicts it.

        Only folders that hold images themselves, or are class folders themselves, can contradict: a
        collection may well be called `deepfakes` and have folders `real` and `fake` inside. A class
        folder lies beside one that says something else, and not all of these hold folders of both:
        in `original/{real,fake}` and `synthetic/{real,fake}` the nearest folders are meant.
        """
        folder = file.rpartition("/")[0]
        if folder not in self._said:
            self._said[folder] = self._read(folder)
        return self._said[folder]

    def _read(self, folder: str) -> tuple[str | None, bool]:
        said: str | None = None
        while folder:
            parent, _, last = folder.rpartition("/")
            word = self._word(parent, last)
            if said is None:
                said = word
            elif word not in (None, said) and (
                folder in self._class_folders
                or (
                    len(self._within[parent]) > 1
                    and folder not in self._collections
                    and not self._all_hold_both(parent)
                )
            ):
                return said, True
            folder = parent
        return said, False

    def _is_collection(self, folder: str, says_both: bool, literal: set[str]) -> bool:
        """Return whether a folder is a data set whose name only sounds like a label.

        Args:
            folder: its path.
            says_both: whether plain names below it say both labels.
            literal: the labels that are written out in plain names below it.
        """
        parent, _, name = folder.rpartition("/")
        if len(literal) > 1:
            # `deepfakes_2019/{real,fake}` is one; `deepfakes/{real,fake}` is one, too, unless a
            # folder that is a label and no more lies beside it.
            beside = self._speaking.get(parent, ())
            return len(_tokens(name)) > 1 or all(self._below.get(other) for other in beside)
        return says_both and bool(literal) and says_more(name)

    def _all_hold_both(self, parent: str) -> bool:
        return all(len(self._below.get(folder, ())) > 1 for folder in self._speaking[parent])


class SplitFolders(FolderWords):
    """The same of splits, for which people and things have names, too: Dev Patel, test_subject_3.

    A longer name than one of a split says one only where the folders beside it do so as well, and
    below a folder `real` or `fake` only where they say different ones.

    Attributes:
        not_read: names that hold a word of a split and were not taken to say one.
    """

    def __init__(self, files: list[str]):
        self.not_read: set[str] = set()
        self._beside: dict[str, set[str | None]] = {}  # folder -> what each one inside it says
        for folder in {file.rpartition("/")[0] for file in files}:
            while folder:
                parent, _, name = folder.rpartition("/")
                self._beside.setdefault(parent, set()).add(word_in(name, SPLIT_WORDS))
                folder = parent
        super().__init__(files, SPLIT_WORDS)

    def _word(self, parent: str, name: str) -> str | None:
        word = word_in(name, SPLIT_WORDS)
        if word is None or set(_tokens(name)) <= {*SPLIT_WORDS, *LABEL_WORDS, *_FILLERS}:
            return word
        beside = self._beside[parent]
        labelled = any(word_in(folder, LABEL_WORDS) for folder in parent.split("/"))
        if None in beside or (labelled and len(beside) == 1):
            self.not_read.add(name)
            return None
        return word
