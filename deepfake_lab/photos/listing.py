"""Which photos a person means who names files and folders."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from deepfake_lab.errors import UserError
from deepfake_lab.photos import addresses
from deepfake_lab.photos.addresses import is_address
from deepfake_lab.photos.formats import format_of
from deepfake_lab.photos.images import EXTENSIONS, FORMATS, RAW, is_raw

#: Files that lie beside photos in every download and are none; nobody needs to hear of them.
DOCUMENTS = {
    ".csv", ".tsv", ".txt", ".md", ".rst", ".json", ".jsonl", ".yaml", ".yml", ".toml", ".html",
    ".pdf", ".xml", ".log", ".py", ".ipynb", ".npy", ".npz", ".pkl", ".db", ".ini", ".sh",
    ".parquet", ".xlsx", ".xls", ".ods", ".doc", ".docx", ".zip", ".tar", ".gz", ".tgz", ".7z",
    ".rar",
}  # fmt: skip
#: What is said of an image in a format that has no decoder here.
NOT_READ = "is not read here"

#: What `predict --out` writes until it is done; it may lie beside the photos.
_UNFINISHED = (".csv.part", ".parquet.part")

_NO_FILES = {"thumbs.db", "desktop.ini", "license", "readme", "makefile"}


def passed_over(path: str) -> str | None:
    """Return why a file in a folder is no photo; None for a photo, empty for a document.

    Its ending decides where it says something, else its first bytes: this is the one place that
    does, for data sets and for folders of photos alike. A photo may still turn out to be damaged.
    """
    name = os.path.basename(path).lower()
    ending = os.path.splitext(name)[1]
    if ending in EXTENSIONS:
        return None
    if ending in DOCUMENTS or name in _NO_FILES or name.endswith(_UNFINISHED):
        return ""
    try:
        head = _head(path)
    except OSError as error:
        return f"cannot be opened ({error.strerror})"
    except UserError as error:  # of an address
        return str(error)
    if is_raw(name, head):
        return RAW
    kind = format_of(head)
    if kind in (*FORMATS, "HEIF"):
        return None
    if kind:
        return f"{kind} {NOT_READ}; convert it to one of {', '.join(FORMATS)}"
    return f"no image by its ending ({ending or 'none'}) nor by its content"


def safely(asked: Callable[[], bool]) -> bool:
    """Return what `is_dir` or `is_file` of an entry says; a link that leads nowhere is neither.

    The methods raise where a link leads to itself, or into a folder that may not be entered.
    """
    try:
        return asked()
    except OSError:
        return False


def _head(path: str) -> bytes:
    """Return a file's first 64 bytes."""
    if is_address(path):
        return addresses.read(path, 64)
    with open(path, "rb") as file:
        return file.read(64)


def tell_passed_over(reasons: list[str]) -> str:
    """Return one sentence on files that were passed over, each given as `name: reason`."""
    number = f"{len(reasons):,} files were" if len(reasons) > 1 else "1 file was"
    first = "; the first: " if len(reasons) > 3 else ": "
    return f"{number} passed over{first}{'; '.join(reasons[:3])}."


@dataclass(frozen=True)
class Found:
    """One photo, or a folder that could not be read.

    Attributes:
        path: as a program opens it.
        name: inside the folder that was named, with `/`; of several files or folders, inside the
            folder that holds them all, so that no two are the same.
        error: why there is no photo here; empty for a photo.
    """

    path: str
    name: str
    error: str = ""


def find_photos(
    named: Iterable[str | os.PathLike[str]], beside: list[str] | None = None
) -> Iterator[Found]:
    """Yield the photos of files and folders, folders with all folders below them, one by one.

    In a folder a photo is what :func:`passed_over` takes for one; a file that is named is always
    taken. What is hidden is passed over. Named twice, a photo comes once.
    A folder may change meanwhile: only one folder's names are held at a time.

    Args:
        named: files and folders.
        beside: gets `name: reason` of each file that is passed over.
    """
    beside = [] if beside is None else beside
    arguments = [os.path.expanduser(os.fspath(one)) for one in named]
    several = len(arguments) > 1
    above = _folder_above(arguments)
    seen: set[str] = set()
    for argument in arguments:
        if is_address(argument):
            photos = _walk_address(argument, beside)
        elif os.path.isdir(argument):
            photos = _walk(argument, beside)
        else:
            photos = iter([Found(argument, os.path.basename(argument))])
        if not several:  # then no photo can come twice, and a million names need not be remembered
            yield from photos
            return
        for found in photos:
            place = place_of(found.path)
            if place not in seen:
                seen.add(place)
                # As it was found, not where links lead: that may lie outside of `above`.
                name = _named(found.path)
                name = os.path.relpath(name, above) if above else name
                name = name.replace(os.sep, "/").lstrip("/")
                yield Found(found.path, name, found.error)


