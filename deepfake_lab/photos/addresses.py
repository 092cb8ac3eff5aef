"""Photos that lie elsewhere: `s3://`, `gs://`, `https://` and whatever else fsspec reads.

Needs the extra `cluster`, and for some kinds of storage a package of their own, which is named
where it is missing.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any, TypeGuard, TypeVar

from deepfake_lab.errors import UserError
from deepfake_lab.extras import require

T = TypeVar("T")


def is_address(name: object) -> TypeGuard[str]:
    """Return whether this names something elsewhere, not a path on this machine."""
    return isinstance(name, str) and "://" in name


def read(address: str, first: int | None = None) -> bytes:
    """Return the content of a file, or its first bytes.

    Raises:
        UserError: it cannot be read; the line says why.
    """

    def content() -> bytes:
        system, path = _opened(address)
        return system.cat_file(path, end=first)

    return _asked(address, content)


def is_folder(address: str) -> bool:
    """Return whether an address names a folder.

    Raises:
        UserError: the storage cannot be asked.
    """

    def ask() -> bool:
        system, path = _opened(address)
        return system.isdir(path)

    return _asked(address, ask)


def list_folder(address: str) -> Iterator[tuple[str, str, bool]]:
    """Yield what lies in a folder, in order: name, address, and whether it is a folder.

    Raises:
        UserError: it cannot be listed.
    """

    def ask() -> list[tuple[str, str, bool]]:
        system, path = _opened(address)
        return sorted(
            (
                os.path.basename(entry["name"].rstrip("/")),
                system.unstrip_protocol(entry["name"]),
                entry["type"] == "directory",
            )
            for entry in system.ls(path, detail=True)
        )

    yield from _asked(address, ask)


def _opened(address: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    return url_to_fs(address)


def _asked(address: str, question: Callable[[], T]) -> T:
    require("fsspec")
    try:
        return question()
    except FileNotFoundError as error:
        raise UserError(f"{address}: no such file.") from error
    except Exception as error:  # each kind of storage has errors of its own
        why = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{address}: cannot be read ({why}).") from error
