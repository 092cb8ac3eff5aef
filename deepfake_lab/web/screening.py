"""Refuse files that are built to keep a decoder busy, before a decoder sees them.

A file is a row of small blocks before its pixels come, and Pillow goes through them in Python: some
microseconds each. A photo has tens or hundreds of them, a hostile file of 20 MB has millions and
would hold a place at the desk for a minute. Here they are counted, up to a limit only.
"""

import re
import struct

from deepfake_lab.photos.provenance import PNG_SIGNATURE, png_chunks
from deepfake_lab.web.problems import Problem

#: Most blocks of a file, and most numbers in its EXIF data. Encoders that cut a PNG's pixels into
#: pieces of 4 kB come to 5,000 in the largest file that is taken.
MAX_PARTS = 10_000

#: A packed text of a PNG counts as that many: a few bytes can become a megabyte.
PACKED = 500

_MESSAGE = (
    "This file has far more parts than a photo has, or its parts do not fit together: open it and "
    "save it again."
)

#: JPEG markers that are followed by nothing that belongs to them, as Pillow reads them.
_ALONE = {0x01, 0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)}

_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff]")
# Between the scans, 0xff is followed by 0 (data) or by a restart marker.
_JPEG_MARKER_BETWEEN_SCANS = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")

#: EXIF type -> size of one number; bytes, texts and unknown types are read in one piece.
_NUMBERS = {3: 2, 4: 4, 5: 8, 6: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}

#: EXIF tags that lead to a further directory: details, position, interoperability.
_DIRECTORIES = {0x8769, 0x8825, 0xA005}


class _Counter:
    """Counts parts up to the limit."""

    def __init__(self) -> None:
        self._left = MAX_PARTS

    def add(self, parts: int = 1) -> None:
        self._left -= parts
        if self._left < 0:
            raise Problem("damaged_image", _MESSAGE)


def screen(data: bytes) -> int:
    """Count the parts of a file that is about to be opened.

    Returns:
        How many times its pixels are gone over when it is decoded: 1, except for some JPEGs.

    Raises:
        Problem: more parts than :data:`MAX_PARTS`.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return jpeg_scans(data)
    if data.startswith(PNG_SIGNATURE):
        _screen_png(data)
    elif data.startswith((b"GIF87a", b"GIF89a")):
        _screen_gif(data)
    elif data.startswith((b"II", b"MM")):
        screen_exif(data)
    return 1


def jpeg_scans(data: bytes) -> int:
    """Return how many times the pixels of a JPEG are gone over; its parts are counted as above."""
    count, scans, exif = _Counter(), 0, []
    position = 2
    while found := (_JPEG_MARKER_BETWEEN_SCANS if scans else _JPEG_MARKER).search(data, position):
        marker = found[0][1]
        count.add()
        if not scans:
            count.add(found.start() - position)  # Pillow skips what lies between byte by byte
        elif marker == 0xD9:  # end of image: what follows (a phone's film, say) is not decoded
            break
        position = found.end()
        if marker in _ALONE:
            continue
        end = position + max(2, int.from_bytes(data[position : position + 2]))
        if not scans and marker == 0xDB:
            count.add((end - position) // 65)  # tables, of 65 bytes or more
        elif not scans and marker == 0xED:
            count.add(data.count(b"8BIM", position, end))
        elif not scans and marker == 0xE1 and data.startswith(b"Exif\0\0", position + 2):
            exif.append(data[position + 8 : end])  # one that goes on in the next segment is joined
        scans += marker == 0xDA
        position = end
    screen_exif(b"".join(exif))
    return scans


def screen_exif(data: bytes) -> None:
    """Count the entries and numbers of EXIF data, or of a TIFF file: both are built alike.

    Raises:
        Problem: more than :data:`MAX_PARTS`, or BigTIFF, which no photo of this size needs.
    """
    data = data.removeprefix(b"Exif\0\0").removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        return
    version, start = struct.unpack_from(f"{order}HI", data, 2)
    if version != 42:
        raise Problem("damaged_image", _MESSAGE)
    count, seen, directories = _Counter(), {0}, [start]
    while directories:
        position = directories.pop()
        if position in seen or position + 2 > len(data):
            continue
        seen.add(position)
        (entries,) = struct.unpack_from(f"{order}H", data, position)
        count.add(1 + entries)
        end = min(position + 2 + 12 * entries, len(data) - 11)
        for entry in range(position + 2, end, 12):
            tag, kind, numbers, value = struct.unpack_from(f"{order}HHII", data, entry)
            if kind in _NUMBERS and numbers * _NUMBERS[kind] <= len(data):  # else it is skipped
                count.add(numbers)
            if tag in _DIRECTORIES:
                directories.append(value)
        after = position + 2 + 12 * entries
        if after + 4 <= len(data):
            directories.append(*struct.unpack_from(f"{order}I", data, after))


def _screen_png(data: bytes) -> None:
    count = _Counter()
    for kind, start, end in png_chunks(data):
        count.add(PACKED if kind in (b"zTXt", b"iTXt") else 1)
        if kind == b"eXIf":
            screen_exif(data[start + 8 : end - 4])


def _screen_gif(data: bytes) -> None:
    """Count the blocks before the first picture.

    Source: CompuServe, "Graphics Interchange Format, version 89a".
    """
    count = _Counter()
    flags = data[10] if len(data) > 10 else 0
    position = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while position < len(data) and data[position] not in b",;":
        count.add()
        if data[position] != 0x21:
            position += 1
            continue
        position += 2
        while position < len(data) and data[position]:
            count.add()
            position += 1 + data[position]
        position += 1
