"""Which photos a person means who names files and folders."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from deepfake_lab.photos.images import EXTENSIONS


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


def find_photos(arguments: Iterable[str | os.PathLike]) -> Iterator[Found]:
    """Yield the photos of files and folders, folders with all folders below them, one by one.

    In a folder a photo is what has one of :data:`deepfake_lab.photos.images.EXTENSIONS`; a file
    that is named is always taken. What is hidden is passed over. Named twice, a photo comes once.
    A folder may change meanwhile: only one folder's names are held at a time.
    """
    arguments = [os.path.expanduser(argument) for argument in arguments]
    several = len(arguments) > 1
    above = os.path.commonpath([os.path.dirname(os.path.abspath(a)) for a in arguments])
    seen: set[str] = set()
    for argument in arguments:
        if os.path.isdir(argument):
            photos = _walk(argument)
        else:
            photos = iter([Found(argument, os.path.basename(argument))])
        if not several:  # then no photo can come twice, and a million names need not be remembered
            yield from photos
            return
        for found in photos:
            place = os.path.abspath(found.path)
            if place not in seen:
                seen.add(place)
                name = os.path.relpath(place, above).replace(os.sep, "/")
                yield Found(found.path, name, found.error)


def _walk(root: str) -> Iterator[Found]:
    """Yield a folder's photos in order; links to folders are followed, but none is read twice."""
    entered: set[tuple[int, int]] = set()
    folders, empty = [""], True
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
            if entry.is_dir():
                below.append(f"{name}/")
            elif name.lower().endswith(EXTENSIONS) and (entry.is_file() or entry.is_symlink()):
                empty = False
                yield Found(os.path.join(folder, entry.name), name)
        folders += reversed(below)
    if empty:
        yield Found(root, "", f"{root}: this folder holds no images.")