def _folder_above(arguments: list[str]) -> str:
    """Return the folder that holds all that was named; empty where none does."""
    if any(map(is_address, arguments)):
        return ""
    try:
        return os.path.commonpath([os.path.dirname(os.path.abspath(a)) for a in arguments])
    except ValueError:  # they lie on several drives of Windows
        return ""


def _named(path: str) -> str:
    return path.replace("://", "/") if is_address(path) else os.path.abspath(path)


def place_of(name: str) -> str:
    """Return where a photo lies: the real path of its folder, and its own name; or its address.

    The same however the folder is named: ``./in``, ``in``, a link to it.
    """
    if is_address(name):
        return name
    folder, own_name = os.path.split(name)
    return os.path.join(_real(os.path.abspath(folder)), own_name)


@lru_cache(maxsize=4096)
def _real(folder: str) -> str:
    return os.path.realpath(folder)


def _walk_address(root: str, beside: list[str]) -> Iterator[Found]:
    """Yield the photos at an address in the order that :func:`_walk` has."""
    try:
        if not addresses.is_folder(root):
            yield Found(root, os.path.basename(root))
            return
    except UserError as error:
        yield Found(root, os.path.basename(root), str(error))
        return
    folders, empty, known = [(root, "")], True, len(beside)
    while folders:
        folder, prefix = folders.pop()
        below = []
        try:
            for name, address, is_folder in addresses.list_folder(folder):
                if name.startswith(".") or name == "__MACOSX":
                    continue
                if is_folder:
                    below.append((address, f"{prefix}{name}/"))
                    continue
                reason = passed_over(address)
                if reason is None or NOT_READ in reason:  # an answer says why it has none
                    empty = False
                    yield Found(address, f"{prefix}{name}")
                elif reason:
                    beside.append(f"{prefix}{name}: {reason}")
        except UserError as error:
            empty = False
            yield Found(folder, prefix, str(error))
        folders += reversed(below)
    if empty:
        yield _no_images(root, beside[known:])


def _walk(root: str, beside: list[str]) -> Iterator[Found]:
    """Yield a folder's photos in order; links to folders are followed, but none is read twice."""
    entered: set[tuple[int, int]] = set()
    folders, empty, known = [""], True, len(beside)
    while folders:
        prefix = folders.pop()
        folder = os.path.join(root, prefix) if prefix else root
        try:
            place = os.stat(folder)
            with os.scandir(folder) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:  # it may have been removed since it was seen
            empty = False
            yield Found(folder, prefix, f"{folder}: this folder cannot be read ({error.strerror}).")
            continue
        if (place.st_dev, place.st_ino) in entered:
            continue
        entered.add((place.st_dev, place.st_ino))
        below = []
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            name = f"{prefix}{entry.name}"
            if safely(entry.is_dir):
                below.append(f"{name}/")
            elif safely(entry.is_file) or (
                entry.is_symlink() and name.lower().endswith(EXTENSIONS)
            ):
                path = os.path.join(folder, entry.name)
                reason = passed_over(path)
                if reason is None or NOT_READ in reason:  # an answer says why it has none
                    empty = False
                    yield Found(path, name)
                elif reason:
                    beside.append(f"{name}: {reason}")
        folders += reversed(below)
    if empty:
        yield _no_images(root, beside[known:])


def _no_images(root: str, beside: list[str]) -> Found:
    also = f" {tell_passed_over(beside)}" if beside else ""
    return Found(root, "", f"{root}: this folder holds no images.{also}")
