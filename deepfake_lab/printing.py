"""What a terminal may be given: text that other people chose, names above all, made harmless."""

import re
from collections.abc import Iterable

# Control characters (C0, DEL, C1), separators of lines, marks that turn the direction of writing,
# and the half characters by which Python stands for bytes of a name that are not UTF-8.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_HALVES = re.compile("[\ud800-\udfff]")


def printable(text: object) -> str:
    r"""Return a name or a sentence as one line without control characters.

    They come back as Python writes them: a line break as ``\n``, a byte that is not UTF-8 as
    ``\xe9``. All else, spaces and letters of any script, stays.
    """
    return _HARMFUL.sub(lambda found: _escaped(found[0]), str(text))


def printable_lines(lines: Iterable[object]) -> str:
    """Return lines below one another, each of them :func:`printable`."""
    return "\n".join(map(printable, lines))


def unicode_name(path: str) -> str:
    r"""Return a path for a file that must be UTF-8: bytes that are not come back as ``\xe9``."""
    return _HALVES.sub(lambda found: _escaped(found[0]), path)


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte of a name that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
